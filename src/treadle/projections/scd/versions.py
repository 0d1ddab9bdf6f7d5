"""How the facts of one key become its versions.

    the newest version   the next fact          what happens
    ------------------   --------------------   ------------------------------------------------
    none, or closed      says the key is gone   nothing
    none, or closed      has attributes         a version opens
    open                 says the key is gone   it closes
    open                 the same tracked       it goes on, with the fact's untracked attributes
    open                 other tracked          it closes, and another one opens

Everything happens at the beginning of the fact's period. A version's interval is half open: it holds from
`valid_from` on, and no more at `valid_to`. After a deletion nothing holds until the key comes back: the gap
stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import attrs

from treadle.projections.scd.columns import Values
from treadle.projections.scd.facts import Fact


@attrs.frozen(slots=True)
class Version:
    """A stretch of time in which no tracked attribute of a key changed.

    Attributes:
        tracked: the tracked attributes in it.
        untracked: the untracked ones, as they were last known in it.
        valid_from: the first period in which it holds.
        valid_to: the first period in which it does not hold any more; None while it is the current one.
    """

    tracked: Values
    untracked: Values
    valid_from: str
    valid_to: str | None = None

    @property
    def is_current(self) -> bool:
        """Whether it holds still."""
        return self.valid_to is None


def versions_of(facts: Iterable[Fact]) -> tuple[Version, ...]:
    """Tell the versions that facts come to.

    Args:
        facts: the facts of one key, one for each period at most, the oldest first.

    Returns:
        The versions, the oldest first.
    """
    return reduce(extended, facts, ())


def extended(versions: tuple[Version, ...], fact: Fact) -> tuple[Version, ...]:
    """Go on by one fact.

    Args:
        versions: the versions of all facts before it.
        fact: what is known in a later period.

    Returns:
        The versions with it.
    """
    if not versions or not versions[-1].is_current:
        return versions if fact.deleted else (*versions, _opened(fact))
    *past, current = versions
    if fact.deleted:
        return (*past, _closed(current, fact))
    if fact.tracked == current.tracked:
        return (*past, attrs.evolve(current, untracked=fact.untracked))
    return (*past, _closed(current, fact), _opened(fact))


def with_absences(facts: tuple[Fact, ...], periods: tuple[str, ...]) -> Iterable[Fact]:
    """Add a deletion in each period that was looked at and has no fact.

    Before a member's first fact, and behind another deletion, one more changes nothing.

    Args:
        facts: the facts of one key, the oldest first.
        periods: all periods that were looked at, the oldest first; those of the facts are among them.

    Yields:
        The facts and such deletions, the oldest first.
    """
    by_period = {fact.period: fact for fact in facts}
    for period in periods:
        yield by_period.get(period) or Fact(period, deleted=True)


def _opened(fact: Fact) -> Version:
    return Version(fact.tracked, fact.untracked, fact.period)


def _closed(version: Version, fact: Fact) -> Version:
    return attrs.evolve(version, valid_to=fact.period)
