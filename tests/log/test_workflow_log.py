"""`WorkflowLog`: every row of the admission table, reads, and what the caller may hand in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import event_contents, logs, timestamps
from treadle.errors import (
    BatchError,
    ConflictError,
    InvalidValueError,
    SequenceGapError,
    StaleSequenceError,
)
from treadle.events import BATCH_EVENTS_MAX, TIMESTAMP_MAX, EventKind, NewEvent, WorkflowEvent, workflow_id
from treadle.log import Appended, Visitor, WorkflowLog, chain_digest, root_digest


def event(seq, payload=b"", timestamp=0):
    return WorkflowEvent(seq, timestamp, EventKind.CUSTOM, payload)


def new(payload=b"", timestamp=0):
    return NewEvent(EventKind.CUSTOM, payload, timestamp)


@pytest.fixture
def log():
    """A log `a` of five events."""
    log = WorkflowLog()
    log.extend("a", [event(seq, b"%d" % seq) for seq in range(1, 6)])
    return log


def content(log):
    """Everything a log can tell, to see that an error has changed nothing."""
    return [
        (name, log.read(name), log.digest(name), log.next_seq(name), log.stream_len(name))
        for name in log.workflow_ids()
    ]


# -- appending --


def test_events_with_and_without_seq_are_appended_in_order():
    log = WorkflowLog()

    assert Appended((event(1, b"x"),)) == log.append("a", event(1, b"x"))
    assert Appended((event(2, b"y"),)) == log.append("a", new(b"y"))
    assert Appended((event(3), event(4))) == log.extend("a", iter([new(), new()]))
    assert 5 == log.next_seq("a")
    assert 4 == log.stream_len("a")


def test_appended_tells_the_last_event_and_its_seq():
    appended = WorkflowLog().extend("a", [new(b"x"), new(b"y")])

    assert (2, event(2, b"y"), False) == (appended.seq, appended.event, appended.repeated)


@pytest.mark.parametrize("seq", range(1, 6))
def test_any_older_event_is_accepted_again_silently(log, seq):
    before = content(log)

    assert Appended((event(seq, b"%d" % seq),), repeated=True) == log.append("a", event(seq, b"%d" % seq))
    assert before == content(log)


@pytest.mark.parametrize(("first", "last"), [(1, 5), (1, 2), (2, 4), (5, 5)])
def test_any_older_stretch_is_accepted_again_silently(log, first, last):
    before = content(log)
    batch = [event(seq, b"%d" % seq) for seq in range(first, last + 1)]

    assert Appended(tuple(batch), repeated=True) == log.extend("a", batch)
    assert before == content(log)


@pytest.mark.parametrize(
    ("batch", "kind"),
    [
        ([event(7)], SequenceGapError),
        ([event(7), event(8)], SequenceGapError),
        ([event(5, b"other")], ConflictError),
        ([event(5, b"5", timestamp=1)], ConflictError),
        ([event(1, b"1"), event(2, b"other"), event(3, b"3")], ConflictError),
        ([event(5, b"5"), event(6)], StaleSequenceError),
        ([event(5, b"other"), event(6)], ConflictError),
        ([], BatchError),
        ([event(6), event(8)], BatchError),
        ([event(6), event(6)], BatchError),
        ([new()] * (BATCH_EVENTS_MAX + 1), BatchError),
        ([event(6), new()], InvalidValueError),
        ([new(), NewEvent("custom")], InvalidValueError),
        (["text"], InvalidValueError),
        ([None], InvalidValueError),
    ],
)
def test_refused_batch_changes_nothing(log, batch, kind):
    before = content(log)
    log.append("b", new())
    before_with_b = content(log)

    with pytest.raises(kind):
        log.extend("a", batch)
    if len(batch) == 1:
        with pytest.raises(kind):
            log.append("a", batch[0])

    assert before_with_b == content(log)
    assert before == before_with_b[:1]


def test_refusal_of_a_first_batch_leaves_no_log_behind():
    log = WorkflowLog()

    with pytest.raises(SequenceGapError, match="expected seq 1, got seq 2"):
        log.append("a", event(2))

    assert [] == log.workflow_ids()
    assert root_digest(workflow_id("a")) == log.digest("a")


def test_refusals_tell_the_next_seq(log):
    with pytest.raises(ConflictError) as caught:
        log.extend("a", [event(3, b"3"), event(4, b"other")])

    error = caught.value
    assert ("a", 6, 4) == (error.workflow_id, error.next_seq, error.seq)
    assert (event(4, b"4"), event(4, b"other")) == (error.stored, error.offered)


def test_new_event_needs_a_timestamp_because_there_is_no_clock():
    with pytest.raises(InvalidValueError, match=r"no clock: give .* a timestamp \(time.time_ns\(\)\)"):
        WorkflowLog().append("a", NewEvent("custom"))


@pytest.mark.parametrize("bad", ["", "a\0", "\ud800", "x" * 256, -1, True, None, 1.5, b"a", [], {}])
def test_bad_id_is_refused_by_every_call(log, bad):
    before = content(log)

    for call in (
        lambda: log.append(bad, event(1)),
        lambda: log.extend(bad, [event(1)]),
        lambda: log.read(bad),
        lambda: log.between(bad, 0, 1),
        lambda: log.replay(bad, lambda state, _: state, None),
        lambda: log.event_at(bad, 1),
        lambda: log.stream_len(bad),
        lambda: log.next_seq(bad),
        lambda: log.digest(bad),
    ):
        with pytest.raises(InvalidValueError, match="workflow id"):
            call()

    assert before == content(log)


def test_number_and_its_string_name_one_log():
    log = WorkflowLog()
    log.append(7, event(1))
    log.append("7", event(2))

    assert ["7"] == log.workflow_ids()
    assert [event(1), event(2)] == log.read(7)
    assert log.append(7, event(2)).repeated


def test_two_workflows_with_the_same_seqs_never_meet():
    log = WorkflowLog()
    for seq in range(1, 4):
        for name in ("a", "b", "c"):
            log.append(name, event(seq, name.encode()))

    for name in ("a", "b", "c"):
        assert [event(seq, name.encode()) for seq in (1, 2, 3)] == log.read(name)
    assert ["a", "b", "c"] == log.workflow_ids()


@given(logs())
def test_digest_is_that_of_the_chain_however_the_events_came(events):
    one, many = WorkflowLog(), WorkflowLog()
    digest = root_digest(workflow_id("a"))
    for each in events:
        digest = chain_digest(digest, each)
        one.append("a", each)
    if events:
        many.extend("a", events)

    assert digest == one.digest("a") == many.digest("a")


# -- reading --


@given(logs(), st.integers(1, 25), st.none() | st.integers(1, 25))
def test_read_takes_both_bounds_inclusive(events, from_seq, to_seq):
    log = WorkflowLog()
    for each in events:
        log.append("a", each)

    expected = [e for e in events if from_seq <= e.seq and (to_seq is None or e.seq <= to_seq)]

    assert expected == log.read("a", from_seq, to_seq)
    assert expected == log.replay("a", lambda state, e: [*state, e], [], from_seq, to_seq)


def before(time, until):
    """What the end of a stretch of time means."""
    return until is None or time < until


ends = st.none() | timestamps()


@given(st.lists(logs(max_size=6), min_size=1, max_size=4), st.lists(st.tuples(timestamps(), ends)))
def test_between_is_a_filter_over_event_time(parts, ranges):
    log, events = WorkflowLog(), []
    for part in parts:  # queries between appends, so that the index is completed more than once
        for each in part:
            events.append(event(len(events) + 1, each.payload, each.timestamp))
            log.append("a", events[-1])
        for since, until in ranges:
            expected = [e for e in events if since <= e.timestamp and before(e.timestamp, until)]

            assert expected == log.between("a", since, until)


@given(st.lists(timestamps(), max_size=20).map(sorted), timestamps(), ends)
def test_between_while_times_only_rise(times, since, until):
    log = WorkflowLog()
    for time in times:
        log.append("a", new(timestamp=time))

    expected = [t for t in times if since <= t and before(t, until)]
    assert expected == [e.timestamp for e in log.between("a", since, until)]


@pytest.mark.parametrize(
    "times", [(1, TIMESTAMP_MAX), (TIMESTAMP_MAX, 1)], ids=["rising", "with a late event"]
)
def test_the_last_time_there_is_can_be_reached(times):
    log = WorkflowLog()
    log.extend("a", [new(timestamp=time) for time in times])

    assert [] == log.between("a", 2, TIMESTAMP_MAX)
    assert [TIMESTAMP_MAX] == [e.timestamp for e in log.between("a", 2)]


def test_late_event_is_found_in_its_seqs_place():
    log = WorkflowLog()
    log.extend("a", [new(timestamp=time) for time in (10, 20, 5, 15)])

    assert [1, 3, 4] == [e.seq for e in log.between("a", 5, 20)]


@pytest.mark.parametrize(("since", "until"), [(2**63, 0), (0, -(2**63) - 1), (True, 5), (0, 1.5), (None, 5)])
def test_between_refuses_what_is_no_time(log, since, until):
    with pytest.raises(InvalidValueError, match="timestamp"):
        log.between("a", since, until)


@pytest.mark.parametrize("bad", [0, -1, 2**63, True, 1.0, "1"])
def test_bad_seqs_are_refused_by_every_read(log, bad):
    for call in (
        lambda: log.read("a", bad),
        lambda: log.read("a", 1, bad),
        lambda: log.replay("a", lambda state, _: state, None, bad),
        lambda: log.event_at("a", bad),
    ):
        with pytest.raises(InvalidValueError, match="a seq is an int"):
            call()


def test_event_at_looks_up_one_place(log):
    assert event(1, b"1") == log.event_at("a", 1)
    assert event(5, b"5") == log.event_at("a", 5)
    assert log.event_at("a", 6) is None
    assert log.event_at("unknown", 1) is None


def test_unknown_workflow_reads_as_an_empty_log(log):
    assert [] == log.read("unknown")
    assert [] == log.between("unknown", 0, 1)
    assert (0, 1) == (log.stream_len("unknown"), log.next_seq("unknown"))
    assert "state" == log.replay("unknown", lambda *_: None, "state")
    assert ["a"] == log.workflow_ids()


def test_what_was_read_is_the_readers_own(log):
    log.read("a").clear()
    log.between("a", 0, 1).clear()

    assert 5 == log.stream_len("a")


def test_error_of_a_reducer_comes_through_and_changes_nothing(log):
    before = content(log)

    with pytest.raises(ZeroDivisionError):
        log.replay("a", lambda _, e: 1 // (5 - e.seq), 0)

    assert before == content(log)


# -- the visitor --


class Trace(Visitor[list]):
    """Notes which method an event went to."""

    def visit_signal_received(self, state, event):
        return [*state, ("signal", event.seq)]

    def visit_other(self, state, event):
        return [*state, ("other", event.seq)]


def test_visitor_folds_by_kind():
    log = WorkflowLog()
    log.extend("a", [NewEvent(kind, b"", 0) for kind in EventKind])

    traced = log.replay("a", Trace(), [])

    assert [
        ("signal" if kind is EventKind.SIGNAL_RECEIVED else "other", seq)
        for seq, kind in enumerate(EventKind, 1)
    ] == traced


@pytest.mark.parametrize("kind", EventKind)
def test_visitor_has_a_method_for_every_kind(kind):
    visitor = type("One", (Visitor,), {f"visit_{kind.name.lower()}": lambda *_: "visited"})()

    assert "visited" == visitor("state", WorkflowEvent(1, 0, kind))
    assert "state" == Visitor()("state", WorkflowEvent(1, 0, kind))


@given(st.lists(event_contents(), max_size=10))
def test_visitor_and_function_fold_the_same(contents):
    log = WorkflowLog()
    for timestamp, kind, payload in contents:
        log.append("a", NewEvent(kind, payload, timestamp))

    class Count(Visitor[int]):
        def visit_other(self, state, event):
            return state * 31 + event.kind

    assert log.replay("a", Count(), 1) == log.replay("a", lambda state, e: state * 31 + e.kind, 1)


def test_what_cannot_be_called_folds_nothing():
    """Told also of a log without events, whose replay would call nothing."""
    with pytest.raises(InvalidValueError, match="a function or a Visitor"):
        WorkflowLog().replay("a", None, 0)
