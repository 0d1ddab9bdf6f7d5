"""The whole dimension from all rows: gaps and islands.

A fact opens a version when no version is open before it or a tracked attribute is another one; counting the
openings numbers the versions. A version ends at the key's next fact behind its last one.
"""

from __future__ import annotations

from treadle.projections.scd.sql.names import quoted
from treadle.projections.scd.sql.tables import Tables, query_of
from treadle.projections.scd.sql.terms import Terms


def backfill(terms: Terms, table: str, *, is_snapshots: bool, periods: str | None) -> str:
    """Write the query.

    Args:
        terms: the declaration in a dialect.
        table: the table of rows, quoted.
        is_snapshots: whether a key without a row in a period is deleted by that.
        periods: a table of further periods that were looked at, quoted, or None.

    Returns:
        One SELECT.
    """
    facts = terms.facts(table)
    told = "treadle_scd_told" if is_snapshots else "treadle_scd_facts"
    absences = _absences(terms, periods) if is_snapshots else {}
    return query_of(
        {**facts, **absences, **_versions(terms, told)},
        f"""
        SELECT {terms.given("v", "ktu")}
          v.first_p AS "valid_from", v.next_p AS "valid_to", v.next_p IS NULL AS "is_current"
        FROM treadle_scd_versions AS v
        WHERE v.from_last = 1
        ORDER BY {terms.by_key("v")}, v.first_p""",
    )


def _versions(terms: Terms, told: str) -> Tables:
    others = terms.differ((f"f.{name}", f"LAG(f.{name}) OVER w", column) for name, column in terms.named("t"))
    return {
        "treadle_scd_marked": f"""
            SELECT f.*, LEAD(f.p) OVER w AS next_p,
              CASE WHEN f.gone THEN 0
                WHEN COALESCE(LAG(f.gone) OVER w, TRUE) THEN 1
                WHEN {others} THEN 1
                ELSE 0 END AS opens
            FROM {told} AS f
            WINDOW w AS (PARTITION BY {terms.by_key("f")} ORDER BY f.p)""",
        "treadle_scd_numbered": f"""
            SELECT m.*, SUM(m.opens) OVER (
              PARTITION BY {terms.by_key("m")} ORDER BY m.p
              ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS number
            FROM treadle_scd_marked AS m""",
        "treadle_scd_versions": f"""
            SELECT n.*, MIN(n.p) OVER (PARTITION BY {terms.by_key("n")}, n.number) AS first_p,
              ROW_NUMBER() OVER (PARTITION BY {terms.by_key("n")}, n.number ORDER BY n.p DESC) AS from_last
            FROM treadle_scd_numbered AS n
            WHERE NOT n.gone""",
    }


def _absences(terms: Terms, periods: str | None) -> Tables:
    """Add a deletion behind each fact whose key is missing from the next period that was looked at."""
    more = f"UNION SELECT q.{quoted(terms.reader.period)} FROM {periods} AS q" if periods else ""
    nothing = "".join(f"NULL AS {name}, " for name, _ in terms.named("tu"))
    return {
        "treadle_scd_looked_at": f"""
            SELECT DISTINCT f.p FROM treadle_scd_facts AS f
            {more}""",
        "treadle_scd_periods": """
            SELECT d.p, LEAD(d.p) OVER (ORDER BY d.p) AS next_looked_at
            FROM treadle_scd_looked_at AS d""",
        "treadle_scd_followed": f"""
            SELECT {terms.listed("f", "k")}{terms.by_key("f")}, d.next_looked_at,
              LEAD(f.p) OVER (PARTITION BY {terms.by_key("f")} ORDER BY f.p) AS next_own
            FROM treadle_scd_facts AS f
            JOIN treadle_scd_periods AS d ON d.p = f.p""",
        "treadle_scd_told": f"""
            SELECT f.* FROM treadle_scd_facts AS f
            UNION ALL
            SELECT {terms.listed("a", "k")}{nothing}{terms.by_key("a")}, a.next_looked_at AS p, TRUE AS gone
            FROM treadle_scd_followed AS a
            WHERE a.next_looked_at IS NOT NULL AND (a.next_own IS NULL OR a.next_own > a.next_looked_at)""",
    }
