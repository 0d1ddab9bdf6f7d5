"""What one run of a workflow has in memory: its tasks, what they have begun, and what they have been told."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from weakref import WeakValueDictionary

import attrs

from treadle.engine.arguments import Shape
from treadle.engine.driver import CancelScope, Scheduler
from treadle.engine.inputs import SEED_SIZE_BYTES, ParentLink
from treadle.engine.marks import Mark
from treadle.engine.pending import PendingActivity, PendingChild, PendingUpdate, SentSignal
from treadle.engine.records import CancelRequest
from treadle.engine.signals import SignalQueue

if TYPE_CHECKING:
    from treadle.engine.execution import Execution

UUID_VERSION: Final = 4


class HostedScheduler(Scheduler):
    """A scheduler that knows whose code it runs; how the functions of `api` find their execution."""

    __slots__ = ("execution",)

    def __init__(self, execution: Execution, steps_max: int) -> None:
        super().__init__(steps_max=steps_max)
        self.execution = execution
        self.deadline_changes = {}


@attrs.define(slots=True, eq=False)
class Handler:
    """A function that answers queries or carries out updates.

    Attributes:
        what: ``"query"`` or ``"update"``, for errors' words.
        name: under which it is asked for.
        function: what is called.
        shape: its signature, taken apart.
        validator: of an update, or None.
    """

    what: str
    name: str
    function: Callable[..., Any]
    shape: Shape
    validator: Callable[..., Any] | None = None


class Run:
    """The state of one run; a new one begins with each WORKFLOW_STARTED and CONTINUED.

    Attributes:
        scheduler: runs the code.
        seed: from which everything random in the run is derived.
        parent: whose child the workflow is, or None.
        started_ns: when the run began.
        activities: that have not ended, by the seq of their ACTIVITY_SCHEDULED.
        retrying: those of them that wait for their next attempt, with its time.
        timers: deadlines that are armed, by the seq of their TIMER_STARTED.
        timer_of: the seq of each armed scope's timer.
        children: that have not ended, by the seq of their CHILD_SCHEDULED.
        sent: signals and cancel requests whose failure somebody could still look at.
        signals: by name.
        queries: functions that answer, by name.
        updates: handlers, by name.
        updates_pending: accepted and not ended, by id.
        updates_done: ids of finished ones with the seq of their UPDATE_COMPLETED, oldest first.
        patches: what `patched` has answered, by id.
        choosing_calls: how many calls there were whose attempts a policy chooses.
        continuing: the arguments of the next run, once the code has asked for it.
        cancel: the cancel request that was taken, or None.
        late_cancel: one that came when the run was already being unwound for the next.
    """

    __slots__ = (
        "_random", "_timer_heap", "_uuids", "activities", "cancel", "children", "choosing_calls",
        "continuing", "late_cancel",
        "parent", "patches", "queries", "retrying", "scheduler", "seed", "sent", "signals", "started_ns",
        "timer_of", "timers", "updates", "updates_done", "updates_pending",
    )  # fmt: skip

    def __init__(
        self, scheduler: HostedScheduler, seed: bytes, parent: ParentLink | None, started_ns: int
    ) -> None:
        self.scheduler = scheduler
        self.seed = seed
        self.parent = parent
        self.started_ns = started_ns
        self.activities: dict[int, PendingActivity] = {}
        self.retrying: dict[int, int] = {}
        self.timers: dict[int, int] = {}
        self.timer_of: dict[CancelScope, int] = {}
        self.children: dict[int, PendingChild] = {}
        self.sent: WeakValueDictionary[int, SentSignal] | None = None
        self.signals: dict[str, SignalQueue] = {}
        self.queries: dict[str, Handler] = {}
        self.updates: dict[str, Handler] = {}
        self.updates_pending: dict[str, PendingUpdate] = {}
        self.updates_done: dict[str, int] = {}
        self.patches: dict[str, bool] = {}
        self.choosing_calls = 0
        self.continuing: bytes | None = None
        self.cancel: CancelRequest | None = None
        self.late_cancel: CancelRequest | None = None
        self._timer_heap: list[tuple[int, int]] = []
        self._random: Random | None = None
        self._uuids = 0

    # -- timers --

    def start_timer(self, scope: CancelScope, seq: int, deadline_ns: int) -> None:
        """Remember an armed scope.

        Args:
            scope: the scope.
            seq: of its TIMER_STARTED.
            deadline_ns: when it fires.
        """
        self.timer_of[scope] = seq
        self.timers[seq] = deadline_ns
        heapq.heappush(self._timer_heap, (deadline_ns, seq))

    def end_timer(self, scope: CancelScope) -> None:
        """Forget a scope's timer, whatever ended it.

        Args:
            scope: the scope.
        """
        del self.timers[self.timer_of.pop(scope)]

    def next_timer_ns(self) -> int | None:
        """Tell when the next timer fires.

        Returns:
            The time, or None.
        """
        # Ended timers are left in the heap until they come to its top: dropping each at once would make
        # a thousand tasks that wait with a timeout quadratic.
        heap, timers = self._timer_heap, self.timers
        while heap and heap[0][1] not in timers:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, until_ns: int) -> list[tuple[int, int]]:
        """List the timers that are over.

        Args:
            until_ns: the time; a deadline at it is over.

        Returns:
            Deadline and seq, earliest first.
        """
        heap, timers = self._timer_heap, self.timers
        found: list[tuple[int, int]] = []
        # Down the heap only as far as timers are over: looking at all of them at each firing would make a
        # thousand tasks that sleep for different times quadratic.
        places = [0]
        while places:
            place = places.pop()
            if place < len(heap) and heap[place][0] <= until_ns:
                if heap[place][1] in timers:
                    found.append(heap[place])
                places += (2 * place + 1, 2 * place + 2)
        return sorted(found)

    # -- where its log goes on from somewhere else --

    def pass_marks(self) -> None:
        """Go on with the chance and the standing of a branch or a reset, once the code has come so far.

        Called where they matter and between activations, never at each command: what is seen depends on how
        many events the code has been through, which is the same at every replay.
        """
        journal = self.scheduler.execution.journal
        while (mark := journal.reached()) is not None:
            self._pass(mark)

    def _pass(self, mark: Mark) -> None:
        self.seed, self._uuids = mark.seed, 0
        if self._random is not None:
            self._random.seed(mark.seed)  # in place: the code may have kept it
        if mark.is_branch:
            self.parent = None  # whoever waits for a child waits for the original
        for pending in self.activities.values():
            if pending.seq < mark.seq:
                pending.scheduled_ns = mark.timestamp  # it is run again, and has its time for it

    # -- chance, derived --

    def random(self) -> Random:
        """Tell the run's generator; made when it is first asked for, because it takes 2.5 kB."""
        self.pass_marks()
        if self._random is None:
            self._random = Random(self.seed)  # noqa: S311  # nobody is to be kept from guessing it
        return self._random

    def uuid4(self) -> UUID:
        """Draw a UUID; each is derived from the seed by its number, so drawing one moves nothing else."""
        self.pass_marks()
        self._uuids += 1
        digest = blake2b(b"uuid4:%d" % self._uuids, key=self.seed, digest_size=16).digest()
        return UUID(bytes=digest, version=UUID_VERSION)

    def next_seed(self, seq: int) -> bytes:
        """Derive the seed of the run that follows.

        Args:
            seq: of its CONTINUED.

        Returns:
            16 bytes.
        """
        self.pass_marks()
        return blake2b(b"run:%d" % seq, key=self.seed, digest_size=SEED_SIZE_BYTES).digest()
