"""Seconds at the surface, integer nanoseconds inside.

`current_time()` counts from the workflow's start, so that a float holds it to the nanosecond for the first
hundred days and two deadlines that are equal as floats stay equal inside.
"""

from __future__ import annotations

import math
from typing import Final

from treadle.errors import InvalidValueError

FOREVER_NS: Final = 2**63
"""A deadline this far away (292 years) is none at all."""
_FAR_SECONDS: Final = FOREVER_NS / 10**9


def to_ns(seconds: float, what: str) -> int | None:
    """Turn seconds into nanoseconds.

    Args:
        seconds: any float but NaN, or an int.
        what: its name in the error.

    Returns:
        Nanoseconds; None for what lies too far away to ever come.

    Raises:
        InvalidValueError: it is NaN.
    """
    if math.isnan(seconds):
        raise InvalidValueError(f"{what} must be a number of seconds, got NaN")
    if seconds >= _FAR_SECONDS:
        return None
    if seconds <= -_FAR_SECONDS:
        return -FOREVER_NS
    return round(seconds * 10**9)


def to_delay_ns(seconds: float, what: str) -> int | None:
    """Turn a length of time into nanoseconds.

    Args:
        seconds: a float that is neither negative nor NaN, or such an int.
        what: its name in the error.

    Returns:
        Nanoseconds; None for what lies too far away to ever come.

    Raises:
        InvalidValueError: it is negative or NaN.
    """
    if seconds < 0:
        raise InvalidValueError(
            f"{what} must not be negative, got {seconds!r}; for a time in the past use *_at"
        )
    return to_ns(seconds, what)


def to_seconds(instant_ns: int | None) -> float:
    """Turn nanoseconds into seconds.

    Args:
        instant_ns: nanoseconds; None for never.

    Returns:
        Seconds.
    """
    return math.inf if instant_ns is None else instant_ns / 10**9
