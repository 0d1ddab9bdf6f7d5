"""`quarantine` finds what gets into a quarantined actor, and what gets out of it."""

import pytest
from planted import op, saw, wrote

from treadle.checkers import Crash, History, Quarantine, quarantine

UNAVAILABLE = {"outcome": "refused", "error": "WorkflowUnavailableError"}


def history(*operations, a=(), b=(), end=None, crashes=()):
    return History(operations, {"a": a, "b": b}, (), (Quarantine("a", 50, end),), crashes)


def test_a_quarantine_as_it_should_be_passes():
    whole = history(
        op(10, 20, wrote("a", "1")),
        op(40, 60, wrote("a", "2")),  # may have come before it
        op(51, 52, wrote("a", "3"), **UNAVAILABLE),
        op(51, 52, wrote("a", "4"), wrote("b", "5"), **UNAVAILABLE),
        op(51, 52, wrote("a", "6"), outcome="unknown"),  # its caller left before it was answered
        op(51, 52, saw("a", "12")),  # reads need no actor
        op(51, 52, wrote("b", "7")),  # others go on
        op(70, 90, wrote("a", "8")),  # may have come after it
        op(91, 92, wrote("a", "9")),
        a="1289",
        b="7",
        end=80,
    )

    assert [] == quarantine(whole)


@pytest.mark.parametrize(
    ("inside", "log", "place", "says"),
    [
        (op(50, 51, wrote("a", "1")), "1", None, "was acknowledged while the actor was quarantined"),
        (op(50, 80, wrote("a", "1"), outcome="unknown"), "1", 1, "appended this while the actor of 'a'"),
        (op(50, 80, wrote("a", "1"), **UNAVAILABLE), "1", 1, "appended this while the actor of 'a'"),
        (
            op(50, 51, wrote("a", "1"), outcome="refused", error="ConflictError"),
            "",
            None,
            "answered by ConflictError while the actor was quarantined, expected WorkflowUnavailableError",
        ),
        (
            op(50, 51, wrote("a", "1"), outcome="refused"),
            "",
            None,
            "was answered by an error that was not recorded while the actor was quarantined",
        ),
    ],
)
def test_planted_leak_into_a_quarantine_is_found(inside, log, place, says):
    found = quarantine(history(inside, a=log, end=80))[0]

    assert ("quarantine", "a", place) == (found.promise, found.workflow_id, found.seq)
    assert says in found.message


def test_an_unanswered_append_within_one_that_never_ended_is_a_leak_too():
    late = op(60, None, wrote("a", "1"), outcome="unknown")

    assert 1 == len(quarantine(history(late, a="1")))
    assert [] == quarantine(history(late, a="1", end=80))


def test_a_unit_leaks_into_other_logs_as_well():
    (found,) = quarantine(history(op(60, 61, wrote("a", "1"), wrote("b", "2"), outcome="unknown"), b="2"))

    assert ("b", 1) == (found.workflow_id, found.seq)


def test_planted_leak_out_of_a_quarantine_is_found():
    other = op(60, 61, wrote("b", "1"), **UNAVAILABLE)

    (found,) = quarantine(history(other))

    assert ("b", None) == (found.workflow_id, found.seq)
    assert "no actor of its own had crashed" in found.message


def test_an_actor_that_has_crashed_is_unavailable_itself():
    early, late = (
        op(*times, wrote("b", mark), **UNAVAILABLE) for times, mark in (((20, 29), "1"), ((20, 30), "2"))
    )
    crashes = (Crash("b", 30), Crash("b", 40))

    assert [] == quarantine(history(late, crashes=crashes))
    assert 1 == len(quarantine(history(early, crashes=crashes)))
