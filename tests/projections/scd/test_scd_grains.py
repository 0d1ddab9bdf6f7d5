"""Periods: where each begins, how it is named, and that names sort as periods do."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle import InvalidValueError
from treadle.projections.scd import GRAINS

ZURICH_IN_SUMMER = timezone(timedelta(hours=2))
BEGINNINGS = {
    "minute": "2026-08-19T13:47:00Z",
    "hour": "2026-08-19T13:00:00Z",
    "day": "2026-08-19",
    "week": "2026-08-17",
    "month": "2026-08-01",
    "quarter": "2026-07-01",
    "year": "2026-01-01",
}


@pytest.mark.parametrize("grain", GRAINS)
@pytest.mark.parametrize(
    "moment",
    [
        "2026-08-19T13:47:11.5Z",
        "2026-08-19T15:47:11+02:00",
        datetime(2026, 8, 19, 13, 47, 11),  # noqa: DTZ001 - a naive one is UTC
        datetime(2026, 8, 19, 15, 47, 11, tzinfo=ZURICH_IN_SUMMER),
        int(datetime(2026, 8, 19, 13, 47, 11, tzinfo=UTC).timestamp()) * 10**9 + 999_999_999,
    ],
)
def test_a_moment_lies_in_the_period_that_began_last(grain, moment):
    """Whatever says the moment, the period is one of UTC."""
    assert BEGINNINGS[grain] == GRAINS[grain].period_of(moment)


@pytest.mark.parametrize("grain", GRAINS)
@given(st.datetimes(), st.datetimes())
def test_names_sort_as_periods_do(grain, first, second):
    """And the name of a period is taken as it, which begins not after what lies in it."""
    names = [GRAINS[grain].period_of(moment) for moment in sorted((first, second))]

    assert sorted(names) == names
    assert names == [GRAINS[grain].period(name) for name in names]
    for name, moment in zip(names, sorted((first, second)), strict=True):
        assert datetime.fromisoformat(name).replace(tzinfo=None) <= moment


def test_dates_and_datetimes_are_periods_where_one_begins():
    assert "2026-08-17" == GRAINS["week"].period(date(2026, 8, 17))
    assert "2026-08-17" == GRAINS["week"].period(datetime(2026, 8, 17, 2, tzinfo=ZURICH_IN_SUMMER))
    with pytest.raises(InvalidValueError, match="expected '2026-08-17'"):
        GRAINS["week"].period(datetime(2026, 8, 17, 3, tzinfo=ZURICH_IN_SUMMER))


@pytest.mark.parametrize("moment", [True, 1.5, None, "", "2026-02-30", "soon", b"2026-01-01", 10**40])
def test_what_is_no_moment_is_refused(moment):
    with pytest.raises(InvalidValueError, match="a moment is"):
        GRAINS["day"].period_of(moment)


def test_a_number_is_a_moment_and_no_period():
    """A position or a count would be taken for nanoseconds of 1970."""
    with pytest.raises(InvalidValueError, match="got 0"):
        GRAINS["day"].period(0)
