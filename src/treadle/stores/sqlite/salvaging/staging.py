"""What the pages hold, sorted by what it looks like, in a database of its own: damaged stores are large too.

A row is told by its columns and their types, because the page that would say whose table it is may be the one
that is lost. A row that only looks like another's does no harm: events are proved by their chains, all others
by their checksums or by a second copy in an index.
"""

# ruff: noqa: S608 - the statements are put together from this page's own words
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import apsw

from treadle.stores.sqlite.salvaging.cells import Cell, Value, cells
from treadle.stores.sqlite.salvaging.pages import Pages

STAGE: Final = """
CREATE TABLE events (position INTEGER, workflow INTEGER, seq INTEGER, timestamp INTEGER, kind INTEGER,
    payload BLOB, digest BLOB, key BLOB);
CREATE TABLE names (workflow INTEGER, id TEXT, from_index INTEGER);
CREATE TABLE placed (workflow INTEGER, seq INTEGER, position INTEGER);
CREATE TABLE keyed (workflow INTEGER, key BLOB, position INTEGER);
CREATE TABLE heads (workflow INTEGER, status, run_start_seq, wake_up_ns, name, details, checksum);
CREATE TABLE had_facts (workflow INTEGER);
CREATE TABLE mailbox (arrival INTEGER, workflow_id, message_id, kind, payload, taken, checksum);
CREATE TABLE mailed (workflow_id, message_id, arrival INTEGER);
CREATE TABLE records (namespace, key, value, checksum);
CREATE TABLE beginnings (workflow, first_kept_seq, digest_before, shared_seq, hidden, reclaimed, checksum);
CREATE TABLE ranges (workflow, to_seq, from_seq, source, checksum);
CREATE TABLE settings (name, value);
"""
INDEX_STAGE: Final = """
CREATE INDEX events_by_log ON events (workflow, seq);
CREATE INDEX events_by_position ON events (position);
CREATE INDEX names_by_workflow ON names (workflow);
CREATE INDEX placed_by_log ON placed (workflow, seq);
CREATE INDEX keyed_by_position ON keyed (position);
CREATE INDEX mailed_by_id ON mailed (workflow_id, message_id);
"""
_ROWS_A_STEP: Final = 1_000
_STATUS_MAX: Final = 100
"""More than any status is: tells the index of statuses from that of wake-up times."""

Row: TypeAlias = tuple[Value, ...]

_TABLE_SHAPES: Final[dict[str, tuple[str, Callable[[Cell], Row]]]] = {
    "Niiiibbb": ("events", lambda cell: (cell.rowid, *cell.values[1:])),
    "NiiiibbN": ("events", lambda cell: (cell.rowid, *cell.values[1:])),
    "NT": ("names", lambda cell: (cell.rowid, cell.values[1], 0)),
    "NTbibib": ("mailbox", lambda cell: (cell.rowid, *cell.values[1:])),
    "Nibiiib": ("beginnings", lambda cell: (cell.rowid, *cell.values[1:])),
    "Ti": ("settings", lambda cell: (f"last {cell.values[0]!s}", cell.values[1])),
}
_SETTINGS: Final = frozenset({"epoch", "epoch_sum"})
"""Rows of the settings look like entries of the index of names, from which these two are left out."""
_INDEX_SHAPES: Final[dict[str, tuple[tuple[str, Callable[[Row], Row]], ...]]] = {
    "iii": (("placed", lambda row: row),),
    "ibi": (("keyed", lambda row: row),),
    "Ti": (("names", lambda row: (row[1], row[0], 1)), ("settings", lambda row: row)),
    "Tbi": (("mailed", lambda row: row),),
    "Tbbb": (("records", lambda row: row),),
    "iiiib": (("ranges", lambda row: row),),
}
_HEADS_COLUMNS: Final = 9


_LETTERS: Final[dict[type, str]] = {type(None): "N", str: "T", bytes: "b", int: "i"}


def _shape(values: Row) -> str:
    # No column of ours holds a fraction: what seems to is damaged.
    return "".join(_LETTERS.get(type(value), "f") for value in values)


def stage(connection: apsw.Connection, pages: Pages, advance: Callable[[float], None]) -> int:
    """Read every page, and keep whatever looks like a row of ours.

    Args:
        connection: on an empty database, inside a transaction; made ready here.
        pages: of the damaged store.
        advance: told for each page that it is done.

    Returns:
        How many pages could not be read.
    """
    connection.execute(STAGE)
    free = pages.free()
    unread = 0
    found: dict[str, list[Row]] = {}
    for number in range(1, pages.count + 1):
        page = None if number in free else pages.read(number)
        if page is None:
            unread += number not in free
        else:
            for cell in cells(page, number, pages.read):
                _sort(cell, found)
        if sum(map(len, found.values())) >= _ROWS_A_STEP:
            _put(connection, found)
        advance(1)
    _put(connection, found)
    connection.execute(INDEX_STAGE)
    return unread


def _sort(cell: Cell, found: dict[str, list[Row]]) -> None:
    shape = _shape(cell.values)
    if cell.rowid is None:
        for table, row in _INDEX_SHAPES.get(shape, ()):
            if table == "names" and cell.values[0] in _SETTINGS:
                continue
            found.setdefault(table, []).append(row(cell.values))
        if shape == "ii" and _is_status(cell.values[0]):
            found.setdefault("had_facts", []).append((cell.values[1],))
    elif len(shape) == _HEADS_COLUMNS and shape.startswith("Ni") and "f" not in shape:
        found.setdefault("heads", []).append((cell.rowid, *cell.values[3:]))
    elif (fitting := _TABLE_SHAPES.get(shape)) and fitting[0]:
        found.setdefault(fitting[0], []).append(fitting[1](cell))


def _is_status(value: Value) -> bool:
    return type(value) is int and 0 <= value < _STATUS_MAX


def fetched(
    connection: apsw.Connection, statement: str, bindings: tuple[apsw.SQLiteValue, ...] = ()
) -> list[tuple[Any, ...]]:
    """Put a question to the staging database.

    Args:
        connection: on it.
        statement: the question.
        bindings: its values.

    Returns:
        All rows; every value may be of any type.
    """
    rows: list[tuple[Any, ...]] = connection.execute(statement, bindings).fetchall()
    return rows


def _put(connection: apsw.Connection, found: dict[str, list[Row]]) -> None:
    for table, rows in found.items():
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", _fitting(rows))
    found.clear()


def _fitting(rows: list[Row]) -> Iterable[tuple[apsw.SQLiteValue, ...]]:
    return [tuple(row) for row in rows]
