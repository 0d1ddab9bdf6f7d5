"""The options that commands share, each told once."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

DEFAULT_STORE: Final = "./treadle.db"

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

Positive = Number(gte=1)
"""Counts of which there must be one."""
Share = Number(gte=0, lte=1)
"""Fractions."""
