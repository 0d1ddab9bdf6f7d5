"""What Python refuses with an error, as rows: a query that gives none says that the next one may run."""

from __future__ import annotations

from treadle.projections.scd.sql.names import quoted
from treadle.projections.scd.sql.terms import Terms


def check(terms: Terms, table: str, previous: str | None, period: str | None) -> str:
    """Write the query.

    Args:
        terms: the declaration in a dialect.
        table: the table of rows, quoted.
        previous: the table of the dimension as it was, quoted; None before a backfill.
        period: the period of the step; None before a backfill.

    Returns:
        One SELECT of a column ``problem`` and the key's columns.
    """
    keys = ", ".join(f"r.{quoted(column.name)}" for _, column in terms.named("k"))
    held = ", ".join(f"d.{quoted(column.name)}" for _, column in terms.named("k"))
    is_null = " OR ".join(f"r.{quoted(column.name)} IS NULL" for _, column in terms.named("k"))
    of_row = f"r.{quoted(terms.reader.period)}"
    only = f" AND {of_row} = '{period}'" if period else ""
    problems = [f"SELECT 'the key is null' AS problem, {keys} FROM {table} AS r WHERE ({is_null}){only}"]
    if period is None:
        problems += [f"SELECT 'the period is null', {keys} FROM {table} AS r WHERE {of_row} IS NULL"]
    if previous is not None:
        reaches = f"""d."valid_from" >= '{period}' OR d."valid_to" >= '{period}'"""
        problems += [f"SELECT 'the step is not newer', {held} FROM {previous} AS d WHERE {reaches}"]
    return "\nUNION ALL\n".join(problems)
