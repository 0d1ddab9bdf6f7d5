"""What stands in the payloads of a durable workflow's events: one struct for each kind, one JSON object each.

Fields with their default value are left out; values of the user's (arguments, results) stand in them as the
converter wrote them. A result names the event it answers by its `seq`. The payload of a run's first
event begins with the version of the rules, which is how a durable workflow is told from a plain log.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from treadle.engine.definitions import ActivityDefinition, ActivityOptions, OnCancel, Retry, RetryPolicy
from treadle.engine.failures import Failure
from treadle.engine.inputs import ChildFailure
from treadle.engine.learning import AdaptivePolicy, Choice, Trial
from treadle.engine.learning.policy import (
    ATTEMPT_COST_SECONDS,
    HALF_LIFE_SECONDS,
    ONE_ROUTE,
    PRIOR_ATTEMPTS,
)
from treadle.engine.retry import ATTEMPTS_DEFAULT
from treadle.errors import CorruptStoreError
from treadle.events import EventKind, WorkflowEvent

RULE_SET: Final = 1
"""The version of the rules by which code and log are compared. A later treadle that changes a rule raises
it, and keeps to the old one for runs that began under it."""
NOTHING: Final = Raw(b"null")
"""The JSON of None: a result that was not given."""


class Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What all payloads have in common."""


class Parent(Record, frozen=True):
    """Whose child the workflow is."""

    id: str
    seq: int
    run: int


class CancelRequest(Record, frozen=True):
    """CANCEL_REQUESTED and WORKFLOW_TERMINATED."""

    reason: str = ""


class RunStarted(Record, frozen=True):
    """WORKFLOW_STARTED and CONTINUED: everything a run needs that lies before it.

    The last four belong to CONTINUED: how many SIGNAL_CARRIED follow it, the finished updates that a
    repeat must still be told of (id, seq of its UPDATE_COMPLETED), the run before, and a cancel request
    that came too late for it.
    """

    rule_set: int
    name: str
    args: Raw
    seed: str
    parent: Parent | None = None
    carried: int = 0
    updates: tuple[tuple[str, int], ...] = ()
    previous_run: int = 0
    cancel: CancelRequest | None = None


class SignalReceived(Record, frozen=True):
    """SIGNAL_RECEIVED and SIGNAL_CARRIED."""

    name: str
    args: Raw


class RetryRecord(Record, frozen=True):
    """How a failed activity is tried again; the fields of `Retry`, types as names."""

    initial_seconds: float = 1
    backoff: float = 2
    maximum_seconds: float = 100
    attempts: int | None = ATTEMPTS_DEFAULT
    non_retryable: tuple[str, ...] = ()


class AdaptiveRecord(Record, frozen=True):
    """How a failed activity is tried again by a policy that learns; see `AdaptivePolicy`.

    The key is not here: what its function told for this call stands in the choice.
    """

    arms: tuple[float, ...]
    routes: tuple[str, ...] = ONE_ROUTE
    half_life_seconds: float = HALF_LIFE_SECONDS
    attempt_cost_seconds: float = ATTEMPT_COST_SECONDS
    prior_attempts: float = PRIOR_ATTEMPTS
    attempts: int | None = ATTEMPTS_DEFAULT
    non_retryable: tuple[str, ...] = ()


class OptionsRecord(Record, frozen=True):
    """How an activity is run; the fields of `ActivityOptions`."""

    retry: RetryRecord | None = None
    start_to_close_ns: int | None = None
    schedule_to_close_ns: int | None = None
    heartbeat_ns: int | None = None
    on_cancel: OnCancel = "wait"
    adaptive: AdaptiveRecord | None = None


class ActivityScheduled(Record, kw_only=True, frozen=True):
    """ACTIVITY_SCHEDULED; the recorded options and choice count. The arguments stand last, for a prefix."""

    name: str
    options: OptionsRecord | None = None
    choice: Choice | None = None
    args: Raw


class ActivityCompleted(Record, frozen=True):
    """ACTIVITY_COMPLETED."""

    seq: int
    result: Raw
    attempt: int = 1
    trial: Trial | None = None


class ActivityFailed(Record, frozen=True):
    """ACTIVITY_FAILED."""

    seq: int
    failure: Failure
    attempt: int = 1
    trial: Trial | None = None


class ActivityAttemptFailed(Record, frozen=True):
    """ACTIVITY_ATTEMPT_FAILED."""

    seq: int
    attempt: int
    failure: Failure
    next_due_ns: int
    lost: bool = False
    choice: Choice | None = None
    trial: Trial | None = None


class Answered(Record, frozen=True):
    """ACTIVITY_CANCEL_REQUESTED, ACTIVITY_CANCELLED and TIMER_CANCELLED: the seq says all."""

    seq: int


class TimerStarted(Record, frozen=True):
    """TIMER_STARTED."""

    deadline_ns: int


class TimerFired(Record, frozen=True):
    """TIMER_FIRED: all timers due, earliest deadline first."""

    timers: tuple[int, ...]


class WorkflowCompleted(Record, frozen=True):
    """WORKFLOW_COMPLETED."""

    result: Raw
    signals_unread: int = 0


class WorkflowFailed(Record, frozen=True):
    """WORKFLOW_FAILED."""

    failure: Failure
    signals_unread: int = 0


class WorkflowCancelled(Record, frozen=True):
    """WORKFLOW_CANCELLED."""

    reason: str = ""
    signals_unread: int = 0


class SideEffect(Record, frozen=True):
    """SIDE_EFFECT: what the function returned, or raised."""

    value: Raw = NOTHING
    failure: Failure | None = None


class Patched(Record, frozen=True):
    """PATCHED."""

    id: str
    deprecated: bool = False


class ChildScheduled(Record, frozen=True):
    """CHILD_SCHEDULED."""

    name: str
    id: str
    args: Raw
    parent_close: str = "request_cancel"


class ChildCancelRequested(Record, frozen=True):
    """CHILD_CANCEL_REQUESTED."""

    seq: int
    id: str
    terminate: bool = False


class ChildCompleted(Record, frozen=True):
    """CHILD_COMPLETED."""

    seq: int
    result: Raw


class ChildFailed(Record, frozen=True):
    """CHILD_FAILED."""

    seq: int
    failure: Failure
    status: ChildFailure = "failed"


class SignalSent(Record, frozen=True):
    """SIGNAL_SENT."""

    workflow_id: str
    name: str
    args: Raw


class SendFailed(Record, frozen=True):
    """SIGNAL_FAILED: of a signal or a cancel request."""

    seq: int
    failure: Failure


class CancelSent(Record, frozen=True):
    """CANCEL_SENT."""

    workflow_id: str
    reason: str = ""


class UpdateAccepted(Record, frozen=True):
    """UPDATE_ACCEPTED."""

    id: str
    name: str
    args: Raw


class UpdateCompleted(Record, frozen=True):
    """UPDATE_COMPLETED: `failure` None means it has returned."""

    seq: int
    id: str
    result: Raw = NOTHING
    failure: Failure | None = None


RECORD_BY_KIND: Final[dict[EventKind, type[Record]]] = {
    EventKind.WORKFLOW_STARTED: RunStarted,
    EventKind.ACTIVITY_SCHEDULED: ActivityScheduled,
    EventKind.ACTIVITY_COMPLETED: ActivityCompleted,
    EventKind.ACTIVITY_FAILED: ActivityFailed,
    EventKind.TIMER_FIRED: TimerFired,
    EventKind.SIGNAL_RECEIVED: SignalReceived,
    EventKind.WORKFLOW_COMPLETED: WorkflowCompleted,
    EventKind.WORKFLOW_FAILED: WorkflowFailed,
    EventKind.CONTINUED: RunStarted,
    EventKind.SIGNAL_CARRIED: SignalReceived,
    EventKind.TIMER_STARTED: TimerStarted,
    EventKind.TIMER_CANCELLED: Answered,
    EventKind.ACTIVITY_ATTEMPT_FAILED: ActivityAttemptFailed,
    EventKind.ACTIVITY_CANCEL_REQUESTED: Answered,
    EventKind.ACTIVITY_CANCELLED: Answered,
    EventKind.CANCEL_REQUESTED: CancelRequest,
    EventKind.WORKFLOW_CANCELLED: WorkflowCancelled,
    EventKind.WORKFLOW_TERMINATED: CancelRequest,
    EventKind.SIDE_EFFECT: SideEffect,
    EventKind.PATCHED: Patched,
    EventKind.CHILD_SCHEDULED: ChildScheduled,
    EventKind.CHILD_COMPLETED: ChildCompleted,
    EventKind.CHILD_FAILED: ChildFailed,
    EventKind.CHILD_CANCEL_REQUESTED: ChildCancelRequested,
    EventKind.SIGNAL_SENT: SignalSent,
    EventKind.SIGNAL_FAILED: SendFailed,
    EventKind.CANCEL_SENT: CancelSent,
    EventKind.UPDATE_ACCEPTED: UpdateAccepted,
    EventKind.UPDATE_COMPLETED: UpdateCompleted,
}
"""The struct of each kind that the engine writes."""

INPUT_KINDS: Final = frozenset(
    {
        EventKind.WORKFLOW_STARTED,
        EventKind.ACTIVITY_COMPLETED,
        EventKind.ACTIVITY_FAILED,
        EventKind.ACTIVITY_CANCELLED,
        EventKind.TIMER_FIRED,
        EventKind.SIGNAL_RECEIVED,
        EventKind.CANCEL_REQUESTED,
        EventKind.CHILD_COMPLETED,
        EventKind.CHILD_FAILED,
        EventKind.SIGNAL_FAILED,
        EventKind.UPDATE_ACCEPTED,
    }
)
"""What reaches workflow code. CONTINUED is both: a run's last command and the next one's first input."""
UNSEEN_KINDS: Final = frozenset({EventKind.ACTIVITY_ATTEMPT_FAILED, EventKind.WORKFLOW_TERMINATED})
"""What the engine writes without the code: neither input nor command."""
COMMAND_KINDS: Final = frozenset(RECORD_BY_KIND) - INPUT_KINDS - UNSEEN_KINDS
"""What workflow code asks for."""
CLOSING_KINDS: Final = frozenset(
    {
        EventKind.WORKFLOW_COMPLETED,
        EventKind.WORKFLOW_FAILED,
        EventKind.WORKFLOW_CANCELLED,
        EventKind.WORKFLOW_TERMINATED,
    }
)
"""The last event of a durable workflow is one of these."""

R = TypeVar("R", bound=Record)

encode_record: Final = msgspec.json.Encoder(order="deterministic").encode
"""Write a record as the payload of its event."""

_decoders: Final[dict[EventKind, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(struct) for kind, struct in RECORD_BY_KIND.items()
}
# Retention cuts before a CONTINUED, which is then the first one kept.
_STARTING_KINDS: Final = (EventKind.WORKFLOW_STARTED, EventKind.CONTINUED)
_START_PREFIX: Final = b'{"rule_set":'


def scheduled_prefix(definition: ActivityDefinition[..., Any]) -> bytes:
    """Write an ACTIVITY_SCHEDULED up to its arguments, which differ from call to call.

    The rest of the payload is the arguments and a closing brace. So a call encodes its arguments and
    nothing else; made once for each activity, this is a good part of what replay costs.

    Args:
        definition: the activity.

    Returns:
        JSON without its end.
    """
    record = ActivityScheduled(
        name=definition.name, options=_options_record(definition.options), args=NOTHING
    )
    return encode_record(record).removesuffix(b"null}")


def with_choice(prefix: bytes, choice: Choice | None) -> bytes:
    """Write a choice into the beginning of an ACTIVITY_SCHEDULED.

    Args:
        prefix: as `scheduled_prefix` gives it.
        choice: how the first attempt is made; None for a policy that does not choose.

    Returns:
        JSON without its end.
    """
    if choice is None:
        return prefix
    return b'%b"choice":%b,"args":' % (prefix.removesuffix(b'"args":'), encode_record(choice))


def _options_record(options: ActivityOptions) -> OptionsRecord | None:
    adaptive, retry_record = _retry_records(options.retry)
    record = OptionsRecord(
        retry_record,
        options.start_to_close_ns,
        options.schedule_to_close_ns,
        options.heartbeat_ns,
        options.on_cancel,
        adaptive,
    )
    return None if record == OptionsRecord() else record


def _retry_records(retry: RetryPolicy) -> tuple[AdaptiveRecord | None, RetryRecord | None]:
    bounds = retry.attempts, retry.non_retryable_names
    if isinstance(retry, AdaptivePolicy):
        adaptive = AdaptiveRecord(
            retry.arms,
            retry.routes,
            retry.half_life_seconds,
            retry.attempt_cost_seconds,
            retry.prior_attempts,
            *bounds,
        )
        return adaptive, None
    record = RetryRecord(retry.initial_seconds, retry.backoff, retry.maximum_seconds, *bounds)
    return None, None if record == RetryRecord() else record


def options_of(record: ActivityScheduled) -> ActivityOptions:
    """Read how an activity is run.

    Args:
        record: its ACTIVITY_SCHEDULED.

    Returns:
        The options; types that are not retried stand there by name.
    """
    options = record.options or OptionsRecord()
    return ActivityOptions(
        retry=_retry_of(options),
        start_to_close_ns=options.start_to_close_ns,
        schedule_to_close_ns=options.schedule_to_close_ns,
        heartbeat_ns=options.heartbeat_ns,
        on_cancel=options.on_cancel,
    )


def _retry_of(options: OptionsRecord) -> RetryPolicy:
    # The records' fields have the names of the policies'.
    if options.adaptive is not None:
        return AdaptivePolicy(**msgspec.structs.asdict(options.adaptive))
    return Retry(**msgspec.structs.asdict(options.retry or RetryRecord()))


def is_engine_start(event: WorkflowEvent) -> bool:
    """Tell whether a log's first event makes it a durable workflow.

    Args:
        event: the first event, its payload as the engine wrote it.

    Returns:
        False for every other log, imported ones included: those are never resumed and never held.
    """
    return event.kind in _STARTING_KINDS and event.payload.startswith(_START_PREFIX)


def decode_record(event: WorkflowEvent, expected: type[R]) -> R:
    """Read the payload of an event that the engine wrote.

    Args:
        event: the event.
        expected: the struct of its kind.

    Returns:
        The record.

    Raises:
        CorruptStoreError: the payload is not what its kind says.
    """
    try:
        record: R = _decoders[event.kind].decode(event.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
        raise unreadable(event, error) from error
    if type(record) is not expected:
        raise unreadable(event, TypeError(f"expected {expected.__name__}"))
    return record


def unreadable(event: WorkflowEvent, error: Exception) -> CorruptStoreError:
    """Make the error for an event that the engine cannot have written.

    Args:
        event: the event.
        error: what is wrong with it.

    Returns:
        The error, with the seq.
    """
    return CorruptStoreError(
        f"seq {event.seq}: {event.kind.name} of a durable workflow has the payload that the engine writes,"
        f" got {event.payload[:80]!r} ({error}); was the log changed from outside? Restore a backup",
        seq=event.seq,
    )
