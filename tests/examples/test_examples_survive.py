"""Every example's workflow comes out the same after a crash behind any append and an eviction at any wait."""

from __future__ import annotations

import pytest
from example_programs import REHEARSALS, census

from treadle import EventKind
from treadle.testing import assert_deterministic, crash_everywhere, evict_everywhere

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", REHEARSALS)
def test_a_crash_behind_any_append_changes_nothing(name: str) -> None:
    """Result, state and log are the undisturbed ones; attempts that died are made again."""
    # The card has 250 purchases, a turn each; every crash costs a replay of what was before it.
    every = 20 if name == "card" else 1
    report = crash_everywhere(REHEARSALS[name](), every=every)

    assert report.crashes >= report.appends // every


@pytest.mark.parametrize("name", [name for name in REHEARSALS if name != "card"])
def test_a_crash_inside_any_activation_changes_nothing(name: str) -> None:
    """The same when each event is an append of its own, so that activations are cut between their events."""
    every = 10 if name == "census" else 1
    crash_everywhere(REHEARSALS[name](), every=every, batch_events_max=1, lose_attempts=False)


@pytest.mark.parametrize("name", REHEARSALS)
def test_an_eviction_at_any_wait_changes_nothing(name: str) -> None:
    """Clean-up runs in code that is thrown out of memory, and nothing comes of it."""
    assert evict_everywhere(REHEARSALS[name]()) > 0


@pytest.mark.parametrize("name", REHEARSALS)
def test_a_replay_says_what_the_log_says(name: str) -> None:
    """Twice in this process: nothing is left behind by the first."""
    rehearsal = REHEARSALS[name]()

    replayed = assert_deterministic(rehearsal.definition, rehearsal, hash_seeds=())

    assert replayed.status is rehearsal.status


@pytest.mark.parametrize("name", ["order", "question", "card"])
def test_a_replay_in_another_process_says_the_same(name: str) -> None:
    """With another PYTHONHASHSEED, in which sets have another order."""
    rehearsal = REHEARSALS[name]()

    assert_deterministic(rehearsal.definition, rehearsal, hash_seeds=(1,))


def test_a_wide_fan_out_survives_a_crash_behind_every_20th_append() -> None:
    """Its first activation is larger than a batch, so that it is cut as well."""
    rehearsal = census(240)

    report = crash_everywhere(rehearsal, every=20, batch_events_max=100, lose_attempts=False)

    assert sum(range(240)) == rehearsal.result
    assert report.appends > 240


def test_a_thousand_activities_survive_a_crash_behind_every_100th_append() -> None:
    """A share of the proof below, for the quick suite."""
    rehearsal = census(1_000)

    report = crash_everywhere(rehearsal, every=100, lose_attempts=False)

    assert sum(range(1_000)) == rehearsal.result
    assert report.crashes >= 10


@pytest.mark.slow
def test_a_thousand_activities_survive_a_crash_behind_every_10th_append() -> None:
    """Each result is used once. The work grows with the square of the appends: all would take minutes."""
    rehearsal = census(1_000)

    crash_everywhere(rehearsal, every=10)

    assert 1_000 == sum(event.kind is EventKind.ACTIVITY_COMPLETED for event in rehearsal.events)
