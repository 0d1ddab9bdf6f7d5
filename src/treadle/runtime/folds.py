"""Replaying with a fold: from a snapshot, from the baseline a log begins with, or from its first event."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from msgspec import Raw

from treadle.errors import (
    CodecError,
    EventsPrunedError,
    InvalidValueError,
    StoreError,
    UsageError,
    WorkflowNotFoundError,
)
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.log import Fold, FoldedState, decode_folded, is_folded, read_state, write_state
from treadle.runtime.decoding import payload_of
from treadle.runtime.inbox import Proposal
from treadle.runtime.replaying import Replayed
from treadle.runtime.replaying import fold as fold_events
from treadle.runtime.reuse import begins_anew
from treadle.runtime.snapshots import Snapshots
from treadle.stores import Head, LogPage, Store, Unit

if TYPE_CHECKING:  # what is done here is done for a runtime
    from treadle.runtime.runtime import Runtime

S = TypeVar("S")

FOLDS_MAX: Final = 16
"""How many folds one baseline holds: each is an event, and all are read when a replay begins there."""
REPLAYS_MAX: Final = 8
"""How often a replay begins anew because the log was cut while it was read: more is no coincidence."""
_logger: Final = logging.getLogger("treadle.runtime")


class Reached(NamedTuple, Generic[S]):
    """A fold's state at a seq, and how it was come by.

    Attributes:
        state: the state.
        seq: the last seq it holds; 0 for none.
        replayed: how many events were folded after what was kept.
    """

    state: S
    seq: int
    replayed: int


class FoldReplay(Generic[S]):
    """Replays one log with one fold.

    Args:
        runtime: whose store is read.
        workflow_id: the log.
        fold: the fold.
    """

    def __init__(self, runtime: Runtime, workflow_id: WorkflowId, fold: Fold[S]) -> None:
        self._store = runtime.store
        self._limit = runtime.config.page_events
        self._supervisor = runtime._supervisor
        self._states = States(runtime)
        self._snapshots = Snapshots(runtime.store, runtime._codecs)
        self._name = workflow_id
        self._fold = fold

    async def replay(self, to_seq: int | None) -> S:
        """Give the state; see `WorkflowHandle.replay`.

        Args:
            to_seq: the last seq, or None for the end.

        Returns:
            The state.
        """
        head, reached = await self.reach(to_seq)
        every = self._fold.snapshot_every
        if every is not None and reached.replayed >= every and reached.seq == head.next_seq - 1:
            await self._save_quietly(head, reached)
        return reached.state

    async def snapshot(self) -> int:
        """Keep the state; see `WorkflowHandle.snapshot`.

        Returns:
            The last seq that it holds.
        """
        head, reached = await self.reach(None)
        if head.next_seq == 1:
            raise WorkflowNotFoundError(
                f"workflow {self._name!r} has no events: there is nothing to keep of it",
                workflow_id=self._name,
            )
        await self._save(head, reached)
        return reached.seq

    async def reach(self, to_seq: int | None) -> tuple[Head, Reached[S]]:
        """Fold the log, from the newest state that was kept of it.

        Args:
            to_seq: the last seq, or None for where the log stands now.

        Returns:
            Where the log stood, and the state.

        Raises:
            EventsPrunedError: the log's beginning was removed, and this fold cannot read what it begins with.
        """
        for _ in range(REPLAYS_MAX):
            (head,) = await self._store.heads([self._name])
            try:
                return head, await self._reach(head, to_seq)
            except EventsPrunedError as error:
                # Cut while it was read: what it begins with now is read instead.
                cut = error
                (now,) = await self._store.heads([self._name])
                if now.first_kept_seq == head.first_kept_seq:
                    raise
        raise cut

    async def _reach(self, head: Head, to_seq: int | None) -> Reached[S]:
        last = head.next_seq - 1 if to_seq is None else min(to_seq, head.next_seq - 1)
        begun = await self._from_snapshot(head, last) or await self._from_start(head, last)
        return await self.go_on(begun, last)

    async def go_on(self, begun: Reached[S], last: int) -> Reached[S]:
        """Fold what follows a state.

        Args:
            begun: the state.
            last: the last seq to fold; it is there.

        Returns:
            The state there.
        """
        state, seq = begun.state, begun.seq
        while seq < last:
            page = await self._store.read(self._name, seq + 1, last, limit=self._limit)
            state = fold_events(self._fold.apply, state, filter(is_folded, page), self._name)
            seq = page[-1].seq
        return Reached(state, seq, begun.replayed + seq - begun.seq)

    # -- where it begins --

    async def _from_snapshot(self, head: Head, last: int) -> Reached[S] | None:
        found = await self._snapshots.find(head, self._fold, last)
        if found is None:
            return None
        try:
            return Reached(self._states.read(self._fold, found), found.seq, 0)
        except Exception as error:  # noqa: BLE001  # the user's own decode may raise anything; the events are there
            _logger.warning(
                "a snapshot of workflow %r by fold %r is ignored: %s", self._name, self._fold.name, error
            )
            return None

    async def _from_start(self, head: Head, last: int) -> Reached[S]:
        first = head.first_kept_seq
        if first == 1:
            return Reached(self._fold.initial(), 0, 0)
        if last < first - 1 or first == head.next_seq:
            raise self._unreadable(head, "nothing of what is asked for is left")
        if await begins_anew(self._store, head):
            return Reached(self._fold.initial(), first - 1, 0)
        found = await self.baselines(first)
        state = next((one for one in found if one.fold == self._fold.name), None)
        if state is None:
            kept = ", ".join(f"{one.fold!r}" for one in found) or "none"
            raise self._unreadable(head, f"what came before is kept for these folds: {kept}")
        if state.version != self._fold.version and self._fold.upgrade is None:
            raise self._unreadable(
                head,
                f"what came before is kept by its version {state.version}; give the fold an upgrade function",
            )
        return Reached(self._states.read(self._fold, state), first - 1, 0)

    def _unreadable(self, head: Head, why: str) -> EventsPrunedError:
        first, fold = head.first_kept_seq, self._fold
        return EventsPrunedError(
            f"workflow {self._name!r} begins at seq {first}, and fold {fold.name!r} (version {fold.version})"
            f" cannot begin there: {why}",
            workflow_id=self._name,
            next_seq=head.next_seq,
            first_kept_seq=first,
        )

    async def baselines(self, seq: int) -> list[FoldedState]:
        """Read the baseline that begins at a seq.

        Args:
            seq: of its first event.

        Returns:
            What it holds, one for each fold; nothing when there is no baseline.
        """
        events = await self._store.read(self._name, seq, limit=FOLDS_MAX)
        found: list[FoldedState] = []
        for event in events:
            state = await self._states.baseline_of(self._name, event)
            if state is None or state.seq != seq - 1:
                break
            found.append(state)
        return found

    # -- keeping it --

    async def _save(self, head: Head, reached: Reached[S]) -> None:
        digest = await self._snapshots.digest_at(head, reached.seq)
        assert digest is not None  # noqa: S101  # its event has just been read
        folded = self._states.write(self._fold, reached.state, self._name, reached.seq, digest)
        await self._supervisor.commit_unit(Proposal(None), Unit(records=(self._snapshots.record(folded),)))

    async def _save_quietly(self, head: Head, reached: Reached[S]) -> None:
        try:
            await self._save(head, reached)
        except (StoreError, UsageError) as error:
            # Whoever asked for a state has it; what is only a cache may be missing.
            _logger.warning(
                "no snapshot of workflow %r by fold %r was left: %s", self._name, self._fold.name, error
            )


class States:
    """States of folds, to what is kept of them and back.

    Args:
        runtime: whose converter and codecs are used, and whose store tells where an event was written.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._store = runtime.store
        self._converter = runtime._converter
        self._codecs = runtime._codecs

    def write(self, fold: Fold[S], state: S, workflow_id: WorkflowId, seq: int, digest: bytes) -> FoldedState:
        """Put a state into the form in which it is kept.

        Args:
            fold: the fold.
            state: its state.
            workflow_id: of which log.
            seq: the last seq that it holds.
            digest: the digest there.

        Returns:
            What is kept.

        Raises:
            InvalidValueError: the state has no JSON form, or would come back as something else.
        """
        common = (fold.name, fold.version, workflow_id, seq, digest.hex())
        form = write_state(fold, state, self._converter)
        if fold.encode is not None:
            return FoldedState(*common, data=form)
        return FoldedState(*common, json=Raw(form))

    def read(self, fold: Fold[S], kept: FoldedState) -> S:
        """Make a state again of what was kept.

        Args:
            fold: the fold; of another version, it has an upgrade function.
            kept: what was kept.

        Returns:
            The state.

        Raises:
            InvalidValueError: it does not fit the fold.
        """
        if kept.version != fold.version:
            assert fold.upgrade is not None  # noqa: S101  # the caller has looked
            old: Any = kept.data if kept.data is not None else self._converter.decode(bytes(kept.json))
            return fold.upgrade(kept.version, old)
        if (fold.decode is None) != (kept.data is None):
            raise InvalidValueError(
                f"what was kept of fold {fold.name!r} was written"
                f" {'by the converter' if kept.data is None else 'by its own encode'}; raise the version"
            )
        return read_state(fold, bytes(kept.json) if kept.data is None else kept.data, self._converter)

    async def baseline_of(self, workflow_id: WorkflowId, event: WorkflowEvent) -> FoldedState | None:
        """Read what a BASELINE event holds.

        Args:
            workflow_id: its log.
            event: any event.

        Returns:
            What it holds; None when it is no baseline of ours.

        Raises:
            CodecError: a codec or a key is missing.
            StoreError: the store could not be read.
        """
        if event.kind is not EventKind.BASELINE:
            return None
        try:
            return decode_folded(await payload_of(self._store, self._codecs, workflow_id, event))
        except CodecError:
            raise
        except InvalidValueError:
            return None


# -- many logs at once ----------------------------------------------------------------------------------


def of_a_fold(fold: Fold[S]) -> Callable[[S, WorkflowEvent], S]:
    """Make a plain reducer of a fold: one that passes over baselines.

    Args:
        fold: the fold.

    Returns:
        The reducer.
    """
    apply = fold.apply
    return lambda state, event: apply(state, event) if event.kind is not EventKind.BASELINE else state


async def replay_cut(runtime: Runtime, fold: Fold[S], page: LogPage) -> Replayed[S]:
    """Replay a log whose beginning was removed, from what its fold can read.

    Args:
        runtime: the runtime.
        fold: the fold.
        page: the log's first one.

    Returns:
        The log, its state, and how many events were folded after what was kept.

    Raises:
        EventsPrunedError: the fold cannot read what the log begins with.
    """
    _, reached = await FoldReplay(runtime, page.workflow_id, fold).reach(None)
    return Replayed(page.workflow_id, reached.state, reached.replayed)


async def refuse_cut(store: Store, page: LogPage) -> None:
    """Refuse to fold what is left of a log as if it were all of it, unless it is.

    Args:
        store: tells where the log stands, which a page of it may not.
        page: the log's first one.

    Raises:
        EventsPrunedError: something is missing.
    """
    first = page.events[0].seq
    (head,) = await store.heads([page.workflow_id])
    if first == head.first_kept_seq and await begins_anew(store, head):
        return
    raise EventsPrunedError(
        f"workflow {page.workflow_id!r} begins at seq {first}: a function cannot know what came before; give"
        " a treadle.Fold whose state its baseline holds, or from_first_kept=True",
        workflow_id=page.workflow_id,
        next_seq=head.next_seq,
        first_kept_seq=first,
    )
