"""What an input does to a workflow, before its code runs: one function for each kind of event.

Live and replayed inputs come through here alike, so there is no second road that could differ. A result
wakes the task that waits for it; nothing here runs code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from treadle.engine import machines
from treadle.engine.api.handlers import run_update
from treadle.engine.arguments import decode_arguments
from treadle.engine.carrying import STATUS_BY_KIND
from treadle.engine.driver.tasks import line_of_task
from treadle.engine.failures import failure_of
from treadle.engine.inputs import ParentLink
from treadle.engine.pending import Attempts, PendingUpdate
from treadle.engine.records import (
    RULE_SET,
    ActivityAttemptFailed,
    ActivityCompleted,
    ActivityFailed,
    Answered,
    CancelRequest,
    ChildCompleted,
    ChildFailed,
    RunStarted,
    SendFailed,
    SignalReceived,
    TimerFired,
    UpdateAccepted,
    decode_record,
    unreadable,
)
from treadle.engine.run import HostedScheduler, Run
from treadle.engine.signals import SignalQueue
from treadle.engine.status import Status
from treadle.errors import CorruptStoreError, InvalidValueError, TreadleError
from treadle.events import EventKind, WorkflowEvent

if TYPE_CHECKING:
    from treadle.engine.execution import Execution


# -- the run -------------------------------------------------------------------------------------------


def begin_run(execution: Execution, record: RunStarted, seq: int) -> None:
    """Make a run and its main task; nothing of it has happened yet.

    Args:
        execution: the workflow.
        record: its WORKFLOW_STARTED or CONTINUED.
        seq: of that event.
    """
    journal, definition = execution.journal, execution.definition
    scheduler = HostedScheduler(execution, execution.limits.steps_max)
    scheduler.now_ns = journal.now_ns
    parent = record.parent
    run = Run(
        scheduler,
        bytes.fromhex(record.seed),
        None if parent is None else ParentLink(parent.id, parent.seq, parent.run),
        journal.now_ns,
    )
    run.updates_done = dict(record.updates)
    execution.run, execution.is_started = run, True
    execution.status = Status.RUNNING
    journal.run_start_seq = seq
    try:
        args, kwargs = decode_arguments(definition, bytes(record.args), execution.converter)
    except InvalidValueError as error:
        execution.refuse_start(failure_of(error, execution.converter))
        return
    scheduler.start_main(partial(definition.function, **kwargs) if kwargs else definition.function, *args)
    if record.cancel is not None:
        run.cancel = record.cancel
        scheduler.main_scope.cancel(record.cancel.reason or None)


def _started(execution: Execution, event: WorkflowEvent) -> None:
    record = decode_record(event, RunStarted)
    _check_run(execution, event, record)
    begin_run(execution, record, event.seq)


def _continued(execution: Execution, event: WorkflowEvent) -> None:
    """Replay begins at a CONTINUED: what would have been left of the run before comes with it."""
    record = decode_record(event, RunStarted)
    _check_run(execution, event, record)
    signals = _carried(execution, event, record)
    begin_run(execution, record, event.seq)
    for signal in signals:
        deliver(execution.run, signal)


def _carried(execution: Execution, event: WorkflowEvent, record: RunStarted) -> list[SignalReceived]:
    journal, signals = execution.journal, []
    for number in range(record.carried):
        carried = journal.peek()
        if carried is None or carried.kind is not EventKind.SIGNAL_CARRIED:
            raise CorruptStoreError(
                f"workflow {execution.workflow_id!r}: CONTINUED at seq {event.seq} is followed by"
                f" {record.carried} SIGNAL_CARRIED, got {number}; replay from the run before, which starts at"
                f" seq {record.previous_run}",
                workflow_id=execution.workflow_id,
                seq=event.seq,
            )
        signals.append(decode_record(journal.take(), SignalReceived))
    return signals


def _check_run(execution: Execution, event: WorkflowEvent, record: RunStarted) -> None:
    if record.rule_set != RULE_SET:
        # By other rules the same inputs lead to other commands, and not all of them would be noticed.
        raise execution.hold(
            f"workflow {execution.workflow_id!r}, seq {event.seq}: this treadle replays logs of rule set"
            f" {RULE_SET}, got one of rule set {record.rule_set}; run it with the version of treadle that has"
            " written it",
            reason=f"its log follows rule set {record.rule_set}, and this treadle knows {RULE_SET}",
        )
    try:
        bytes.fromhex(record.seed)
    except ValueError as error:
        raise unreadable(event, error) from error
    if record.name != execution.definition.name:
        raise execution.journal.diverged(
            "the log is of another workflow",
            event,
            actual=f"the code of {execution.definition.name!r}",
            where=execution.definition.code_place,
        )


# -- activities ----------------------------------------------------------------------------------------

_ACTIVITY: Final = machines.ACTIVITY


def _activity_completed(execution: Execution, event: WorkflowEvent) -> None:
    _activity_ended(execution, event, decode_record(event, ActivityCompleted))


def _activity_failed(execution: Execution, event: WorkflowEvent) -> None:
    _activity_ended(execution, event, decode_record(event, ActivityFailed))


def _activity_cancelled(execution: Execution, event: WorkflowEvent) -> None:
    _activity_ended(execution, event, decode_record(event, Answered))


def _activity_ended(
    execution: Execution, event: WorkflowEvent, record: ActivityCompleted | ActivityFailed | Answered
) -> None:
    run = execution.run
    pending = run.activities.pop(record.seq, None)
    if pending is None or event.kind not in _ACTIVITY[pending.state]:
        raise _unexpected(execution, event, record.seq)
    pending.state = _ACTIVITY[pending.state][event.kind]
    if run.retrying:
        run.retrying.pop(record.seq, None)
    run.scheduler.resume(pending.task, record)


def _attempt_failed(execution: Execution, event: WorkflowEvent) -> None:
    record = decode_record(event, ActivityAttemptFailed)
    pending = execution.run.activities.get(record.seq)
    if pending is None:
        # Abandoned by the time it failed, or of a run that is over: nobody is interested.
        return
    pending.state = machines.step(_ACTIVITY, pending.state, event.kind)
    lost = pending.attempts_lost + record.lost
    made = pending.made(b"")
    # One that was lost says nothing of its route, and is made again as it was.
    failed_on = made.failed_on if record.lost else made.failures_after()
    choice = record.choice or made.choice
    pending.attempts = Attempts(record.attempt, lost, record.failure, record.next_due_ns, choice, failed_on)
    if not pending.is_cancelling:
        execution.run.retrying[record.seq] = record.next_due_ns


# -- time ----------------------------------------------------------------------------------------------


def _timer_fired(execution: Execution, event: WorkflowEvent) -> None:
    record = decode_record(event, TimerFired)
    run, journal = execution.run, execution.journal
    due = run.due(journal.now_ns)
    if tuple(seq for _, seq in due) != record.timers:
        raise journal.diverged(
            "other timers are due than its log says",
            event,
            actual=f"timers {[seq for _, seq in due]} are due",
            where=main_line(execution),
        )
    fired = set(record.timers)
    for scope in [scope for scope, seq in run.timer_of.items() if seq in fired]:
        run.end_timer(scope)
    run.scheduler.fire(journal.now_ns)


# -- messages ------------------------------------------------------------------------------------------


def deliver(run: Run, signal: SignalReceived) -> None:
    """Take a signal in.

    Args:
        run: whose.
        signal: the signal.
    """
    queue = run.signals.get(signal.name)
    if queue is None:
        queue = run.signals[signal.name] = SignalQueue(signal.name)
    queue.deliver(bytes(signal.args))


def _signal_received(execution: Execution, event: WorkflowEvent) -> None:
    deliver(execution.run, decode_record(event, SignalReceived))


def _cancel_requested(execution: Execution, event: WorkflowEvent) -> None:
    record = decode_record(event, CancelRequest)
    run = execution.run
    if run.continuing is not None:
        # The code is being unwound for the next run and cannot see it any more; that one will.
        run.late_cancel = record
        return
    run.cancel = record
    for update in list(run.updates_pending.values()):
        update.scope.cancel(record.reason or None)
    run.scheduler.main_scope.cancel(record.reason or None)


def _update_accepted(execution: Execution, event: WorkflowEvent) -> None:
    record = decode_record(event, UpdateAccepted)
    run = execution.run
    handler = run.updates.get(record.name)
    if handler is None:
        raise execution.journal.diverged(
            "the code carries out no such update any more",
            event,
            actual=f"handlers are set for {sorted(run.updates) or 'no updates'}",
            where=execution.definition.code_place,
        )
    update = run.updates_pending[record.id] = PendingUpdate(event.seq, record.id, record.name)
    run.scheduler.spawn_system(run_update, execution, update, handler, bytes(record.args))


# -- other workflows -----------------------------------------------------------------------------------


def _child_completed(execution: Execution, event: WorkflowEvent) -> None:
    _child_ended(execution, event, decode_record(event, ChildCompleted))


def _child_failed(execution: Execution, event: WorkflowEvent) -> None:
    _child_ended(execution, event, decode_record(event, ChildFailed))


def _child_ended(execution: Execution, event: WorkflowEvent, record: ChildCompleted | ChildFailed) -> None:
    child = execution.run.children.pop(record.seq, None)
    if child is None:
        raise _unexpected(execution, event, record.seq)
    child.state = machines.step(machines.CHILD, child.state, event.kind)
    child.outcome = record
    waiting, child.waiting = child.waiting, {}
    for task in waiting:
        execution.run.scheduler.resume(task, record)


def _send_failed(execution: Execution, event: WorkflowEvent) -> None:
    record = decode_record(event, SendFailed)
    sent = None if execution.run.sent is None else execution.run.sent.get(record.seq)
    if sent is not None:
        sent.failure = record.failure


# -- the end from outside ------------------------------------------------------------------------------


def _terminated(execution: Execution, event: WorkflowEvent) -> None:
    execution.status = STATUS_BY_KIND[event.kind]


def _unexpected(execution: Execution, event: WorkflowEvent, seq: int) -> TreadleError:
    return execution.journal.diverged(
        f"the log answers seq {seq}, which the code has not begun",
        event,
        actual="nothing that it could be the answer to",
        where=main_line(execution),
    )


def main_line(execution: Execution) -> str:
    """Tell the line at which the workflow's main task stands, for what no other line is to blame.

    Args:
        execution: the workflow.

    Returns:
        ``file:line``; where its code begins when main has ended.
    """
    main = execution.run.scheduler.main_task
    return execution.definition.code_place if main is None or main._coro is None else line_of_task(main)


def misplaced(execution: Execution, event: WorkflowEvent) -> CorruptStoreError:
    """Make the error for an event that cannot stand where it does.

    Args:
        execution: the workflow.
        event: the event.

    Returns:
        The error.
    """
    state = "has ended" if execution.status.is_closed else "is running"
    return CorruptStoreError(
        f"workflow {execution.workflow_id!r}: {event.kind.name} at seq {event.seq} cannot follow, because"
        f" the workflow {state}; was the log changed from outside? Restore a backup",
        workflow_id=execution.workflow_id,
        seq=event.seq,
    )


APPLY: Final[dict[EventKind, Callable[[Any, WorkflowEvent], None]]] = {
    EventKind.WORKFLOW_STARTED: _started,
    EventKind.CONTINUED: _continued,
    EventKind.ACTIVITY_COMPLETED: _activity_completed,
    EventKind.ACTIVITY_FAILED: _activity_failed,
    EventKind.ACTIVITY_CANCELLED: _activity_cancelled,
    EventKind.ACTIVITY_ATTEMPT_FAILED: _attempt_failed,
    EventKind.TIMER_FIRED: _timer_fired,
    EventKind.SIGNAL_RECEIVED: _signal_received,
    EventKind.CANCEL_REQUESTED: _cancel_requested,
    EventKind.UPDATE_ACCEPTED: _update_accepted,
    EventKind.CHILD_COMPLETED: _child_completed,
    EventKind.CHILD_FAILED: _child_failed,
    EventKind.SIGNAL_FAILED: _send_failed,
    EventKind.WORKFLOW_TERMINATED: _terminated,
}
"""What each event that is no command does."""
