"""`linearizable` finds what no order of a log's operations explains, and says what is impossible."""

import pytest
from planted import length, op, saw, wrote

from treadle.checkers import VIOLATIONS_MAX, History, linearizable


def only(history):
    (violation,) = linearizable(history)
    return violation


def test_operations_at_the_same_time_may_have_any_order():
    history = History(
        (
            op(0, 9, wrote("a", "x", 1)),
            op(0, 9, wrote("a", "y", 2)),
            op(0, 9, saw("a", "")),
            op(0, 9, saw("a", "xy")),
            op(0, 9, length("a", 1)),
            op(0, 9, length("a", 2), wrote("a", "z", 3)),
        ),
        {"a": "xyz"},
    )

    assert [] == linearizable(history)


def test_an_end_at_the_moment_of_a_begin_orders_nothing():
    assert [] == linearizable(History((op(0, 5, wrote("a", "x")), op(5, 6, saw("a", ""))), {"a": "x"}))


def test_a_stale_read_names_both_operations_and_what_they_did():
    first, second = op(0, 5, wrote("a", "xy", 1)), op(6, 8, length("a", 0))

    found = only(History((first, second), {"a": "xy"}))

    assert (
        f"operation {second.op} of {second.client} (6 to 8) saw 0 events, though operation {first.op} of"
        f" {first.client} (0 to 5), which had ended before, had appended at seq 1" == found.message
    )


@pytest.mark.parametrize(
    ("operations", "log", "says"),
    [
        ([op(0, 1, wrote("a", "y")), op(2, 3, wrote("a", "x"))], "xy", "had appended at seq 2"),
        ([op(0, 9, wrote("a", "x")), op(0, 1, saw("a", "x")), op(2, 3, saw("a", ""))], "x", "saw 1 event"),
        (
            [op(0, 9, wrote("a", "x")), op(0, 1, length("a", 1)), op(2, 3, length("a", 0))],
            "x",
            "saw 0 events",
        ),
        ([op(4, 5, wrote("a", "x")), op(0, 1, saw("a", "x"))], "x", "appended at seq 1, though"),
        (
            [op(0, 1, wrote("a", "xy")), op(2, 3, wrote("a", "z")), op(4, 5, saw("a", "", 3))],
            "xyz",
            "saw nothing from seq 3 on, though",
        ),
        ([op(0, 1, wrote("a", "xy")), op(4, 5, saw("a", "", 2))], "xy", "saw nothing from seq 2 on, though"),
        ([op(0, 9, wrote("a", "xy")), op(0, 9, saw("a", "x"))], "xy", "a part of the batch that begins at 1"),
        ([op(0, 9, wrote("a", "xy")), op(0, 9, wrote("a", "z"))], "xzy", "stands apart at seqs 1, 3"),
        ([op(0, 9, wrote("a", "xy"))], "yx", "stands apart at seqs 2, 1"),
        ([op(0, 9, wrote("a", "xy"))], "x", "was acknowledged, and the log ends at seq 1 without its 'y'"),
        ([op(0, 9, wrote("a", "x"))], "", "was acknowledged, and the log ends at seq 0 without its 'x'"),
        ([op(0, 9, wrote("a", "xy"), outcome="unknown")], "x", "took place in part"),
        ([op(0, 9, wrote("a", "x", 2))], "x", "was told seq 2, and its events begin at seq 1"),
        ([op(0, 9, wrote("a", "x"), outcome="refused")], "x", "was refused, and its 'x' is there"),
        ([op(0, 9, wrote("a", "x"))], "xx", "was appended at seq 1 and stands there again"),
        ([], "x", "'x' stands here, which nobody appended"),
        ([op(0, 9, wrote("b", "x"))], "x", "'x' stands here, which nobody appended"),
        (
            [op(0, 9, wrote("a", "xy")), op(0, 9, saw("a", "y", 1))],
            "xy",
            "saw 'y' here, and 'x' stands there",
        ),
        (
            [op(0, 9, wrote("a", "x")), op(0, 9, saw("a", "xy"))],
            "x",
            "saw 'y' here, and the log ends at seq 1",
        ),
        (
            [op(0, 9, wrote("a", "x")), op(0, 9, length("a", 2))],
            "x",
            "saw 2 events, and the log ends at seq 1",
        ),
        (
            [op(0, 9, wrote("a", "x")), op(0, 9, length("a", 0), wrote("a", "y"))],
            "xy",
            "appended at seq 2 when it saw 0 events",
        ),
        (
            [op(0, 9, wrote("a", "x")), op(0, 9, length("a", 0), saw("a", "x"))],
            "x",
            "saw two lengths of this log at one moment",
        ),
        (
            [op(0, 1, wrote("a", "x")), op(2, 3, length("a", 0), wrote("a", "y"), outcome="refused")],
            "x",
            "saw 0 events, though",
        ),
        (
            [op(2, None, wrote("a", "x"), outcome="unknown"), op(0, 1, saw("a", "x"))],
            "x",
            "appended at seq 1, though",
        ),
    ],
)
def test_planted_impossibility_is_told(operations, log, says):
    """A violation of log `a` with these words; a second log that lacks an event may add one of its own."""
    logs = {"a": log, "b": ""}

    found = [str(violation) for violation in linearizable(History(tuple(operations), logs))]

    assert 1 == sum(" a: " in line or " a seq" in line for line in found), found
    assert says in "".join(found)


@pytest.mark.parametrize(
    ("operations", "log"),
    [
        # May have happened long after its end, or never.
        ([op(0, 1, wrote("a", "x"), outcome="unknown"), op(5, 6, saw("a", ""))], "x"),
        ([op(0, 1, wrote("a", "x"), outcome="unknown"), op(5, 6, saw("a", ""))], ""),
        ([op(0, None, wrote("a", "x"), outcome="unknown"), op(5, 6, wrote("a", "y", 1))], "yx"),
        # What one that never took place expected, nobody has seen.
        ([op(0, 1, length("a", 7), wrote("a", "x"), outcome="unknown")], ""),
        # An empty stretch says only that the log did not reach that far.
        ([op(0, 1, wrote("a", "x")), op(2, 3, saw("a", "", 9)), op(4, 5, saw("a", "x"))], "x"),
        ([op(0, 9, wrote("a", "xy")), op(0, 9, saw("a", "", 2))], "xy"),
    ],
)
def test_what_may_have_happened_passes(operations, log):
    assert [] == linearizable(History(tuple(operations), {"a": log}))


def test_logs_are_looked_at_one_by_one():
    """That a unit was seen in one log and not yet in the other is for `serializable` to find."""
    history = History(
        (op(0, 9, wrote("a", "x"), wrote("b", "y")), op(0, 9, saw("a", "x"), saw("b", ""))),
        {"a": "x", "b": "y"},
    )

    assert [] == linearizable(history)


def test_report_is_bounded():
    history = History(tuple(op(0, 1, wrote("a", (f"m{n}",))) for n in range(500)), {"a": ()})

    assert VIOLATIONS_MAX == len(linearizable(history))
