"""What retries have learned is a projection like any other: pure, and the same however the feed is read."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.engine.failures import Failure
from treadle.engine.learning import Experience, Trial
from treadle.engine.records import ActivityAttemptFailed, ActivityCompleted, encode_record
from treadle.events import RECORD_KEY_SIZE_BYTES_MAX
from treadle.projections import retries
from treadle.projections.folding import Folding
from treadle.projections.retries import key_of
from treadle.testing import any_feed, check_projection, feed_of

TRIALS = st.builds(
    Trial,
    activity=st.sampled_from(["charge", "ship"]),
    key=st.sampled_from(["", "eu", "us"]),
    half_life_ns=st.sampled_from([10**9, 3600 * 10**9]),
    route=st.sampled_from(["", "backup"]),
    failed=st.integers(0, 2),
    delay_ns=st.sampled_from([0, 10**9]),
)


def end_of(trial, *, success):
    """An event as the engine writes it."""
    if success:
        return "w", "activity_completed", encode_record(ActivityCompleted(1, msgspec.Raw(b"1"), trial=trial))
    failed = ActivityAttemptFailed(1, 1, Failure("OSError", ""), 0, trial=trial)
    return "w", "activity_attempt_failed", encode_record(failed)


ENDS = st.lists(st.builds(end_of, TRIALS | st.none(), success=st.booleans()), max_size=8)


@settings(max_examples=15)
@given(ENDS)
def test_any_split_of_the_feed_and_any_restart_teaches_the_same(ends):
    check_projection(retries(), ends, tries=2)


@settings(max_examples=10)
@given(any_feed())
def test_somebody_elses_events_teach_nothing_and_harm_nobody(feed):
    folding = Folding.fresh(retries())
    folding.fold(feed)

    assert {} == folding.states


def test_the_state_of_a_key_names_its_activity_and_key():
    folding = Folding.fresh(retries())
    folding.fold(feed_of([end_of(Trial("charge", "eu", 1), success=True)]))

    ((key, state),) = folding.states.items()
    assert '["charge","eu"]' == key == key_of("charge", "eu")
    assert (Experience, "charge", "eu") == (type(state), state.activity, state.key)


def test_a_key_too_long_for_a_record_is_told_by_its_digest():
    long = [key_of("a" * 255, key) for key in ("é" * 100, "è" * 100)]

    assert all(len(key.encode()) <= RECORD_KEY_SIZE_BYTES_MAX for key in long)
    assert long[0] != long[1]
