"""The driver does what Trio might have done, and where Trio always does the same, just that.

The driver takes tasks first come, first served, Trio by coin. So Trio is asked first with its coin (and
the addresses it sorts by) taken out; a program that ends differently then gets 200 throws of the coin.

One difference is Trio's own slip, and left out: its `checkpoint_if_cancelled` raises `AssertionError` when
somebody shields the task between the order to cancel it and the order's arrival; the driver goes on.
"""

import pytest
import trio
from hypothesis import example, given, settings
from programs import TRIO, programs, run_with_driver, run_with_trio

SEEDS = 200


def agree(program):
    ours = run_with_driver(program)
    for seed in range(SEEDS):
        theirs = run_with_trio(program, seed)
        if ours == theirs or "AssertionError" in repr(theirs):
            return
    assert run_with_trio(program, 0) == ours, f"none of {SEEDS} orders of Trio gives this"


OUTER_OF_TWO_EQUAL = (("scope", 2, False, (("scope", 2, False, (("sleep", 5),)), ("mark", 1))),)
OVERDUE_IN_THIS_ROUND = (
    ("nursery", ((("checkpoint",), ("mark", 1)),), (("deadline", 0, -1), ("acquire", "lock"), ("mark", 2))),
)
STARTED_UNDER_A_CANCELLED_CALL = (
    ("nursery", ((("cancel", 0), ("mark", 1)),), (("start", (("sleep", 1), ("started", 1)), ()),)),
)
SHIELD_LIFTED_BODY = (("cancel", 1), ("shield", 1, False, ()), ("sleep", 2))
SHIELD_LIFTED = (("scope", 5, True, (("nursery", ((("sleep", 3),),), SHIELD_LIFTED_BODY),)),)


@settings(max_examples=400)
@given(programs)
@example(OUTER_OF_TWO_EQUAL)
@example(OVERDUE_IN_THIS_ROUND)
@example(STARTED_UNDER_A_CANCELLED_CALL)
@example(SHIELD_LIFTED)
def test_every_program_ends_as_trio_might_end_it(program):
    agree(program)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(programs)
def test_thousands_of_programs_end_as_trio_might_end_them(program):
    agree(program)


@given(programs)
def test_the_same_program_runs_the_same_twice(program):
    assert run_with_driver(program) == run_with_driver(program)


def test_both_sides_are_asked_the_same():
    """Whatever Trio has of our names, the comparison takes from Trio itself."""
    assert {"open_nursery", "CancelScope", "Lock", "fail_at", "checkpoint"} <= set(vars(TRIO))
    assert vars(TRIO)["open_nursery"] is trio.open_nursery
