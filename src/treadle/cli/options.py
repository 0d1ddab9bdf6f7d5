"""The options that commands share, each told once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter, Token
from cyclopts.validators import Number

DEFAULT_STORE: Final = "./treadle.db"

_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_DIGITS_MAX: Final = 100
"""More than any number that is meant; Python itself refuses to convert thousands of them."""


def whole(text: str) -> int:
    """Read a whole number; nothing is rounded, and no other notation is guessed.

    Args:
        text: decimal digits, after a sign if need be.

    Returns:
        The number.

    Raises:
        ValueError: it is something else.
    """
    if _WHOLE.fullmatch(text) is None or len(text) > _DIGITS_MAX:
        raise ValueError(f"expected a whole number such as 42, got {text[:60]!a}")
    return int(text)


def _convert(_: Any, tokens: Sequence[Token]) -> int:
    return whole(tokens[0].value)


OutputFormat = Literal["table", "json", "jsonl"]

StoreOption = Annotated[
    str,
    Parameter(
        name="--store",
        env_var="TREADLE_STORE",
        help="the store: a path, or a URL such as sqlite:orders.db.",
    ),
]
OutputOption = Annotated[
    OutputFormat,
    Parameter(
        name=["--output", "-o"],
        help="how data is printed: as a table, one JSON document, or one JSON object a line.",
    ),
]
PrefixOption = Annotated[
    str, Parameter(name="--prefix", help="only workflows whose id begins so.", allow_leading_hyphen=True)
]
WorkflowArgument = Annotated[str, Parameter(help="the workflow's id.", allow_leading_hyphen=False)]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]

WHOLE: Final = Parameter(converter=_convert, n_tokens=1)
"""For every option that is an int: left alone, the library takes 1.5 for 2, and 0x10 for 16."""
Positive = Number(gte=1)
"""Counts of which there must be one."""
Share = Number(gte=0, lte=1)
"""Fractions."""
