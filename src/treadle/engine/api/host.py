"""How the functions of `treadle.workflow` find the workflow they are called in."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from treadle.engine.driver import current_line
from treadle.engine.driver.tasks import RUNNING, Task
from treadle.errors import UsageError

if TYPE_CHECKING:
    from treadle.engine.execution import Execution

READING: Final[ContextVar[Execution | None]] = ContextVar("treadle_reading", default=None)
"""The workflow that a query or a validator looks at; those run beside the tasks, and change nothing."""


def writer(what: str) -> Execution:
    """Find the workflow whose code calls, for a function that asks it to do something.

    Args:
        what: the function's name.

    Returns:
        The workflow.

    Raises:
        UsageError: called outside workflow code, or by a query or a validator.
    """
    return execution_of(writing_task(what))


def writing_task(what: str) -> Task:
    """Find the task that calls, for a function that asks its workflow to do something.

    Args:
        what: the function's name.

    Returns:
        The task.

    Raises:
        UsageError: called outside workflow code, or by a query or a validator.
    """
    task = RUNNING.get()
    if task is None:
        raise _refused(what)
    return task


def execution_of(task: Task) -> Execution:
    """Tell whose task it is.

    Args:
        task: a task of an execution.

    Returns:
        The workflow.
    """
    scheduler: Any = task.scheduler
    found: Execution = scheduler.execution
    return found


def reader(what: str) -> Execution:
    """Find the workflow whose code calls, for a function that only looks.

    Args:
        what: the function's name.

    Returns:
        The workflow.

    Raises:
        UsageError: called outside workflow code.
    """
    task = RUNNING.get()
    if task is not None:
        return execution_of(task)
    reading = READING.get()
    if reading is None:
        raise _refused(what)
    return reading


def _refused(what: str) -> UsageError:
    if READING.get() is not None:
        return UsageError(
            f"{current_line()} calls workflow.{what}() in a query or a validator, which must not change"
            " anything; do it in an update's handler"
        )
    return UsageError(
        f"workflow.{what}() works inside workflow code only, but {current_line()} called it from outside;"
        " call it from a function that a workflow runs"
    )
