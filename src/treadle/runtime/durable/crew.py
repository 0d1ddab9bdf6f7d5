"""A crew: tasks that do one job after another.

Starting and ending a task, with a cancel scope in it, costs as much as all else about a small activity;
waking one that waits costs a fifth of that. So a task that has done a job without an incident waits for the
next one. It does it in a fresh context, as a new task would: nothing that one job has set in a context
variable shows in another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import Final, Generic, TypeVar

import attrs
import trio

from treadle.kernel import Kernel

T = TypeVar("T")

IDLE_MAX: Final = 256
"""How many tasks wait for jobs: as many as a busy runtime uses at once, and little over a megabyte."""


@attrs.define(slots=True, eq=False)
class Hand(Generic[T]):
    """A task of the crew.

    Attributes:
        task: the task.
        job: what it was woken or started for.
    """

    task: trio.lowlevel.Task
    job: T


class Crew(Generic[T]):
    """Tasks that do one job after another.

    Args:
        kernel: starts tasks, parks and wakes them.
        work: does its hand's job, then as many as it takes from `next_job`; it must take no other when
            something of a job may cling to the task. Its task ends when it returns.
    """

    def __init__(self, kernel: Kernel, work: Callable[[Hand[T]], Awaitable[None]]) -> None:
        self._kernel = kernel
        self._work = work
        self._idle: dict[Hand[T], None] = {}
        self._nursery: trio.Nursery | None = None

    def open(self, nursery: trio.Nursery) -> None:
        """Begin.

        Args:
            nursery: the parent of all tasks; who cancels it ends those that wait, too.
        """
        self._nursery = nursery

    @trio.lowlevel.enable_ki_protection
    def give(self, job: T) -> None:
        """Have a job done, in a task that waits or in a new one.

        Args:
            job: which.
        """
        if not self._idle:
            assert self._nursery is not None  # noqa: S101  # the pair of open(): nothing starts before it
            self._kernel.spawn(self._nursery, self._begin, job)
            return
        hand, _ = self._idle.popitem()
        hand.job = job
        # As Trio does it in `trio.from_thread.run`: it counts from the next time the task is scheduled.
        hand.task.context = copy_context()
        self._kernel.wake(hand.task)

    async def _begin(self, job: T) -> None:
        await self._work(Hand(trio.lowlevel.current_task(), job))

    @property
    def is_full(self) -> bool:
        """Whether enough tasks wait: one more should end."""
        return len(self._idle) >= IDLE_MAX

    # A task that Ctrl-C has ended must not be found among those that wait.
    @trio.lowlevel.enable_ki_protection
    async def next_job(self, hand: Hand[T]) -> T:
        """Wait for another job.

        Args:
            hand: the task that calls.

        Returns:
            The job.
        """
        self._idle[hand] = None
        await self._kernel.park(partial(self._idle.pop, hand, None))
        return hand.job
