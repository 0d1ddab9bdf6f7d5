"""Where a task stands: the line of the program's own code, for messages."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType

import trio
from trio.lowlevel import Task

_OURS = Path(__file__).parent
_TRIO = Path(trio.__file__).parent
_WORLD_FILES = frozenset(
    str(_OURS / name)
    for name in ("world_kernel.py", "world_channel.py", "lives.py", "kernel_guard.py", "frames.py")
)


def describe_task(task: Task) -> str:
    """Name a task that is not running, and the line at which it waits.

    Args:
        task: the task.

    Returns:
        ``name at file:line in function``.
    """
    return f"{task.name} at {_own_line(task.iter_await_frames())}"


def describe_caller() -> str:
    """Name the line of the program that has called into Trio or the kernel just now.

    Returns:
        ``file:line in function``.
    """
    stack: list[tuple[FrameType, int]] = []
    frame = inspect.currentframe()
    while frame is not None:
        stack.append((frame, frame.f_lineno))
        frame = frame.f_back
    return _own_line(reversed(stack))


def leaves_nursery(task: Task) -> bool:
    """Tell whether a task waits for the end of a nursery's children.

    Args:
        task: the task, not running.

    Returns:
        True at the end of ``async with trio.open_nursery()``.
    """
    code = _leave_nursery_code()
    return any(frame.f_code is code for frame, _ in task.iter_await_frames())


@functools.cache
def _leave_nursery_code() -> CodeType:
    # Leaving a nursery is the one wait that stays Trio's own: it decides nothing, because the parent is
    # woken by its last child's end, when nobody else runs. Making a manager needs a run around it.
    code: CodeType = inspect.unwrap(type(trio.open_nursery()).__aexit__).__code__
    return code


def _own_line(frames: Iterable[tuple[FrameType, int]]) -> str:
    line = None
    for frame, number in frames:
        name = frame.f_code.co_filename
        here = f"{Path(name).name}:{number} in {frame.f_code.co_name}"
        if line is None or (name not in _WORLD_FILES and _TRIO not in Path(name).parents):
            line = here
    return line or "no line of its own"
