"""From events to effects: what the world has to do about a command, read off the command itself.

A function of what is written, so that an activation whose log was cut short by a crash gives the same
effects when it is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from treadle.engine.effects import (
    AnswerUpdate,
    CancelActivity,
    Closed,
    Effect,
    PutMessage,
    StartActivity,
)
from treadle.engine.failures import Failure
from treadle.engine.inputs import ChildDone, Completed, Failed, ParentLink
from treadle.engine.machines import ActivityState
from treadle.engine.messages import (
    CancelMessage,
    ChildResultMessage,
    ChildStartMessage,
    MessageKind,
    ParentMessage,
    SignalMessage,
    encode_message,
    message_id,
)
from treadle.engine.records import (
    Answered,
    CancelRequest,
    CancelSent,
    ChildCancelRequested,
    ChildScheduled,
    SignalSent,
    UpdateCompleted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    decode_record,
)
from treadle.engine.status import Status
from treadle.events import EventKind, WorkflowEvent

if TYPE_CHECKING:
    from treadle.engine.execution import Execution

STATUS_BY_KIND: Final = {
    EventKind.WORKFLOW_COMPLETED: Status.COMPLETED,
    EventKind.WORKFLOW_FAILED: Status.FAILED,
    EventKind.WORKFLOW_CANCELLED: Status.CANCELLED,
    EventKind.WORKFLOW_TERMINATED: Status.TERMINATED,
}
"""What each closing event makes of the workflow."""


class OpenChild(NamedTuple):
    """A child that had not ended when its parent closed."""

    seq: int
    id: str
    parent_close: str


class Sender(NamedTuple):
    """Who sends: the workflow and the run."""

    workflow_id: str
    run: int

    def put(self, to: str, kind: MessageKind, payload: bytes, *seqs: int) -> PutMessage:
        """Make a message of the event with the first of `seqs`."""
        return PutMessage(to, message_id(self.workflow_id, self.run, *seqs), kind, payload)


def effects_of(execution: Execution, events: Iterable[WorkflowEvent], run: int) -> tuple[Effect, ...]:
    """Tell what an activation's events ask for.

    Args:
        execution: the workflow, after the activation.
        events: of the activation.
        run: the run in which it began.

    Returns:
        The effects, in the order of their events.
    """
    found: list[Effect] = []
    settled_seq = execution.journal.settled_seq
    for event in events:
        kind = event.kind
        if event.seq <= settled_seq:
            continue  # carried out before the log was branched or reset
        if kind is EventKind.ACTIVITY_SCHEDULED:
            pending = execution.run.activities.get(event.seq)
            if pending is not None and pending.state is ActivityState.SCHEDULED:
                found.append(StartActivity(event.seq))
        elif kind is EventKind.CONTINUED:
            run = event.seq
        elif kind in _EFFECTIVE:
            found += _EFFECTIVE[kind](execution, Sender(execution.journal.workflow_id, run), event)
    return tuple(found)


def _activity_cancel(execution: Execution, _sender: Sender, event: WorkflowEvent) -> list[Effect]:
    seq = decode_record(event, Answered).seq
    return [CancelActivity(seq, answer=seq in execution.run.activities)]


def _closing(execution: Execution, sender: Sender, event: WorkflowEvent) -> Iterator[Effect]:
    children = [
        OpenChild(child.seq, child.id, child.parent_close)
        for child in execution.run.children.values()
        if child.seq > execution.journal.branched_seq  # the others are the original's
    ]
    return closing_effects(sender, event, execution.run.parent, children)


def _child_start(_execution: Execution, sender: Sender, event: WorkflowEvent) -> list[Effect]:
    record = decode_record(event, ChildScheduled)
    message = ChildStartMessage(record.name, record.args, sender.workflow_id, event.seq, sender.run)
    return [sender.put(record.id, MessageKind.CHILD_START, encode_message(message), event.seq)]


def _child_cancel(execution: Execution, sender: Sender, event: WorkflowEvent) -> list[Effect]:
    record = decode_record(event, ChildCancelRequested)
    if record.seq <= execution.journal.branched_seq:
        return []  # it is the original's child, and listens to nobody else
    message = ParentMessage(
        sender.workflow_id, record.seq, sender.run, record.terminate, "the parent has cancelled it"
    )
    return [sender.put(record.id, MessageKind.CHILD_CANCEL, encode_message(message), event.seq)]


def _signal(_execution: Execution, sender: Sender, event: WorkflowEvent) -> list[Effect]:
    record = decode_record(event, SignalSent)
    message = SignalMessage(record.name, record.args, sender.workflow_id, event.seq)
    return [sender.put(record.workflow_id, MessageKind.SIGNAL, encode_message(message), event.seq)]


def _cancel(_execution: Execution, sender: Sender, event: WorkflowEvent) -> list[Effect]:
    record = decode_record(event, CancelSent)
    message = CancelMessage(record.reason, sender.workflow_id, event.seq)
    return [sender.put(record.workflow_id, MessageKind.CANCEL, encode_message(message), event.seq)]


def _answer(_execution: Execution, _sender: Sender, event: WorkflowEvent) -> list[Effect]:
    record = decode_record(event, UpdateCompleted)
    outcome = Completed(bytes(record.result)) if record.failure is None else Failed(record.failure)
    return [AnswerUpdate(record.id, outcome, event.seq)]


_EFFECTIVE: Final[dict[EventKind, Callable[[Any, Sender, WorkflowEvent], Iterable[Effect]]]] = {
    EventKind.ACTIVITY_CANCEL_REQUESTED: _activity_cancel,
    EventKind.CHILD_SCHEDULED: _child_start,
    EventKind.CHILD_CANCEL_REQUESTED: _child_cancel,
    EventKind.SIGNAL_SENT: _signal,
    EventKind.CANCEL_SENT: _cancel,
    EventKind.UPDATE_COMPLETED: _answer,
    **dict.fromkeys(STATUS_BY_KIND, _closing),
}


def closing_effects(
    sender: Sender, event: WorkflowEvent, parent: ParentLink | None, children: Iterable[OpenChild]
) -> Iterator[Effect]:
    """Tell what follows from a workflow's end.

    Args:
        sender: the workflow.
        event: the closing one.
        parent: who is told, or None.
        children: those that have not ended; each is treated by its close policy.

    Yields:
        Effects.
    """
    yield Closed(STATUS_BY_KIND[event.kind], event.payload)
    if parent is not None:
        payload = encode_message(_result_for_parent(event, parent.seq))
        yield sender.put(parent.workflow_id, MessageKind.CHILD_RESULT, payload, event.seq)
    for child in children:
        if child.parent_close == "abandon":
            continue
        message = ParentMessage(
            sender.workflow_id,
            child.seq,
            sender.run,
            child.parent_close == "terminate",
            "the parent has closed",
        )
        yield sender.put(child.id, MessageKind.PARENT_CLOSED, encode_message(message), event.seq, child.seq)


def child_done(event: WorkflowEvent, seq: int) -> ChildDone:
    """Tell a child's end as the input it becomes, for a parent that no message tells.

    Args:
        event: the child's closing one.
        seq: the parent's CHILD_SCHEDULED.

    Returns:
        The input.

    Raises:
        CorruptStoreError: the event is not one that the engine wrote.
    """
    message = _result_for_parent(event, seq)
    outcome = Completed(bytes(message.result)) if message.failure is None else Failed(message.failure)
    return ChildDone(seq, outcome, message.status)


def _result_for_parent(event: WorkflowEvent, seq: int) -> ChildResultMessage:
    if event.kind is EventKind.WORKFLOW_COMPLETED:
        return ChildResultMessage(seq, decode_record(event, WorkflowCompleted).result)
    if event.kind is EventKind.WORKFLOW_FAILED:
        return ChildResultMessage(seq, failure=decode_record(event, WorkflowFailed).failure)
    if event.kind is EventKind.WORKFLOW_CANCELLED:
        reason = decode_record(event, WorkflowCancelled).reason
        return ChildResultMessage(seq, failure=Failure("WorkflowCancelled", reason), status="cancelled")
    reason = decode_record(event, CancelRequest).reason
    return ChildResultMessage(seq, failure=Failure("WorkflowTerminated", reason), status="terminated")
