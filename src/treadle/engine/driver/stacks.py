"""Where the tasks of a workflow stand, as values a host can show."""

from __future__ import annotations

from attrs import frozen

from treadle.engine.driver.tasks import Task
from treadle.engine.driver.whereabouts import awaiting_frames, is_ours


@frozen
class StackFrame:
    """One call of the user's code.

    Attributes:
        file: its file.
        line: the line that is being carried out, counted from 1.
        function: the function's qualified name.
    """

    file: str
    line: int
    function: str


@frozen
class TaskStack:
    """One task.

    Attributes:
        name: the task's name.
        frames: the calls it stands in, outermost first; the driver's own are left out.
        waiting_for: what it waits for; empty when it is ready to run.
        children: the tasks in its nurseries.
    """

    name: str
    frames: tuple[StackFrame, ...]
    waiting_for: str
    children: tuple[TaskStack, ...]


def stack_of(task: Task) -> TaskStack:
    """Tell where a task and those below it stand.

    Args:
        task: a task that has not ended.

    Returns:
        Its stack.
    """
    frames = tuple(
        StackFrame(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)
        for frame in awaiting_frames(task._coro)
        if not is_ours(frame.f_code)
    )
    children = tuple(stack_of(child) for nursery in task._nurseries or () for child in nursery.children)
    return TaskStack(task.name, frames, _described(task._waiting_for), children)


def _described(waiting_for: object) -> str:
    if waiting_for is None:
        return ""
    return waiting_for if isinstance(waiting_for, str) else repr(waiting_for)
