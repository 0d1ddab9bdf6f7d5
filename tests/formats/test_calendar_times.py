"""Times are exact to the nanosecond, both ways."""

from __future__ import annotations

import pytest
from format_samples import timestamps
from hypothesis import given, settings

from treadle.errors import InvalidValueError
from treadle.formats.times import timestamp_ns, timestamp_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01t00:00:00z", 0),
        (" 1970-01-01T00:00:00.000000001Z\n", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T02:00:00+0200", 0),
        ("1969-12-31T19:30:00-04:30", 0),
        ("1969-12-31T24:00:00Z", 0),
        ("2012-05-05T14:54:27.123+02:00", 1_336_222_467_123_000_000),
        ("2000-02-29T00:00:00.1000000000000Z", 951_782_400_100_000_000),
        ("1677-09-21T00:12:43.145224192Z", -(2**63)),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_a_calendar_text_names_one_nanosecond(text, expected):
    assert expected == timestamp_ns(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has another form"),
        ("yesterday", "it has another form"),
        ("2012-05-05", "it has another form"),
        ("٢٠١٢-05-05T14:54:27Z", "it has another form"),
        ("2012-13-05T14:54:27Z", "month must be in 1..12"),
        ("2011-02-29T14:54:27Z", "day is out of range for month"),
        ("2012-05-05T14:60:27Z", "minutes and seconds end at 59"),
        ("2012-05-05T14:59:60Z", "minutes and seconds end at 59"),
        ("2012-05-05T25:00:00Z", "hours end at 23"),
        ("2012-05-05T24:00:00.1Z", "hours end at 23"),
        ("2012-05-05T14:54:27+24:00", "an offset ends at 23:59"),
        ("2012-05-05T14:54:27.0000000001Z", "finer than a nanosecond"),
        ("1677-09-21T00:12:43.145224191Z", "1677 and 2262"),
        ("2262-04-11T23:47:16.854775808Z", "1677 and 2262"),
    ],
)
def test_what_is_no_time_is_refused_with_the_reason(text, reason):
    with pytest.raises(InvalidValueError) as caught:
        timestamp_ns(text)

    assert "a time looks like 2012-05-05T14:54:27.123456789+02:00" in str(caught.value)
    assert reason in str(caught.value)


@settings(deadline=None)
@given(timestamps)
def test_every_timestamp_can_be_written_and_read_back(timestamp):
    assert timestamp == timestamp_ns(timestamp_text(timestamp))
