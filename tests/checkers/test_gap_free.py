"""`gap_free` finds every place where seqs do not rise by one."""

import pytest

from treadle import checkers
from treadle.checkers import Violation, gap_free
from treadle.events import EventKind, WorkflowEvent


def events(*seqs):
    return [WorkflowEvent(seq, 0, EventKind.CUSTOM) for seq in seqs]


@pytest.mark.parametrize("seqs", [(), (1,), (1, 2, 3)])
def test_whole_log_passes(seqs):
    assert [] == gap_free("a", iter(events(*seqs)), next_seq=len(seqs) + 1)


@pytest.mark.parametrize(
    ("seqs", "at", "expected"),
    [((2,), 2, 1), ((1, 3), 3, 2), ((1, 1), 1, 2), ((1, 2, 1), 1, 3), ((1, 2, 4, 5), 4, 3)],
)
def test_gap_or_repeat_is_named_by_seq(seqs, at, expected):
    found = gap_free("a", events(*seqs))

    assert [Violation("gap_free", "a", at, f"expected seq {expected}, found {at}")] == found


def test_missing_tail_shows_against_the_head():
    (violation,) = gap_free("a", events(1, 2), next_seq=4)

    assert 3 == violation.seq


def test_cut_log_begins_at_its_first_kept_seq():
    assert [] == gap_free("a", events(5, 6), first_seq=5)
    assert [5] == [violation.seq for violation in gap_free("a", events(5, 6))]


def test_report_is_bounded():
    found = gap_free("a", events(*range(2, 1_000, 2)))

    assert checkers.VIOLATIONS_MAX == len(found)


def test_violation_reads_as_a_sentence():
    (violation,) = gap_free("a", events(2))

    assert "gap_free: a seq 2: expected seq 1, found 2" == str(violation)
    assert "p: a: m" == str(Violation("p", "a", None, "m"))
