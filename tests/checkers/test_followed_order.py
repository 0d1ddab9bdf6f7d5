"""`followed_order` finds the first event that a reader or follower should not have seen there."""

import pytest
from planted import length, op, saw, wrote

from treadle.checkers import VIOLATIONS_MAX, History, Observed, followed_order

LOG = {"a": "1234"}
WRITTEN = op(0, 1, wrote("a", "1234"))


def following(marks, first_seq=1):
    return followed_order(History((WRITTEN,), LOG, (Observed("f", "a", first_seq, tuple(marks)),)))


@pytest.mark.parametrize(("marks", "first_seq"), [("1234", 1), ("12", 1), ("34", 3), ("", 9), ("", 1)])
def test_a_stretch_of_the_log_passes(marks, first_seq):
    assert [] == following(marks, first_seq)


@pytest.mark.parametrize(
    ("marks", "first_seq", "seq", "says"),
    [
        ("134", 1, 2, "expected '2', saw '3', which stands at seq 3: a gap of 1"),
        ("1223", 1, 3, "expected '3', saw '2', which stands at seq 2: a repeat"),
        ("12341", 1, 5, "expected the end of the log, saw '1', which stands at seq 1: a repeat"),
        ("1x", 1, 2, "expected '2', saw 'x', which is not in the log"),
        ("12345", 1, 5, "expected the end of the log, saw '5', which is not in the log"),
        ("23", 1, 1, "expected '1', saw '2', which stands at seq 2: a gap of 1"),
        ("21", 1, 1, "expected '1', saw '2', which stands at seq 2: a gap of 1"),
        ("23", 3, 3, "expected '3', saw '2', which stands at seq 2: a repeat"),
    ],
)
def test_planted_break_of_a_followers_order_is_found(marks, first_seq, seq, says):
    (found,) = following(marks, first_seq)

    assert ("followed_order", "a", seq) == (found.promise, found.workflow_id, found.seq)
    assert found.message == f"follower f {says}"


def test_a_follower_of_a_log_that_is_empty_saw_nothing():
    history = History((), {}, (Observed("f", "b", 1, ("1",)),))

    (found,) = followed_order(history)

    assert "expected the end of the log, saw '1'" in found.message


def test_readers_are_held_to_the_same_order():
    reader = op(0, 1, saw("a", "13"))

    (found,) = followed_order(History((WRITTEN, reader, op(0, 1, saw("a", "12"), length("a", 9))), LOG))

    assert found.message == f"{reader} expected '2', saw '3', which stands at seq 3: a gap of 1"


def test_what_was_never_answered_was_not_seen():
    assert [] == followed_order(History((WRITTEN, op(0, None, saw("a", "x"), outcome="unknown")), LOG))


def test_report_is_bounded():
    followers = tuple(Observed("f", "a", 1, ("x",)) for _ in range(500))

    assert VIOLATIONS_MAX == len(followed_order(History((WRITTEN,), LOG, followers)))
