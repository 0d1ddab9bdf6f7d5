"""Retries that learn, in worlds: seeded, and at work under every fault and behind any crash."""

from __future__ import annotations

import pytest
from adaptive_parcels import fetch, fetch_all

from treadle import EventKind, activity
from treadle.engine.learning import trial_in
from treadle.testing import simulate


def answer(number: int) -> str:
    info = activity.info()
    if info.route == "primary" or info.attempt + number < 2:
        raise OSError("down")
    return info.route


def run(**conditions):
    return simulate(fetch_all, activities={fetch: answer}, **conditions)


@pytest.mark.parametrize("store", ["memory", "disk"])
def test_one_seed_makes_the_same_choices_whatever_goes_wrong(store):
    logs = [run(seed=seed, faults=["all"], store=store).logs for seed in (1, 1, 2)]

    assert logs[0] == logs[1] != logs[2]


@pytest.mark.parametrize("append", [2, 4, 7, 11, 16])
@pytest.mark.parametrize("when", ["before", "after"])
def test_behind_any_crash_every_attempt_that_was_not_lost_teaches_once(append, when):
    simulated = run(seed=3, crash=(append, when))

    assert simulated.result == ["backup"] * 6
    ends = [
        event
        for event in simulated.log
        if event.kind in {EventKind.ACTIVITY_COMPLETED, EventKind.ACTIVITY_ATTEMPT_FAILED}
    ]
    assert [b'"lost":true' in event.payload for event in ends] == [trial_in(event) is None for event in ends]
