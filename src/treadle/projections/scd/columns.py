"""The columns of a dimension: their names, and the one type that each of them holds.

Types are declared because three questions have an answer only then: whether ``1``, ``1.0`` and ``True`` are
the same value (a database that holds them in one column says yes, JSON says no), which of two values is the
larger one, and how text is compared. All of them decide which row wins, so Python and every database must
agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from treadle.errors import InvalidValueError

Value: TypeAlias = bool | int | float | str | None
"""What a column holds: None, or a value of its type."""
Values: TypeAlias = tuple[Value, ...]

COLUMN_SIZE_BYTES_MAX: Final = 63
"""PostgreSQL cuts longer names off without an error, so that two of them could become one."""
INTEGER_MAX: Final = 2**63 - 1
"""The largest whole number that all three databases hold."""


def _is_storable(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _is_exact(number: float) -> bool:
    try:
        return math.isfinite(number) and float(number) == number
    except OverflowError:
        return False


@attrs.frozen(slots=True)
class Kind:
    """What a type of columns holds.

    Attributes:
        rule: the rule in words, for errors.
        accepts: whether a value keeps to it.
        keep: the one of several equal values that is kept, such as 1.0 for 1: their JSON is equal, too.
    """

    rule: str
    accepts: Callable[[Any], bool]
    keep: Callable[[Any], Value]


TYPES: Final[Mapping[type, Kind]] = {
    str: Kind(
        "text (str) without NULs and lone surrogates",
        accepts=lambda value: type(value) is str and _is_storable(value),
        keep=str,
    ),
    int: Kind(
        "whole numbers (int) of 64 signed bits",
        accepts=lambda value: type(value) is int and -INTEGER_MAX - 1 <= value <= INTEGER_MAX,
        keep=int,
    ),
    float: Kind(
        "finite numbers (float) that a double holds exactly",
        accepts=lambda value: type(value) in (int, float) and _is_exact(value),
        keep=lambda value: float(value) + 0.0,  # -0.0 becomes 0.0
    ),
    bool: Kind(
        "True or False (bool)",
        accepts=lambda value: type(value) in (bool, int) and value in (0, 1),  # SQLite gives 1 and 0 back
        keep=bool,
    ),
}
"""The types a column may have."""


@attrs.frozen(slots=True)
class Column:
    """A column: its name, and what it holds.

    Attributes:
        name: the name it has in rows and tables.
        type: `str`, `int`, `float` or `bool`; None is allowed beside it wherever a key is not asked for.
    """

    name: str
    type: type

    def take(self, value: object) -> Value:
        """Take a value into the column.

        Args:
            value: what a row has there.

        Returns:
            The value; of several that are equal the same one.

        Raises:
            InvalidValueError: it is of another type, or no database holds it.
        """
        if value is None:
            return None
        if TYPES[self.type].accepts(value):
            return TYPES[self.type].keep(value)
        kind = type(value).__name__
        is_another = type(value) in TYPES and type(value) is not self.type
        another = f"declare another type with {{{self.name!r}: {kind}}}, or " if is_another else ""
        raise InvalidValueError(
            f"column {self.name!r} holds {TYPES[self.type].rule}, got {value!r:.60} ({kind});"
            f" {another}convert the value"
        )


Declared: TypeAlias = str | Iterable[str | Column] | Mapping[str, type]
"""How columns are declared: a name, several names, names with types, or another declaration's columns."""


def columns(said: Declared) -> tuple[Column, ...]:
    """Read a declaration of columns.

    Args:
        said: one name or several, which hold text; or a mapping of names to types.

    Returns:
        The columns, in their order.

    Raises:
        InvalidValueError: a name or a type is none.
    """
    names: Any = (said,) if isinstance(said, str) else said
    if isinstance(names, bytes) or not isinstance(names, Iterable):
        raise InvalidValueError(f"columns are names, or a mapping of names to types, got {said!r:.60}")
    if isinstance(names, Mapping):
        return tuple(Column(column_name(name), _column_type(name, kind)) for name, kind in names.items())
    return tuple(name if isinstance(name, Column) else Column(column_name(name), str) for name in names)


def column_name(name: Any) -> str:
    """Take the name of a column or table.

    Args:
        name: the name.

    Returns:
        The same.

    Raises:
        InvalidValueError: no database has such a name, or one of them would change it.
    """
    if isinstance(name, str) and name.isprintable() and 1 <= len(name.encode()) <= COLUMN_SIZE_BYTES_MAX:
        return name
    raise InvalidValueError(
        f"a name is a printable str of 1-{COLUMN_SIZE_BYTES_MAX} UTF-8 bytes, got {name!r:.80};"
        " PostgreSQL would cut a longer one off"
    )


def in_order(values: Values) -> tuple[tuple[bool, Value], ...]:
    """Make values of the same columns comparable: None comes before everything else.

    Args:
        values: the values.

    Returns:
        What to sort them by. Text goes by code points, which is the order of its UTF-8 bytes.
    """
    return tuple((value is not None, value) for value in values)


def _column_type(name: str, kind: Any) -> type:
    if isinstance(kind, type) and kind in TYPES:
        return kind
    known = ", ".join(known.__name__ for known in TYPES)
    raise InvalidValueError(f"column {name!r} has one of the types {known}, got {kind!r:.60}")
