"""Names and literals, quoted for all three databases alike.

Inside a query columns have names of our own, so that what somebody calls a column is written where it is read
and where it is given back, and nowhere else. There it stands behind the name of its table: SQLite takes a
quoted name that it does not know for a text, but not one with a dot before it.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from treadle.errors import InvalidValueError
from treadle.projections.scd.columns import column_name

Table: TypeAlias = str | tuple[str, ...]
"""A table's name, or its parts, such as ``("schema", "table")``."""

PREFIX: Final = "treadle_scd_"
"""What the names of a query's own tables begin with."""


def quoted(name: str) -> str:
    """Write a name.

    Args:
        name: a name that `column_name` has taken.

    Returns:
        It in double quotes.
    """
    return '"' + name.replace('"', '""') + '"'


def quoted_table(table: Table, what: str) -> str:
    """Write the name of a table.

    Args:
        table: its name, or the parts of it.
        what: what the call says it is, for the error.

    Returns:
        The parts in double quotes, with dots between them.

    Raises:
        InvalidValueError: it is no name, or one that the query uses itself.
    """
    parts: Any = (table,) if isinstance(table, str) else table
    if not isinstance(parts, tuple) or not parts:
        raise InvalidValueError(
            f"{what} is a table's name, or a tuple such as ('schema', 'table'), got {table!r:.60}"
        )
    for part in parts:
        if column_name(part).casefold().startswith(PREFIX):
            raise InvalidValueError(
                f"{what} is called {part!r:.60}, and what begins with {PREFIX!r} is the query's own;"
                " rename it, or make a view of another name"
            )
    return ".".join(quoted(part) for part in parts)
