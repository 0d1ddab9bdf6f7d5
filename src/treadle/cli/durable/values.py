"""JSON values as they come on a command line and go to stdout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from treadle.cli.exits import CommandError
from treadle.cli.notes import write_out
from treadle.cli.options import OutputFormat
from treadle.payloads import encode

ARGUMENTS_HELP: Final = (
    'JSON values; a word that is no JSON is a string: order-7 is "order-7", 42 a number, \'"42"\' a string.'
)
_BEGINS_LIKE_JSON: Final = ("{", "[", '"')

Arguments = Annotated[str, Parameter(help=ARGUMENTS_HELP, allow_leading_hyphen=False)]
"""For ``*arguments: Arguments``."""


def values_of(words: Sequence[str]) -> list[Any]:
    """Read arguments.

    Args:
        words: as they stand on the command line.

    Returns:
        A value for each.

    Raises:
        CommandError: one begins like JSON and is none.
    """
    return [value_of(word) for word in words]


def value_of(word: str) -> Any:
    """Read one argument.

    Args:
        word: as it stands on the command line.

    Returns:
        The JSON value it is, or itself.

    Raises:
        CommandError: it begins like JSON and is none: surely a slip, not a string.
    """
    try:
        return msgspec.json.decode(word)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        if word.lstrip().startswith(_BEGINS_LIKE_JSON):
            raise CommandError(
                f"an argument that begins with {word.lstrip()[0]} is JSON, got {word[:80]!r}: {error};"
                " for a string put it in JSON's own quotes"
            ) from error
        return word


def show_value(output: OutputFormat, value: Any) -> None:
    """Write a value to stdout: for people on several lines, else on one.

    Args:
        output: the format.
        value: what a workflow, a query or an update has answered.

    Raises:
        InvalidValueError: it has no JSON form.
    """
    document = encode(value)
    if output == "table":
        document = msgspec.json.format(document, indent=2)
    write_out(document.decode() + "\n")
