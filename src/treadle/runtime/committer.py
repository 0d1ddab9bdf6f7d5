"""The committer: turns the units of all actors into one transaction after another.

While one group is being written, the next one fills; so under load a commit's fsync is shared by
everybody who came meanwhile, and an idle runtime still commits at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import trio

from treadle.errors import (
    ConflictError,
    FencedError,
    InternalError,
    StaleSequenceError,
    StoreError,
    StorePoisonedError,
    TreadleError,
)
from treadle.events import WorkflowEvent
from treadle.kernel import Kernel
from treadle.runtime.actor import Actor
from treadle.runtime.config import RuntimeConfig
from treadle.runtime.following import Changes
from treadle.runtime.inbox import Proposal, closed_error
from treadle.stores import WRITTEN, Batch, Graft, Outcome, Refused, Repeated, Store, Unit, Written


@attrs.define(slots=True, eq=False)
class Group:
    """The units of one transaction, and whose they are."""

    proposals: list[Proposal] = attrs.Factory(list)
    units: list[Unit | Batch | Graft] = attrs.Factory(list)
    events: int = 0
    size_bytes: int = 0
    _places: dict[tuple[Actor, int], Proposal] = attrs.Factory(dict)
    _placed: int = 0

    def find(self, actor: Actor, seq: int) -> Proposal | None:
        """Find whose event takes a seq.

        Args:
            actor: whose log.
            seq: the seq.

        Returns:
            The proposal, or None.
        """
        # Kept only once somebody asks, so that appends without repeats pay nothing; then completed, or
        # thousands of repeats would each walk over the whole group.
        for proposal in self.proposals[self._placed :]:
            if proposal.actor is not None:
                places = ((proposal.actor, event.seq) for event in proposal.events or ())
                self._places.update(dict.fromkeys(places, proposal))
        self._placed = len(self.proposals)
        return self._places.get((actor, seq))

    def add(self, proposal: Proposal, unit: Unit | Batch | Graft, events: int, size_bytes: int) -> None:
        """Take a unit in.

        Args:
            proposal: whose it is.
            unit: what is to be written.
            events: how many events it holds.
            size_bytes: how many bytes their payloads have.
        """
        self.proposals.append(proposal)
        self.units.append(unit)
        self.events += events
        self.size_bytes += size_bytes


class Committer:
    """Writes groups, one at a time, and tells every proposal its outcome.

    Args:
        store: where to.
        kernel: through which it waits.
        config: the limits of a group.
        changes: told what was committed, for followers.
        send_back: called with each proposal that another writer has overtaken, in order.
        settled: called after each group.
    """

    def __init__(
        self,
        store: Store,
        kernel: Kernel,
        config: RuntimeConfig,
        changes: Changes,
        *,
        send_back: Callable[[Proposal], None],
        settled: Callable[[], None],
    ) -> None:
        self.open = Group()
        self.writing: Group | None = None
        self.groups_committed = 0
        self.events_appended = 0
        self.events_repeated = 0
        self.proposals_returned = 0
        self.stopping = False
        self._store = store
        self._kernel = kernel
        self.events_max = config.group_events_max
        self.size_bytes_max = config.group_size_bytes_max
        self._returns_max = config.readmissions_max
        self._changes = changes
        self._send_back = send_back
        self._settled = settled
        self.idle: trio.lowlevel.Task | None = None
        self._waiting_for_room: dict[trio.lowlevel.Task, None] = {}

    def has_room(self) -> bool:
        """Tell whether the open group takes another proposal."""
        group = self.open
        return group.events < self.events_max and group.size_bytes < self.size_bytes_max

    def kick(self) -> None:
        """Tell the committer that the open group is no longer empty."""
        if self.idle is not None:
            task, self.idle = self.idle, None
            self._kernel.wake(task)

    @trio.lowlevel.enable_ki_protection
    async def wait_room(self) -> None:
        """Wait until the open group has room; a checkpoint only when it has none."""
        # Units are counted here alone: those without events come only this way.
        while not self.has_room() or len(self.open.units) >= self.events_max:
            task = trio.lowlevel.current_task()
            self._waiting_for_room[task] = None
            await self._kernel.park(partial(self._waiting_for_room.pop, task, None))

    def is_idle(self) -> bool:
        """Tell whether nothing is being written or waits to be."""
        return self.writing is None and not self.open.proposals

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Commit groups until stopped or cancelled; what is being written is always awaited."""
        while not self.stopping:
            if not self.open.proposals:
                await self._wait_for_work()
                continue
            await self._commit(self._next_group())

    async def _wait_for_work(self) -> None:
        self.idle = trio.lowlevel.current_task()
        await self._kernel.park(self._stop_idling)

    def _stop_idling(self) -> None:
        self.idle = None

    def _next_group(self) -> Group:
        group, self.open = self.open, Group()
        self.writing = group
        self._wake_waiting_for_room()
        return group

    def _wake_waiting_for_room(self) -> None:
        waiting, self._waiting_for_room = self._waiting_for_room, {}
        for task in waiting:
            self._kernel.wake(task)

    async def _commit(self, group: Group) -> None:
        # Shielded: a transaction that has begun is awaited whatever happens, or nobody would know its end.
        with trio.CancelScope(shield=True):
            try:
                outcomes = await self._append(group.units)
            except (StoreError, InternalError) as error:
                self._fail(group, error)
            except Exception as error:  # noqa: BLE001  # a store's bug must not end the whole runtime
                self._fail(group, _store_bug(error))
            else:
                self._settle(group, outcomes)
            self._settled()
            await self._maintain()

    async def _append(self, units: Sequence[Unit | Batch | Graft]) -> Sequence[Outcome]:
        outcomes = await self._store.append(units)
        if len(outcomes) != len(units):
            raise _miscounted(len(units), len(outcomes))
        return outcomes

    async def _maintain(self) -> None:
        try:
            await self._store.maintain()
        except StorePoisonedError as error:
            self._changes.fail(error)
        except StoreError:
            # Full or busy: the next commit will say so to somebody who can act on it.
            return

    @trio.lowlevel.enable_ki_protection
    def _settle(self, group: Group, outcomes: Sequence[Outcome]) -> None:
        self.writing = None
        self.groups_committed += 1
        woken: list[trio.lowlevel.Task] = []
        following = self._changes.anybody
        unwritten = 0
        for proposal, unit, outcome in zip(group.proposals, group.units, outcomes, strict=True):
            actor = proposal.actor
            if outcome is not WRITTEN or actor is None or actor.inbox is not None or proposal.joiners:
                unwritten += self._settle_specially(proposal, outcome)
            else:
                # `Proposal.decide`, written out for the plain append.
                actor.in_flight -= 1
                proposal.decided = True
                task = proposal.task
                if task is not None:
                    proposal.task = None
                    woken.append(task)
            if following:
                for batch in unit.batches:
                    self._changes.committed(batch.workflow_id)
        self._kernel.wake_all(woken)
        self._changes.group_committed()
        self.events_appended += group.events - unwritten

    def _settle_specially(self, proposal: Proposal, outcome: Outcome) -> int:
        """Settle a proposal that was not simply written; tell how many of its events were not."""
        actor, unwritten = proposal.actor, 0
        if actor is not None:
            actor.in_flight -= 1
        if isinstance(outcome, Written):
            if actor is not None and outcome.tokens is not None and actor.digest is not None:
                actor.token = outcome.tokens[0]
            elif actor is None and outcome.tokens:
                proposal.learn(outcome.tokens)
            if proposal.joiners:
                self.events_repeated += sum(len(joiner.contents) for joiner in proposal.joiners)
            proposal.decide(self._kernel)
        else:
            unwritten = len(proposal.contents)
            self._settle_unwritten(proposal, outcome)
        if actor is not None and actor.inbox is not None and not actor.in_flight:
            self._wake_waiting(proposal)
        return unwritten

    def _settle_unwritten(self, proposal: Proposal, outcome: Refused | Repeated) -> None:
        actor, was_first = proposal.actor, True
        if actor is not None:
            # What was admitted behind this proposal was built on an event that is not there: it comes
            # back as well, but only the first of the row has lost a race, and only races are counted.
            was_first = actor.digest is not None
            actor.forget()
        # Repeats that joined asked for an event that does not stand where they saw it; each is judged anew.
        joiners, proposal.joiners = proposal.joiners, None
        if isinstance(outcome, Repeated) and _is_coincidence(proposal, outcome):
            # All its seqs are taken, by events that look the same: the log has at least these.
            outcome = _overtaken(proposal, outcome.events[0][-1].seq + 1)
        if isinstance(outcome, Repeated):
            proposal.events, proposal.repeated = outcome.events[0], True
            self.events_repeated += len(proposal.events)
            proposal.decide(self._kernel)
        elif self._is_final(proposal, outcome):
            lost_races = proposal.seq is None and not key_is_taken(outcome.error)
            if (
                lost_races
                and isinstance(outcome.error, ConflictError | StaleSequenceError)
                and proposal.actor
            ):
                outcome = _overtaken(proposal, outcome.error.next_seq)
            proposal.events = None
            proposal.fail(outcome.error, self._kernel)
        else:
            self.proposals_returned += 1
            proposal.returns += was_first
            proposal.events = None
            self._send_back(proposal)
        for joiner in joiners or ():
            self._send_back(joiner)

    def _is_final(self, proposal: Proposal, outcome: Refused) -> bool:
        return (
            proposal.actor is None
            or isinstance(outcome.error, FencedError)
            or key_is_taken(outcome.error)
            or proposal.returns >= self._returns_max
        )

    def _wake_waiting(self, proposal: Proposal) -> None:
        inbox = proposal.actor.inbox if proposal.actor is not None else None
        if inbox is not None and inbox.waiting is not None:
            task, inbox.waiting = inbox.waiting, None
            self._kernel.wake(task)

    @trio.lowlevel.enable_ki_protection
    def _fail(self, group: Group, error: TreadleError) -> None:
        self.writing = None
        for proposal in group.proposals:
            if proposal.actor is not None:
                proposal.actor.in_flight -= 1
                proposal.actor.forget()
            proposal.events = None
            proposal.fail(error, self._kernel)
            if proposal.actor is not None and not proposal.actor.in_flight:
                self._wake_waiting(proposal)
        if isinstance(error, StorePoisonedError):
            self._changes.fail(error)
        elif error.written == "unknown":
            # The rows may be there after all; who follows looks, and hears from the store if it is broken.
            self._changes.committed_perhaps()

    def abandon_open(self) -> None:
        """Refuse what was never handed to the store; called once nothing runs any more."""
        group, self.open = self.open, Group()
        if group.proposals:
            self._fail(group, closed_error())
        self._wake_waiting_for_room()


def _is_coincidence(proposal: Proposal, repeated: Repeated) -> bool:
    """Tell whether the stored events only look like a repeat.

    A caller who gave no seq has not asked for this place: when another writer has stored an equal event
    there, both events are wanted. A known key answers with an event at another seq than ours.
    """
    return proposal.seq is None and proposal.actor is not None and repeated.events[0] == proposal.events


def _overtaken(proposal: Proposal, next_seq: int) -> Refused:
    assert proposal.actor is not None  # noqa: S101  # narrowed by _is_coincidence
    assert proposal.events is not None  # noqa: S101
    first = proposal.events[0].seq
    name = proposal.actor.workflow_id
    return Refused(
        ConflictError(
            f"workflow {name!r}: other writers have taken seq {first} and all those tried before it;"
            " nothing was written: send it again when they write less",
            workflow_id=name,
            next_seq=next_seq,
            seq=first,
        )
    )


def key_is_taken(error: TreadleError) -> bool:
    """Tell a batch refused for one of its keys from one that another writer has overtaken.

    The error shows the event that carries the key, which stands elsewhere than the event offered.

    Args:
        error: why it was refused.

    Returns:
        Whether trying again is of no use.
    """
    if not isinstance(error, ConflictError):
        return False
    return isinstance(error.stored, WorkflowEvent) and error.stored.seq != error.seq


def _miscounted(units: int, outcomes: int) -> InternalError:
    return InternalError(f"a store answers every unit: expected {units} outcomes, got {outcomes}")


def _store_bug(error: Exception) -> InternalError:
    wrapped = InternalError(
        f"a store raised {type(error).__name__}, which its contract does not allow: {error}"
    )
    wrapped.__cause__ = error
    return wrapped
