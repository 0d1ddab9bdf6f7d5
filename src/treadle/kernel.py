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
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, TypeVar, TypeVarTuple

import trio
from trio.lowlevel import Abort

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
    """What a kernel must offer; `TrioKernel` is the one for production."""

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

    def wake(self, task: trio.lowlevel.Task) -> None:
        """Let a parked task go on; exactly once per park.

        Args:
            task: the task that is in `park`.
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

    def wall_time_ns(self) -> int:
        """Tell event time: nanoseconds since the Unix epoch, UTC."""

    def random(self) -> float:
        """Draw a number from [0, 1), for jitter."""


class _Woken:
    """What every woken task finds: nothing.

    Trio asks of an outcome to be unwrapped once and makes a new one for each wake-up, which costs more
    than the wake-up itself; this one may be unwrapped by everybody.
    """

    def unwrap(self) -> None:
        """Give nothing."""


_WOKEN: Any = _Woken()
_reschedule = trio.lowlevel.reschedule


def _abort(undo: Callable[[], object], _: object) -> Abort:
    undo()
    return Abort.SUCCEEDED


class TrioKernel:
    """Production: Trio's own scheduler with nothing in between.

    Args:
        threads_max: how many blocking calls may run at once. Reads share it with the one commit, so it
            is small: more threads than disks and cores only fight for the interpreter's lock.
    """

    sleep = staticmethod(trio.sleep)
    turn = staticmethod(trio.lowlevel.checkpoint)
    checkpoint_if_cancelled = staticmethod(trio.lowlevel.checkpoint_if_cancelled)
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

    def spawn(self, nursery: trio.Nursery, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Start a task with `trio.Nursery.start_soon`; see `Kernel.spawn`."""
        nursery.start_soon(function, *args)

    async def run_blocking(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run in one of Trio's worker threads; see `Kernel.run_blocking`."""
        return await trio.to_thread.run_sync(function, *args, limiter=self._limiter)

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

    def __init__(self, *, epoch_ns: int = 1_700_000_000_000_000_000) -> None:
        super().__init__()
        self._epoch_ns = epoch_ns

    async def run_blocking(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run here, then give way once, so that it is a checkpoint as in production."""
        await trio.lowlevel.checkpoint_if_cancelled()
        result = function(*args)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return result

    def wall_time_ns(self) -> int:
        """Tell event time by the run's clock."""
        return self._epoch_ns + round(trio.current_time() * 1_000_000_000)
