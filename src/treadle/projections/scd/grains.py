"""A grain is a length of periods; a period is named by the UTC text of its first instant.

One canonical text for each period keeps three things simple: texts of one grain sort as their periods do, in
Python and in every database whatever its collation; JSON holds them; and a column of dates or timestamps
takes them as literals. A period that is written otherwise is refused instead of being understood, because SQL
over the same rows would compare the text as it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, TypeAlias

import attrs

from treadle.errors import InvalidValueError

Period: TypeAlias = str | date | datetime
"""A period: the text that names it, or the date or datetime at which it begins (a naive one is UTC)."""
Moment: TypeAlias = Period | int
"""A point of time: ISO text, a date, a datetime, or nanoseconds since 1970."""

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - inside, every datetime is naive and UTC
_DAY: Final = timedelta(days=1)


@attrs.frozen(slots=True)
class Grain:
    """A length of periods.

    Attributes:
        name: how a declaration calls it.
        begin: the first instant of the period that an instant lies in.
        of_days: whether its periods begin at midnight and are named by a date alone.
    """

    name: str
    begin: Callable[[datetime], datetime]
    of_days: bool

    def period_of(self, moment: Moment) -> str:
        """Tell the period that a moment lies in.

        Args:
            moment: the moment.

        Returns:
            The text that names the period: ``2026-01-05``, or ``2026-01-05T13:00:00Z`` for hours and minutes.

        Raises:
            InvalidValueError: the moment is none.
        """
        return self._text(self.begin(_instant(moment)))

    def period(self, moment: object) -> str:
        """Take what is said to be a period.

        Args:
            moment: the text that `period_of` gives, or the date or datetime at which the period begins.

        Returns:
            The text that names the period.

        Raises:
            InvalidValueError: no period of this grain begins there, or the text is not the one that names it.
        """
        if moment is None or isinstance(moment, bool | int):
            raise InvalidValueError(
                f"a period of the grain {self.name} is a text, date or datetime such as"
                f" {self._text(self.begin(_EPOCH))!r}, got {moment!r:.60}; period_of makes one of any moment"
            )
        instant = _instant(moment)
        named = self._text(self.begin(instant))
        if self.begin(instant) != instant or (isinstance(moment, str) and moment != named):
            raise InvalidValueError(
                f"a period of the grain {self.name} is named by its beginning: expected {named!r},"
                f" got {moment!r:.60}; period_of makes the one of any moment"
            )
        return named

    def _text(self, begin: datetime) -> str:
        return begin.date().isoformat() if self.of_days else f"{begin.isoformat(timespec='seconds')}Z"


def _midnight(instant: datetime) -> datetime:
    return datetime.combine(instant.date(), time())


def _monday(instant: datetime) -> datetime:
    return _midnight(instant) - instant.weekday() * _DAY


def _quarter(instant: datetime) -> datetime:
    return _midnight(instant).replace(month=(instant.month - 1) // 3 * 3 + 1, day=1)


GRAINS: Final = {
    grain.name: grain
    for grain in (
        Grain("minute", lambda instant: instant.replace(second=0, microsecond=0), of_days=False),
        Grain("hour", lambda instant: instant.replace(minute=0, second=0, microsecond=0), of_days=False),
        Grain("day", _midnight, of_days=True),
        Grain("week", _monday, of_days=True),  # ISO: a week begins on Monday
        Grain("month", lambda instant: _midnight(instant).replace(day=1), of_days=True),
        Grain("quarter", _quarter, of_days=True),
        Grain("year", lambda instant: _midnight(instant).replace(month=1, day=1), of_days=True),
    )
}
"""All grains there are, by name."""


def _instant(moment: object) -> datetime:
    try:
        match moment:
            case bool():
                raise _none(moment)
            case int():
                return _EPOCH + timedelta(microseconds=moment // 1_000)
            case datetime():
                return _naive(moment)
            case date():
                return datetime.combine(moment, time())
            case str():
                return _naive(datetime.fromisoformat(moment))
            case _:
                raise _none(moment)
    except (ValueError, OverflowError):
        raise _none(moment) from None


def _naive(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _none(moment: object) -> InvalidValueError:
    return InvalidValueError(
        "a moment is an ISO text such as '2026-01-05' or '2026-01-05T13:30:00Z', a date, a datetime"
        f" or an int of nanoseconds since 1970, got {moment!r:.60}"
    )
