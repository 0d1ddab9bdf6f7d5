"""The few waits through which `runtime` and `stores` touch Trio, so that a world can own them.

In production every name here is one of Trio's own public functions, or a line away from it. In a
simulated world the same names belong to a `trio.abc.Clock` that picks one ready task at a time by seed;
there a single wait that goes round this page would make the run depend on Trio's coin, and a guard
(`treadle.testing.KernelGuard`) names the task that did. Nurseries, cancel scopes, deadlines and exception
groups stay Trio's own: they do not decide who runs next.

A kernel is handed down, never looked up: `open_runtime(..., kernel=...)` gives it to everything inside.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar, TypeVarTuple

import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT

AbortResult: TypeAlias = Abort
"""What an abort function tells Trio; here for rooms that name no more of Trio than they must."""
ABORTED: Final = Abort.SUCCEEDED
"""What the abort function of `Kernel.park_with` returns."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SendChannel(Protocol):
    """The sending half of a bounded queue, as Trio has it."""

    async def send(self, value: Any, /) -> None:
        """Put a value, waiting for room."""

    def send_nowait(self, value: Any, /) -> None:
        """Put a value or raise `trio.WouldBlock`."""


class ReceiveChannel(Protocol):
    """The receiving half of a bounded queue, as Trio has it."""

    async def receive(self) -> Any:
        """Take a value, waiting for one."""

    def receive_nowait(self) -> Any:
        """Take a value or raise `trio.WouldBlock`."""

    def close(self) -> None:
        """Close: senders that wait get `trio.BrokenResourceError`."""


class Kernel(Protocol):
    """What a kernel must offer; `TrioKernel` is the one for production.

    Attributes:
        wall_clock_jumps: whether event time may go another way than the run's clock (somebody sets it, the
            machine sleeps), so that whoever waits for an event time must look again now and then.
    """

    wall_clock_jumps: bool

    def open_memory_channel(self, size: int) -> tuple[SendChannel, ReceiveChannel]:
        """Open a bounded queue between tasks.

        Args:
            size: how many values it holds before senders wait.

        Returns:
            The sending and the receiving half.
        """

    def park(self, undo: Callable[[], object]) -> Awaitable[None]:
        """Wait until somebody calls `wake` with this task.

        A checkpoint. When the waiter is cancelled, `undo` is called synchronously first and must take
        back whatever would have led to the wake-up.

        Args:
            undo: takes back what was registered; called at most once, only on cancellation.

        Returns:
            What to await, at once.
        """

    def park_with(self, abort: Callable[[RaiseCancelT], Abort], /) -> Awaitable[None]:
        """Wait as in `park`, with the abort function as Trio has it.

        The same wait with one object and one call less, for the path of every append.

        Args:
            abort: takes back what was registered; returns `ABORTED`, always.

        Returns:
            What to await, at once.
        """

    def wake(self, task: trio.lowlevel.Task) -> None:
        """Let a parked task go on; exactly once per park.

        Args:
            task: the task that is in `park`.
        """

    def wake_all(self, tasks: Iterable[trio.lowlevel.Task]) -> None:
        """Let many parked tasks go on, in order.

        Args:
            tasks: all in `park`.
        """

    def spawn(self, nursery: trio.Nursery, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Start a task in a nursery.

        Args:
            nursery: the task's parent.
            function: what it runs.
            *args: handed to it.
        """

    async def sleep(self, seconds: float) -> None:
        """Wait for a time on the run's clock; a checkpoint.

        Args:
            seconds: how long.
        """

    async def turn(self) -> None:
        """Let others run; a checkpoint."""

    async def checkpoint_if_cancelled(self) -> None:
        """Raise `trio.Cancelled` if the task is cancelled; otherwise return without giving way."""

    async def run_blocking(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a function that blocks (a commit, a file) without stopping other tasks.

        Never abandoned: a caller cancelled meanwhile still waits for the function to end, because the
        connection it uses must not be used by two threads.

        Args:
            function: a synchronous function.
            *args: handed to it.

        Returns:
            What it returns.
        """

    async def run_abandonable(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a user's function that blocks, without stopping other tasks.

        Other than `run_blocking` it shares no thread with the store, and a cancelled caller does not wait:
        the function goes on without anybody who takes its result.

        Args:
            function: a synchronous function.
            *args: handed to it.

        Returns:
            What it returns.
        """

    def call_from_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call a function in Trio's thread, from a thread that `run_abandonable` has started.

        Args:
            function: a synchronous function.
            *args: handed to it.

        Returns:
            What it returns.

        Raises:
            trio.Cancelled: whoever waited for the thread has been cancelled.
        """

    def wall_time_ns(self) -> int:
        """Tell event time: nanoseconds since the Unix epoch, UTC."""

    def random(self) -> float:
        """Draw a number from [0, 1), for jitter."""


def cancelled_in_thread() -> trio.Cancelled:
    """Make what a wait in a cancelled scope raises, for a thread that `Kernel.run_abandonable` has started.

    Trio makes it for tasks alone, and tells a thread only when it has been given up.

    Returns:
        The exception, to be raised.
    """
    return trio.from_thread.run(_cancelled)


async def _cancelled() -> trio.Cancelled:
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            return cancelled
    raise AssertionError  # a checkpoint in a cancelled scope raises


class _Woken:
    """What every woken task finds: nothing.

    Trio asks of an outcome to be unwrapped once and makes a new one for each wake-up, which costs more
    than the wake-up itself; this one may be unwrapped by everybody.
    """

    def unwrap(self) -> None:
        """Give nothing."""


_WOKEN: Any = _Woken()
_reschedule = trio.lowlevel.reschedule


def _deliver(token: trio.lowlevel.TrioToken, task: trio.lowlevel.Task, result: outcome.Outcome[Any]) -> None:
    # The run can only have ended under a waiting task when Trio itself has crashed.
    with suppress(trio.RunFinishedError):
        token.run_sync_soon(_reschedule, task, result)


def _never_abort(_: object) -> Abort:
    return Abort.FAILED


def _abort(undo: Callable[[], object], _: object) -> Abort:
    undo()
    return Abort.SUCCEEDED


class TrioKernel:
    """Production: Trio's own scheduler with nothing in between.

    Args:
        threads_max: how many blocking calls may run at once. Reads share it with the one commit, so it
            is small: more threads than disks and cores only fight for the interpreter's lock.
    """

    wall_clock_jumps = True
    sleep = staticmethod(trio.sleep)
    turn = staticmethod(trio.lowlevel.checkpoint)
    checkpoint_if_cancelled = staticmethod(trio.lowlevel.checkpoint_if_cancelled)
    park_with = staticmethod(trio.lowlevel.wait_task_rescheduled)
    wall_time_ns = staticmethod(time.time_ns)

    def __init__(self, *, threads_max: int = 8) -> None:
        self._limiter = trio.CapacityLimiter(threads_max)
        self._random = random.SystemRandom()

    def open_memory_channel(self, size: int) -> tuple[SendChannel, ReceiveChannel]:
        """Open Trio's own memory channel; see `Kernel.open_memory_channel`."""
        return trio.open_memory_channel[Any](size)

    # Not a coroutine of its own: one level less to make, and to pass through, for every append.
    def park(self, undo: Callable[[], object]) -> Awaitable[None]:
        """Wait in Trio's own `wait_task_rescheduled`; see `Kernel.park`."""
        return trio.lowlevel.wait_task_rescheduled(partial(_abort, undo))  # noqa: ASYNC105  # the caller awaits it

    def wake(self, task: trio.lowlevel.Task) -> None:
        """Call Trio's own `reschedule`; see `Kernel.wake`."""
        _reschedule(task, _WOKEN)

    def wake_all(self, tasks: Iterable[trio.lowlevel.Task]) -> None:
        """Call Trio's own `reschedule` for each; see `Kernel.wake_all`."""
        for task in tasks:
            _reschedule(task, _WOKEN)

    def spawn(self, nursery: trio.Nursery, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Start a task with `trio.Nursery.start_soon`; see `Kernel.spawn`."""
        nursery.start_soon(function, *args)

    # Ctrl-C between starting the thread and waiting for it would leave a wake-up for a task that runs.
    @trio.lowlevel.enable_ki_protection
    async def run_blocking(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run in one of Trio's worker threads; see `Kernel.run_blocking`."""
        # `trio.to_thread.run_sync` without what a commit has no use for (names for threads, ways back into
        # Trio from inside): 60 instead of 100 microseconds, of which every group of appends pays one.
        await trio.lowlevel.checkpoint_if_cancelled()
        task = trio.lowlevel.current_task()
        try:
            self._limiter.acquire_on_behalf_of_nowait(task)
        except trio.WouldBlock:
            await self._limiter.acquire_on_behalf_of(task)
        try:
            trio.lowlevel.start_thread_soon(
                partial(copy_context().run, function, *args),
                partial(_deliver, trio.lowlevel.current_trio_token(), task),
            )
            result: T = await trio.lowlevel.wait_task_rescheduled(_never_abort)
        finally:
            self._limiter.release_on_behalf_of(task)
        return result

    async def run_abandonable(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run in a thread under Trio's own default limit; see `Kernel.run_abandonable`."""
        return await trio.to_thread.run_sync(function, *args, abandon_on_cancel=True)

    def call_from_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call through `trio.from_thread`; see `Kernel.call_from_thread`."""
        # A thread that was abandoned hears of it only when it asks.
        trio.from_thread.check_cancelled()
        return trio.from_thread.run_sync(function, *args)

    def random(self) -> float:
        """Draw from the operating system; see `Kernel.random`."""
        return self._random.random()


class InlineKernel(TrioKernel):
    """For tests under a virtual clock: blocking calls run in the calling task.

    A mock clock jumps whenever every task waits, so with a commit in a thread a 30-second deadline would
    pass during a 50 ms commit. Event time follows Trio's clock, counted from `epoch_ns`.

    Args:
        epoch_ns: the event time at which the virtual clock reads 0.
    """

    wall_clock_jumps = False

    def __init__(self, *, epoch_ns: int = 1_700_000_000_000_000_000) -> None:
        super().__init__()
        self._epoch_ns = epoch_ns

    async def run_blocking(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run here, then give way once, so that it is a checkpoint as in production."""
        await trio.lowlevel.checkpoint_if_cancelled()
        result = function(*args)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return result

    async def run_abandonable(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run here as well: a thread that sleeps would be passed by the virtual clock."""
        return await self.run_blocking(function, *args)

    def wall_time_ns(self) -> int:
        """Tell event time by the run's clock."""
        return self._epoch_ns + round(trio.current_time() * 1_000_000_000)
