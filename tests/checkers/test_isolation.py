"""`isolation` finds what one workflow has in another's log."""

from treadle.checkers import VIOLATIONS_MAX, isolation
from treadle.events import EventKind, WorkflowEvent


def owner(event):
    return event.payload.decode() or None


def events(*owners):
    return [WorkflowEvent(seq, 0, EventKind.CUSTOM, name.encode()) for seq, name in enumerate(owners, 1)]


def test_own_and_unmarked_events_pass():
    assert [] == isolation("a", iter(events("a", "", "a")), owner)


def test_foreign_event_is_named_by_seq_and_owner():
    (violation,) = isolation("a", events("a", "b", "a"), owner)

    assert ("isolation", "a", 2) == (violation.promise, violation.workflow_id, violation.seq)
    assert "'b'" in violation.message


def test_report_is_bounded():
    assert VIOLATIONS_MAX == len(isolation("a", events(*"b" * 500), owner))
