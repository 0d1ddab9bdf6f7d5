"""What a unit's branches, beginnings and cuts must satisfy: the same rules for every store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from treadle.errors import (
    AdmissionError,
    ConflictError,
    EventsPrunedError,
    EventsSharedError,
    InvalidValueError,
    SequenceGapError,
    UsageError,
)
from treadle.events import WorkflowEvent, WorkflowId, check_seq
from treadle.stores.asking import check_id
from treadle.stores.contract import Batch, Head, Unit
from treadle.stores.lifetimes import Branch, Cut

SHARERS_NAMED_MAX: Final = 3
"""How many branches an error names: enough to look for."""


class Heads(Protocol):
    """What these rules ask of a store in the middle of its transaction."""

    def head(self, workflow_id: WorkflowId) -> Head:
        """Tell where a log stands."""

    def keyed(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        """Find the event that carries a key."""

    def digest_at(self, workflow_id: WorkflowId, seq: int) -> bytes | None:
        """Tell the digest of an event that the log keeps, or None."""

    def sharers(self, workflow_id: WorkflowId, below_seq: int, limit: int) -> Sequence[WorkflowId]:
        """Name logs that share events which lie in this one below a seq."""

    def position(self) -> int:
        """Tell the newest position."""


def check_births(unit: Unit | Batch) -> None:
    """Refuse a unit whose branches, beginnings or cuts are wrong by themselves.

    Args:
        unit: the unit.

    Raises:
        InvalidValueError: a seq, an id or a flag is none.
        UsageError: what begins has no batch that begins it, a branch is its own parent or its parent has a
            batch here, a log is begun or cut twice, or a cut log is written to.
    """
    batches = {batch.workflow_id: batch for batch in unit.batches}
    begun = [(one.workflow_id, one.first_seq, one.digest_before) for one in unit.begun]
    begun += [(branch.workflow_id, branch.at + 1, branch.digest) for branch in unit.branches]
    for workflow_id, first_seq, digest in begun:
        check_id(workflow_id)
        check_seq(first_seq)
        batch = batches.get(workflow_id)
        if batch is None or not batch.events or batch.events[0].seq != first_seq:
            raise UsageError(f"log {workflow_id!r} begins with a batch of this unit, at seq {first_seq}")
        if batch.digest_before != digest:
            raise UsageError(f"log {workflow_id!r} begins with a batch that was decided on another digest")
    if len({workflow_id for workflow_id, *_ in begun}) < len(begun):
        raise UsageError("a unit begins a log once; leave the repeat out")
    for branch in unit.branches:
        _check_branch(branch, batches)
    for cut in unit.cuts:
        _check_cut(cut)
    if unit.position is not None and (type(unit.position) is not int or unit.position < 0):
        raise InvalidValueError(f"a position is an int from 0 on, got {unit.position!r:.60}")


def _check_branch(branch: Branch, batches: dict[WorkflowId, Batch]) -> None:
    check_id(branch.parent)
    check_seq(branch.at)
    if branch.needs_seq is not None:
        check_seq(branch.needs_seq)
    if type(branch.hidden) is not bool:
        raise InvalidValueError(f"hidden is True or False, got {branch.hidden!r:.60}")
    if branch.parent == branch.workflow_id:
        raise UsageError(f"log {branch.parent!r} cannot be a branch of itself; give the branch a new id")
    if branch.parent in batches:
        raise UsageError(f"log {branch.parent!r} is written to in this unit; branch it in one of its own")


def _check_cut(cut: Cut) -> None:
    check_id(cut.workflow_id)
    check_seq(cut.next_seq)
    check_seq(cut.first_kept_seq)
    if cut.first_kept_seq > cut.next_seq:
        raise UsageError(
            f"log {cut.workflow_id!r} stands at {cut.next_seq} and cannot be kept from"
            f" {cut.first_kept_seq} on; {cut.next_seq} deletes it"
        )


class Beginning:
    """A store's view in which the logs of a unit have begun already.

    Args:
        unit: begins them.
        view: the store as it stands before.
    """

    def __init__(self, unit: Unit | Batch, view: Heads) -> None:
        self._view = view
        self._heads: dict[WorkflowId, Head] = {}
        self._parents: dict[WorkflowId, Branch] = {}
        self.in_use: list[tuple[WorkflowId, int]] = []
        self.refusal: AdmissionError | None = None
        for begun in unit.begun:
            if self._is_new(begun.workflow_id, begun.first_seq):
                self._heads[begun.workflow_id] = Head(
                    begun.workflow_id,
                    begun.first_seq,
                    begun.digest_before,
                    begun.first_seq,
                    begun.digest_before,
                )
        for branch in unit.branches:
            if self._is_new(branch.workflow_id, branch.at + 1):
                self._branch(branch)

    def _is_new(self, workflow_id: WorkflowId, first_seq: int) -> bool:
        if self._view.head(workflow_id).next_seq == 1:
            return True
        self.in_use.append((workflow_id, first_seq))
        return False

    def _branch(self, branch: Branch) -> None:
        parent = self._view.head(branch.parent)
        error = _branch_error(branch, parent, self._view)
        self.refusal = self.refusal or error
        if error is None:
            first, before = parent.first_kept_seq, parent.digest_before
            self._parents[branch.workflow_id] = branch
            self._heads[branch.workflow_id] = Head(
                branch.workflow_id, branch.at + 1, branch.digest, first, before, shared_seq=branch.at
            )

    def head(self, workflow_id: WorkflowId) -> Head:
        """Tell where a log stands once it has begun."""
        return self._heads.get(workflow_id) or self._view.head(workflow_id)

    def keyed(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        """Find a keyed event, a shared one too."""
        branch = self._parents.get(workflow_id)
        if branch is None:
            return self._view.keyed(workflow_id, key)
        found = self._view.keyed(branch.parent, key)
        return found if found is not None and found.seq <= branch.at else None

    def in_use_error(self) -> ConflictError:
        """Word that an id cannot be begun again."""
        workflow_id, first_seq = self.in_use[0]
        head = self._view.head(workflow_id)
        return ConflictError(
            f"workflow {workflow_id!r} is in use: it stands at seq {head.next_seq} and cannot begin again;"
            " give another id",
            workflow_id=workflow_id,
            next_seq=head.next_seq,
            seq=first_seq,
        )


def _branch_error(branch: Branch, parent: Head, view: Heads) -> AdmissionError | None:
    if branch.at >= parent.next_seq:
        return SequenceGapError(
            f"workflow {branch.parent!r} stands at seq {parent.next_seq}: there is no event {branch.at} to"
            f" branch at; give one from {parent.first_kept_seq} to {parent.next_seq - 1}"
            if parent.next_seq > 1
            else f"workflow {branch.parent!r} has no events: there is nothing to branch",
            workflow_id=branch.parent,
            next_seq=parent.next_seq,
        )
    needed = branch.at if branch.needs_seq is None else min(branch.at, branch.needs_seq)
    if needed < parent.first_kept_seq:
        why = "cannot be branched at" if needed == branch.at else f"is needed by a branch at {branch.at}"
        return EventsPrunedError(
            f"workflow {branch.parent!r}: seq {needed} lies below the first kept seq"
            f" {parent.first_kept_seq} and {why}; give one from there on",
            workflow_id=branch.parent,
            next_seq=parent.next_seq,
            first_kept_seq=parent.first_kept_seq,
        )
    if view.digest_at(branch.parent, branch.at) != branch.digest:
        return ConflictError(
            f"workflow {branch.parent!r}: the event at seq {branch.at} is not the one that was branched at;"
            " read it again",
            workflow_id=branch.parent,
            next_seq=parent.next_seq,
            seq=branch.at,
        )
    return None


def cut_error(cut: Cut, head: Head, view: Heads) -> AdmissionError | None:
    """Tell why a log cannot be cut.

    Args:
        cut: the cut; its head was compared already.
        head: where the log stands.
        view: the store.

    Returns:
        The error, or None when it can.
    """
    if cut.is_whole or cut.first_kept_seq <= head.first_kept_seq:
        return None
    sharers = tuple(view.sharers(cut.workflow_id, cut.first_kept_seq, SHARERS_NAMED_MAX + 1))
    return shared(head, cut.first_kept_seq, sharers) if sharers else None


def shared(head: Head, below_seq: int, sharers: Sequence[WorkflowId]) -> EventsSharedError:
    """Word that branches need what was to go.

    Args:
        head: where the log stands.
        below_seq: what lies below was to go.
        sharers: the branches, at least one; more than are named say that there are others.

    Returns:
        The error.
    """
    named = ", ".join(repr(name) for name in sharers[:SHARERS_NAMED_MAX])
    more = " and others" if len(sharers) > SHARERS_NAMED_MAX else ""
    return EventsSharedError(
        f"workflow {head.workflow_id!r}: events below seq {below_seq} are shared by {named}{more};"
        " delete the branches first, or keep the events",
        workflow_id=head.workflow_id,
        next_seq=head.next_seq,
        branches=tuple(sharers[:SHARERS_NAMED_MAX]),
    )


def pruned(head: Head, from_seq: int) -> EventsPrunedError:
    """Word that a log no longer has what was asked for.

    Args:
        head: where it stands.
        from_seq: the first seq that was asked for.

    Returns:
        The error.
    """
    first = head.first_kept_seq
    advice = f"read from {first}" if first < head.next_seq else "nothing of it is left to read"
    return EventsPrunedError(
        f"workflow {head.workflow_id!r}: seq {from_seq} lies below the first kept seq {first}; retention has"
        f" removed it: {advice}",
        workflow_id=head.workflow_id,
        next_seq=head.next_seq,
        first_kept_seq=first,
    )
