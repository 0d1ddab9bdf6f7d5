"""Slowly changing dimensions, type 2: what was known of each key, and from when to when it held.

**Rows.** A row tells of one key in one period: the key's columns, the period, and attributes. *Tracked*
attributes are those whose change is history; *untracked* ones are carried along. A key is never null; an
attribute may be.

**Periods.** The grain says how long a period is: minute, hour, day, week (from Monday), month, quarter or
year, in UTC. A period is named by its first instant. What lies inside one period is not told apart: of
several rows of one key in one period a single one counts, the *fact*, and which one does not depend on the
order of the rows. It is the last one by the `observed` columns; where these are equal a deletion, and then
the largest attributes (None is the smallest value, text goes by code points). A clash is no error, because a
table may hold one long before anybody asks, and two steps that each look sound would otherwise be refused
together in a backfill.

**Versions.** A *version* is a stretch of periods in which no tracked attribute of a key changed. It holds in
the half-open interval ``[valid_from, valid_to)``; ``valid_to`` is None for the current one. A fact that
repeats the tracked attributes opens none, and neither does a change of untracked attributes: a version
carries them as they were last known in it.

**Deletion.** A row whose `deleted` column is true ends the key's version at the beginning of its period. With
``absent="delete"`` the rows of a period are a full snapshot: a key that was there and is not in the next
period looked at is deleted by that. With ``absent="keep"`` silence says nothing. A key that comes back opens
a new version, with the old attributes as well, and the gap stays. Deleting what is not there changes nothing.

**Duality.** `backfill` makes the state of all rows at once, `incremental` goes on from a state by the rows of
one period. Step by step in whatever order, a state is the one that a backfill of all those rows makes. A step
at the newest period adds rows to it, and one that is repeated changes nothing. A step behind it must be
declared with ``late=True``, because it rewrites what was told already: it splits or extends versions that are
closed. In a dimension of snapshots a late period that nobody had looked at is a snapshot as well, in which
all other keys are missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias, get_args

import attrs

from treadle.errors import InvalidValueError, UsageError
from treadle.projections.scd.columns import Column, Values, column_name, columns
from treadle.projections.scd.facts import Fact, Reader, Row, last_of
from treadle.projections.scd.grains import GRAINS, Grain, Moment, Period
from treadle.projections.scd.sql import Dialect, Query, Table, write
from treadle.projections.scd.states import DimensionState, Member, in_order_of_keys, with_period
from treadle.projections.scd.versions import Version, extended, versions_of, with_absences

Absent: TypeAlias = Literal["keep", "delete"]

RESULT_COLUMNS: Final = ("valid_from", "valid_to", "is_current")
"""What a dimension's table has besides key and attributes."""


def _grain(_: object, __: object, grain: Any) -> None:
    if not isinstance(grain, str) or grain not in GRAINS:
        raise InvalidValueError(f"a grain is one of {', '.join(GRAINS)}, got {grain!r:.60}")


def _absent(_: object, __: object, absent: Any) -> None:
    if absent not in get_args(Absent):
        raise InvalidValueError(
            "absent is 'keep' (silence says nothing) or 'delete' (each period is a full snapshot),"
            f" got {absent!r:.60}"
        )


def _some(_: object, attribute: attrs.Attribute[Any], named: tuple[Column, ...]) -> None:
    if not named:
        raise InvalidValueError(f"a dimension has at least one {attribute.name} column, got none")


def _is_name(_: object, __: object, name: Any) -> None:
    column_name(name)


@attrs.frozen(slots=True)
class Dimension:
    """A slowly changing dimension of type 2, declared once for Python and for SQL.

    Columns are given as one name, several names (they hold text), or a mapping of names to `str`, `int`,
    `float` or `bool`. Columns of a row that are not declared are passed over.

    Args:
        name: what the dimension is called in errors; a state of a dimension with another name is refused.
        key: the columns of the key; never null.
        tracked: the attributes whose change opens a version.
        grain: how long a period is: ``"minute"``, ``"hour"``, ``"day"``, ``"week"``, ``"month"``,
            ``"quarter"`` or ``"year"``.
        untracked: attributes that are carried along, as last known in each version.
        observed: columns by which the last of several rows of one key and period is known, such as a position
            of the feed; the largest counts.
        period: the column of the period.
        deleted: a column of truth values that marks a deletion; None or missing in a row means False.
        absent: what it says that a key has no row in a period: ``"keep"`` nothing, ``"delete"`` that the key
            is gone, because each period is a full snapshot.

    Raises:
        InvalidValueError: the grain is unknown, a name or type is none, or a column is named twice.
    """

    name: str = attrs.field(validator=_is_name)
    key: tuple[Column, ...] = attrs.field(kw_only=True, converter=columns, validator=_some)
    tracked: tuple[Column, ...] = attrs.field(kw_only=True, converter=columns, validator=_some)
    grain: str = attrs.field(kw_only=True, validator=_grain)
    untracked: tuple[Column, ...] = attrs.field(kw_only=True, converter=columns, default=())
    observed: tuple[Column, ...] = attrs.field(kw_only=True, converter=columns, default=())
    period: str = attrs.field(kw_only=True, default="period", validator=_is_name)
    deleted: str | None = attrs.field(
        kw_only=True, default=None, validator=attrs.validators.optional(_is_name)
    )
    absent: Absent = attrs.field(kw_only=True, default="keep", validator=_absent)

    def __attrs_post_init__(self) -> None:
        """See that each column has one meaning."""
        meanings = {name: f"{name!r} of the result" for name in RESULT_COLUMNS}
        for meaning, name in self._named():
            folded = name.casefold()  # the databases do not tell names apart by case alone
            if folded in meanings:
                raise InvalidValueError(
                    f"dimension {self.name!r} names a column twice: {meaning} {name!r} is {meanings[folded]}"
                    " already; a column has one meaning, leave one out or rename it"
                )
            meanings[folded] = f"{meaning} {name!r}"

    def _named(self) -> list[tuple[str, str]]:
        named = [(meaning, column.name) for meaning, group in self._groups().items() for column in group]
        return [*named, ("period", self.period), *([("deleted", self.deleted)] if self.deleted else [])]

    def _groups(self) -> dict[str, tuple[Column, ...]]:
        return {
            "key": self.key,
            "tracked": self.tracked,
            "untracked": self.untracked,
            "observed": self.observed,
        }

    def empty(self) -> DimensionState:
        """Give the state before the first row.

        Returns:
            A state without periods and members.
        """
        return DimensionState(self._declaration())

    def period_of(self, moment: Moment) -> str:
        """Tell the period that a moment lies in, such as an event's timestamp.

        Args:
            moment: ISO text, a date, a datetime (a naive one is UTC), or nanoseconds since 1970.

        Returns:
            The period's name, as rows and `incremental` have it.

        Raises:
            InvalidValueError: it is no moment.
        """
        return self._grain().period_of(moment)

    def backfill(self, rows: Iterable[Row], *, periods: Iterable[Period] = ()) -> DimensionState:
        """Make the state of all rows at once.

        Args:
            rows: the rows, in any order.
            periods: periods that were looked at, for those in which there was no row: an empty snapshot
                deletes all keys, and rows alone do not tell that it was taken.

        Returns:
            The state.

        Raises:
            InvalidValueError: a row or a period is none of this dimension.
        """
        facts = self._reader().facts(rows)
        looked_at = {self._grain().period(period) for period in periods}
        looked_at.update(period for of_key in facts.values() for period in of_key)
        ordered = tuple(sorted(looked_at))
        members = {key: self._member(key, of_key, ordered) for key, of_key in facts.items()}
        return DimensionState(self._declaration(), ordered, in_order_of_keys(members))

    def incremental(
        self, previous: DimensionState, period: Period, rows: Iterable[Row], *, late: bool = False
    ) -> DimensionState:
        """Go on from a state by the rows of one period.

        Args:
            previous: the state before, of `empty`, `backfill` or another step.
            period: the period that the rows are of.
            rows: its rows, in any order; there may be none.
            late: whether the period may lie behind the newest one that was looked at.

        Returns:
            The state that a backfill would make of these rows and all those before.

        Raises:
            InvalidValueError: a row or the period is none of this dimension.
            UsageError: the state is another dimension's, or the period lies behind its newest one and was not
                declared late.
        """
        self._check_own(previous)
        period = self._grain().period(period)
        newest = previous.newest
        if newest is not None and period < newest and not late:
            raise UsageError(
                f"dimension {self.name!r} has looked at {newest!r} already, got a step at {period!r} behind"
                " that, which would rewrite versions; if its rows come late, say so with late=True"
            )
        facts = {key: of_key[period] for key, of_key in self._reader().facts(rows, only=period).items()}
        return self._stepped(previous, period, facts)

    def rows(self, state: DimensionState) -> list[dict[str, Any]]:
        """Tell a state's versions as rows of the dimension's table.

        Args:
            state: the state.

        Returns:
            A dict for each version with key, tracked and untracked attributes, ``valid_from``, ``valid_to``
            and ``is_current``; by key, the oldest version first.

        Raises:
            UsageError: the state is another dimension's.
        """
        self._check_own(state)
        names = [column.name for column in (*self.key, *self.tracked, *self.untracked)]
        return [
            dict(zip([*names, *RESULT_COLUMNS], (*member.key, *_told(version)), strict=True))
            for member in state.members
            for version in member.versions
        ]

    def sql(
        self,
        query: Query,
        *,
        dialect: Dialect,
        table: Table,
        previous: Table | None = None,
        period: Period | None = None,
        periods: Table | None = None,
    ) -> str:
        """Write a query that does in a database what this dimension does here.

        ``"backfill"`` reads the rows and gives the whole dimension, ordered as `rows` is. ``"incremental"``
        reads the dimension as it was and the rows of one newer period, and gives the whole dimension after
        it. Late rows have no query of their own: they lie in the table of rows, so ``"backfill"`` knows them.
        A query cannot refuse, so ``"check"`` gives what Python would refuse before one of the two, as far
        as the tables show it: no row means go on. A period in which nothing changed has left no trace in
        the dimension's table, so note the newest one beside it.

        Args:
            query: ``"backfill"``, ``"incremental"`` or ``"check"``.
            dialect: ``"sqlite"`` (3.30 or newer), ``"duckdb"`` or ``"postgres"``.
            table: the table of rows: a name, or a tuple such as ``("schema", "table")``.
            previous: the table of the dimension as it was; for a step and its check.
            period: the step's period, newer than all before; for a step and its check.
            periods: a table of periods that were looked at, in a column with the name of the rows' one; for
                ``"backfill"`` where whole snapshots may be empty.

        Returns:
            One SELECT without parameters. Names are quoted, the period is written as it was checked.

        Raises:
            InvalidValueError: a query, dialect, name or period is none, or one that the query needs is
                missing.
        """
        named = None if period is None else self._grain().period(period)
        return write(
            query,
            self._reader(),
            dialect,
            table,
            is_snapshots=self.absent == "delete",
            previous=previous,
            period=named,
            periods=periods,
        )

    def _stepped(self, previous: DimensionState, period: str, facts: dict[Values, Fact]) -> DimensionState:
        members = {member.key: member for member in previous.members}
        periods = with_period(previous.periods, period)
        is_ahead = previous.newest is None or period > previous.newest
        # A key without a row stays as it is where silence says nothing, and in a period known already.
        is_snapshot = self.absent == "delete" and period not in previous.periods
        for key in {*facts, *members} if is_snapshot else facts:
            member = members.get(key)
            if member is not None and is_ahead:
                members[key] = _gone_on(member, period, facts.get(key))
            else:
                known = {fact.period: fact for fact in member.facts} if member else {}
                if key in facts:
                    known[period] = last_of(known.get(period), facts[key])
                members[key] = self._member(key, known, periods)
        return DimensionState(previous.declaration, periods, in_order_of_keys(members))

    def _member(self, key: Values, facts: dict[str, Fact], periods: tuple[str, ...]) -> Member:
        ordered = tuple(facts[period] for period in sorted(facts))
        told = with_absences(ordered, periods) if self.absent == "delete" else ordered
        return Member(key, ordered, versions_of(told))

    def _check_own(self, state: DimensionState) -> None:
        if not isinstance(state, DimensionState):
            raise InvalidValueError(
                f"previous is the state that empty(), backfill() or a step has made, got {state!r:.60}"
            )
        if state.declaration != self._declaration():
            raise UsageError(
                f"the state is another dimension's: expected {self._declaration()}, got {state.declaration};"
                " make it anew with backfill()"
            )

    def _declaration(self) -> str:
        groups = {
            meaning: {column.name: column.type.__name__ for column in group}
            for meaning, group in self._groups().items()
        }
        said = {**groups, "period": self.period, "deleted": self.deleted, "absent": self.absent}
        return f"{self.name!r} by {self.grain}: {said}"

    def _grain(self) -> Grain:
        return GRAINS[self.grain]

    def _reader(self) -> Reader:
        return Reader(
            self._grain(), self.key, self.tracked, self.untracked, self.observed, self.period, self.deleted
        )


def _gone_on(member: Member, period: str, fact: Fact | None) -> Member:
    """Go ahead of everything known: only the last version can change."""
    if fact is None:
        return attrs.evolve(member, versions=extended(member.versions, Fact(period, deleted=True)))
    return attrs.evolve(member, facts=(*member.facts, fact), versions=extended(member.versions, fact))


def _told(version: Version) -> tuple[object, ...]:
    interval = (version.valid_from, version.valid_to, version.is_current)
    return (*version.tracked, *version.untracked, *interval)
