"""The admission table: it covers every batch, each row answers what it says, and the words fit."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies import logs
from treadle.errors import (
    BatchError,
    ConflictError,
    EventsPrunedError,
    SequenceGapError,
    StaleSequenceError,
)
from treadle.events import BATCH_EVENTS_MAX, EventKind, WorkflowEvent, workflow_id
from treadle.log import ADMISSION, Answer, check_batch, check_batch_size, first_difference, judge, refusal

ID = workflow_id("a")


def event(seq, payload=b"", timestamp=0):
    return WorkflowEvent(seq, timestamp, EventKind.CUSTOM, payload)


@st.composite
def situations(draw):
    """A batch's seqs, a log's, and where they differ: everything `judge` is ever asked."""
    next_seq = draw(st.integers(1, 12))
    kept = draw(st.integers(1, next_seq))
    first = draw(st.integers(1, 14))
    last = first + draw(st.integers(0, 5))
    comparable = range(max(first, kept), min(last, next_seq - 1) + 1)
    differs = draw(st.none() | st.sampled_from(comparable)) if comparable else None
    return first, last, next_seq, kept, differs


def expected_answer(first, last, next_seq, kept, differs):  # the table, said in another way
    if first == next_seq:
        return Answer.APPEND
    if first > next_seq:
        return Answer.GAP
    if first < kept:
        return Answer.PRUNED
    if differs is not None:
        return Answer.CONFLICT
    return Answer.REPEATED if last < next_seq else Answer.STALE


@given(situations())
def test_table_covers_every_batch_with_one_answer(situation):
    first, last, next_seq, kept, differs = situation

    answer = judge(first, last, next_seq, kept, lambda: differs)

    assert expected_answer(*situation) is answer


@given(situations())
def test_rows_that_fit_after_the_first_never_say_append(situation):
    *seqs, differs = situation
    fitting = [answer for _, fits, answer in ADMISSION if fits(*seqs, lambda: differs)]

    assert fitting
    assert Answer.APPEND not in fitting[1:]


def test_each_answer_has_one_row():
    assert sorted(answer.value for answer in Answer) == sorted(answer.value for _, _, answer in ADMISSION)


def test_log_is_read_only_when_a_row_asks():
    def never():
        raise AssertionError

    assert judge(5, 6, 5, 1, never) is Answer.APPEND
    assert judge(6, 6, 5, 1, never) is Answer.GAP
    assert judge(2, 2, 5, 3, never) is Answer.PRUNED


# -- a batch by itself --


@pytest.mark.parametrize("seqs", [(1,), (1, 2, 3), (7, 8), (2**63 - 2, 2**63 - 1)])
def test_consecutive_seqs_pass(seqs):
    check_batch([event(seq) for seq in seqs])


@pytest.mark.parametrize(
    ("seqs", "words"),
    [
        ((), "got an empty one"),
        ((1, 3), "a gap inside: 3 where 2 belongs"),
        ((1, 1), "a repeat inside: 1 where 2 belongs"),
        ((2, 1), "a repeat inside: 1 where 3 belongs"),
        ((1, 2, 4), "a gap inside: 4 where 3 belongs"),
    ],
)
def test_batch_wrong_by_itself_is_refused(seqs, words):
    with pytest.raises(BatchError, match=words):
        check_batch([event(seq) for seq in seqs])


def test_batch_over_its_limit_is_refused():
    check_batch_size(BATCH_EVENTS_MAX)
    with pytest.raises(BatchError, match="at most 1000 events, got 1001; send it in several"):
        check_batch_size(BATCH_EVENTS_MAX + 1)


# -- comparing --


@given(logs(), logs())
def test_first_difference_is_the_first(ours, theirs):
    expected = next((o.seq for o, t in zip(ours, theirs, strict=False) if o != t), None)

    assert expected == first_difference(ours, theirs)


@given(logs(), st.data())
def test_timestamps_nobody_gave_are_left_out(events, data):
    assume(events)
    moved = [WorkflowEvent(e.seq, e.timestamp ^ 1, e.kind, e.payload) for e in events]
    given_ = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))

    expected = given_.index(True) + 1 if True in given_ else None

    assert expected == first_difference(moved, events, timestamps_given=given_)


def test_other_contents_differ_whoever_gave_the_timestamp():
    assert first_difference([event(1, b"x")], [event(1, b"y")], timestamps_given=[False]) == 1


# -- words --


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (Answer.GAP, SequenceGapError, "'a': expected seq 3, got seqs 7-8; append the events before it"),
        (
            Answer.PRUNED,
            EventsPrunedError,
            "'a': seqs 7-8 lies below the first kept seq 2.*continue at seq 3",
        ),
        (Answer.STALE, StaleSequenceError, "'a': expected seq 3, got seqs 7-8.*append at 3"),
        (Answer.CONFLICT, ConflictError, "'a': seq 7 was decided on another history"),
    ],
)
def test_refusal_tells_expected_got_and_what_to_do(answer, kind, words):
    error = refusal(answer, ID, [event(7), event(8)], next_seq=3, first_kept_seq=2)

    with pytest.raises(kind, match=words):
        raise error
    assert ("a", 3) == (error.workflow_id, error.next_seq)


def test_conflict_shows_both_sides_shortened():
    ours, theirs = [event(1), event(2, b"x" * 100)], [event(1), event(2, b"y")]

    error = refusal(Answer.CONFLICT, ID, ours, next_seq=3, stored=theirs, conflict_seq=2)

    assert (2, theirs[1], ours[1]) == (error.seq, error.stored, error.offered)
    assert "stored CUSTOM b'y' at 0, offered CUSTOM b'" + "x" * 32 + "...' at 0" in str(error)
