"""From inputs to events: whether an input changes anything now, and how it is written down.

Asked before anything is written. What changes nothing (a result nobody waits for, a second cancel request,
a repeated or refused update) leaves no event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import Raw

from treadle.engine import machines
from treadle.engine.effects import AnswerUpdate, Effect
from treadle.engine.failures import Failure
from treadle.engine.inputs import (
    ActivityDone,
    AttemptFailed,
    CancelRequested,
    ChildDone,
    Completed,
    Failed,
    Input,
    ParentLink,
    Rejected,
    Signal,
    SignalFailed,
    Start,
    Terminate,
    TimersFired,
    Update,
)
from treadle.engine.reading import validate
from treadle.engine.records import (
    RULE_SET,
    ActivityAttemptFailed,
    ActivityCompleted,
    ActivityFailed,
    Answered,
    CancelRequest,
    ChildCompleted,
    ChildFailed,
    Parent,
    Record,
    RunStarted,
    SendFailed,
    SignalReceived,
    UpdateAccepted,
)
from treadle.events import EventKind

if TYPE_CHECKING:
    from treadle.engine.execution import Execution


UPDATE_ID_LENGTH_MAX: Final = 255
"""A thousand of them travel in one CONTINUED."""


class Admitted(NamedTuple):
    """What becomes of an input: an event, or only effects, or neither."""

    kind: EventKind | None = None
    record: Record | None = None
    effects: tuple[Effect, ...] = ()


UNCHANGED: Final = Admitted()


def admit(execution: Execution, given: Input) -> Admitted:
    """Decide what becomes of an input.

    Args:
        execution: the workflow, running.
        given: the input.

    Returns:
        The event that it is, or what to answer without one.

    Raises:
        InternalError: the machine it belongs to has no such arrow.
    """
    return _ADMIT[type(given)](execution, given)


def started(execution: Execution, given: Start) -> Admitted:
    """Write a run's first event.

    Args:
        execution: the workflow.
        given: the input.

    Returns:
        WORKFLOW_STARTED.
    """
    parent = given.parent
    record = RunStarted(
        rule_set=RULE_SET,
        name=execution.definition.name,
        args=Raw(given.args_json),
        seed=given.seed.hex(),
        parent=None if parent is None else Parent(parent.workflow_id, parent.seq, parent.run),
    )
    return Admitted(EventKind.WORKFLOW_STARTED, record)


def _activity_done(execution: Execution, given: ActivityDone) -> Admitted:
    pending = execution.run.activities.get(given.seq)
    if pending is None:
        return UNCHANGED
    outcome = given.outcome
    admitted: Admitted
    if isinstance(outcome, Completed):
        record = ActivityCompleted(given.seq, Raw(outcome.result), given.attempt, given.trial)
        admitted = Admitted(EventKind.ACTIVITY_COMPLETED, record)
    elif isinstance(outcome, Failed):
        failed = ActivityFailed(given.seq, outcome.failure, given.attempt, given.trial)
        admitted = Admitted(EventKind.ACTIVITY_FAILED, failed)
    else:
        admitted = Admitted(EventKind.ACTIVITY_CANCELLED, Answered(given.seq))
    assert admitted.kind is not None  # noqa: S101  # just made
    machines.step(machines.ACTIVITY, pending.state, admitted.kind)
    return admitted


def _attempt_failed(execution: Execution, given: AttemptFailed) -> Admitted:
    pending = execution.run.activities.get(given.seq)
    if pending is None:
        return UNCHANGED
    machines.step(machines.ACTIVITY, pending.state, EventKind.ACTIVITY_ATTEMPT_FAILED)
    record = ActivityAttemptFailed(
        given.seq, given.attempt, given.failure, given.next_due_ns, given.lost, given.choice, given.trial
    )
    return Admitted(EventKind.ACTIVITY_ATTEMPT_FAILED, record)


def _timers_fired(_execution: Execution, _given: TimersFired) -> Admitted:
    return UNCHANGED  # whatever was due has fired before any input


def _signal(_execution: Execution, given: Signal) -> Admitted:
    return Admitted(EventKind.SIGNAL_RECEIVED, SignalReceived(given.name, Raw(given.args_json)))


def _cancel_requested(execution: Execution, given: CancelRequested) -> Admitted:
    run = execution.run
    earlier = run.cancel if run.continuing is None else run.late_cancel
    if earlier is not None or is_of_another_parent(given.parent, run.parent):
        return UNCHANGED
    return Admitted(EventKind.CANCEL_REQUESTED, CancelRequest(given.reason))


def _terminate(execution: Execution, given: Terminate) -> Admitted:
    if is_of_another_parent(given.parent, execution.run.parent):
        return UNCHANGED
    return Admitted(EventKind.WORKFLOW_TERMINATED, CancelRequest(given.reason))


def is_of_another_parent(asking: ParentLink | None, own: ParentLink | None) -> bool:
    """Tell whether a parent asks that is not this workflow's: its child could not get the id.

    Args:
        asking: the parent that asks, if one does.
        own: the workflow's parent, if it has one.

    Returns:
        Whether it is none of its business.
    """
    return asking is not None and asking != own


def _child_done(execution: Execution, given: ChildDone) -> Admitted:
    child = execution.run.children.get(given.seq)
    if child is None:
        return UNCHANGED
    if isinstance(given.outcome, Completed):
        completed = ChildCompleted(given.seq, Raw(given.outcome.result))
        return Admitted(EventKind.CHILD_COMPLETED, completed)
    failed = ChildFailed(given.seq, given.outcome.failure, given.status)
    return Admitted(EventKind.CHILD_FAILED, failed)


def _signal_failed(execution: Execution, given: SignalFailed) -> Admitted:
    if given.seq < execution.journal.run_start_seq:
        return UNCHANGED
    return Admitted(EventKind.SIGNAL_FAILED, SendFailed(given.seq, given.failure))


def _update(execution: Execution, given: Update) -> Admitted:
    run = execution.run
    if given.id in run.updates_pending:
        return UNCHANGED  # its end answers everybody who asks
    done = run.updates_done.get(given.id)
    if done is not None:
        return Admitted(effects=(AnswerUpdate(given.id, None, done),))
    failure = _refusal(execution, given)
    if failure is not None:
        return Admitted(effects=(AnswerUpdate(given.id, Rejected(failure)),))
    record = UpdateAccepted(given.id, given.name, Raw(given.args_json))
    return Admitted(EventKind.UPDATE_ACCEPTED, record)


def _refusal(execution: Execution, given: Update) -> Failure | None:
    run = execution.run
    if not given.id or len(given.id) > UPDATE_ID_LENGTH_MAX:
        return Failure(
            "InvalidUpdateId",
            f"an update's id has 1 to {UPDATE_ID_LENGTH_MAX} characters, got {len(given.id)}",
        )
    if run.scheduler.main_outcome is not None:
        return Failure(
            "WorkflowClosing", "the workflow's function has ended; only earlier updates are finished"
        )
    handler = run.updates.get(given.name)
    if handler is None:
        known = ", ".join(sorted(run.updates)) or "none"
        return Failure("UnknownUpdate", f"there is no update {given.name!r}; known are: {known}")
    return validate(execution, handler, given.args_json)


_ADMIT: Final[dict[type[Any], Callable[[Any, Any], Admitted]]] = {
    Start: started,
    ActivityDone: _activity_done,
    AttemptFailed: _attempt_failed,
    TimersFired: _timers_fired,
    Signal: _signal,
    CancelRequested: _cancel_requested,
    Terminate: _terminate,
    ChildDone: _child_done,
    SignalFailed: _signal_failed,
    Update: _update,
}
