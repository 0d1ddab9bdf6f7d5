"""What was cut and is seen again, what went without a cut, and a log that begins anew are found."""

import pytest
from planted import branched, cut, length, op, saw, told, wrote

from treadle.checkers import History, check_history, retention

LOG = op(0, 1, wrote("a", "1234", 1))
CUT = op(4, 7, saw("a", "1234"), cut("a", 3))


def history(*operations, kept=3, **logs):
    return History((LOG, CUT, *operations), {"a": "1234", **logs}, kept={"a": kept} if kept > 1 else {})


def as_it_should_be():
    return History(
        (
            LOG,
            CUT,
            op(2, 3, saw("a", "1234")),
            op(5, 6, saw("a", "1234")),
            op(5, 6, saw("a", "34", 3), told("a", 3)),
            op(8, 9, saw("a", "34", 3)),
            op(8, 9, length("a", 4), told("a", 3), outcome="refused", error="EventsPrunedError"),
            op(8, 9, branched("b", "a", 3, "B")),
            op(10, 11, saw("b", "3B", 3), told("b", 3)),
            op(12, 13, saw("a", "34", 3), cut("a", 5)),
            op(14, 15, wrote("a", "5", 5)),
        ),
        {"a": "12345", "b": "123B"},
        kept={"a": 5, "b": 3},
    )


def test_a_cut_and_whoever_comes_before_and_after_it_hold():
    assert [] == check_history(as_it_should_be())


WRONG = {
    "read again": op(8, 9, saw("a", "1234")),
    "told the old beginning": op(8, 9, told("a", 1)),
    "told a beginning before anybody cut": op(2, 3, told("a", 3)),
    "told a beginning at which nobody cut": op(8, 9, told("a", 2)),
    "begun anew": op(8, 9, wrote("a", "x", 1), outcome="ok"),
    "told to begin anew": op(8, 9, length("a", 0)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_beginning_that_is_wrong_is_found(name):
    found = retention(history(WRONG[name]))

    assert ["retention"] == [violation.promise for violation in found]


def test_a_cut_that_is_undone_at_the_end_is_found():
    (found,) = retention(history(kept=1))

    assert "at the end: it was kept from seq 1 on, and all below 3 had been cut" in found.message


def test_a_beginning_that_went_without_a_cut_is_found_at_the_end():
    (found,) = retention(History((LOG,), {"a": "1234"}, kept={"a": 2}))

    assert "nobody had cut it there" in found.message


def test_a_branch_of_what_was_cut_does_not_show_it_again():
    branch = op(8, 9, branched("b", "a", 4, "B"))
    both = {"a": 3, "b": 1}

    found = retention(
        History((LOG, CUT, branch, op(10, 11, saw("b", "1234B"))), {"a": "1234", "b": "1234B"}, kept=both)
    )

    assert ["b", "b"] == [violation.workflow_id for violation in found]


def test_a_branch_takes_over_its_parents_beginning_only_once_it_is_there():
    empty = op(8, 9, saw("b", ""), length("b", 0))
    branch = op(10, 13, branched("b", "a", 4, "B"))
    meanwhile = op(11, 12, length("b", 0))

    assert [] == check_history(
        History((LOG, CUT, empty, branch, meanwhile), {"a": "1234", "b": "1234B"}, kept={"a": 3, "b": 3})
    )


def test_of_an_unanswered_cut_nothing_follows():
    unanswered = op(4, None, cut("a", 3), outcome="unknown")
    for kept in ({}, {"a": 3}):
        seen = op(8, 9, saw("a", "1234"))

        assert [] == retention(History((LOG, unanswered, seen), {"a": "1234"}, kept=kept))
