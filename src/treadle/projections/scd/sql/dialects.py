"""Where the three databases differ: how text is compared as its bytes, and values with NULL among them.

That is all: window functions, common table expressions and `NULLS LAST` are the same in SQLite, DuckDB and
PostgreSQL, so no library is asked to translate. One would bring its own reading of these same two places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

from treadle.errors import InvalidValueError

Dialect: TypeAlias = Literal["sqlite", "duckdb", "postgres"]


@attrs.frozen(slots=True)
class Rules:
    """How a database writes what the others write otherwise.

    Attributes:
        bytes_of: a text so that it is equal to, and sorted among, others by its UTF-8 bytes, whatever its
            column's collation: Python compares code points, which is the same order.
        differs: two expressions compared, with NULL as a value like any other.
    """

    bytes_of: Callable[[str], str]
    differs: Callable[[str, str], str]


DIALECTS: Final[Mapping[str, Rules]] = {
    "sqlite": Rules(
        # COLLATE in an operand counts before the collation of a column, which CAST would keep.
        lambda text: f"CAST({text} AS TEXT) COLLATE BINARY",
        lambda left, right: f"{left} IS NOT {right}",  # IS DISTINCT FROM came with 3.39 alone
    ),
    "duckdb": Rules(
        lambda text: f"encode(CAST({text} AS TEXT))",  # its CAST keeps a column's collation, a BLOB has none
        lambda left, right: f"{left} IS DISTINCT FROM {right}",
    ),
    "postgres": Rules(
        lambda text: f'CAST({text} AS TEXT) COLLATE "C"',
        lambda left, right: f"{left} IS DISTINCT FROM {right}",
    ),
}
"""All dialects there are, by name."""


def rules_of(dialect: Any) -> Rules:
    """Find a dialect.

    Args:
        dialect: its name.

    Returns:
        What is its own.

    Raises:
        InvalidValueError: there is none of that name.
    """
    if isinstance(dialect, str) and dialect in DIALECTS:
        return DIALECTS[dialect]
    raise InvalidValueError(f"a dialect is one of {', '.join(DIALECTS)}, got {dialect!r:.60}")
