"""The whole dimension from what it was and the rows of one newer period.

Only versions that are open can change. Each of them *lasts* (its fact repeats the tracked attributes, or
there is none and silence says nothing) or *ends*; what is past stays. A fact opens a version unless one of
its key lasts.
"""

from __future__ import annotations

from treadle.projections.scd.sql.tables import Tables, query_of
from treadle.projections.scd.sql.terms import Terms


def incremental(terms: Terms, table: str, previous: str, period: str, *, is_snapshots: bool) -> str:
    """Write the query.

    Args:
        terms: the declaration in a dialect.
        table: the table of rows, quoted.
        previous: the table of the dimension as it was, quoted.
        period: the period of the step.
        is_snapshots: whether a key without a row in a period is deleted by that.

    Returns:
        One SELECT.
    """
    fates = _fates(terms, previous, is_snapshots=is_snapshots)
    return query_of(
        {**terms.facts(table, period), **fates, **_after(terms, period)},
        f"""
        SELECT {terms.given("v", "ktu")}
          v.first_p AS "valid_from", v.next_p AS "valid_to", v.next_p IS NULL AS "is_current"
        FROM treadle_scd_after AS v
        ORDER BY {terms.by_key("v")}, v.first_p""",
    )


def _fates(terms: Terms, previous: str, *, is_snapshots: bool) -> Tables:
    fresh = "".join(f"f.{name} AS new_{name}, " for name, _ in terms.named("u"))
    others = terms.differ((f"h.{name}", f"f.{name}", column) for name, column in terms.named("t"))
    silent = "ends" if is_snapshots else "lasts unseen"
    return {
        "treadle_scd_held": f"""
            SELECT {terms.taken("d", "ktu")}{terms.keyed("d")}
              d."valid_from" AS first_p, d."valid_to" AS next_p
            FROM {previous} AS d""",
        "treadle_scd_fates": f"""
            SELECT h.*, {fresh}
              CASE WHEN h.next_p IS NOT NULL THEN 'past'
                WHEN f.gone IS NULL THEN '{silent}'
                WHEN f.gone THEN 'ends'
                WHEN {others} THEN 'ends'
                ELSE 'lasts' END AS fate
            FROM treadle_scd_held AS h
            LEFT JOIN treadle_scd_facts AS f ON {terms.same_key("h", "f")} AND h.next_p IS NULL""",
    }


def _after(terms: Terms, period: str) -> Tables:
    carried = "".join(
        f"CASE WHEN c.fate = 'lasts' THEN c.new_{name} ELSE c.{name} END AS {name}, "
        for name, _ in terms.named("u")
    )
    return {
        "treadle_scd_after": f"""
            SELECT {terms.listed("c", "kt")}{carried}{terms.by_key("c")}, c.first_p,
              CASE WHEN c.fate = 'ends' THEN '{period}' ELSE c.next_p END AS next_p
            FROM treadle_scd_fates AS c
            UNION ALL
            SELECT {terms.listed("f", "ktu")}{terms.by_key("f")}, f.p, NULL
            FROM treadle_scd_facts AS f
            LEFT JOIN treadle_scd_fates AS c ON {terms.same_key("c", "f")} AND c.fate = 'lasts'
            WHERE NOT f.gone AND c.fate IS NULL""",
    }
