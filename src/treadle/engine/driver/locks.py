"""Locks, conditions, semaphores and limiters, as Trio has them: first come, first served."""

from __future__ import annotations

from types import TracebackType

from attrs import frozen

from treadle.engine.driver.errors import BrokenResourceError, WouldBlock
from treadle.engine.driver.parking import Lot
from treadle.engine.driver.scopes import make_scope
from treadle.engine.driver.tasks import Task, checkpoint_if_cancelled, current_task, misuse, turn
from treadle.errors import InvalidValueError


@frozen
class LockStatistics:
    """How a lock stands.

    Attributes:
        locked: whether somebody holds it.
        owner: who, or None.
        tasks_waiting: how many tasks wait for it.
    """

    locked: bool
    owner: Task | None
    tasks_waiting: int


class Lock:
    """A lock that one task holds at a time: ``async with lock: ...``."""

    __slots__ = ("_lot", "_owner")

    def __init__(self) -> None:
        self._lot = Lot("Lock.acquire")
        self._owner: Task | None = None

    def __repr__(self) -> str:
        state = "unlocked" if self._owner is None else f"held by {self._owner!r}"
        return f"<treadle lock, {state}, {len(self._lot.waiting)} waiting>"

    def locked(self) -> bool:
        """Tell whether somebody holds it.

        Returns:
            Whether.
        """
        return self._owner is not None

    def _take(self, task: Task) -> bool:
        if self._owner is task:
            raise misuse("this task holds the lock already; a lock cannot be taken twice")
        if self._owner is not None or self._lot.waiting:
            return False
        self._belong_to(task)
        return True

    def _belong_to(self, task: Task) -> None:
        self._owner = task
        task._locks = [*(task._locks or ()), self._lot]

    def acquire_nowait(self) -> None:
        """Take it without waiting.

        Raises:
            WouldBlock: somebody holds it.
            MisuseError: this task holds it already.
        """
        if not self._take(current_task()):
            raise WouldBlock("the lock is held")

    async def acquire(self) -> None:
        """Take it, waiting until it is free.

        Raises:
            BrokenResourceError: its owner ended without releasing it.
            Cancelled: a scope around was cancelled meanwhile.
            MisuseError: this task holds it already.
        """
        await checkpoint_if_cancelled()
        if self._take(current_task()):
            await turn()
            return
        try:
            await self._lot.wait()
        except BrokenResourceError:
            raise BrokenResourceError(
                f"{self._owner!r}, which held this lock, ended without releasing it; use `async with lock:`"
            ) from None

    def release(self) -> None:
        """Give it to the one who waits longest, or free it.

        Raises:
            MisuseError: this task does not hold it.
        """
        task = current_task()
        if task is not self._owner:
            raise misuse(f"{task!r} releases a lock that it does not hold")
        task._locks = [lot for lot in task._locks or () if lot is not self._lot] or None
        if self._lot.waiting:
            self._belong_to(self._lot.wake())
        else:
            self._owner = None

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def statistics(self) -> LockStatistics:
        """Tell how it stands.

        Returns:
            Owner and waiters.
        """
        return LockStatistics(self.locked(), self._owner, len(self._lot.waiting))


@frozen
class ConditionStatistics:
    """How a condition stands.

    Attributes:
        tasks_waiting: how many tasks wait to be notified.
        lock_statistics: how its lock stands.
    """

    tasks_waiting: int
    lock_statistics: LockStatistics


class Condition:
    """A lock with a waiting room: ``async with condition: ... await condition.wait()``.

    Args:
        lock: the lock to use; by default a new one.
    """

    __slots__ = ("_lock", "_lot")

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = Lock() if lock is None else lock
        self._lot = Lot("Condition.wait")

    def locked(self) -> bool:
        """Tell whether somebody holds the lock.

        Returns:
            Whether.
        """
        return self._lock.locked()

    def acquire_nowait(self) -> None:
        """Take the lock without waiting.

        Raises:
            WouldBlock: somebody holds it.
            MisuseError: this task holds it already.
        """
        self._lock.acquire_nowait()

    async def acquire(self) -> None:
        """Take the lock, waiting until it is free.

        Raises:
            BrokenResourceError: its owner ended without releasing it.
            Cancelled: a scope around was cancelled meanwhile.
            MisuseError: this task holds it already.
        """
        await self._lock.acquire()

    def release(self) -> None:
        """Release the lock.

        Raises:
            MisuseError: this task does not hold it.
        """
        self._lock.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    async def wait(self) -> None:
        """Release the lock, wait to be notified, and take the lock again.

        A cancelled wait takes the lock again too, before it raises, so that the block around ends as it
        expects to.

        Raises:
            Cancelled: a scope around was cancelled meanwhile.
            BrokenResourceError: the lock's owner ended without releasing it.
            MisuseError: this task does not hold the lock.
        """
        self._require_lock("wait")
        self.release()
        try:
            await self._lot.wait()
        except BaseException:
            with make_scope(None, shield=True):
                await self.acquire()
            raise

    def notify(self, n: int = 1) -> None:
        """Let those who wait longest go on, once the lock is theirs.

        Args:
            n: how many, at most.

        Raises:
            MisuseError: this task does not hold the lock.
        """
        self._require_lock("notify")
        self._lot.move(self._lock._lot, n)

    def notify_all(self) -> None:
        """Let everybody who waits go on, one after another.

        Raises:
            MisuseError: this task does not hold the lock.
        """
        self._require_lock("notify")
        self._lot.move(self._lock._lot, len(self._lot.waiting))

    def _require_lock(self, verb: str) -> None:
        if self._lock._owner is not current_task():
            raise misuse(f"hold the lock to {verb}: do it inside `async with condition:`")

    def statistics(self) -> ConditionStatistics:
        """Tell how it stands.

        Returns:
            Waiters, and the lock.
        """
        return ConditionStatistics(len(self._lot.waiting), self._lock.statistics())


@frozen
class SemaphoreStatistics:
    """How a semaphore stands.

    Attributes:
        tasks_waiting: how many tasks wait for it.
    """

    tasks_waiting: int


class Semaphore:
    """A number that never falls below zero; taking waits for it to rise.

    Args:
        initial_value: what it begins with.
        max_value: what releasing must not exceed; None for no limit.

    Raises:
        InvalidValueError: the values are negative, or the wrong way round.
    """

    __slots__ = ("_lot", "_max_value", "_value")

    def __init__(self, initial_value: int, *, max_value: int | None = None) -> None:
        if initial_value < 0:
            raise InvalidValueError(f"initial_value must be 0 or more, got {initial_value!r}")
        if max_value is not None and max_value < initial_value:
            raise InvalidValueError(f"max_value must be {initial_value} or more, got {max_value!r}")
        self._value = initial_value
        self._max_value = max_value
        self._lot = Lot("Semaphore.acquire")

    def __repr__(self) -> str:
        return f"<treadle semaphore at {self._value}, {len(self._lot.waiting)} waiting>"

    @property
    def value(self) -> int:
        """How often it can be taken without waiting."""
        return self._value

    @property
    def max_value(self) -> int | None:
        """What releasing must not exceed; None for no limit."""
        return self._max_value

    def acquire_nowait(self) -> None:
        """Take one without waiting.

        Raises:
            WouldBlock: the value is zero.
        """
        if not self._value:
            raise WouldBlock("the semaphore is at zero")
        self._value -= 1

    async def acquire(self) -> None:
        """Take one, waiting until there is one.

        Raises:
            Cancelled: a scope around was cancelled meanwhile.
        """
        await checkpoint_if_cancelled()
        if self._value:
            self._value -= 1
            await turn()
        else:
            await self._lot.wait()

    def release(self) -> None:
        """Put one back, and with it wake the one who waits longest.

        Raises:
            InvalidValueError: the value would exceed its maximum.
        """
        if self._lot.waiting:
            self._lot.wake()
        elif self._value == self._max_value:
            raise InvalidValueError(
                f"the semaphore was released too often: its max_value is {self._max_value}"
            )
        else:
            self._value += 1

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def statistics(self) -> SemaphoreStatistics:
        """Tell how it stands.

        Returns:
            How many tasks wait.
        """
        return SemaphoreStatistics(len(self._lot.waiting))
