"""A limit on how many tasks do something at once, with an account of who does."""

from __future__ import annotations

import math
from types import TracebackType

from attrs import frozen

from treadle.engine.driver.errors import Cancelled, WouldBlock
from treadle.engine.driver.parking import Lot
from treadle.engine.driver.tasks import Task, checkpoint_if_cancelled, current_task, misuse, turn
from treadle.errors import InvalidValueError


@frozen
class CapacityLimiterStatistics:
    """How a limiter stands.

    Attributes:
        borrowed_tokens: how many tokens are out.
        total_tokens: how many there are.
        borrowers: who has them.
        tasks_waiting: how many tasks wait for one.
    """

    borrowed_tokens: int
    total_tokens: float
    borrowers: list[object]
    tasks_waiting: int


class CapacityLimiter:
    """A sack of tokens: ``async with limiter: ...`` borrows one for the block.

    Args:
        total_tokens: how many there are: an int of 0 or more, or infinity.

    Raises:
        InvalidValueError: it is something else.
    """

    __slots__ = ("_borrowers", "_lot", "_pending", "_total_tokens")

    def __init__(self, total_tokens: float) -> None:
        self._lot = Lot("CapacityLimiter.acquire")
        self._borrowers: dict[object, None] = {}
        self._pending: dict[Task, object] = {}
        self.total_tokens = total_tokens

    def __repr__(self) -> str:
        return f"<treadle limiter, {len(self._borrowers)} of {self._total_tokens} borrowed>"

    @property
    def total_tokens(self) -> float:
        """How many tokens there are; raising it wakes those who wait.

        Raises:
            InvalidValueError: the new number is neither an int of 0 or more nor infinity.
        """
        return self._total_tokens

    @total_tokens.setter
    def total_tokens(self, total_tokens: float) -> None:
        if (not isinstance(total_tokens, int) and total_tokens != math.inf) or total_tokens < 0:
            raise InvalidValueError(
                f"total_tokens must be an int of 0 or more, or math.inf; got {total_tokens!r}"
            )
        self._total_tokens = total_tokens
        self._hand_out()

    @property
    def borrowed_tokens(self) -> int:
        """How many tokens are out."""
        return len(self._borrowers)

    @property
    def available_tokens(self) -> float:
        """How many tokens are left; negative after a cut."""
        return self._total_tokens - len(self._borrowers)

    def _hand_out(self) -> None:
        while self._lot.waiting and len(self._borrowers) < self._total_tokens:
            self._borrowers[self._pending.pop(self._lot.wake())] = None

    def _borrow(self, borrower: object) -> bool:
        if borrower in self._borrowers:
            raise misuse("this borrower has one of the limiter's tokens already")
        if self._lot.waiting or len(self._borrowers) >= self._total_tokens:
            return False
        self._borrowers[borrower] = None
        return True

    def acquire_nowait(self) -> None:
        """Borrow a token for this task without waiting.

        Raises:
            WouldBlock: none is left.
            MisuseError: this task has one already.
        """
        self.acquire_on_behalf_of_nowait(current_task())

    def acquire_on_behalf_of_nowait(self, borrower: object) -> None:
        """Borrow a token for somebody without waiting.

        Args:
            borrower: anything hashable.

        Raises:
            WouldBlock: none is left.
            MisuseError: the borrower has one already.
        """
        if not self._borrow(borrower):
            raise WouldBlock("no token is left")

    async def acquire(self) -> None:
        """Borrow a token for this task, waiting for one.

        Raises:
            Cancelled: a scope around was cancelled meanwhile.
            MisuseError: this task has one already.
        """
        await self.acquire_on_behalf_of(current_task())

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Borrow a token for somebody, waiting for one.

        Args:
            borrower: anything hashable.

        Raises:
            Cancelled: a scope around was cancelled meanwhile.
            MisuseError: the borrower has one already.
        """
        await checkpoint_if_cancelled()
        if self._borrow(borrower):
            await turn()
            return
        task = current_task()
        self._pending[task] = borrower
        try:
            await self._lot.wait()
        except Cancelled:
            del self._pending[task]
            raise

    def release(self) -> None:
        """Put this task's token back.

        Raises:
            MisuseError: this task has none.
        """
        self.release_on_behalf_of(current_task())

    def release_on_behalf_of(self, borrower: object) -> None:
        """Put somebody's token back.

        Args:
            borrower: who has it.

        Raises:
            MisuseError: the borrower has none.
        """
        if borrower not in self._borrowers:
            raise misuse("this borrower has none of the limiter's tokens")
        del self._borrowers[borrower]
        self._hand_out()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def statistics(self) -> CapacityLimiterStatistics:
        """Tell how it stands.

        Returns:
            Tokens, borrowers, waiters.
        """
        return CapacityLimiterStatistics(
            len(self._borrowers), self._total_tokens, list(self._borrowers), len(self._lot.waiting)
        )
