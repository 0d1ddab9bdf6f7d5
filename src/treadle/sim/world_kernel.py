"""A kernel in which one seed decides who runs next: the same seed gives the same run, every time.

The kernel is the run's clock. Trio asks a clock how long to sleep only when no task is runnable, so at
that moment everything stands still and the kernel may choose: it releases one of the tasks that are ready
and answers "no time at all". Trio therefore never holds two tasks of ours that could run, and its coin
decides nothing. When nobody is ready, time jumps to the next sleeper or deadline.

Ready tasks are ordered by ticket, a number given when a task is spawned, so the order in which Trio walks
its sets (children of a cancelled scope, deadlines at one instant) does not show either. A cancellation
takes the same road as a wake-up: the task becomes ready with `trio.Cancelled` as its result, and runs
when it is chosen. A wake-up that came first wins, as in Trio.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import insort
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NoReturn, TypeVar, TypeVarTuple

import attrs
import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

from treadle.errors import InternalError
from treadle.sim.frames import describe_task
from treadle.sim.world_channel import WorldReceiveChannel, WorldSendChannel, open_world_channel

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

INSTANT_DECISIONS_MAX: Final = 1_000_000
"""How many choices one instant of virtual time may take: time stands still while anybody can run, so a
loop that takes turns until something happens later would take them for ever."""
DECISIONS_MAX: Final = 1_000_000_000
"""How many choices a run may take: hours of CPU, behind which nobody waits for its end."""
STUCK_GRACE_LOOPS_MAX: Final = 50
"""How often a cancelled, stuck world still waits a moment for a thread somebody started outside it."""
_STUCK_GRACE_SECONDS: Final = 0.1


def _raise_nothing() -> NoReturn:
    raise InternalError("expected an abort function that only takes back, got one that raises")


class KernelViolationError(InternalError, AssertionError):
    """Something went round the kernel: the run depends on Trio's coin and its seed means nothing.

    Attributes:
        violations: one sentence for each, naming task and line.
    """

    def __init__(self, message: str, *, violations: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.violations = violations


class KernelDeadlockError(InternalError, AssertionError):
    """Nothing can happen any more: every task waits for ever, or all take turns without end."""


@attrs.define(slots=True, eq=False)
class _Sleeper:
    """A task in `sleep`; None once it was cancelled."""

    task: Task | None


class WorldKernel(trio.abc.Clock):
    """A `treadle.kernel.Kernel` and a Trio clock in one; see the top of this file.

    Use it through `run_in_world`.

    Args:
        seed: decides every choice.
        epoch_ns: the event time at which the virtual clock reads 0.

    Attributes:
        decisions: how many times the kernel has chosen a task to run.
        decisions_max: after how many it gives up.
        instant_decisions_max: after how many at one instant.
        forced: decision -> place in the queue, the first one being 0, who has the lowest ticket; all others
            take the first. None lets the seed choose.
        decided: told of each decision that is not the seed's before it is taken: its number, and how many
            are ready.
    """

    wall_clock_jumps = False

    def __init__(self, seed: int = 0, *, epoch_ns: int = 1_700_000_000_000_000_000) -> None:
        self.decisions = 0
        self.decisions_max = DECISIONS_MAX
        self.instant_decisions_max = INSTANT_DECISIONS_MAX
        self.forced: Mapping[int, int] | None = None
        self.decided: Callable[[int, int], object] | None = None
        self._seed = seed
        self._epoch_ns = epoch_ns
        self._now = 0.0
        # Only random() is promised to be the same in every version of Python. Two streams, so that
        # drawing jitter does not change who runs.
        self._choose = random.Random(seed).random  # noqa: S311  # reproducible is what it has to be
        self._draw = random.Random(f"chance {seed}").random  # noqa: S311
        self._tickets: dict[Task, int] = {}
        self._tickets_given = 0
        self._parked: set[Task] = set()
        self._ready: dict[int, tuple[Task, outcome.Outcome[Any]]] = {}
        self._queue: list[int] = []
        self._sleepers: list[tuple[float, int, _Sleeper]] = []
        self._spawning = False
        self._scope = trio.CancelScope()
        self._stuck_loops = 0
        self._instant_decisions = 0
        self._deadlock: str | None = None

    # -- Trio's clock --

    def start_clock(self) -> None:
        """Do nothing: time begins at 0 and moves when nobody can run."""

    def current_time(self) -> float:
        """Tell the virtual time.

        Returns:
            Seconds since the run began.
        """
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Choose the next task; called by Trio exactly when no task is runnable.

        Args:
            deadline: the earliest deadline of all cancel scopes.

        Returns:
            0, because virtual time passes at once.
        """
        if self._queue:
            self._release_one()
            return 0.0
        when = min(deadline, self._sleepers[0][0] if self._sleepers else math.inf)
        if when == math.inf:
            return self._stuck()
        self._now = max(self._now, when)
        self._instant_decisions = 0
        while self._sleepers and self._sleepers[0][0] <= self._now:
            sleeper = heapq.heappop(self._sleepers)[2]
            if sleeper.task is not None:
                self.wake(sleeper.task)
        return 0.0

    def _release_one(self) -> None:
        place = int(self._choose() * len(self._queue))
        if self.forced is not None:
            place = self._forced_place(self.forced)
        ticket = self._queue.pop(place)
        task, result = self._ready.pop(ticket)
        self._parked.discard(task)
        self.decisions += 1
        self._instant_decisions += 1
        reschedule(task, result)
        if self.decisions > self.decisions_max:
            self.give_up(f"it takes more than {self.decisions_max:,} decisions; let it do less")
        if self._instant_decisions > self.instant_decisions_max:
            self.give_up(f"{task.name} and others take turns and time cannot pass; let them sleep")

    def _forced_place(self, forced: Mapping[int, int]) -> int:
        number, waiting = self.decisions + 1, len(self._queue)
        if self.decided is not None:
            self.decided(number, waiting)
        return min(forced.get(number, 0), waiting - 1)

    def _stuck(self) -> float:
        self._stuck_loops += 1
        if self._deadlock is None:
            waiting = sorted((self._tickets[task], describe_task(task)) for task in self._parked)
            told = "; ".join(text for _, text in waiting) or "none of them through the kernel"
            self.give_up(f"every task waits and nothing can wake one: {told}")
            return 0.0
        if self._stuck_loops > STUCK_GRACE_LOOPS_MAX:
            raise KernelDeadlockError(self._deadlock)
        return _STUCK_GRACE_SECONDS

    def give_up(self, why: str) -> None:
        """End the run: everything in it is cancelled.

        Args:
            why: told by the error that ends it, unless it has given up before.
        """
        if self._deadlock is None:
            self._deadlock = f"seed {self._seed}: {why}"
            self._scope.cancel()

    # -- the kernel --

    def open_memory_channel(self, size: float) -> tuple[WorldSendChannel, WorldReceiveChannel]:
        """Open a bounded queue whose waits are this kernel's; see `Kernel.open_memory_channel`.

        Args:
            size: how many values it holds before senders wait.

        Returns:
            The sending and the receiving half.
        """
        return open_world_channel(self, size)

    async def park(self, undo: Callable[[], object]) -> None:
        """Wait until somebody calls `wake`; see `Kernel.park`.

        Args:
            undo: takes back what was registered.
        """
        await self.park_for_result(undo)

    async def park_with(self, abort: Callable[[RaiseCancelT], Abort], /) -> None:
        """Wait until somebody calls `wake`; see `Kernel.park_with`.

        Args:
            abort: takes back what was registered.
        """
        await self.park_for_result(partial(abort, _raise_nothing))

    async def park_for_result(self, undo: Callable[[], object]) -> Any:
        """Wait like `park`, for a value that comes with the wake-up.

        Args:
            undo: takes back what was registered.

        Returns:
            What `wake_with` was given.
        """
        task = current_task()
        ticket = self._ticket_of(task)

        def cancelled(raise_cancel: RaiseCancelT) -> None:
            if ticket not in self._ready:
                undo()
                self.wake_with(task, outcome.capture(raise_cancel))

        return await self._wait(task, cancelled)

    def wake(self, task: Task) -> None:
        """Make a parked task ready; see `Kernel.wake`.

        Args:
            task: the task that is in `park`.

        Raises:
            InternalError: it does not wait, or was woken before.
        """
        self.wake_with(task, outcome.Value(None))

    def wake_all(self, tasks: Iterable[Task]) -> None:
        """Make many parked tasks ready; see `Kernel.wake_all`.

        Args:
            tasks: all in `park`.
        """
        for task in tasks:
            self.wake(task)

    def wake_with(self, task: Task, result: outcome.Outcome[Any]) -> None:
        """Make a parked task ready with a result.

        Args:
            task: the task that is in `park_for_result`.
            result: what its wait returns or raises.

        Raises:
            InternalError: it does not wait, or was woken before.
        """
        if task not in self._parked:
            raise InternalError(
                f"expected a task that is parked, got {task.name}, which is not; wake it once"
            )
        self._make_ready(task, result)

    def spawn(self, nursery: trio.Nursery, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Start a task; see `Kernel.spawn`.

        Args:
            nursery: the task's parent.
            function: what it runs.
            *args: handed to it.
        """
        with self._spawn_known():
            nursery.start_soon(
                self._first, self._new_ticket(), function, args, name=getattr(function, "__qualname__", None)
            )

    async def sleep(self, seconds: float) -> None:
        """Wait for virtual time to pass; see `Kernel.sleep`.

        Args:
            seconds: how long.

        Raises:
            ValueError: `seconds` is negative or no number, as in Trio.
        """
        if not seconds >= 0:
            raise ValueError(f"a duration is 0 or more seconds, got {seconds}")
        if seconds == 0:
            await self.turn()
            return
        sleeper = _Sleeper(current_task())
        if seconds < math.inf:
            heapq.heappush(self._sleepers, (self._now + seconds, self._new_ticket(), sleeper))
        await self.park(lambda: setattr(sleeper, "task", None))

    async def turn(self) -> None:
        """Let others run; see `Kernel.turn`."""
        task = current_task()
        ticket = self._ticket_of(task)

        def cancelled(raise_cancel: RaiseCancelT) -> None:
            self._ready[ticket] = (task, outcome.capture(raise_cancel))

        self._make_ready(task, outcome.Value(None))
        await self._wait(task, cancelled)

    async def checkpoint_if_cancelled(self) -> None:
        """Raise `trio.Cancelled` if the task is cancelled; see `Kernel.checkpoint_if_cancelled`."""
        # Trio's own function of this name takes a turn by itself before it raises.
        if trio.current_effective_deadline() == -math.inf:
            await self.turn()

    async def run_blocking(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run in the calling task, with a turn before and after for what happens meanwhile.

        Args:
            function: a synchronous function.
            *args: handed to it.

        Returns:
            What it returns.
        """
        await self.checkpoint_if_cancelled()
        await self.shielded_turn()
        result = outcome.capture(function, *args)
        await self.shielded_turn()
        return result.unwrap()

    async def run_abandonable(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run in the calling task, like `run_blocking`.

        Args:
            function: a synchronous function.
            *args: handed to it.

        Returns:
            What it returns.
        """
        return await self.run_blocking(function, *args)

    def call_from_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call it: a world has one thread.

        Args:
            function: a synchronous function.
            *args: handed to it.

        Returns:
            What it returns.
        """
        return function(*args)

    def wall_time_ns(self) -> int:
        """Tell event time by the virtual clock.

        Returns:
            Nanoseconds since the Unix epoch.
        """
        return self._epoch_ns + round(self._now * 1_000_000_000)

    def random(self) -> float:
        """Draw a number from the seed.

        Returns:
            A number in [0, 1).
        """
        return self._draw()

    # -- below --

    async def run_main(self, function: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        """Run a world's first task; `run_in_world` calls it.

        Args:
            function: takes this kernel and `args`.
            args: handed to it.

        Returns:
            What it returns.

        Raises:
            KernelDeadlockError: every task waited and nothing could wake one.
        """
        current_task().name = getattr(function, "__qualname__", repr(function))
        result: list[T] = []
        with self._scope:
            result.append(await self._first(self._new_ticket(), function, (self, *args)))
        if self._deadlock is not None:
            raise KernelDeadlockError(self._deadlock)
        return result[0]

    async def _first(self, ticket: int, function: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        # Several new tasks may be runnable at once: until the kernel has chosen one it has no effect.
        task = current_task()
        self._tickets[task] = ticket
        try:
            await self.shielded_turn()
            return await function(*args)
        finally:
            del self._tickets[task]

    async def shielded_turn(self) -> None:
        """Let others run, and go on even when cancelled."""
        task = current_task()
        self._make_ready(task, outcome.Value(None))
        await self._wait(task, lambda _: None)

    async def _wait(self, task: Task, cancelled: Callable[[RaiseCancelT], object]) -> Any:
        def abort(raise_cancel: RaiseCancelT) -> Abort:
            cancelled(raise_cancel)
            return Abort.FAILED  # the task goes on when it is chosen, not when Trio would have it

        self._parked.add(task)
        try:
            return await wait_task_rescheduled(abort)
        finally:
            self._parked.discard(task)

    def _make_ready(self, task: Task, result: outcome.Outcome[Any]) -> None:
        ticket = self._ticket_of(task)
        if ticket in self._ready:
            raise InternalError(f"expected one wake-up for each wait, got a second for {task.name}")
        insort(self._queue, ticket)
        self._ready[ticket] = (task, result)

    def _ticket_of(self, task: Task) -> int:
        ticket = self._tickets.get(task)
        if ticket is None:
            raise KernelViolationError(
                f"task {task.name} was started round the kernel; start it with kernel.spawn"
            )
        return ticket

    def _new_ticket(self) -> int:
        self._tickets_given += 1
        return self._tickets_given

    @contextmanager
    def _spawn_known(self) -> Iterator[None]:
        self._spawning = True
        try:
            yield
        finally:
            self._spawning = False
