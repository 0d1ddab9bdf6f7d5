"""A branch that is not what its parent was, or not where it should be, is found; one that is right is not."""

import pytest
from planted import branched, cut, length, op, saw, wrote

from treadle.checkers import History, branches, check_history, unshared

PARENT = op(0, 1, wrote("a", "123", 1))
BRANCH = op(2, 3, branched("b", "a", 2, "B"))


def test_a_branch_and_its_parent_that_go_on_by_themselves_hold_every_promise():
    history = History(
        (
            PARENT,
            BRANCH,
            op(4, 5, wrote("b", "45", 4)),
            op(4, 5, wrote("a", "67", 4)),
            op(6, 7, saw("b", "12B45")),
            op(6, 7, saw("b", "2B45", 2), length("a", 5)),
            op(6, 7, branched("c", "b", 4, "C")),
            op(8, 9, saw("c", "12B4C")),
            op(8, 9, cut("a", 3)),
            op(2, 9, branched("d", "a", 3, "D"), outcome="unknown"),
        ),
        {"a": "12367", "b": "12B45", "c": "12B4C"},
        kept={"a": 3},
    )

    assert [] == check_history(history)


WRONG = {
    "another event is shared": ("1xB", BRANCH, 2),
    "one event too few is shared": ("1B", BRANCH, 2),
    "one event too many is shared": ("123B", BRANCH, 4),
    "refused, and there": (
        "12B",
        op(2, 3, branched("b", "a", 2, "B"), outcome="refused"),
        3,
    ),
    "shared before it was written": ("12B", op(-3, -2, branched("b", "a", 2, "B")), 2),
    "shares what its parent has not": ("123xB", op(2, 3, branched("b", "a", 4, "B")), 4),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_branch_is_found_at_its_seq(name):
    log, branching, seq = WRONG[name]

    found = branches(History((PARENT, branching), {"a": "123", "b": log}))

    assert seq in [violation.seq for violation in found]
    assert {"b"} == {violation.workflow_id for violation in found}


def test_a_log_that_was_begun_twice_is_found():
    again = op(4, 5, branched("b", "a", 3, "C"))

    (found,) = branches(History((PARENT, BRANCH, again), {"a": "123", "b": "12BC"}))

    assert "began it as a branch of 'a'" in found.message


def test_what_one_side_appends_does_not_belong_into_the_other():
    later = op(4, 5, wrote("a", "4", 4))

    found = check_history(History((PARENT, BRANCH, later), {"a": "1234", "b": "12B4"}))

    assert "isolation" in {violation.promise for violation in found}


def test_a_branch_onto_a_log_in_use_is_no_beginning():
    """It has seen an empty log, as a branch must, while another's event stood there."""
    used = op(0, 1, wrote("b", "x", 1))

    found = check_history(History((PARENT, used, BRANCH), {"a": "123", "b": "x12B"}))

    assert {"branches", "linearizable"} <= {violation.promise for violation in found}


def test_a_reader_who_sees_the_branch_without_what_it_shares_is_found():
    found = check_history(History((PARENT, BRANCH, op(4, 5, saw("b", "B"))), {"a": "123", "b": "12B"}))

    assert "followed_order" in {violation.promise for violation in found}


def test_an_event_seen_in_a_branch_and_not_yet_in_another_log_of_its_unit_is_a_cycle():
    """The reader of the branch has seen what it was branched with; its parent's unit was there then."""
    unit = op(0, 9, wrote("a", "1", 1), wrote("c", "2", 1))
    history = History(
        (unit, op(0, 9, branched("b", "a", 1, "B")), op(3, 4, saw("b", "1B")), op(5, 6, length("b", 0))),
        {"a": "1", "b": "1B", "c": "2"},
    )

    assert "serializable" in {violation.promise for violation in check_history(history)}


def test_a_history_without_branches_is_left_as_it_is():
    history = History((PARENT,), {"a": "123"})

    assert unshared(history) is history
