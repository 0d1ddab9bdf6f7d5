"""Which line of the user's code this is about: for messages, and for the stack a host shows."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

_ENGINE = str(Path(__file__).parent.parent)
_CONTEXTLIB = contextlib.__file__
UNKNOWN: Final = "an unknown line"
DRIVING: Final[set[CodeType]] = set()
"""The functions that take the steps of tasks: what calls them is no code of the workflow's."""
_FOREIGN = {"anyio", "asyncio", "curio", "outcome", "sniffio", "trio"}


def is_ours(code: CodeType) -> bool:
    """Tell whether code belongs to the engine (or to contextlib, which may stand between it and its user)."""
    return code.co_filename.startswith(_ENGINE) or code.co_filename == _CONTEXTLIB


def calling_line() -> str | None:
    """Name the line of the code that called into the engine.

    Returns:
        ``file:line``; None when the engine was not called, but runs in a task of its own.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_ours(frame.f_code):
        if frame.f_code in DRIVING:
            return None  # further out is whoever drives the workflow, here one and on replay another
        frame = frame.f_back
    return UNKNOWN if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def line_raised(error: BaseException) -> str:
    """Name the line of user code that has raised an error.

    Args:
        error: with its traceback.

    Returns:
        ``file:line``: the innermost that is not the engine's.
    """
    found, step = None, error.__traceback__
    while step is not None:
        if not is_ours(step.tb_frame.f_code):
            found = step
        step = step.tb_next
    return UNKNOWN if found is None else f"{found.tb_frame.f_code.co_filename}:{found.tb_lineno}"


def line_in(code: CodeType | None, instruction: int) -> str:
    """Name the line of an instruction.

    Args:
        code: the function it stands in, or None when nobody wrote it down.
        instruction: its offset in bytes, as a frame's `f_lasti` tells it.

    Returns:
        ``file:line``.
    """
    if code is None:
        return UNKNOWN
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end and line)
    return f"{code.co_filename}:{next(lines, code.co_firstlineno)}"


def awaiting_frames(coro: Any) -> Iterator[FrameType]:
    """Walk a suspended coroutine from its outermost frame to the innermost.

    Args:
        coro: a coroutine, generator-based coroutine, or what one of them awaits.

    Yields:
        Frames, outermost first.
    """
    while coro is not None:
        if (frame := getattr(coro, "cr_frame", None)) is not None:
            yield frame
            coro = coro.cr_await
        elif (frame := getattr(coro, "gi_frame", None)) is not None:
            yield frame
            coro = coro.gi_yieldfrom
        else:
            coro = _async_generator_behind(coro)
            if coro is not None:
                yield coro.ag_frame
                coro = coro.ag_await


def _async_generator_behind(step: Any) -> Any:
    # The object that steps an async generator does not name it (CPython issue 76991); the collector does.
    if type(step).__name__ not in {"async_generator_asend", "async_generator_athrow"}:
        return None
    return next((it for it in gc.get_referents(step) if getattr(it, "ag_frame", None) is not None), None)


def line_of(coro: Any) -> str:
    """Name the line of user code at which a suspended coroutine stands.

    Frames of the engine and of the other async libraries below the user's are left out.

    Args:
        coro: the coroutine of a task.

    Returns:
        ``file:line``.
    """
    found = None
    for frame in awaiting_frames(coro):
        if frame.f_globals.get("__name__", "").partition(".")[0] in _FOREIGN:
            break
        if not is_ours(frame.f_code):
            found = frame
    return UNKNOWN if found is None else f"{found.f_code.co_filename}:{found.f_lineno}"
