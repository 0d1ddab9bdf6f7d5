"""Half a transaction, and one that was decided on something else than stands before it, are found."""

import pytest
from planted import length, op, saw, wrote

from treadle.checkers import History, check_history, transactions

BEFORE = op(0, 1, wrote("a", "1", 1))


def test_what_was_decided_on_what_stood_there_holds():
    history = History(
        (
            BEFORE,
            op(2, 3, saw("a", "1"), length("b", 0), wrote("a", "2"), wrote("b", "3", 1)),
            op(4, 5, saw("a", "", 7), length("b", 1), wrote("b", "4", 2)),
            op(2, 3, saw("a", "1"), wrote("a", "5"), wrote("b", "6"), outcome="unknown"),
        ),
        {"a": "12", "b": "34"},
    )

    assert [] == check_history(history)


WRONG = {
    "half is there": (op(2, 9, wrote("a", "2"), wrote("b", "3"), outcome="unknown"), "12", ""),
    "an event came between": (op(2, 9, saw("a", "1"), wrote("a", "3")), "123", ""),
    "decided on more than was there": (op(2, 9, length("a", 3), wrote("a", "2")), "12", ""),
    "refused, and half there": (op(2, 9, wrote("a", "2"), wrote("b", "3"), outcome="refused"), "12", ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_transaction_is_found(name):
    transaction, a, b = WRONG[name]
    between = op(2, 9, wrote("a", "2")) if "2" in a and "between" in name else op(2, 9, length("b", 0))

    found = transactions(History((BEFORE, between, transaction), {"a": a, "b": b}))

    assert ["transactions"] == [violation.promise for violation in found]


def test_write_skew_is_told_by_its_name():
    """Each has read both logs and written to one, without the other's event."""
    one = op(0, 9, length("a", 0), length("b", 0), wrote("a", "1"))
    other = op(0, 9, length("a", 0), length("b", 0), wrote("b", "2"))

    found = check_history(History((one, other), {"a": "1", "b": "2"}))

    assert ["G2"] == [violation.anomaly for violation in found]
