"""Lets `time.sleep` tell the audit hooks, as it does by itself from Python 3.13 on."""

from __future__ import annotations

import sys
import time
from types import FrameType
from typing import Any, Final

TELLS: Final = sys.version_info >= (3, 13)
_sleep: Final = time.sleep

_places: list[tuple[dict[str, Any], str]] = []
"""Where modules keep the function under a name of theirs, from `from time import sleep`."""
_searched: set[str] = set()
_installed: list[bool] = []


def _told_sleep(seconds: float, /) -> None:
    sys.audit("time.sleep", seconds)
    _sleep(seconds)


def tell_sleeps() -> None:
    """Put a function that tells in the place of `time.sleep`, wherever a module has it."""
    _installed.append(True)
    if TELLS or len(_installed) > 1:
        return
    for name, module in list(sys.modules.items()):
        if name not in _searched:
            _searched.add(name)
            names = getattr(module, "__dict__", {})
            _places.extend((names, key) for key, value in list(names.items()) if value is _sleep)
    for names, key in _places:
        if names.get(key) is _sleep and names is not globals():
            names[key] = _told_sleep


def tell_no_more() -> None:
    """Put it back, when nobody else wants to be told."""
    _installed.pop()
    if TELLS or _installed:
        return
    for names, key in _places:
        if names.get(key) is _told_sleep:
            names[key] = _sleep


def without_it(frame: FrameType | None) -> FrameType | None:
    """Pass over the frame of the function that tells.

    Args:
        frame: who has told.

    Returns:
        Who has called.
    """
    return frame.f_back if frame is not None and frame.f_code is _told_sleep.__code__ else frame
