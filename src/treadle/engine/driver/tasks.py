"""Tasks, and how one waits.

A task waits by yielding to the scheduler, and there are two things it may yield: itself (it is parked
until somebody resumes it) or `TURN` (it goes on when the others have had theirs). Whatever else comes up
is another library's, and refused. Resuming is `coro.send` for values and for errors alike: the error lies
in the task and is raised by the code that waited, so that tracebacks and `__context__` come out as if
the wait had been an ordinary call.

Which task runs is a context variable, set once when the task is made: every task has its own context, so
entering it is all a step costs, and two threads that drive two workflows do not meet.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from treadle.engine.driver.errors import Cancelled, MisuseError
from treadle.engine.driver.whereabouts import UNKNOWN, calling_line, line_of
from treadle.errors import UsageError

if TYPE_CHECKING:
    from treadle.engine.driver.nurseries import Family, Nursery
    from treadle.engine.driver.parking import Lot
    from treadle.engine.driver.scheduler import Scheduler
    from treadle.engine.driver.scopes import CancelScope

RUNNING: Final[ContextVar[Task | None]] = ContextVar("treadle_task", default=None)
TURN: Final = object()
"""What a task yields to go on after all others that are ready."""


class Task:
    """One strand of workflow code; made by nurseries and by the scheduler.

    Attributes:
        scheduler: who runs it.
        name: what it is called in stacks.
    """

    __slots__ = (
        "__weakref__", "_abort", "_context", "_coro", "_error", "_family", "_locks", "_nurseries", "_resume",
        "_scope", "_value", "_waiting_for", "name", "scheduler",
    )  # fmt: skip

    def __init__(self, scheduler: Scheduler, name: str, family: Family) -> None:
        self.scheduler = scheduler
        self.name = name
        self._family = family
        self._scope: CancelScope = family.cancel_scope  # the innermost it stands in
        self._context: Any = None
        self._coro: Any = None
        self._resume: Any = None  # takes the next step: context.run(coro.send, value)
        self._value: Any = None  # what the next step sends
        self._error: BaseException | None = None  # or what the waiting code raises instead
        self._abort: Callable[[], bool] | None = None
        self._waiting_for: object = None  # not None exactly while parked
        self._nurseries: list[Nursery] | None = None
        self._locks: list[Lot] | None = None  # those that break when their owner ends

    def __repr__(self) -> str:
        return f"<treadle task {self.name!r}>"

    def _begin(self, context: Context, coro: Coroutine[Any, Any, object]) -> None:
        self._context = context
        self._coro = coro
        self._resume = partial(context.run, coro.send)  # type: ignore[call-arg]

    def _finish(self) -> None:
        # The context leads back to the task; without this every task would wait for the garbage collector.
        self._context = self._coro = self._resume = self._value = self._error = None
        self._abort = self._waiting_for = self._nurseries = self._locks = None


def line_of_task(task: Task) -> str:
    """Name the line of user code at which a task stands.

    A task may run a function of ours alone, as ``nursery.start_soon(workflow.sleep, 5)`` makes it: then the
    line is that of the task whose nursery it is in.

    Args:
        task: a task.

    Returns:
        ``file:line``.
    """
    above: Task | None = task
    while above is not None and above._coro is not None:
        found = line_of(above._coro)
        if found != UNKNOWN:
            return found
        above = getattr(above._family, "parent_task", None)
    return UNKNOWN


def current_line() -> str:
    """Name the line of the code that called into the engine.

    Returns:
        ``file:line``.
    """
    found = calling_line()
    if found is not None:
        return found
    task = RUNNING.get()
    return UNKNOWN if task is None else line_of_task(task)


def outside(what: str) -> UsageError:
    """Make the error for a function of the driver that was called where no workflow code runs.

    Args:
        what: the function's name.

    Returns:
        The error, naming the caller's line.
    """
    return UsageError(
        f"{what} works inside workflow code only, but {current_line()} called it from outside; "
        "call it from a function that a workflow runs"
    )


def current_task() -> Task:
    """Tell which task this is.

    Returns:
        The task that runs.

    Raises:
        UsageError: called outside workflow code.
    """
    task = RUNNING.get()
    if task is None:
        raise outside("current_task()")
    return task


def current_scheduler() -> Scheduler:
    """Tell which scheduler runs this code.

    Returns:
        The scheduler of the running task.

    Raises:
        UsageError: called outside workflow code.
    """
    task = RUNNING.get()
    if task is None:
        raise outside("this function of treadle.workflow")
    return task.scheduler


@types.coroutine
def park(abort: Callable[[], bool], waiting_for: object) -> Generator[Any, Any, Any]:
    """Wait until the host resumes this task.

    Exactly one `Scheduler.resume` or `Scheduler.resume_error` must follow, unless `abort` said True.

    Args:
        abort: called once when the wait is cancelled. True: whatever would have led to the resume is
            undone, and `Cancelled` is raised now. False: the resume comes all the same, go on waiting.
        waiting_for: what a stack shows: a text or a thing with a ``repr``; not None.

    Returns:
        What the task was resumed with.

    Raises:
        BaseException: what the task was resumed with, if it was an error.
        Cancelled: the wait was cancelled and `abort` said True.
        UsageError: called outside workflow code.
    """
    task = RUNNING.get()
    if task is None:
        raise outside("a wait of treadle.workflow")
    task._abort = abort
    task._waiting_for = waiting_for
    value = yield task
    error = task._error
    if error is not None:
        task._error = None
        try:
            raise error
        finally:
            del error  # the traceback leads back to this frame
    return value


@types.coroutine
def turn() -> Generator[Any, Any, None]:
    """Let every other ready task run first; a schedule point that cannot be cancelled."""
    if RUNNING.get() is None:
        raise outside("a wait of treadle.workflow")
    yield TURN


def succeed() -> bool:
    """Abort a wait that nothing else knows of."""
    return True


async def checkpoint() -> None:
    """Let the others run, and raise `Cancelled` if a scope around is cancelled.

    Raises:
        Cancelled: a scope around this code is cancelled.
    """
    await turn()
    task = current_task()
    if task._scope._is_cancelled:
        try:
            await park(succeed, "checkpoint")
        except Cancelled:
            # Somebody may have shielded us between the order and its arrival.
            if task._scope._is_cancelled:
                raise


async def checkpoint_if_cancelled() -> None:
    """Raise `Cancelled` if a scope around is cancelled; otherwise return at once, without giving way.

    Raises:
        Cancelled: a scope around this code is cancelled.
    """
    if current_task()._scope._is_cancelled:
        await checkpoint()


def deliver(task: Task) -> None:
    """Bring a cancellation to a task that is parked inside a cancelled scope.

    Args:
        task: any task; one that is not parked gets it at its next checkpoint.
    """
    abort = task._abort
    if abort is None or task.scheduler.evicting:
        return
    task._abort = None
    if abort():
        task.scheduler.resume_error(task, Cancelled(task._scope._reason or "cancelled"))


def misuse(message: str) -> MisuseError:
    """Make the error for what cannot be right, naming the user's line.

    Args:
        message: what was expected, what came, what to do.

    Returns:
        The error.
    """
    return MisuseError(f"{current_line()}: {message}")
