"""From a function to the coroutine that a task runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable, iscoroutine
from typing import Any

from treadle.engine.driver.tasks import RUNNING, Task, current_line
from treadle.errors import UsageError


def coroutine_of(
    task: Task, function: Callable[..., Awaitable[object]], args: tuple[object, ...]
) -> Coroutine[Any, Any, object]:
    """Call a task's function, inside the task's own context.

    Args:
        task: the task, which is the running one in this context from now on.
        function: an async function.
        args: handed to it.

    Returns:
        What the task runs.

    Raises:
        UsageError: the function gave nothing that can be awaited.
    """
    RUNNING.set(task)
    made: object = function(*args)
    if iscoroutine(made):
        return made
    if isawaitable(made):
        return _awaiting(made)
    raise UsageError(
        f"{current_line()}: a task needs an async function, got {function!r}, which returned {made!r}"
    )


async def _awaiting(awaitable: Awaitable[object]) -> object:
    return await awaitable
