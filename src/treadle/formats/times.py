"""Calendar text to nanoseconds and back, exactly: no float ever holds a time."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from treadle.errors import InvalidValueError
from treadle.events import TIMESTAMP_MAX, TIMESTAMP_MIN

_SECOND: Final = 1_000_000_000
_FRACTION_DIGITS_MAX: Final = 9
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOURS: Final = "hours end at 23, or at 24:00:00"

_PARTS_CACHED_MAX: Final = 4_096
"""A log's days, seconds and offsets repeat: remembering them halves the price of a time."""

# The union of RFC 3339 and xs:dateTime within the years an int64 of nanoseconds can hold. The colon in
# the offset is optional because old SimpleDateFormat writers leave it out. [0-9], because \d also
# matches the digits of other scripts.
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-][0-9]{2}:?[0-9]{2}))?"
)


def timestamp_ns(text: str) -> int:
    """Tell the event time that a calendar text names.

    Args:
        text: RFC 3339 or xs:dateTime, such as ``2012-05-05T14:54:27.123456789+02:00``. Without an
            offset it is UTC; ``24:00:00`` is the next day's midnight.

    Returns:
        Nanoseconds since the Unix epoch, UTC.

    Raises:
        InvalidValueError: not such a text, no such day or hour, finer than a nanosecond, or outside a
            signed 64-bit integer.
    """
    match = _MOMENT.fullmatch(text.strip(" \t\r\n"))
    if match is None:
        raise _invalid(text, "it has another form")
    day, clock, fraction, offset = match.groups()
    try:
        seconds = _day_seconds(day) + _clock_seconds(clock) - (_offset_seconds(offset) if offset else 0)
        nanoseconds = _fraction_ns(fraction) if fraction else 0
    except ValueError as error:
        raise _invalid(text, str(error)) from None
    if nanoseconds and clock.startswith("24"):
        raise _invalid(text, _HOURS)
    moment = seconds * _SECOND + nanoseconds
    if not TIMESTAMP_MIN <= moment <= TIMESTAMP_MAX:
        raise _invalid(text, "64 signed bits of nanoseconds end in the years 1677 and 2262")
    return moment


def timestamp_text(timestamp: int) -> str:
    """Write an event time as calendar text.

    Args:
        timestamp: nanoseconds since the Unix epoch, UTC.

    Returns:
        RFC 3339 in UTC, with as many fraction digits as the time needs; `timestamp_ns` gives the same
        number back.
    """
    seconds, nanoseconds = divmod(timestamp, _SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


@lru_cache(_PARTS_CACHED_MAX)
def _day_seconds(day: str) -> int:
    year, month, number = day.split("-")
    return (date(int(year), int(month), int(number)).toordinal() - _EPOCH_DAY) * 86_400


@lru_cache(_PARTS_CACHED_MAX)
def _clock_seconds(clock: str) -> int:
    hour, minute, second = (int(part) for part in clock.split(":"))
    if minute > 59 or second > 59:
        raise ValueError("minutes and seconds end at 59")
    if hour > 23 and clock != "24:00:00":
        raise ValueError(_HOURS)
    return hour * 3_600 + minute * 60 + second


@lru_cache(_PARTS_CACHED_MAX)
def _offset_seconds(offset: str) -> int:
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError("an offset ends at 23:59")
    seconds = hours * 3_600 + minutes * 60
    return -seconds if offset.startswith("-") else seconds


def _fraction_ns(digits: str) -> int:
    if digits[_FRACTION_DIGITS_MAX:].strip("0"):
        raise ValueError("it is finer than a nanosecond")
    return int(digits[:_FRACTION_DIGITS_MAX].ljust(_FRACTION_DIGITS_MAX, "0"))


def _invalid(text: str, reason: str) -> InvalidValueError:
    shown = f"{text[:40]!a}{'...' if len(text) > 40 else ''}"
    return InvalidValueError(
        f"a time looks like 2012-05-05T14:54:27.123456789+02:00, got {shown}: {reason}; correct the date"
    )
