"""Waiting until something is so, and for an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from attrs import frozen

from treadle.engine.driver.tasks import Task, checkpoint, current_task, misuse, park


async def wait_until(predicate: Callable[[], object]) -> None:
    """Wait until a predicate holds.

    Predicates are tried when no task is ready to run, in the order in which their tasks began to wait;
    the first that holds wakes its task, and when nobody is ready again they are tried again. So a
    predicate holds when its task goes on, unless an earlier step of the same round undid it.

    Args:
        predicate: a synchronous function without effects; what it raises comes out here.

    Raises:
        Cancelled: a scope around was cancelled meanwhile.
        UsageError: called outside workflow code.
    """
    task = current_task()
    scheduler = task.scheduler
    if scheduler._predicates is None:
        scheduler._predicates = {}
    predicates = scheduler._predicates
    predicates[task] = predicate

    def forget() -> bool:
        del predicates[task]
        return True

    await park(forget, _Until(predicate))


class _Until:
    __slots__ = ("predicate",)

    def __init__(self, predicate: Callable[[], object]) -> None:
        self.predicate = predicate

    def __repr__(self) -> str:
        return f"wait_until({getattr(self.predicate, '__qualname__', repr(self.predicate))})"


@frozen
class EventStatistics:
    """How an event stands.

    Attributes:
        tasks_waiting: how many tasks wait for it.
    """

    tasks_waiting: int


class Event:
    """Something that happens once: `set` wakes everybody who waits, now and from now on."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: dict[Task, None] = {}

    def __repr__(self) -> str:
        return f"<treadle event, {'set' if self._is_set else f'{len(self._waiting)} waiting'}>"

    def __bool__(self) -> NoReturn:
        raise misuse("an event is neither true nor false; ask event.is_set()")

    def is_set(self) -> bool:
        """Tell whether it has happened.

        Returns:
            Whether `set` was called.
        """
        return self._is_set

    def set(self) -> None:
        """Let it happen; a second call changes nothing."""
        if self._is_set:
            return
        self._is_set = True
        waiting, self._waiting = self._waiting, {}
        for task in waiting:
            task.scheduler.resume(task, None)

    async def wait(self) -> None:
        """Wait until it has happened; a checkpoint when it has.

        Raises:
            Cancelled: a scope around was cancelled meanwhile.
            UsageError: called outside workflow code.
        """
        if self._is_set:
            await checkpoint()
            return
        task = current_task()
        self._waiting[task] = None

        def forget() -> bool:
            del self._waiting[task]
            return True

        await park(forget, self)

    def statistics(self) -> EventStatistics:
        """Tell how it stands.

        Returns:
            How many tasks wait.
        """
        return EventStatistics(len(self._waiting))
