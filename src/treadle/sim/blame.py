"""Whose line has led to a call: the user's, or nobody's whom a guard should blame."""

from __future__ import annotations

import gc
import os
import sysconfig
from collections.abc import Container
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import trio

LANGUAGE: Final = frozenset(
    {"logging", "importlib", "_frozen_importlib", "_frozen_importlib_external", "warnings", "traceback",
     "linecache", "weakref", "zipimport"}
)  # fmt: skip
"""Whose calls say nothing about the program: a log record has a time, an import reads a file, and what
Python finalises it finalises wherever it happens to be."""

_STDLIB: Final = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")}
    | {sysconfig.get_path("stdlib"), str(Path(os.__file__).parent), "<frozen"}
)
_OURS: Final = str(Path(__file__).parent.parent)
_TRIO: Final = str(Path(trio.__file__).parent)
_TRIO_RUN: Final = str(Path(trio.__file__).parent / "_core" / "_run.py")


def users_frame(
    frame: FrameType | None,
    *,
    trusted: Container[str] = LANGUAGE,
    may: Container[CodeType] = (),
    dependencies: Container[str] = (),
) -> FrameType | None:
    """Find the user's code that has led to a call.

    Args:
        frame: where the call was made.
        trusted: top names of modules; what they or those they call do is nobody's fault.
        may: code of this library inside which users may do as they like.
        dependencies: top names of modules that this library calls itself, and that are never to blame.

    Returns:
        The innermost frame of the user's own code, or of a library when there is no other, because a
        package of workflows may itself be installed among them; None when this library, Trio's scheduler,
        a tool or the garbage collector made the call.
    """
    found: FrameType | None = None
    library: FrameType | None = None
    collecting = _codes_of_collector()
    while frame is not None:
        filename = frame.f_code.co_filename
        if frame.f_code in collecting or frame.f_code.co_name == "__del__":
            return None
        if filename.startswith(_OURS) or filename == _TRIO_RUN:
            if frame.f_code in may:
                return None
            break  # whoever runs the code: the scheduler
        module = frame.f_globals.get("__name__", "").partition(".")[0]
        if module in trusted:
            return None
        if found is None and not filename.startswith(_STDLIB):
            found = None if "site-packages" in filename else frame
            if module not in dependencies and not filename.startswith(_TRIO):
                library = library or frame
        frame = frame.f_back
    return found or library


def _codes_of_collector() -> set[CodeType]:
    """What the garbage collector calls, on top of whatever code it has interrupted (hypothesis times it)."""
    codes = (getattr(getattr(callback, "__func__", callback), "__code__", None) for callback in gc.callbacks)
    return {code for code in codes if code is not None}
