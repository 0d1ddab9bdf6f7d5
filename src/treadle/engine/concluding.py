"""The end of an activation: timers for the deadlines that are left, and what becomes of an ended main.

Deadlines are compared once, when nobody can go on: a scope that came and went within the activation leaves
no trace. Ended timers are written first, in the order in which they were started, then the new ones in the
order in which their scopes were armed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Raw

from treadle.engine.arguments import encode_result
from treadle.engine.commands import cancel_child
from treadle.engine.driver import Cancelled, CancelScope, Raised, Returned
from treadle.engine.driver.tasks import line_of_task
from treadle.engine.driver.whereabouts import line_raised
from treadle.engine.failures import Failure, failure_of
from treadle.engine.records import (
    RULE_SET,
    Answered,
    Parent,
    RunStarted,
    SignalReceived,
    TimerStarted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    encode_record,
)
from treadle.errors import InternalError, InvalidValueError
from treadle.events import EventKind

if TYPE_CHECKING:
    from treadle.engine.execution import Execution

CONTINUES_MAX: Final = 100
"""How many runs one activation may go through: code that continues as new without ever waiting never ends."""


def conclude(execution: Execution) -> bool:
    """End an activation, when no task can go on.

    Args:
        execution: the workflow.

    Returns:
        Whether a new run has begun, whose code has yet to run.

    Raises:
        WorkflowHeldError: what main has raised holds the workflow.
        NondeterminismError: the log has something else here.
    """
    if execution.run.scheduler.deadline_changes:
        write_timers(execution)
    if execution.run.scheduler.main_outcome is None:
        return False
    return _end_run(execution)


# -- timers --------------------------------------------------------------------------------------------


def write_timers(execution: Execution) -> None:
    """Write down how deadlines have changed since the last time.

    Args:
        execution: the workflow.

    Raises:
        NondeterminismError: the log has something else here.
    """
    run, journal = execution.run, execution.journal
    changes = run.scheduler.deadline_changes
    armed = run.scheduler.deadlines
    assert changes is not None  # noqa: S101  # our scheduler is made with one
    scopes = list(changes)
    changes.clear()
    ended = [scope for scope in scopes if scope in run.timer_of and _has_changed(execution, scope)]
    for scope in sorted(ended, key=run.timer_of.__getitem__):
        seq = run.timer_of[scope]
        journal.command(
            EventKind.TIMER_CANCELLED, encode_record(Answered(seq)), where=partial(_line, execution, scope)
        )
        run.end_timer(scope)
    for scope in scopes:
        if scope in armed and scope not in run.timer_of:
            deadline_ns = armed[scope]
            payload = encode_record(TimerStarted(deadline_ns))
            seq, _ = journal.command(EventKind.TIMER_STARTED, payload, where=partial(_line, execution, scope))
            run.start_timer(scope, seq, deadline_ns)


def _has_changed(execution: Execution, scope: CancelScope) -> bool:
    run = execution.run
    return run.scheduler.deadlines.get(scope) != run.timers[run.timer_of[scope]]


def _line(execution: Execution, scope: CancelScope) -> str:
    """The line where the task stands that has entered a scope."""
    task = scope._task
    return execution.definition.code_place if task is None or task._coro is None else line_of_task(task)


# -- the end of main -----------------------------------------------------------------------------------


def _end_run(execution: Execution) -> bool:
    run = execution.run
    outcome = run.scheduler.main_outcome
    error = outcome.exception if isinstance(outcome, Raised) else None
    failed = error is not None and not isinstance(error, Cancelled)
    holding = _holding(execution, error) if error is not None and failed else None
    if holding is not None:
        reason = f"{type(holding).__name__}: {holding} (raised at {line_raised(holding)})"
        raise execution.hold(
            f"workflow {execution.workflow_id!r} is held, because {reason} has left its function"
            f" ({execution.definition.code_place}), and code that raises this is to be mended: mend it and"
            " resume the workflow",
            reason=reason,
        ) from error
    if failed and run.updates_pending:
        _cancel_handlers(execution)
    if run.updates_pending:
        return False  # what was accepted is carried to its end
    if run.continuing is not None and not failed:
        return _continue(execution)
    close(execution, outcome)
    return False


def _holding(execution: Execution, error: BaseException) -> BaseException | None:
    """Find what holds the workflow in what main has raised."""
    if isinstance(error, BaseExceptionGroup):
        found = (_holding(execution, member) for member in error.exceptions)
        member = next((one for one in found if one is not None), None)
        if member is not None:
            return member
    # Our own bugs hold as well: a workflow must not be lost to them.
    holds = isinstance(error, InternalError) or execution.definition.holds(error)
    return error if holds else None


def _cancel_handlers(execution: Execution) -> None:
    run = execution.run
    for update in list(run.updates_pending.values()):
        update.scope.cancel("the workflow has failed")
    execution.run_tasks()
    if run.scheduler.deadline_changes:
        write_timers(execution)


def close(execution: Execution, outcome: Returned | Raised | None) -> None:
    """Write down how the workflow has ended.

    Args:
        execution: the workflow.
        outcome: of main.
    """
    unread = sum(len(queue.unread) for queue in execution.run.signals.values())
    if isinstance(outcome, Returned):
        try:
            result = encode_result(execution.definition, outcome.value, execution.converter)
            record = WorkflowCompleted(Raw(result), unread)
            execution.close(EventKind.WORKFLOW_COMPLETED, encode_record(record))
        except InvalidValueError as error:
            fail(execution, failure_of(error, execution.converter), unread)
    elif isinstance(outcome, Raised) and isinstance(outcome.exception, Cancelled):
        reason = "" if execution.run.cancel is None else execution.run.cancel.reason
        execution.close(EventKind.WORKFLOW_CANCELLED, encode_record(WorkflowCancelled(reason, unread)))
    elif isinstance(outcome, Raised):
        fail(execution, failure_of(outcome.exception, execution.converter), unread)
    else:
        raise InternalError(f"workflow {execution.workflow_id!r} is to be closed, and main has not ended")


def fail(execution: Execution, failure: Failure, unread: int) -> None:
    """Write down that the workflow has failed.

    Args:
        execution: the workflow.
        failure: how.
        unread: signals that nobody has read.
    """
    execution.close(EventKind.WORKFLOW_FAILED, encode_record(WorkflowFailed(failure, unread)))


# -- continue as new -----------------------------------------------------------------------------------


def _continue(execution: Execution) -> bool:
    """Begin the next run, as soon as nothing of this one is left but abandoned children."""
    run, journal = execution.run, execution.journal
    left = [child for child in run.children.values() if child.parent_close != "abandon"]
    for child in left:
        cancel_child(execution, child, terminate=child.parent_close == "terminate")
    if left:
        return False
    assert run.continuing is not None  # noqa: S101  # asked by the caller
    signals = [
        SignalReceived(queue.name, Raw(args)) for queue in run.signals.values() for args in queue.unread
    ]
    record = RunStarted(
        rule_set=RULE_SET,
        name=execution.definition.name,
        args=Raw(run.continuing),
        seed=run.next_seed(journal.next_seq).hex(),
        parent=None if run.parent is None else Parent(run.parent.workflow_id, run.parent.seq, run.parent.run),
        carried=len(signals),
        updates=tuple(run.updates_done.items()),
        previous_run=journal.run_start_seq,
        cancel=run.late_cancel,
    )
    execution.continue_with(record, signals)
    return True
