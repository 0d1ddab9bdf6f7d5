"""How a query is put together: tables of its own, one after the other, and what is selected at the end."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent, indent
from typing import TypeAlias

Tables: TypeAlias = Mapping[str, str]
"""The SELECT behind each table of a query, by name; each may build on those before it."""


def query_of(tables: Tables, selected: str) -> str:
    """Put a query together.

    Args:
        tables: its tables.
        selected: the SELECT over them.

    Returns:
        The query.
    """
    made = ",\n".join(f"{name} AS (\n{indent(_tidy(body), '  ')}\n)" for name, body in tables.items())
    return f"WITH {made}\n{_tidy(selected)}"


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in dedent(text).splitlines() if line.strip())
