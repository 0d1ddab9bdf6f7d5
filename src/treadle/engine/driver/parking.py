"""A row of waiting tasks, first come, first served; what locks and conditions are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treadle.engine.driver.errors import BrokenResourceError
from treadle.engine.driver.tasks import Task, current_task, park


class Lot:
    """Tasks that wait, in order of arrival.

    Args:
        label: what a stack says that they wait for.

    Attributes:
        waiting: the tasks; a dict for its order.
        is_broken: whether waiting here is pointless, because whoever would end the wait has ended.
    """

    __slots__ = ("is_broken", "label", "waiting")

    def __init__(self, label: str) -> None:
        self.label = label
        self.waiting: dict[Task, None] = {}
        self.is_broken = False

    def __repr__(self) -> str:
        return self.label

    async def wait(self) -> Any:
        """Wait here, or wherever one is moved to.

        Returns:
            What the task was woken with.

        Raises:
            BrokenResourceError: the lot is broken.
            Cancelled: a scope around was cancelled.
        """
        if self.is_broken:
            raise BrokenResourceError(f"{self.label}: its owner ended without releasing it")
        task = current_task()
        self.waiting[task] = None
        return await park(_leaving(task), self)

    def wake(self) -> Task:
        """Wake the one who waits longest.

        Returns:
            The task.
        """
        task = next(iter(self.waiting))
        del self.waiting[task]
        task.scheduler.resume(task, None)
        return task

    def move(self, other: Lot, count: int) -> None:
        """Send those who wait longest to the end of another row.

        Args:
            other: where to.
            count: how many, at most.
        """
        for task in tuple(self.waiting)[:count]:
            del self.waiting[task]
            other.waiting[task] = None
            task._waiting_for = other

    def break_up(self) -> None:
        """Wake everybody with an error, now and from now on."""
        self.is_broken = True
        waiting, self.waiting = self.waiting, {}
        for task in waiting:
            error = BrokenResourceError(f"{self.label}: its owner ended without releasing it")
            task.scheduler.resume_error(task, error)


def _leaving(task: Task) -> Callable[[], bool]:
    def leave() -> bool:
        lot = task._waiting_for  # not where it came to: it may have been moved
        assert isinstance(lot, Lot)  # noqa: S101 -- only a lot parks with this
        del lot.waiting[task]
        return True

    return leave
