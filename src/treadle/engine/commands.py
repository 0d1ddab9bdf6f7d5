"""What workflow code can ask for: each function makes one command and remembers what was begun.

The functions of `api` are for the code's eyes; these do the work behind them. All of them run inside an
activation, or a replay of one, and cannot tell which.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec
from msgspec import Raw

from treadle.engine import machines
from treadle.engine.arguments import encode_arguments
from treadle.engine.definitions import ActivityDefinition, WorkflowDefinition
from treadle.engine.driver import Task, current_line
from treadle.engine.failures import failure_of
from treadle.engine.learning import AdaptivePolicy, Choice, Standing, choose, stream_of
from treadle.engine.machines import ActivityState, ChildState
from treadle.engine.pending import PendingActivity, PendingChild, SentSignal
from treadle.engine.records import (
    ActivityScheduled,
    Answered,
    CancelSent,
    ChildCancelRequested,
    ChildScheduled,
    Patched,
    SideEffect,
    SignalSent,
    decode_record,
    encode_record,
    scheduled_prefix,
    with_choice,
)
from treadle.engine.registry import Registry
from treadle.errors import InvalidValueError, RecordedError, UsageError
from treadle.events import EventKind, WorkflowId
from treadle.events import workflow_id as make_workflow_id
from treadle.payloads import Converter

if TYPE_CHECKING:
    from treadle.engine.execution import Execution

ParentClose = Literal["request_cancel", "terminate", "abandon"]
"""What becomes of a child when its parent closes first."""
PARENT_CLOSE: Final = ("request_cancel", "terminate", "abandon")

PLAIN_TYPES: Final = frozenset({str, int, bool})
"""Whose values JSON can always write, but for lone surrogates and numbers without end."""
_scheduled = EventKind.ACTIVITY_SCHEDULED


class Call(NamedTuple):
    """What is the same in every call of an activity.

    Attributes:
        prefix: how its ACTIVITY_SCHEDULED begins.
        policy: that chooses how its first attempt is made; None when there is nothing to choose.
        accepted: types of arguments that are known to fit; see `Shape`.
        plain: those of them that need no check when they are encoded.
        read: decodes its result; when that raises, `decode_result` says what is wrong.
    """

    prefix: bytes
    policy: AdaptivePolicy | None
    accepted: set[tuple[type, ...]]
    plain: set[tuple[type, ...]]
    read: Callable[[Raw], Any]


_Calls: TypeAlias = "dict[ActivityDefinition[..., Any], Call]"
_calls: Final[WeakKeyDictionary[Registry, tuple[Converter | None, _Calls]]] = WeakKeyDictionary()


def call_of(definition: ActivityDefinition[..., Any], converter: Converter) -> Call:
    """Make what is the same in every call of an activity.

    Args:
        definition: the activity.
        converter: reads its result.

    Returns:
        The call without its arguments.
    """
    shape, retry = definition.shape, definition.options.retry
    return Call(
        scheduled_prefix(definition),
        retry if isinstance(retry, AdaptivePolicy) else None,
        shape.accepted,
        set(),
        _reader(shape.hints["return"], converter),
    )


def _reader(annotation: Any, converter: Converter) -> Callable[[Raw], Any]:
    reader = getattr(converter, "reader", None)
    if reader is None:
        return lambda document: converter.decode(bytes(document), annotation)
    found: Callable[[Raw], Any] = reader(annotation)
    return found


def calls_of(registry: Registry, converter: Converter) -> dict[ActivityDefinition[..., Any], Call]:
    """Tell what is the same in every call of each registered activity.

    Args:
        registry: the activities.
        converter: reads their results.

    Returns:
        The calls, made once for each registry.
    """
    used, calls = _calls.get(registry, (None, {}))
    if used is not converter:
        calls = {definition: call_of(definition, converter) for definition in registry.activities.values()}
        _calls[registry] = converter, calls
    return calls


# -- activities ----------------------------------------------------------------------------------------


def schedule_activity(
    execution: Execution,
    task: Task,
    call: Call,
    definition: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> PendingActivity:
    """Command an activity.

    Args:
        execution: the workflow.
        task: who will wait for it.
        call: the activity, without its arguments.
        definition: the activity.
        args: its arguments.
        kwargs: likewise.

    Returns:
        The activity that has not ended.

    Raises:
        InvalidValueError: the arguments do not fit.
        NondeterminismError: the log has something else here.
    """
    types = tuple(map(type, args))
    # The first branches are what a replay takes a thousand times in a row; the last ones could do it all.
    arguments = execution.encode_plain(args) if not kwargs and types in call.plain else None
    if arguments is None:
        arguments = encode_arguments(definition, args, kwargs, execution.converter)
        if types in call.accepted and PLAIN_TYPES.issuperset(types):
            call.plain.add(types)
    prefix = call.prefix
    if call.policy is not None:
        prefix = with_choice(prefix, _first_choice(execution, definition.name, call.policy, arguments))
    payload = b"%b%b}" % (prefix, arguments)
    journal = execution.journal
    position = journal.position
    if (
        position < journal.end
        and (event := journal.history[position]).payload == payload
        and event.kind is _scheduled
    ):
        journal.position = position + 1
        seq = event.seq
    else:
        seq, payload = journal.command(_scheduled, payload)
    pending = PendingActivity(task, seq, payload, journal.now_ns)
    if call.policy is not None:
        pending.number = execution.run.choosing_calls
    execution.run.activities[seq] = pending
    return pending


def _first_choice(execution: Execution, name: str, policy: AdaptivePolicy, arguments: bytes) -> Choice | None:
    """Choose how the first attempt is made; while history lasts, take what was chosen then."""
    journal = execution.journal
    execution.run.choosing_calls += 1
    event = journal.peek()
    if event is not None:
        # Whatever else is recorded here, the comparison that follows says so.
        return decode_record(event, ActivityScheduled).choice if event.kind is _scheduled else None
    execution.run.pass_marks()
    try:
        key = policy.key_of(execution.converter.decode(arguments))
    except InvalidValueError as error:
        # A slip of whoever defined the activity. Raised into the workflow, it would have to be raised again
        # by every replay, which does not ask for the key.
        raise execution.hold(f"{current_line()}: activity {name!r}: {error}", reason=str(error)) from error
    stream = stream_of(execution.run.seed, execution.run.choosing_calls, 1)
    return choose(policy, execution.known, Standing(name, key, journal.now_ns), stream)


def unusual_call(execution: Execution, definition: Any) -> Call:
    """Make the call of an activity with options of its own; refuse what is no activity of this runtime.

    Args:
        execution: the workflow.
        definition: what was given for an activity.

    Returns:
        The call without its arguments.

    Raises:
        UsageError: what was given is no activity.
        WorkflowHeldError: nobody has registered the activity here.
    """
    if not isinstance(definition, ActivityDefinition):
        raise UsageError(
            f"{current_line()}: workflow.activity() takes what activity.define has made,"
            f" got {_shown(definition)};"
            " put @activity.define above the function"
        )
    known = execution.registry.activities.get(definition.name)
    if known is None or known.origin is not definition.origin:
        what = "unknown" if known is None else f"another one ({known.code_place})"
        raise execution.hold(
            f"{current_line()}: activity {definition.name!r} ({definition.code_place}) is {what} in this"
            " runtime; give it to open_runtime(activities=[...])",
            reason=f"activity {definition.name!r} is not registered",
        )
    return call_of(definition, execution.converter)


def cancel_activity(execution: Execution, pending: PendingActivity) -> bool:
    """Ask an activity to end, because the scope round its call was cancelled.

    Args:
        execution: the workflow.
        pending: the activity.

    Returns:
        Whether the call may raise `Cancelled` now; otherwise it waits for the end.
    """
    on_cancel = pending.options.on_cancel
    table = machines.ABANDONED_ACTIVITY if on_cancel == "abandon" else machines.ACTIVITY
    state = machines.step(table, pending.state, EventKind.ACTIVITY_CANCEL_REQUESTED)
    execution.journal.command(EventKind.ACTIVITY_CANCEL_REQUESTED, encode_record(Answered(pending.seq)))
    pending.state = state
    execution.run.retrying.pop(pending.seq, None)
    if state is ActivityState.CANCELLING:
        return False
    del execution.run.activities[pending.seq]
    return True


# -- children ------------------------------------------------------------------------------------------


def start_child(
    execution: Execution,
    definition: WorkflowDefinition[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    child_id: str | int | None,
    parent_close: ParentClose,
) -> PendingChild:
    """Command a child workflow.

    Args:
        execution: the workflow.
        definition: the child's.
        args: its arguments.
        kwargs: likewise.
        child_id: its workflow id; None makes one from the parent's id and the seq.
        parent_close: what becomes of it when the parent closes first.

    Returns:
        The child that has not ended.

    Raises:
        UsageError: what was given is no workflow, or `parent_close` is none of the three.
        InvalidValueError: the arguments do not fit, or the id is none.
        NondeterminismError: the log has something else here.
    """
    if not isinstance(definition, WorkflowDefinition):
        raise UsageError(
            f"{current_line()}: a child is what workflow.define has made, got {_shown(definition)};"
            " put @workflow.define above the function"
        )
    if parent_close not in PARENT_CLOSE:
        raise UsageError(
            f"{current_line()}: parent_close is one of {', '.join(PARENT_CLOSE)}, got {parent_close!r}"
        )
    journal = execution.journal
    name = default_child_id(journal.identity, journal.next_seq) if child_id is None else child_id
    record = ChildScheduled(
        definition.name,
        make_workflow_id(name),
        Raw(encode_arguments(definition, args, kwargs, execution.converter)),
        parent_close,
    )
    seq, payload = journal.command(EventKind.CHILD_SCHEDULED, encode_record(record))
    recorded = msgspec.json.decode(payload, type=ChildScheduled)
    child = PendingChild(definition, seq, recorded.id, recorded.parent_close)
    execution.run.children[seq] = child
    return child


def default_child_id(parent_id: str, seq: int) -> WorkflowId:
    """Make a child's id.

    Args:
        parent_id: of its parent.
        seq: of its CHILD_SCHEDULED.

    Returns:
        Both of them, with a slash between.

    Raises:
        InvalidValueError: that is too long.
    """
    return make_workflow_id(f"{parent_id}/{seq}")


def cancel_child(execution: Execution, child: PendingChild, *, terminate: bool = False) -> None:
    """Ask a child to end; a second time changes nothing.

    Args:
        execution: the workflow.
        child: the child.
        terminate: whether it is not to be asked, but ended.
    """
    if child.state is not ChildState.SCHEDULED:
        return
    record = ChildCancelRequested(child.seq, child.id, terminate)
    execution.journal.command(EventKind.CHILD_CANCEL_REQUESTED, encode_record(record))
    child.state = machines.step(machines.CHILD, child.state, EventKind.CHILD_CANCEL_REQUESTED)


# -- messages ------------------------------------------------------------------------------------------


def send_signal(execution: Execution, workflow_id: str | int, name: str, args: tuple[Any, ...]) -> SentSignal:
    """Command a signal to another workflow.

    Args:
        execution: the workflow.
        workflow_id: to whom.
        name: which signal.
        args: its values.

    Returns:
        What can tell later that nobody took it.

    Raises:
        InvalidValueError: the id is none, or a value has no JSON form.
        NondeterminismError: the log has something else here.
    """
    record = SignalSent(make_workflow_id(workflow_id), name, Raw(execution.converter.encode(list(args))))
    return _sent(execution, EventKind.SIGNAL_SENT, encode_record(record), record.workflow_id)


def send_cancel(execution: Execution, workflow_id: str | int, reason: str) -> SentSignal:
    """Command a cancel request to another workflow.

    Args:
        execution: the workflow.
        workflow_id: to whom.
        reason: in words.

    Returns:
        What can tell later that nobody took it.

    Raises:
        InvalidValueError: the id is none.
        NondeterminismError: the log has something else here.
    """
    record = CancelSent(make_workflow_id(workflow_id), reason)
    return _sent(execution, EventKind.CANCEL_SENT, encode_record(record), record.workflow_id)


def _shown(value: object) -> str:
    # Without an address: texts that code sees must be the same in every replay.
    return str(getattr(value, "__qualname__", None) or f"an instance of {type(value).__name__}")


def _sent(execution: Execution, kind: EventKind, payload: bytes, workflow_id: str) -> SentSignal:
    seq, _ = execution.journal.command(kind, payload)
    sent = SentSignal(seq, workflow_id)
    if execution.run.sent is None:
        execution.run.sent = WeakValueDictionary()
    execution.run.sent[seq] = sent
    return sent


# -- what is drawn once --------------------------------------------------------------------------------


def draw_side_effect(execution: Execution, function: Callable[[], Any], annotation: Any) -> Any:
    """Call a function once, and find its value in the log ever after.

    Args:
        execution: the workflow.
        function: takes nothing.
        annotation: the type of its value.

    Returns:
        The value, as it is read from the log.

    Raises:
        RecordedError: the function has raised, or its value has no JSON form.
        NondeterminismError: the log has something else here.
    """
    if inspect.iscoroutinefunction(function):
        raise UsageError(
            f"{current_line()}: a side effect is a plain function, got an async one; run it as an activity"
        )
    journal = execution.journal
    event = journal.peek()
    if event is not None and event.kind is EventKind.SIDE_EFFECT:
        journal.take()
        record = decode_record(event, SideEffect)
    elif event is not None:
        # Not called: the log knows nothing of it, and the command below says so.
        record = SideEffect()
        journal.command(EventKind.SIDE_EFFECT, encode_record(record))
    else:
        record = _drawn(execution, function)
        journal.command(EventKind.SIDE_EFFECT, encode_record(record))
    if record.failure is not None:
        failure = record.failure
        raise RecordedError(
            f"the side effect raised {failure.type}: {failure.message}",
            failure_type=failure.type,
            failure_message=failure.message,
        )
    return execution.converter.decode(bytes(record.value), annotation)


def _drawn(execution: Execution, function: Callable[[], Any]) -> SideEffect:
    if execution.journal.broken is not None:
        raise execution.journal.broken
    try:
        value = function()
    except Exception as error:
        if execution.definition.holds(error):
            reason = f"a side effect raised {type(error).__name__}: {error}"
            raise execution.hold(f"{current_line()}: {reason}", reason=reason) from error
        # Recorded: a replay must go the same way without calling it.
        return SideEffect(failure=failure_of(error, execution.converter))
    if hasattr(value, "__await__"):
        value.close()
        value = _Unwritable()
    try:
        return SideEffect(Raw(execution.converter.encode(value)))
    except InvalidValueError as error:
        return SideEffect(failure=failure_of(error, execution.converter))


class _Unwritable:
    """What an async function gives, when nobody waits for it."""


def is_patched(execution: Execution, patch_id: str, *, deprecated: bool) -> bool:
    """Tell which side of a change this run is on, and mark it.

    New runs have every patch. A run that replays has those whose mark its log holds at this very place,
    and keeps to its first answer.

    Args:
        execution: the workflow.
        patch_id: the change.
        deprecated: whether only the mark is wanted any more.

    Returns:
        Whether the run has the patch.
    """
    patches, journal = execution.run.patches, execution.journal
    found = patches.get(patch_id)
    if found is None:
        event = journal.peek(patch_id=patch_id)
        found = event is None or (
            event.kind is EventKind.PATCHED and decode_record(event, Patched).id == patch_id
        )
        if found:
            journal.command(EventKind.PATCHED, encode_record(Patched(patch_id, deprecated)))
        patches[patch_id] = found
    return found
