"""A declaration's columns as expressions of a query, and the tables that both queries begin with."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from treadle.projections.scd.columns import Column
from treadle.projections.scd.facts import Reader
from treadle.projections.scd.sql.dialects import Rules
from treadle.projections.scd.sql.names import quoted
from treadle.projections.scd.sql.tables import Tables


@attrs.frozen(slots=True)
class Terms:
    """What expressions of a query are called and how they are written.

    Inside, the key's columns are ``k0`` ..., and once more, written to be compared, ``x0`` ...; attributes
    are ``t0`` ... and ``u0`` ..., what rows were observed at is ``o0`` ..., the period ``p``, a deletion
    ``gone``.

    Attributes:
        reader: the declaration.
        rules: the dialect.
    """

    reader: Reader
    rules: Rules

    @property
    def groups(self) -> dict[str, tuple[Column, ...]]:
        """The columns under the letters that stand for them."""
        reader = self.reader
        return {"k": reader.key, "t": reader.tracked, "u": reader.untracked, "o": reader.observed}

    def named(self, letters: str) -> list[tuple[str, Column]]:
        """Tell the names inside for some groups.

        Args:
            letters: the groups' letters.

        Returns:
            Each name with its column.
        """
        return [
            (f"{letter}{n}", column) for letter in letters for n, column in enumerate(self.groups[letter])
        ]

    def listed(self, alias: str, letters: str) -> str:
        """List columns of a table of the query.

        Args:
            alias: the table.
            letters: the groups' letters.

        Returns:
            The list; empty when the groups have no columns, otherwise with a comma behind it.
        """
        return "".join(f"{alias}.{name}, " for name, _ in self.named(letters))

    def taken(self, alias: str, letters: str) -> str:
        """List columns of somebody's table under their names inside.

        Args:
            alias: the table.
            letters: the groups' letters.

        Returns:
            The list, like `listed`.
        """
        return "".join(f"{alias}.{quoted(column.name)} AS {name}, " for name, column in self.named(letters))

    def given(self, alias: str, letters: str) -> str:
        """List columns of a table of the query under their declared names.

        Args:
            alias: the table.
            letters: the groups' letters.

        Returns:
            The list, like `listed`.
        """
        return "".join(f"{alias}.{name} AS {quoted(column.name)}, " for name, column in self.named(letters))

    def exact(self, expression: str, column: Column) -> str:
        """Write an expression so that it is compared and sorted as Python does.

        Args:
            expression: the expression.
            column: whose values it has.

        Returns:
            The expression to compare and to sort by.
        """
        return self.rules.bytes_of(expression) if column.type is str else expression

    def keyed(self, alias: str) -> str:
        """List the key of somebody's table, written to be compared, as ``x0`` ...

        They are columns of their own because SQLite makes an index to join by for a column, and for an
        expression none.

        Args:
            alias: the table.

        Returns:
            The list, like `listed`.
        """
        return "".join(
            f"{self.exact(f'{alias}.{quoted(column.name)}', column)} AS x{number}, "
            for number, column in enumerate(self.reader.key)
        )

    def by_key(self, alias: str) -> str:
        """List the key of a table of the query, to part and to sort by it.

        Args:
            alias: the table.

        Returns:
            The list, without a comma behind it.
        """
        return ", ".join(f"{alias}.x{number}" for number in range(len(self.reader.key)))

    def same_key(self, left: str, right: str) -> str:
        """Ask whether two tables of the query have the same key.

        Args:
            left: one table.
            right: the other.

        Returns:
            The condition.
        """
        return " AND ".join(f"{left}.x{number} = {right}.x{number}" for number in range(len(self.reader.key)))

    def differ(self, pairs: Iterable[tuple[str, str, Column]]) -> str:
        """Ask whether any of some pairs differ.

        Args:
            pairs: two expressions each, and their column.

        Returns:
            The condition.
        """
        return " OR ".join(
            self.rules.differs(self.exact(left, column), self.exact(right, column))
            for left, right, column in pairs
        )

    def facts(self, table: str, period: str | None = None) -> Tables:
        """Write the tables that pick the fact of each key and period.

        Args:
            table: the table of rows, quoted.
            period: the one period to read, or None for all.

        Returns:
            The tables; the facts are in `treadle_scd_facts`.
        """
        reader = self.reader
        gone = f"COALESCE(r.{quoted(reader.deleted)}, FALSE)" if reader.deleted else "FALSE"
        only = f"WHERE r.{quoted(reader.period)} = '{period}'" if period else ""
        return {
            "treadle_scd_rows": f"""
                SELECT {self.taken("r", "ktuo")}{self.keyed("r")}
                  r.{quoted(reader.period)} AS p, {gone} AS gone
                FROM {table} AS r
                {only}""",
            "treadle_scd_ranked": f"""
                SELECT r.*, ROW_NUMBER() OVER (
                  PARTITION BY {self.by_key("r")}, r.p
                  ORDER BY {self._last_first("r")}
                ) AS place
                FROM treadle_scd_rows AS r""",
            "treadle_scd_facts": f"""
                SELECT {self.listed("r", "ktu")}{self.by_key("r")}, r.p, r.gone
                FROM treadle_scd_ranked AS r
                WHERE r.place = 1""",
        }

    def _last_first(self, alias: str) -> str:
        """The total order of rows, from its end; `facts.py` has the same for Python."""
        observed, attributes = (
            [
                f"{self.exact(f'{alias}.{name}', column)} DESC NULLS LAST"
                for name, column in self.named(letters)
            ]
            for letters in ("o", "tu")
        )
        return ", ".join([*observed, f"{alias}.gone DESC", *attributes])
