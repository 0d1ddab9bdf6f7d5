"""`check_history` runs all checkers, or some by name."""

import pytest
from planted import branched, cut, op, saw, wrote

from treadle.checkers import HISTORY_CHECKERS, Crash, History, Observed, Quarantine, check_history
from treadle.errors import UsageError

# Breaks every promise at least once.
BROKEN = History(
    (
        op(0, 1, wrote("a", "lost")),
        op(0, 1, wrote("a", "R"), outcome="refused"),
        op(0, 1, wrote("b", "B")),
        op(2, 3, saw("a", "x")),
        op(2, 3, wrote("c", "Q")),
        op(4, 5, wrote("c", "h"), wrote("b", "y"), outcome="unknown"),
        op(4, 5, branched("d", "a", 2, "D")),
        op(6, 7, cut("c", 2)),
    ),
    {"a": "RB", "b": "", "c": "Qh", "d": "RRD"},
    (Observed("f", "a", 1, ("B",)),),
    (Quarantine("c", 1),),
    (Crash("c", 0),),
)
WHOLE = History((op(0, 1, wrote("a", "x", 1)), op(2, 3, saw("a", "x"))), {"a": "x"})


def test_a_history_as_it_should_be_has_no_violation():
    assert [] == check_history(WHOLE)


def test_every_checker_finds_its_own_violation_and_says_its_name():
    assert list(HISTORY_CHECKERS) == list(dict.fromkeys(found.promise for found in check_history(BROKEN)))


@pytest.mark.parametrize("name", HISTORY_CHECKERS)
def test_one_checker_by_name(name):
    assert {name} == {found.promise for found in check_history(BROKEN, [name])}


def test_some_by_name_come_once_each_in_the_order_of_the_table():
    names = ["serializable", "followed-order", "serializable"]

    assert ["followed_order", "serializable"] == list(
        dict.fromkeys(found.promise for found in check_history(BROKEN, names))
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("linearisable", "did you mean 'linearizable'? known are acknowledged_once, "),
        ("acknowledged", "did you mean 'acknowledged_once'?"),
        ("xyz", "there is no checker 'xyz'; known are"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name, says):
    with pytest.raises(UsageError, match="there is no checker") as caught:
        check_history(WHOLE, ["isolation", name])

    assert says in str(caught.value)


def test_one_text_is_no_collection_of_names():
    with pytest.raises(UsageError, match="use a list"):
        check_history(WHOLE, "isolation")


def test_each_checker_counts_what_it_looks_at():
    counts = {name: checker.count(BROKEN) for name, checker in HISTORY_CHECKERS.items()}

    assert counts == {
        "acknowledged_once": 6,
        "unacknowledged_once": 3,
        "isolation": 7,
        "followed_order": 2,
        "linearizable": 6,
        "serializable": 6,
        "quarantine": 1,
        "branches": 1,
        "transactions": 1,
        "retention": 0,
    }
