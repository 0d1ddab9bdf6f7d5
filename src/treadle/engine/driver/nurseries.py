"""Nurseries, as Trio has them (strict: whatever goes wrong inside comes out as an exception group).

The block of ``async with`` counts as one more child: it may fail, and the nursery closes when it and all
children have ended. The first failure cancels the nursery's scope; every error is kept, and the scope
takes the `Cancelled` among them out again.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self

from treadle.engine.driver.descent import next_inner, recalculate
from treadle.engine.driver.errors import Evicted
from treadle.engine.driver.raising import raise_keeping_context
from treadle.engine.driver.scopes import CancelScope, make_scope
from treadle.engine.driver.tasks import RUNNING, Task, deliver, misuse, outside, park, turn
from treadle.errors import InternalError


class Family(Protocol):
    """What tasks are born into: a nursery, or the workflow itself."""

    children: dict[Task, None]
    """Those that live, in order of birth."""

    @property
    def cancel_scope(self) -> CancelScope:
        """The scope in which they stand."""

    def _child_ended(self, task: Task, value: object, error: BaseException | None, /) -> None: ...


class Nursery:
    """A block that ends when all tasks started in it have ended; made by `open_nursery`.

    Attributes:
        cancel_scope: the scope round the block and its children; cancel it to cancel them all.
    """

    __slots__ = (
        "__weakref__", "_errors", "_is_block_running", "_is_closed", "_is_waiting", "_opened_at", "_starting",
        "_task", "cancel_scope", "children",
    )  # fmt: skip

    def __init__(self, task: Task) -> None:
        self._task = task
        self.cancel_scope = make_scope(None)
        self.children: dict[Task, None] = {}
        self._errors: list[BaseException] = []
        self._is_block_running = True
        self._is_waiting = False  # the task stands at the end of the block
        self._is_closed = False
        self._starting = 0  # calls of `start` that are under way keep it open

    def __repr__(self) -> str:
        return f"<treadle nursery of {self._task!r} with {len(self.children)} children>"

    @property
    def child_tasks(self) -> frozenset[Task]:
        """The tasks that live in it."""
        return frozenset(self.children)

    @property
    def parent_task(self) -> Task:
        """The task that opened it."""
        return self._task

    # -- the block --

    async def __aenter__(self) -> Self:
        self._task._nurseries = [*(self._task._nurseries or ()), self]
        scope = self.cancel_scope
        scope.__enter__()
        scope._family = self
        frame = sys._getframe(1)
        scope._entered_in, scope._entered_with = frame.f_code, frame.f_lasti
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, Evicted):
            return False
        remaining = self.cancel_scope._close(await self._gather(error))
        if remaining is None:
            return True
        try:
            raise_keeping_context(remaining)
        finally:
            del remaining, error  # the traceback leads back to this frame

    async def _gather(self, error: BaseException | None) -> BaseException | None:
        if error is not None:
            self._add_error(error, "the nursery's block raised")
        self._is_block_running = False
        self._close_if_done()
        if self._is_closed:
            await turn()
        else:
            self._is_waiting = True
            await park(_go_on_waiting, "the end of its children")
        nurseries = [nursery for nursery in self._task._nurseries or () if nursery is not self]
        self._task._nurseries = nurseries or None
        if not self._errors:
            return None
        errors, self._errors = self._errors, []  # a reference less that leads round in a circle
        return BaseExceptionGroup("errors of a nursery", errors)

    # -- children --

    def start_soon(
        self, function: Callable[..., Awaitable[object]], *args: object, name: str | None = None
    ) -> None:
        """Start a task; it runs when this one next waits.

        Args:
            function: an async function.
            *args: handed to it.
            name: what stacks call it; by default the function's name.

        Raises:
            MisuseError: the nursery's block has ended.
            UsageError: the function is not async.
        """
        if self._is_closed:
            raise _closed()
        self._task.scheduler._spawn(function, args, self, name)

    async def start(
        self, function: Callable[..., Awaitable[object]], *args: object, name: str | None = None
    ) -> Any:
        """Start a task and wait until it says that it is ready.

        Until then the task lives under this call: its errors come out here, and cancelling this call
        cancels it.

        Args:
            function: an async function that takes the keyword ``task_status`` and calls its ``started``.
            *args: handed to it.
            name: what stacks call it; by default the function's name.

        Returns:
            What it gave to ``started``.

        Raises:
            BaseException: what the task raised before it was ready.
            MisuseError: it ended without being ready, or the nursery's block has ended.
            UsageError: the function is not async.
        """
        if self._is_closed:
            raise _closed()
        self._starting += 1
        try:
            status = await self._start_apart(function, args, name)
        finally:
            self._starting -= 1
            self._close_if_done()
        if status.value is _NOT_STARTED:
            raise misuse("the task ended without calling task_status.started()")
        return status.value

    async def _start_apart(
        self, function: Callable[..., Awaitable[object]], args: tuple[object, ...], name: str | None
    ) -> _Status:
        try:
            async with open_nursery() as apart:
                status = _Status(apart, self)
                apart._task.scheduler._spawn(partial(function, task_status=status), args, apart, name)
        except BaseExceptionGroup as group:
            if len(group.exceptions) != 1:
                raise InternalError("a nursery for one task gathered several errors") from group
            raise_keeping_context(group.exceptions[0])
        return status

    def _child_ended(self, task: Task, _: object, error: BaseException | None, /) -> None:
        self.children.pop(task, None)
        if error is not None:
            self._add_error(error, "a task of the nursery raised")
        self._close_if_done()

    def _add_error(self, error: BaseException, reason: str) -> None:
        self._errors.append(error)
        self.cancel_scope._cancel(f"{reason} {type(error).__name__}")

    def _close_if_done(self) -> None:
        if self._is_block_running or self.children or self._starting:
            return
        self._is_closed = True
        if self._is_waiting:
            self._is_waiting = False
            self._task.scheduler.resume(self._task, None)


def _go_on_waiting() -> bool:
    # The children are cancelled by the same scopes; the block ends when they have.
    return False


def _closed() -> Exception:
    return misuse("this nursery's block has ended, it takes no new tasks; start them inside the block")


def open_nursery() -> Nursery:
    """Open a nursery, to be used in an ``async with``.

    Leaving the block waits for all tasks in it; that wait is not a checkpoint by itself.

    Returns:
        The nursery.

    Raises:
        UsageError: called outside workflow code.
    """
    task = RUNNING.get()
    if task is None:
        raise outside("open_nursery()")
    return Nursery(task)


# -- start ---------------------------------------------------------------------------------------------


class TaskStatus(Protocol):
    """What a task started with `Nursery.start` gets as ``task_status``."""

    def started(self, value: Any = None) -> None:
        """Say that the task is ready.

        Args:
            value: what `Nursery.start` returns.
        """


class _Ignored:
    __slots__ = ()

    def started(self, value: Any = None) -> None:
        """Say it to nobody."""


TASK_STATUS_IGNORED: Final[TaskStatus] = _Ignored()
"""The default for a ``task_status`` parameter: lets the function be called without `Nursery.start`."""
_NOT_STARTED: Final = object()


class _Status:
    __slots__ = ("apart", "target", "value")

    def __init__(self, apart: Nursery, target: Nursery) -> None:
        self.apart = apart
        self.target = target
        self.value: Any = _NOT_STARTED

    def started(self, value: Any = None) -> None:
        """Say that the task is ready, and move it to the nursery it was meant for.

        Args:
            value: what `Nursery.start` returns.

        Raises:
            MisuseError: said twice.
        """
        if self.value is not _NOT_STARTED:
            raise misuse("task_status.started() was called before; call it once")
        self.value = value
        if self.apart.cancel_scope._is_cancelled:
            return  # a Cancelled is on its way and must find the scope it belongs to
        movers = tuple(self.apart.children)
        self.apart.children.clear()
        for task in movers:
            _move(task, self.apart, self.target)
        self.apart._close_if_done()


def _move(task: Task, old: Nursery, new: Nursery) -> None:
    new.children[task] = None
    task._family = new
    inner = next_inner(task, old.cancel_scope)
    if inner is None:
        task._scope = new.cancel_scope
        if new.cancel_scope._is_cancelled:
            deliver(task)
    else:
        inner._parent = new.cancel_scope
        recalculate(inner)
