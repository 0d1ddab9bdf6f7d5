"""A dimension's queries in SQL, written from the same declaration; see `Dimension.sql`. Pure: text alone."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from treadle.errors import InvalidValueError
from treadle.projections.scd.facts import Reader
from treadle.projections.scd.sql.backfill import backfill
from treadle.projections.scd.sql.checking import check
from treadle.projections.scd.sql.dialects import DIALECTS, Dialect, rules_of
from treadle.projections.scd.sql.incremental import incremental
from treadle.projections.scd.sql.names import Table, quoted_table
from treadle.projections.scd.sql.terms import Terms

__all__ = ["DIALECTS", "Dialect", "Query", "Table", "write"]

Query: TypeAlias = Literal["backfill", "incremental", "check"]


def write(
    query: Query,
    reader: Reader,
    dialect: Dialect,
    table: Table,
    *,
    is_snapshots: bool,
    previous: Table | None,
    period: str | None,
    periods: Table | None,
) -> str:
    """Write one of the queries.

    Args:
        query: which one.
        reader: the declaration.
        dialect: for which database.
        table: the table of rows.
        is_snapshots: whether a key without a row in a period is deleted by that.
        previous: the table of the dimension as it was.
        period: the step's period.
        periods: a table of further periods that were looked at.

    Returns:
        The query.

    Raises:
        InvalidValueError: a query, dialect or name is none, or what the query needs is not what was given.
    """
    _check_parts(query, previous, period, periods)
    terms = Terms(reader, rules_of(dialect))
    rows = quoted_table(table, "table")
    before = None if previous is None else quoted_table(previous, "previous")
    looked_at = None if periods is None else quoted_table(periods, "periods")
    if query == "check":
        return check(terms, rows, before, period)
    if before is None or period is None:
        return backfill(terms, rows, is_snapshots=is_snapshots, periods=looked_at)
    return incremental(terms, rows, before, period, is_snapshots=is_snapshots)


def _check_parts(query: Query, previous: object, period: object, periods: object) -> None:
    if query not in get_args(Query):
        raise InvalidValueError(f"a query is one of {', '.join(get_args(Query))}, got {query!r:.60}")
    given = [name for name, part in (("previous", previous), ("period", period)) if part is not None]
    if len(given) not in {"backfill": (0,), "incremental": (2,), "check": (0, 2)}[query]:
        raise InvalidValueError(
            f"a step's query takes previous and period, a backfill's neither: {query!r} got"
            f" {' and '.join(given) or 'none of them'}"
        )
    if periods is not None and query != "backfill":
        raise InvalidValueError(f"periods is for 'backfill' alone, got it with {query!r}; leave it out")
