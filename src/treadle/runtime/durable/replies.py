"""How a caller gets its answer: in this process by waking its task, in another by a record of the store."""

from __future__ import annotations

from typing import Any, Protocol

import trio

from treadle.errors import TreadleError
from treadle.kernel import Kernel
from treadle.runtime.inbox import raise_own


class Reply(Protocol):
    """Where an answer goes."""

    def give(self, value: Any) -> None:
        """Answer; only the first answer counts."""

    def fail(self, error: TreadleError) -> None:
        """Answer with an error; only the first answer counts."""


class Promise:
    """An answer that a task of this process waits for.

    Args:
        kernel: parks and wakes the task.
    """

    __slots__ = ("_error", "_kernel", "_task", "_value", "done")

    def __init__(self, kernel: Kernel) -> None:
        self.done = False
        self._kernel = kernel
        self._task: trio.lowlevel.Task | None = None
        self._value: Any = None
        self._error: TreadleError | None = None

    def give(self, value: Any) -> None:
        """Answer; see `Reply.give`."""
        if not self.done:
            self._value = value
            self._decide()

    def fail(self, error: TreadleError) -> None:
        """Answer with an error; see `Reply.fail`."""
        if not self.done:
            self._error = error
            self._decide()

    def _decide(self) -> None:
        self.done = True
        if self._task is not None:
            task, self._task = self._task, None
            self._kernel.wake(task)

    # Ctrl-C between noting the task and parking it would let somebody wake a task that does not wait.
    @trio.lowlevel.enable_ki_protection
    async def wait(self) -> Any:
        """Wait for the answer; a checkpoint unless it is there.

        Returns:
            The answer.

        Raises:
            TreadleError: the answer is an error.
        """
        if not self.done:
            self._task = trio.lowlevel.current_task()
            await self._kernel.park(self._forget)
        if self._error is not None:
            raise_own(self._error)
        return self._value

    def _forget(self) -> None:
        self._task = None
