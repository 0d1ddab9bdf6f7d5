"""What is known of a dimension: its members, each with its facts and the versions they come to.

Plain and frozen, of strings, numbers and tuples, so that a converter writes it as JSON and a projection can
keep it. Versions alone would be smaller and would do while every step goes on from the newest period. A fact
that comes late asks for more: a version that has been seen in five periods must be split at one of them, and
what a period's winning row was observed at decides whether a late one beats it. Both are lost once facts have
been collapsed into a version, so the facts stay.
"""

from __future__ import annotations

from bisect import bisect_left

import attrs

from treadle.projections.scd.columns import Values, in_order
from treadle.projections.scd.facts import Fact
from treadle.projections.scd.versions import Version


@attrs.frozen(slots=True)
class Member:
    """One key of a dimension.

    Attributes:
        key: the key's values.
        facts: one for each period in which rows told of it, by period.
        versions: what they come to, the oldest first.
    """

    key: Values
    facts: tuple[Fact, ...]
    versions: tuple[Version, ...]


@attrs.frozen(slots=True)
class DimensionState:
    """What is known of a dimension.

    Attributes:
        declaration: the dimension's declaration as a text, by which another one's state is refused.
        periods: the periods that have been looked at, with rows or without, the oldest first.
        members: its keys, in order.
    """

    declaration: str
    periods: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()

    @property
    def newest(self) -> str | None:
        """The newest period that has been looked at; None before the first."""
        return self.periods[-1] if self.periods else None


def with_period(periods: tuple[str, ...], period: str) -> tuple[str, ...]:
    """Note a period.

    Args:
        periods: the periods known, in order.
        period: one more, or one of them.

    Returns:
        All of them, in order, each once.
    """
    place = bisect_left(periods, period)
    if periods[place : place + 1] == (period,):
        return periods
    return (*periods[:place], period, *periods[place:])


def in_order_of_keys(members: dict[Values, Member]) -> tuple[Member, ...]:
    """Put members in the order in which a state holds them.

    Args:
        members: the members by key.

    Returns:
        The same, by key.
    """
    return tuple(members[key] for key in sorted(members, key=in_order))
