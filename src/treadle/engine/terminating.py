"""Ending a workflow whose code must not or cannot run: what has to be known of it is read off its log."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.engine.admitting import is_of_another_parent
from treadle.engine.carrying import OpenChild, Sender, closing_effects
from treadle.engine.effects import Activation
from treadle.engine.inputs import ParentLink, Terminate
from treadle.engine.marks import view_of
from treadle.engine.records import (
    CLOSING_KINDS,
    CancelRequest,
    ChildCompleted,
    ChildFailed,
    ChildScheduled,
    RunStarted,
    decode_record,
    encode_record,
)
from treadle.errors import InternalError
from treadle.events import EventKind, WorkflowEvent, trusted_event

_STARTS = (EventKind.WORKFLOW_STARTED, EventKind.CONTINUED)


def terminate(workflow_id: str, events: Sequence[WorkflowEvent], given: Terminate, now_ns: int) -> Activation:
    """End a workflow without its code; for one that is held. Its parent is told, its children are treated.

    Args:
        workflow_id: its id.
        events: its log, from the first event of its present run (or an earlier one) to the last.
        given: the input.
        now_ns: when, in nanoseconds since 1970.

    Returns:
        WORKFLOW_TERMINATED and its effects; nothing when it is another parent that asks, and not taken
        when the workflow has ended.

    Raises:
        InternalError: the events do not begin with a run.
        CorruptStoreError: an event is not one that the engine wrote.
    """
    if not events or events[0].kind not in _STARTS:
        raise InternalError(f"workflow {workflow_id!r}: a run begins with WORKFLOW_STARTED or CONTINUED")
    view = view_of(events)
    if view.events[-1].kind in CLOSING_KINDS:
        return Activation(taken=False)
    start = next(event for event in reversed(view.events) if event.kind in _STARTS)
    record = decode_record(start, RunStarted)
    branched_seq = max((mark.seq for mark in view.marks if mark.is_branch), default=0)
    parent = None
    if record.parent is not None and start.seq > branched_seq:
        parent = ParentLink(record.parent.id, record.parent.seq, record.parent.run)
    if is_of_another_parent(given.parent, parent):
        return Activation()
    last = events[-1]
    event = trusted_event(
        last.seq + 1,
        max(last.timestamp, now_ns),
        EventKind.WORKFLOW_TERMINATED,
        encode_record(CancelRequest(given.reason)),
    )
    begun = view.events[view.events.index(start) :]
    children = [child for child in _open_children(begun) if child.seq > branched_seq]
    sender = Sender(workflow_id, start.seq)
    return Activation((event,), tuple(closing_effects(sender, event, parent, children)))


def _open_children(events: Sequence[WorkflowEvent]) -> list[OpenChild]:
    found: dict[int, OpenChild] = {}
    for event in events:
        if event.kind is EventKind.CHILD_SCHEDULED:
            child = decode_record(event, ChildScheduled)
            found[event.seq] = OpenChild(event.seq, child.id, child.parent_close)
        elif event.kind is EventKind.CHILD_COMPLETED:
            found.pop(decode_record(event, ChildCompleted).seq, None)
        elif event.kind is EventKind.CHILD_FAILED:
            found.pop(decode_record(event, ChildFailed).seq, None)
    return list(found.values())
