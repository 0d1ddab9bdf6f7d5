"""`acknowledged_once_in` and `unacknowledged_once` hold a history's logs against what writers were told."""

import pytest
from planted import op, saw, wrote

from treadle.checkers import VIOLATIONS_MAX, History, acknowledged_once_in, unacknowledged_once


def history(*operations, **logs):
    return History(operations, {"a": "", "b": "", **logs})


def test_a_history_as_it_should_be_passes():
    whole = history(
        op(0, 1, wrote("a", "12", 1), wrote("b", "3", 1)),
        op(0, 1, wrote("a", "4"), outcome="unknown"),
        op(0, None, wrote("a", "5"), wrote("b", "6"), outcome="unknown"),
        op(0, 1, wrote("a", "7"), outcome="refused"),
        a="124",
        b="3",
    )

    assert [] == acknowledged_once_in(whole) == unacknowledged_once(whole)


@pytest.mark.parametrize(
    ("write", "log", "seq", "says"),
    [
        (wrote("a", "12"), "1", None, "'2' was acknowledged and is not there"),
        (wrote("a", "1"), "11", 2, "expected '1' once, found it at seq 1 and again"),
        (wrote("a", "12", 3), "12", 1, "the writer of '1' was told seq 3"),
        (wrote("a", "12", 1), "21", 1, "the writer of '2' was told seq 2"),
    ],
)
def test_planted_break_of_an_acknowledgement_is_found(write, log, seq, says):
    broken = history(op(0, 1, write), a=log)

    found = acknowledged_once_in(broken)[0]

    assert ("acknowledged_once", "a", seq, says) == (
        found.promise,
        found.workflow_id,
        found.seq,
        found.message,
    )
    assert [] == unacknowledged_once(broken)


@pytest.mark.parametrize(
    ("operations", "logs", "place", "says"),
    [
        ([op(0, 1, wrote("a", "1"), outcome="refused")], {"a": "1"}, ("a", 1), "was refused, and its"),
        ([op(0, 1, wrote("a", "1"), outcome="unknown")], {"a": "11"}, ("a", 2), "at most once, found it"),
        ([op(0, 1, wrote("a", "12"), outcome="unknown")], {"a": "1"}, ("a", 1), "and '2' is not"),
        (
            [op(0, 1, wrote("a", "1"), wrote("b", "2"), outcome="unknown")],
            {"b": "2"},
            ("b", 1),
            "this is there, and '1' is not",
        ),
        ([op(0, 1, saw("a", ""))], {"a": "1"}, ("a", 1), "'1' is there, which no operation wrote"),
    ],
)  # fmt: skip
def test_planted_event_that_should_not_be_there_is_found(operations, logs, place, says):
    broken = history(*operations, **logs)

    (found,) = unacknowledged_once(broken)

    assert ("unacknowledged_once", *place) == (found.promise, found.workflow_id, found.seq)
    assert says in found.message
    assert [] == acknowledged_once_in(broken)


def test_what_stands_in_another_log_is_for_isolation_to_report():
    assert [] == unacknowledged_once(history(op(0, 1, wrote("a", "1"), outcome="unknown"), b="1"))


def test_reports_are_bounded():
    marks = [f"m{n}" for n in range(500)]

    assert VIOLATIONS_MAX == len(unacknowledged_once(history(a=marks)))
    assert VIOLATIONS_MAX == len(acknowledged_once_in(history(op(0, 1, wrote("a", marks)))))
