"""Event times as people write them on a command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from cyclopts import Parameter, Token

from treadle.events import check_timestamp
from treadle.formats.times import timestamp_ns

_WHOLE: Final = re.compile(r"[+-]?[0-9]+")


def moment(text: str) -> int:
    """Read an event time.

    Args:
        text: whole nanoseconds since 1970, or RFC 3339.

    Returns:
        Nanoseconds since 1970, UTC.

    Raises:
        InvalidValueError: it is neither, or does not fit into 64 signed bits.
    """
    if _WHOLE.fullmatch(text):
        # More digits than any 64-bit number has: Python itself refuses to convert thousands of them.
        timestamp = int(text[:25])
        check_timestamp(timestamp)
        return timestamp
    return timestamp_ns(text)


def _convert(_: Any, tokens: Sequence[Token]) -> int:
    return moment(tokens[0].value)


MomentOption = Annotated[
    int | None, Parameter(converter=_convert, allow_leading_hyphen=True, n_tokens=1, metavar="TIME")
]
