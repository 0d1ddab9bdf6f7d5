"""Experience: a fold of attempts' ends, the same in any split, bounded, and deaf to what is none."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.engine.learning import Arm, Experience, Experiences, Lesson, Trial, learn, trial_in
from treadle.engine.learning import experience as experience_module
from treadle.engine.learning.decay import ONE
from treadle.engine.records import ActivityAttemptFailed, ActivityCompleted, Failure, encode_record
from treadle.events import EventKind, WorkflowEvent

HOUR_NS = 3600 * 10**9
ENDS = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b"]),
        st.integers(0, 2),
        st.sampled_from([0, 10**9, 10**10]),
        st.integers(0, 10 * HOUR_NS),
        st.booleans(),
    ),
    max_size=12,
)


def trial(route="", failed=0, delay_ns=0, *, key="", activity="call"):
    return Trial(activity, key, HOUR_NS, route, failed, delay_ns)


def folded(ends, before=None):
    for route, failed, delay_ns, at_ns, success in ends:
        before = learn(before, trial(route, failed, delay_ns), at_ns, success=success)
    return before


def completed(given, result=b"null", seq=1):
    payload = encode_record(ActivityCompleted(1, msgspec.Raw(result), trial=given))
    return WorkflowEvent(seq, 0, EventKind.ACTIVITY_COMPLETED, payload)


@given(ENDS, ENDS)
@settings(max_examples=30)
def test_kept_and_read_again_between_two_ends_it_is_the_same(first, second):
    kept = folded(first)
    if kept is not None:
        kept = msgspec.json.decode(msgspec.json.encode(kept), type=Experience)

    assert folded([*first, *second]) == folded(second, kept)


def test_what_is_forgotten_stays_counted():
    known = folded([("", 0, 0, 0, True), ("", 0, 0, HOUR_NS, False)])

    assert (Lesson(Arm(), ONE // 2, ONE, HOUR_NS, 1, 1),) == known.lessons


def test_an_end_from_before_the_newest_one_counts_as_that():
    """The feed is in the order of commits, not of time."""
    late = folded([("", 0, 0, HOUR_NS, True), ("", 0, 0, 0, True)])

    assert (Lesson(Arm(), 2 * ONE, 0, HOUR_NS, 2, 0),) == late.lessons


def test_arms_that_are_never_met_again_make_room(monkeypatch):
    monkeypatch.setattr(experience_module, "ARMS_KEPT_MAX", 2)
    known = folded([("", 1, delay, at, True) for at, delay in enumerate((30, 10, 20))])

    assert [10, 20] == [lesson.arm.delay_ns for lesson in known.lessons]


def test_ends_are_found_by_their_kind_and_by_nothing_in_the_users_values():
    given = trial("a")
    failed = ActivityAttemptFailed(1, 1, Failure("E", ""), 0, trial=given)
    looks_like_one = completed(None, b'{"trial":{"activity":"x"}}')
    plain = WorkflowEvent(1, 0, EventKind.ACTIVITY_COMPLETED, b'not JSON, with "trial":{')
    other_kind = WorkflowEvent(1, 0, EventKind.SIGNAL_RECEIVED, completed(given).payload)
    found = WorkflowEvent(1, 0, EventKind.ACTIVITY_ATTEMPT_FAILED, encode_record(failed))

    assert [given, given, None, None, None] == [
        trial_in(event) for event in (completed(given), found, looks_like_one, plain, other_kind)
    ]


def test_each_activity_and_key_has_its_own():
    experiences = Experiences()
    experiences.take([completed(trial(key="eu")), completed(trial(key="us")), completed(None)])

    assert 1 == experiences.of("call", "eu").lessons[0].successes
    assert experiences.of("other", "eu") is None
