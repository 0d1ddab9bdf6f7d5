"""The supervisor: routes proposals to actors, starts their tasks, and deals with their crashes.

An actor's task begins when a message must wait and ends, in one synchronous step, when none does; a
sender that finds no task starts one in the same step in which it puts its message. So no message can
fall between a task that has just ended and one that was not started.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import attrs
import trio

from treadle.errors import TreadleError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.kernel import Kernel
from treadle.log import Answer, first_difference, judge, refusal
from treadle.runtime.actor import Actor, fits, step
from treadle.runtime.committer import Committer
from treadle.runtime.config import RuntimeConfig
from treadle.runtime.following import Changes
from treadle.runtime.inbox import Inbox, Proposal, closed_error, raise_own, unavailable_error
from treadle.runtime.loader import Loader
from treadle.stores import Graft, Head, Store, Unit

RACE_PAUSE_SECONDS: Final = 0.002
"""How much longer, at most, a log waits after each further race lost to another process: some commits."""
DOUBLINGS_MAX: Final = 60
"""Where doubling a backoff stops; far beyond any maximum, well before a float's end."""


@attrs.define(slots=True, eq=False)
class Crashes:
    """An actor's crashes in a row, and the last of them."""

    count: int
    cause: BaseException


class Supervisor:
    """All actors of a runtime.

    Args:
        store: where the logs are.
        kernel: through which everything waits.
        config: the limits.
        changes: told what was committed.
    """

    def __init__(self, store: Store, kernel: Kernel, config: RuntimeConfig, changes: Changes) -> None:
        self.closing = False
        self.crashes = 0
        # How many transactions are being decided: while none is, no call looks for one that it goes round.
        self.transactions = 0
        self.actors: dict[str, Actor] = {}
        # By itself, not found through `actors`: a forgotten record may still be in a caller's hands.
        self.awake: dict[Actor, None] = {}
        self.quarantined: dict[WorkflowId, BaseException] = {}
        self.committer = Committer(
            store, kernel, config, changes, send_back=self._send_back, settled=self._note_quiet
        )
        self.loader = Loader(store, kernel)
        self._store = store
        self._kernel = kernel
        self._config = config
        self.checkpoint_if_cancelled = kernel.checkpoint_if_cancelled
        self.park_with = kernel.park_with
        self._step: Callable[..., None] = step
        self._wall_time_ns = kernel.wall_time_ns
        self._crashed: dict[WorkflowId, Crashes] = {}
        self._nursery: trio.Nursery | None = None
        self._closer: trio.lowlevel.Task | None = None

    # -- the way in --

    def actor(self, workflow_id: WorkflowId) -> Actor:
        """Find or make the record of a workflow.

        Args:
            workflow_id: the workflow.

        Returns:
            Its actor in this process.
        """
        actor = self.actors.get(workflow_id)
        if actor is None:
            if len(self.actors) >= self._config.idle_actors_max:
                self._forget_some()
            actor = self.actors[workflow_id] = Actor(workflow_id)
        return actor

    async def submit(self, proposal: Proposal) -> None:
        """Carry a proposal to its outcome.

        Cancelled before the actor took it: nothing was written. Cancelled afterwards: it may be.

        Args:
            proposal: the wish.

        Raises:
            TreadleError: it was refused, or its outcome is unknown.
        """
        await self.checkpoint_if_cancelled()
        actor = proposal.actor
        assert actor is not None  # noqa: S101  # units without a log go through commit_unit
        if not self.step_here(actor, proposal):
            await self.submit_slowly(actor, proposal)
        await self._outcome(proposal)

    async def submit_slowly(self, actor: Actor, proposal: Proposal) -> None:
        """Bring a proposal on its way that the caller could not admit at once.

        Args:
            actor: whose log.
            proposal: the wish.

        Raises:
            TreadleError: it was refused before it was admitted.
        """
        while self._can_load_here(actor):
            await self.loader.load(actor)
            actor.check_plain()
            if self.step_here(actor, proposal):
                return
        await self._post(actor, proposal)

    # Ctrl-C between two of these lines would leave a unit in the group that nobody waits for, or half of one.
    @trio.lowlevel.enable_ki_protection
    async def commit_unit(self, proposal: Proposal, unit: Unit | Graft) -> None:
        """Carry a unit that belongs to no single log to its outcome.

        Args:
            proposal: without an actor.
            unit: what is to be written.

        Raises:
            TreadleError: it was refused, or its outcome is unknown.
        """
        await self._kernel.checkpoint_if_cancelled()
        await self.committer.wait_room()
        if self.closing:
            raise closed_error()
        self.committer.open.add(proposal, unit, 0, 0)
        self.committer.kick()
        await self._outcome(proposal)

    @trio.lowlevel.enable_ki_protection
    async def commit_units(self, units: Sequence[Unit]) -> list[TreadleError | None]:
        """Carry units that belong to no single log to their outcomes, in one group when there is room.

        Args:
            units: what is to be written.

        Returns:
            For each unit None, or why it was refused or failed.

        Raises:
            RuntimeClosedError: the runtime is closing; nothing was written.
        """
        await self._kernel.checkpoint_if_cancelled()
        await self.committer.wait_room()
        if self.closing:
            raise closed_error()
        proposals = [Proposal(None) for _ in units]
        for proposal, unit in zip(proposals, units, strict=True):
            size_bytes = sum(len(record.value or b"") for record in unit.records)
            self.committer.open.add(proposal, unit, 0, size_bytes)
        self.committer.kick()
        for proposal in proposals:
            with suppress(TreadleError):
                await self._outcome(proposal)
        return [proposal.error for proposal in proposals]

    def check_available(self, workflow_id: WorkflowId) -> None:
        """Refuse to write to a quarantined workflow's log beside its actor.

        Args:
            workflow_id: the log.

        Raises:
            WorkflowUnavailableError: it is quarantined.
        """
        if cause := self.quarantined.get(workflow_id):
            raise unavailable_error(workflow_id, cause, quarantined=True) from cause

    def forget(self, workflow_ids: Iterable[WorkflowId]) -> None:
        """Stop believing the heads of logs that were written to beside their actors.

        Args:
            workflow_ids: the logs.
        """
        for workflow_id in workflow_ids:
            if actor := self.actors.get(workflow_id):
                actor.forget()

    # Ctrl-C between noting the task and parking it would let the committer wake a task that does not wait.
    @trio.lowlevel.enable_ki_protection
    async def _outcome(self, proposal: Proposal) -> None:
        if not proposal.decided:
            proposal.task = trio.lowlevel.current_task()
            await self.park_with(proposal.abandon)
        if proposal.error is not None:
            raise_own(proposal.error)

    @trio.lowlevel.enable_ki_protection
    def step_here(self, actor: Actor, proposal: Proposal) -> bool:
        """Take the actor's step in the caller, if nothing waits and there is room.

        Args:
            actor: whose log.
            proposal: the wish.

        Returns:
            Whether it was taken.

        Raises:
            RuntimeClosedError: nothing more is accepted.
            WorkflowUnavailableError: the step crashed.
        """
        if self.closing:
            raise closed_error()
        if actor.inbox is not None or actor.digest is None:
            return False
        if self.quarantined and actor.workflow_id in self.quarantined:
            return False
        if proposal.seq is not None and not fits(actor, proposal):
            return False
        # `Committer.has_room` and, below, `kick`, written out: two calls less on the path of every append.
        committer = self.committer
        group = committer.open
        if group.events >= committer.events_max or group.size_bytes >= committer.size_bytes_max:
            return False
        try:
            self._step(actor, proposal, group, self._wall_time_ns)
        except Exception as error:
            raise self._note_crash(actor, error) from error
        if self._crashed:
            self._crashed.pop(actor.workflow_id, None)
        if committer.idle is not None:
            committer.kick()
        return True

    def _can_load_here(self, actor: Actor) -> bool:
        return (
            actor.inbox is None
            and actor.digest is None
            and not actor.in_flight
            and actor.workflow_id not in self.quarantined
        )

    # Ctrl-C between making an inbox and starting its task would leave a workflow that never answers again.
    @trio.lowlevel.enable_ki_protection
    async def _post(self, actor: Actor, proposal: Proposal) -> None:
        if cause := self.quarantined.get(actor.workflow_id):
            raise unavailable_error(actor.workflow_id, cause, quarantined=True) from cause
        inbox = self._awaken(actor)
        try:
            inbox.send.send_nowait(proposal)
        except trio.WouldBlock:
            await self._post_when_room(inbox, proposal)

    async def _post_when_room(self, inbox: Inbox, proposal: Proposal) -> None:
        proposal.waiting_for_room = True
        try:
            await inbox.send.send(proposal)
        except trio.BrokenResourceError:
            raise closed_error() from None
        proposal.waiting_for_room = False
        if self.closing and proposal.events is None and not proposal.decided:
            proposal.abandon()
            raise closed_error()

    # -- an actor's task --

    def _awaken(self, actor: Actor, *, backoff_seconds: float = 0.0) -> Inbox:
        if actor.inbox is None:
            send, receive = self._kernel.open_memory_channel(self._config.inbox_messages_max)
            actor.inbox = Inbox(send, receive, backoff_seconds=backoff_seconds)
            self.awake[actor] = None
            self._start_task(actor)
        return actor.inbox

    def _start_task(self, actor: Actor) -> None:
        if self._nursery is None:
            raise closed_error()
        self._kernel.spawn(self._nursery, self._run_actor, actor)

    @trio.lowlevel.enable_ki_protection
    async def _run_actor(self, actor: Actor) -> None:
        inbox = actor.inbox
        assert inbox is not None  # noqa: S101  # the pair of _awaken(): a task has an inbox
        while True:
            if inbox.backoff_seconds:
                seconds, inbox.backoff_seconds = inbox.backoff_seconds, 0.0
                await self._kernel.sleep(seconds)
            if inbox.returned:
                # All that was admitted behind a refused batch comes back too: wait, to keep the first order.
                await self._wait_landed(actor, inbox)
                await self._pause_after_races(inbox)
            proposals = inbox.drain()
            if not proposals:
                self._fall_asleep(actor, inbox)
                return
            await self._take_all(actor, inbox, proposals)

    async def _pause_after_races(self, inbox: Inbox) -> None:
        # Two processes that only ever try again at once starve each other; chance lets one go first.
        lost = max((proposal.returns for proposal in inbox.returned), default=0)
        if lost > 1:
            await self._kernel.sleep(self._kernel.random() * RACE_PAUSE_SECONDS * lost)

    def _fall_asleep(self, actor: Actor, inbox: Inbox) -> None:
        actor.inbox = None
        inbox.receive.close()
        del self.awake[actor]
        self._note_quiet()

    async def _take_all(self, actor: Actor, inbox: Inbox, proposals: list[Proposal]) -> None:
        left = deque(proposals)
        try:
            while left:
                if not await self._take_next(actor, inbox, left):
                    # What is in flight was here first: should it come back, all that is left is behind it.
                    await self._wait_landed(actor, inbox)
                    inbox.returned.extend(left)
                    return
        except trio.Cancelled:
            for proposal in left:
                if not proposal.decided and proposal.events is None:
                    proposal.fail(closed_error(), self._kernel)
            raise

    async def _take_next(self, actor: Actor, inbox: Inbox, left: deque[Proposal]) -> bool:
        """Take the first of those left; False when others, or a backoff, must come before the rest."""
        proposal = left[0]
        if cause := self.quarantined.get(actor.workflow_id):
            left.popleft()
            proposal.fail(unavailable_error(actor.workflow_id, cause, quarantined=True), self._kernel)
            return True
        try:
            if not await self._take(actor, inbox, proposal):
                return False
        except TreadleError as error:
            proposal.fail(error, self._kernel)
        except Exception as error:  # noqa: BLE001  # let it crash: this actor, no other
            left.popleft()
            proposal.fail(self._note_crash(actor, error), self._kernel)
            return False
        left.popleft()
        return True

    async def _take(self, actor: Actor, inbox: Inbox, proposal: Proposal) -> bool:
        """Admit or answer one proposal; False when others that came back must be taken before it."""
        while not proposal.cancelled:
            if inbox.returned:
                return False
            if self.closing and proposal.waiting_for_room:
                raise closed_error()
            if actor.digest is None:
                await self._reload(actor, inbox)
            elif not fits(actor, proposal):
                if self._join_in_flight(actor, proposal) or await self._answer_old(actor, inbox, proposal):
                    return True
            elif not self.committer.has_room():
                await self.committer.wait_room()
            else:
                self._step(actor, proposal, self.committer.open, self._wall_time_ns)
                self._crashed.pop(actor.workflow_id, None)
                self.committer.kick()
                return True
        return True

    async def _reload(self, actor: Actor, inbox: Inbox) -> Head:
        await self._wait_landed(actor, inbox)
        (head,) = await self._store.heads([actor.workflow_id])
        actor.learn(head)
        actor.check_plain()
        return head

    async def _wait_landed(self, actor: Actor, inbox: Inbox) -> None:
        while actor.in_flight:
            inbox.waiting = trio.lowlevel.current_task()
            await self._kernel.park(inbox.stop_waiting)

    def _join_in_flight(self, actor: Actor, proposal: Proposal) -> bool:
        """Let a repeat of what is in flight share its outcome; answering at once could be a lie."""
        if not actor.in_flight or proposal.seq is None:
            return False
        for group in (self.committer.writing, self.committer.open):
            other = group.find(actor, proposal.seq) if group else None
            if other and not other.decided and other.events and _same_again(proposal, other.events):
                if other.joiners is None:
                    other.joiners = []
                other.joiners.append(proposal)
                return True
        return False

    async def _answer_old(self, actor: Actor, inbox: Inbox, proposal: Proposal) -> bool:
        """Answer from the durable log what does not fit the cached head; False when it fits after all."""
        head = await self._reload(actor, inbox)
        if inbox.returned:
            return False
        first = proposal.seq
        assert first is not None  # noqa: S101  # without a seq everything fits
        last = first + len(proposal.contents) - 1
        if known := await self._find_keyed(actor, proposal):
            self._answer_repeat(proposal, (known,))
            return True
        stored: list[WorkflowEvent] = []
        if head.first_kept_seq <= first < head.next_seq:
            stored = await self._store.read(actor.workflow_id, first, last, limit=last - first + 1)
        offered = _as_events(proposal, stored)
        given = [timestamp is not None for _, _, timestamp in proposal.contents]
        difference = first_difference(offered, stored, timestamps_given=given)
        answer = judge(first, last, head.next_seq, head.first_kept_seq, lambda: difference)
        if answer is Answer.APPEND:
            return False
        if answer is Answer.REPEATED:
            self._answer_repeat(proposal, tuple(stored))
            return True
        raise refusal(
            answer,
            actor.workflow_id,
            offered,
            next_seq=head.next_seq,
            first_kept_seq=head.first_kept_seq,
            stored=stored,
            conflict_seq=difference,
        )

    async def _find_keyed(self, actor: Actor, proposal: Proposal) -> WorkflowEvent | None:
        # As the store decides: a known key answers a single event, whatever else was asked for.
        if proposal.keys is None or len(proposal.keys) != 1 or proposal.keys[0] is None:
            return None
        return await self._store.find_key(actor.workflow_id, proposal.keys[0])

    def _answer_repeat(self, proposal: Proposal, stored: tuple[WorkflowEvent, ...]) -> None:
        proposal.events, proposal.repeated = stored, True
        self.committer.events_repeated += len(stored)
        proposal.decide(self._kernel)

    def _send_back(self, proposal: Proposal) -> None:
        actor = proposal.actor
        assert actor is not None  # noqa: S101  # the committer answers units without a log itself
        if proposal.cancelled:
            proposal.decide(self._kernel)
            return
        if self._nursery is None:
            proposal.fail(closed_error(), self._kernel)
            return
        self._awaken(actor).returned.append(proposal)

    # -- crashes --

    def _note_crash(self, actor: Actor, cause: Exception) -> TreadleError:
        self.crashes += 1
        actor.forget()
        record = self._crashed.setdefault(actor.workflow_id, Crashes(0, cause))
        record.count += 1
        record.cause = cause
        if record.count >= self._config.crashes_max:
            self.quarantined[actor.workflow_id] = cause
            del self._crashed[actor.workflow_id]
            return unavailable_error(actor.workflow_id, cause, quarantined=True)
        doubled = self._config.backoff_initial_seconds * 2.0 ** min(record.count - 1, DOUBLINGS_MAX)
        seconds = min(doubled, self._config.backoff_maximum_seconds)
        if actor.inbox is None:
            self._awaken(actor, backoff_seconds=seconds)
        else:
            actor.inbox.backoff_seconds = seconds
        return unavailable_error(actor.workflow_id, cause, quarantined=False)

    def release(self, workflow_id: WorkflowId) -> bool:
        """Let a quarantined workflow try again.

        Args:
            workflow_id: the workflow.

        Returns:
            Whether it was quarantined.
        """
        return self.quarantined.pop(workflow_id, None) is not None

    # -- life and end --

    def start(self, nursery: trio.Nursery) -> None:
        """Start the committer and the loader; actors' tasks follow as they are needed.

        Args:
            nursery: the parent of them all.
        """
        self._nursery = nursery
        self._kernel.spawn(nursery, self.committer.run)
        self._kernel.spawn(nursery, self.loader.run)

    @trio.lowlevel.enable_ki_protection
    async def wait_quiet(self) -> None:
        """Wait until nothing accepted is undecided."""
        while self.awake or not self.committer.is_idle():
            self._closer = trio.lowlevel.current_task()
            await self._kernel.park(self._forget_closer)

    def _note_quiet(self) -> None:
        if self._closer is not None and not self.awake and self.committer.is_idle():
            task, self._closer = self._closer, None
            self._kernel.wake(task)

    def _forget_closer(self) -> None:
        self._closer = None

    def abandon_rest(self) -> None:
        """Refuse everything that was not decided in time; called once no task runs any more."""
        self._nursery = None
        self.committer.abandon_open()
        self.loader.fail(closed_error())
        for actor in self.awake:
            assert actor.inbox is not None  # noqa: S101  # the pair of _awaken(): who is awake has an inbox
            for proposal in actor.inbox.drain():
                proposal.fail(closed_error(), self._kernel)
            actor.inbox.receive.close()
            actor.inbox = None
        self.awake.clear()

    def _forget_some(self) -> None:
        # The oldest tenth, so that the walk is paid for by many appends.
        wanted = max(1, self._config.idle_actors_max // 10)
        wanted_by_caller = self.loader.wants
        idle = [
            name
            for name, actor in self.actors.items()
            if actor.inbox is None and not actor.in_flight and not wanted_by_caller(actor)
        ]
        for name in idle[:wanted]:
            del self.actors[name]


def _same_again(proposal: Proposal, events: tuple[WorkflowEvent, ...]) -> bool:
    first = (proposal.seq or 0) - events[0].seq
    there = events[first : first + len(proposal.contents)] if first >= 0 else ()
    if len(there) != len(proposal.contents):
        return False
    return all(
        (event.kind, event.payload) == (kind, payload) and timestamp in {None, event.timestamp}
        for (kind, payload, timestamp), event in zip(proposal.contents, there, strict=True)
    )


def _as_events(proposal: Proposal, stored: list[WorkflowEvent]) -> list[WorkflowEvent]:
    first = proposal.seq or 1
    return [
        WorkflowEvent(
            seq, timestamp if timestamp is not None else _time_of(stored, seq - first), kind, payload
        )
        for seq, (kind, payload, timestamp) in enumerate(proposal.contents, first)
    ]


def _time_of(stored: list[WorkflowEvent], place: int) -> int:
    return stored[place].timestamp if place < len(stored) else 0
