"""A `History` is refused when a part of it contradicts itself or another; the error says which."""

import attrs
import pytest
from planted import length, op, saw, wrote

from treadle.checkers import Crash, History, MisfitError, Observed, Operation, Quarantine, Read, Write
from treadle.errors import UsageError

GOOD = op(0, 1, wrote("a", "1"))
LOGS = {"a": "1"}


def test_logs_become_tuples():
    assert {"a": ("1",)} == History((GOOD,), {"a": ["1"]}).logs


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (attrs.evolve(GOOD, writes=()), "each operation has its own number"),
        (op(2, 1), "an end does not lie before its begin, got begin 2 and end 1"),
        (op(2, None), "was never answered has the outcome unknown, got 'ok'"),
        (op(0, 1, outcome="failed"), "an outcome is one of ok, refused, unknown, got 'failed'"),
        (op(0, 1, Read("a")), "a read has either marks or next_seq"),
        (op(0, 1, Read("a", (), 1, 1)), "a read has either marks or next_seq"),
        (op(0, 1, saw("a", "", 0)), "from is a seq, which count 1, 2, 3 ..., got 0"),
        (op(0, 1, length("a", -1)), "next_seq is a seq, which count 1, 2, 3 ..., got 0"),
        (op(0, 1, wrote("a", "")), "a write has at least one mark"),
        (op(0, 1, wrote("a", "2", 0)), "seq is a seq, which count 1, 2, 3 ..., got 0"),
        (op(0, 1, wrote("a", "1")), "each mark is written once, got '1' again"),
        (op(0, 1, wrote("a", "22")), "each mark is written once, got '2' again"),
        (op(0, 1, wrote("a", "2"), wrote("b", "2"), outcome="unknown"), "each mark is written once, got '2'"),
        (op(0, 1, wrote("a", "2"), wrote("a", "3")), "an operation writes to each log once, got 'a' twice"),
        (op(0, 1, wrote("b", "2")), "is told at the end, got none for 'b'; was the history cut short?"),
        (op(0, 1, saw("a\n", "")), "got U+000A at 1"),
        (op(0, 1, wrote("", "2")), "got an empty string"),
        (Operation(0, "c", 0, 1, "ok", (Read("a", ["1"]),)), "marks are a tuple of str, got list"),
        (Operation(0, "c", 0, 1, "ok", (), (Write("a", "2"),)), "marks are a tuple of str, got str"),
    ],
)
def test_an_operation_that_cannot_be_is_refused(bad, says):
    with pytest.raises(MisfitError) as caught:
        History((GOOD, bad), LOGS)

    assert says in str(caught.value)
    assert ("operations", 1) == (caught.value.part, caught.value.place)
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    ("parts", "part"),
    [
        ({"logs": {"a": "", "": ""}}, "logs"),
        ({"followers": (Observed("f", "a", 1, ()), Observed("f", "a", 0, ()))}, "followers"),
        ({"followers": (Observed("f", "a", 1, ()), Observed("f", "", 1, ()))}, "followers"),
        ({"followers": (Observed("f", "a", 1, ()), Observed("f", "a", 1, []))}, "followers"),
        ({"quarantines": (Quarantine("a", 1), Quarantine("a", 2, 1))}, "quarantines"),
        ({"crashes": (Crash("a", 1), Crash("", 2))}, "crashes"),
    ],
)
def test_another_part_that_cannot_be_is_refused(parts, part):
    with pytest.raises(MisfitError) as caught:
        History(**{"operations": (), "logs": LOGS, **parts})

    assert (part, 1) == (caught.value.part, caught.value.place)


def test_a_mark_in_two_logs_is_no_contradiction_but_the_very_thing_to_be_found():
    """What a store did wrong must come through to the checkers; only what a recorder did wrong is refused."""
    History((GOOD,), {"a": "11", "b": "1"})


def test_logs_that_nobody_wrote_to_surely_need_not_be_told():
    History((op(0, 1, saw("b", "")), op(0, 1, wrote("b", "2"), outcome="unknown")), {})
