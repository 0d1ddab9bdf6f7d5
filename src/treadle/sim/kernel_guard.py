"""Running a program in a world, and a guard that names whoever waits outside its kernel, or does real I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import trio
from trio.lowlevel import Task

from treadle.sim.frames import describe_caller, describe_task, leaves_nursery
from treadle.sim.real_io import leave_real_io, watch_real_io
from treadle.sim.world_kernel import KernelViolationError, WorldKernel

T = TypeVar("T")

VIOLATIONS_MAX: Final = 20
"""How many violations are named: the first ones tell, and a raw wait in a loop makes thousands."""


_CLOSES_GENERATOR: Final = "close asyncgen "
"""What Trio calls the task that closes a generator left open, as by whoever was killed inside it."""


class KernelGuard(trio.abc.Instrument):
    """Watches a run and records every wait, wake-up and start that goes round the kernel, and all real I/O.

    Each of them would make two tasks runnable at once, and then Trio's coin, not the seed, decides who
    goes first. Leaving a nursery is allowed: a parent is woken by its last child's end alone. Real I/O, of
    which `treadle.sim.real_io` says what it is, raises where it is called, and ends the run at once, since
    whoever calls it may take the error for one of the outer world's and try again.

    Args:
        kernel: the kernel all waits must belong to.

    Attributes:
        violations: one sentence for each, naming task and line; at most `VIOLATIONS_MAX`.
    """

    def __init__(self, kernel: WorldKernel) -> None:
        self.violations: list[str] = []
        self._kernel = kernel

    def before_run(self) -> None:
        """Begin to watch for real I/O."""
        watch_real_io(self._refuse)

    def after_run(self) -> None:
        """Let the thread do as it likes again."""
        leave_real_io()

    def _refuse(self, violation: str) -> KernelViolationError:
        self._record(violation)
        self._kernel.give_up(violation)
        return violation_error([violation])

    def task_spawned(self, task: Task) -> None:
        """Record a task that was started in the world, and not by the kernel.

        Args:
            task: the new task.
        """
        # Trio's own tasks are there before the world's first one; any other has the kernel's word, a system
        # task too, which has no parent here and would live on when everybody else's life is over.
        kernel = self._kernel
        if kernel._tickets and not kernel._spawning and not task.name.startswith(_CLOSES_GENERATOR):
            self._record(f"{task.name} was started round the kernel at {describe_caller()}")

    def after_task_step(self, task: Task) -> None:
        """Record a task that has begun to wait for something that is not the kernel's.

        Args:
            task: the task that has just given way.
        """
        kernel = self._kernel
        if task in kernel._tickets and task not in kernel._parked and not leaves_nursery(task):
            self._record(f"{describe_task(task)} waits outside the kernel")

    def task_scheduled(self, task: Task) -> None:
        """Record a parked task that somebody else than the kernel has let go on.

        Args:
            task: the task that is about to run.
        """
        if task in self._kernel._parked:
            self._record(f"{describe_task(task)} was woken round the kernel by {describe_caller()}")

    def _record(self, violation: str) -> None:
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(violation)


def run_in_world(async_fn: Callable[..., Awaitable[T]], *args: Any, seed: int = 0, guard: bool = True) -> T:
    """Run a program in which one seed decides who goes next and time passes only when all wait.

    Args:
        async_fn: the program; it is called with the `WorldKernel` and `args`.
        *args: handed to it.
        seed: decides every choice; the same seed gives the same run.
        guard: fail when anything went round the kernel, or did real I/O.

    Returns:
        What the program returns.

    Raises:
        KernelViolationError: something waited, woke or started a task outside the kernel, or did real I/O;
            each is named with its line.
        KernelDeadlockError: every task waited and nothing could wake one; each is named with its line.
    """
    kernel = WorldKernel(seed)
    watch = KernelGuard(kernel)
    try:
        result: T = trio.run(
            kernel.run_main, async_fn, args, clock=kernel, instruments=[watch] if guard else []
        )
    except BaseException as error:
        if watch.violations:
            raise violation_error(watch.violations) from error
        raise
    if watch.violations:
        raise violation_error(watch.violations)
    return result


def violation_error(violations: list[str]) -> KernelViolationError:
    """Word what a guard has seen.

    Args:
        violations: one sentence for each.

    Returns:
        The error to raise.
    """
    return KernelViolationError(
        f"expected every wait to be the kernel's and no real I/O in a world, got {len(violations)} that"
        f" {'is' if len(violations) == 1 else 'are'} otherwise: "
        + "; ".join(violations)
        + "; use the kernel handed down, and a model for what is outside",
        violations=tuple(violations),
    )
