"""The limits of a world's runtimes: from the seed or the usual ones, and seldom looks in long worlds."""

import pytest

from treadle.runtime import RuntimeConfig
from treadle.sim import Plan
from treadle.sim.draws import Draws
from treadle.sim.limits import LONG_POLL_SECONDS, LONG_POLL_SECONDS_MAX, LONG_SECONDS, limits_of

USUAL = RuntimeConfig()
DAY_SECONDS = 86_400


def limits(**plan):
    return limits_of(Plan(**plan), Draws(1, "limits"))


@pytest.mark.parametrize(
    ("duration_seconds", "poll_seconds"),
    [
        (LONG_SECONDS, USUAL.poll_seconds),
        (LONG_SECONDS + 1, LONG_POLL_SECONDS),
        (11 * DAY_SECONDS, LONG_POLL_SECONDS),
        (90 * DAY_SECONDS, 77),
        (3_650 * DAY_SECONDS, LONG_POLL_SECONDS_MAX),
    ],
)
def test_the_longer_a_world_the_more_seldom_its_runtimes_look(duration_seconds, poll_seconds):
    """Who looks every ten seconds of months does little else; but nobody waits very long for a look."""
    config = limits(limits="usual", duration_seconds=duration_seconds)

    assert poll_seconds == config.poll_seconds
    assert duration_seconds <= LONG_SECONDS or poll_seconds == config.standby_seconds


def test_a_plan_says_how_many_activities_run_at_once():
    assert 7 == limits(activities_max=7).activities_max
    assert USUAL == limits(limits="usual")
