"""A fact: what is known of one key in one period, which is one row of those that told it.

Several rows of one key and period are put into a total order, and the last one is the fact: by the observed
columns first, then a deletion behind what is none, then by the tracked and the untracked attributes, each in
the order in which it was declared and None before everything else. Rows that are equal in all of that say the
same. So which row wins depends on nothing but the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import attrs

from treadle.errors import InvalidValueError
from treadle.projections.scd.columns import Column, Values, in_order
from treadle.projections.scd.grains import Grain

Row: TypeAlias = Mapping[str, Any]
"""A row as it comes: values by the names of columns. Columns that are not declared are passed over."""


@attrs.frozen(slots=True)
class Fact:
    """What is known of one key in one period.

    Attributes:
        period: the period.
        deleted: whether it says that the key is gone; then it has no attributes.
        observed: by which the last of several rows was told.
        tracked: the attributes whose change opens a version.
        untracked: the attributes that a version only carries along.
    """

    period: str
    deleted: bool = False
    observed: Values = ()
    tracked: Values = ()
    untracked: Values = ()


@attrs.frozen(slots=True)
class Reader:
    """Makes facts of rows.

    Attributes:
        grain: what a period is.
        key: the columns of the key.
        tracked: the tracked attributes.
        untracked: the untracked ones.
        observed: what the last of several rows is told by.
        period: the name of the period's column.
        deleted: the name of the column that marks a deletion, or None.
    """

    grain: Grain
    key: tuple[Column, ...]
    tracked: tuple[Column, ...]
    untracked: tuple[Column, ...]
    observed: tuple[Column, ...]
    period: str
    deleted: str | None

    def facts(self, rows: Iterable[Row], only: str | None = None) -> dict[Values, dict[str, Fact]]:
        """Read rows into the facts they come to.

        Args:
            rows: the rows, in any order.
            only: the one period that they may be of, or None for any.

        Returns:
            For each key its facts, by period.

        Raises:
            InvalidValueError: a row is none of this dimension, or is of another period. It is named by its
                place, counted from 1.
        """
        if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
            raise InvalidValueError(f"rows is a list of mappings, got {rows!r:.60}")
        found: dict[Values, dict[str, Fact]] = {}
        for number, row in enumerate(rows, 1):
            try:
                key, fact = self._read(row)
                self._check_period(fact, only)
            except InvalidValueError as error:
                raise InvalidValueError(f"row {number}: {error}") from None
            of_key = found.setdefault(key, {})
            of_key[fact.period] = last_of(of_key.get(fact.period), fact)
        return found

    def _read(self, row: Row) -> tuple[Values, Fact]:
        if not isinstance(row, Mapping):
            raise InvalidValueError(f"a row is a mapping of columns to values, got {row!r:.60}")
        key = _taken(row, self.key)
        if None in key:
            name = self.key[key.index(None)].name
            raise InvalidValueError(
                f"key {name!r} is null; leave the row out, or give it the key it belongs to"
            )
        period = self.grain.period(_value(row, self.period))
        observed = _taken(row, self.observed)
        if self._is_deletion(row):
            return key, Fact(period, deleted=True, observed=observed)
        tracked, untracked = _taken(row, self.tracked), _taken(row, self.untracked)
        return key, Fact(period, False, observed, tracked, untracked)

    def _is_deletion(self, row: Row) -> bool:
        return self.deleted is not None and bool(Column(self.deleted, bool).take(row.get(self.deleted)))

    def _check_period(self, fact: Fact, only: str | None) -> None:
        if only is not None and fact.period != only:
            raise InvalidValueError(
                f"a step takes the rows of one period: expected {only!r}, got {fact.period!r};"
                " take a step for each period"
            )


def last_of(known: Fact | None, fact: Fact) -> Fact:
    """Tell which of two facts about one key and period counts.

    Args:
        known: one, or None for no other.
        fact: the other.

    Returns:
        The last one in the total order.
    """
    return fact if known is None or _place(known) < _place(fact) else known


def _place(fact: Fact) -> tuple[Any, ...]:
    return in_order(fact.observed), fact.deleted, in_order(fact.tracked), in_order(fact.untracked)


def _taken(row: Row, columns: tuple[Column, ...]) -> Values:
    return tuple(column.take(_value(row, column.name)) for column in columns)


def _value(row: Row, name: str) -> Any:
    if name in row:
        return row[name]
    raise InvalidValueError(
        f"column {name!r} is missing; a row has every declared column, with None for what is not known"
    )
