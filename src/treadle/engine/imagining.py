"""What if: a workflow played on in virtual time, by answers instead of a world. Pure.

Nothing leaves it. What the code has begun and nobody has answered yet is *open*: activities, children,
signals, cancel requests. Open calls are answered in the order of their seqs; only when none is left does time
pass, straight to the next timer. A call that nobody has an answer for stops the play there, so that what is
written stands on answers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import attrs

from treadle.engine.arguments import encode_result
from treadle.engine.definitions import ActivityDefinition, WorkflowDefinition
from treadle.engine.execution import Execution
from treadle.engine.failures import Failure, failure_of
from treadle.engine.inputs import (
    ActivityDone,
    ChildDone,
    Completed,
    EndedByCancel,
    Failed,
    Input,
    SignalFailed,
    TimersFired,
)
from treadle.engine.machines import ChildState
from treadle.engine.marks import BRANCHED, read_branched, view_of
from treadle.engine.pending import PendingActivity, PendingChild
from treadle.engine.records import (
    INPUT_KINDS,
    RECORD_BY_KIND,
    CancelSent,
    ChildScheduled,
    SignalSent,
    decode_record,
)
from treadle.errors import InvalidValueError, UsageError
from treadle.events import EventKind, WorkflowEvent

ACTIVATIONS_MAX: Final = 100_000
"""How many turns one play takes: a workflow that lives for ever is stopped by it and not by patience."""


class _Sentinel:
    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


NO_ANSWER: Final = _Sentinel("NO_ANSWER")
"""What a function of calls returns when it has none: the play stops there."""
NEVER: Final = _Sentinel("NEVER")
"""The answer to a call that does not end: time goes on without it."""


@attrs.frozen
class OpenCall:
    """Something that a workflow has begun and that was not answered.

    Attributes:
        kind: what it is.
        seq: of the event that began it.
        name: the activity's, the child's workflow's or the signal's; empty for a cancel request.
        args: its arguments, as plain JSON values.
        workflow_id: the child, or to whom it is sent; empty for an activity.
    """

    kind: Literal["activity", "child", "signal", "cancel"]
    seq: int
    name: str
    args: tuple[Any, ...]
    workflow_id: str = ""

    def __str__(self) -> str:
        called = f"{self.name}({', '.join(map(repr, self.args))})" if self.name else "cancel"
        place = f" to {self.workflow_id!r}" if self.workflow_id else ""
        return (
            f"seq {self.seq}: {self.kind} {called}{place}" if self.name else f"seq {self.seq}: cancel{place}"
        )


Answers: TypeAlias = Mapping[int, Any] | Callable[[OpenCall], Any]
"""A value for each seq, or a function of the call. An exception that is returned or raised fails the call."""

_SENT: Final = frozenset({EventKind.SIGNAL_SENT, EventKind.CANCEL_SENT})
_CALLS: Final = _SENT | {EventKind.ACTIVITY_SCHEDULED, EventKind.CHILD_SCHEDULED}
_RESULTS: Final = frozenset(
    {
        EventKind.ACTIVITY_COMPLETED,
        EventKind.ACTIVITY_FAILED,
        EventKind.ACTIVITY_CANCELLED,
        EventKind.CHILD_COMPLETED,
        EventKind.CHILD_FAILED,
        EventKind.SIGNAL_FAILED,
    }
)


class Imagined:
    """One workflow that is played on.

    Args:
        execution: replayed to its end.
        events: its log, what `finish_replay` has made included.
        answers: what open calls come to.
        until_ns: no timer later than that fires; None for no such bound.

    Attributes:
        events: what was written.
        stopped_at: the call without an answer, or None.
    """

    def __init__(
        self,
        execution: Execution,
        events: Sequence[WorkflowEvent],
        answers: Answers,
        *,
        until_ns: int | None = None,
    ) -> None:
        self.events: list[WorkflowEvent] = []
        self.stopped_at: OpenCall | None = None
        self._execution = execution
        self._answers = answers
        self._until_ns = until_ns
        self._given: dict[int, Any] = {}
        self._turns = 0
        self._sent = {event.seq: event for event in _sent_last(events, execution.journal.branched_seq)}
        self._children = {event.seq: event for event in events if event.kind is EventKind.CHILD_SCHEDULED}

    @property
    def answered(self) -> frozenset[int]:
        """The seqs of the calls that were answered, or given up as never ending."""
        return frozenset(self._given)

    def open_calls(self) -> tuple[OpenCall, ...]:
        """Tell what is open.

        Returns:
            The calls, in the order of their seqs; those that were told to end are no one's to answer.
        """
        return tuple(self._calls())

    def step(self) -> bool:
        """Give the workflow its next input.

        Returns:
            False when there is none: it has ended, waits for what no answer brings, or was stopped.

        Raises:
            InvalidValueError: an answer does not fit what was called.
            UsageError: it goes on for ever.
            WorkflowHeldError: something the code does would hold it.
        """
        given = self._next()
        if given is None:
            return False
        self._turns += 1
        if self._turns > ACTIVATIONS_MAX:
            raise UsageError(
                f"workflow {self._execution.workflow_id!r} is to come to an end within {ACTIVATIONS_MAX:,}"
                " turns, and goes on; give until_ns= to one that lives for ever"
            )
        now_ns = self._execution.now_ns
        if isinstance(given, TimersFired):
            now_ns = max(now_ns, given.until_ns)
        activation = self._execution.activate(given, now_ns)
        self.events += activation.events
        self._sent.update((event.seq, event) for event in activation.events if event.kind in _SENT)
        self._children.update(
            (event.seq, event) for event in activation.events if event.kind is EventKind.CHILD_SCHEDULED
        )
        return True

    def _next(self) -> Input | None:
        if self._execution.status.is_closed:
            return None
        if (ended := self._ended_by_cancel()) is not None:
            return ended
        for call in self._calls():
            given = self._answer(call)
            if given is NO_ANSWER:
                self.stopped_at = call
                return None
            if given is not None:
                return given  # type: ignore[no-any-return]  # made by _input()
        timer_ns = self._execution.next_timer_ns
        if timer_ns is None or (self._until_ns is not None and timer_ns > self._until_ns):
            return None
        return TimersFired(timer_ns)

    def _ended_by_cancel(self) -> Input | None:
        """What was asked to end does so at once: no attempt is running, and no child."""
        for seq, pending in self._execution.activities.items():
            if pending.is_cancelling:
                return ActivityDone(seq, EndedByCancel())
        for seq, child in self._execution.children.items():
            if child.state is ChildState.CANCELLING:
                return ChildDone(seq, Failed(Failure("WorkflowCancelled", "")), "cancelled")
        return None

    # -- calls --

    def _calls(self) -> Iterator[OpenCall]:
        execution = self._execution
        begun: dict[int, Any] = {**execution.activities, **execution.children, **self._sent}
        for seq in sorted(begun):
            yield self._call(seq, begun[seq])

    def _call(self, seq: int, begun: PendingActivity | PendingChild | WorkflowEvent) -> OpenCall:
        decode = self._execution.converter.decode
        if isinstance(begun, PendingActivity):
            return OpenCall("activity", seq, begun.name, tuple(decode(begun.args_json)))
        if isinstance(begun, PendingChild):
            args = decode(bytes(decode_record(self._children[seq], ChildScheduled).args))
            return OpenCall("child", seq, begun.name, tuple(args), begun.id)
        if begun.kind is EventKind.SIGNAL_SENT:
            signal = decode_record(begun, SignalSent)
            return OpenCall("signal", seq, signal.name, tuple(decode(bytes(signal.args))), signal.workflow_id)
        return OpenCall("cancel", seq, "", (), decode_record(begun, CancelSent).workflow_id)

    # -- answers --

    def _answer(self, call: OpenCall) -> Any:
        """Tell the input that an answer makes; None for a call that never ends, or a signal that arrived."""
        if call.seq not in self._given:
            value = self._asked(call)
            if value is NO_ANSWER:
                return NO_ANSWER
            self._given[call.seq] = value
        value = self._given[call.seq]
        if call.kind in {"signal", "cancel"}:
            self._sent.pop(call.seq, None)
            return SignalFailed(call.seq, self._failure(value)) if isinstance(value, Exception) else None
        if value is NEVER:
            return None
        if isinstance(value, Exception):
            outcome: Completed | Failed = Failed(self._failure(value))
        else:
            outcome = Completed(self._encoded(call, value))
        return (ActivityDone if call.kind == "activity" else ChildDone)(call.seq, outcome)

    def _asked(self, call: OpenCall) -> Any:
        if not callable(self._answers):
            return self._answers.get(call.seq, NO_ANSWER)
        try:
            return self._answers(call)
        except Exception as error:  # noqa: BLE001  # so a function of the call says that the call fails
            return error

    def _failure(self, error: Exception) -> Failure:
        return failure_of(error, self._execution.converter)

    def _encoded(self, call: OpenCall, value: Any) -> bytes:
        execution = self._execution
        definition: ActivityDefinition[..., Any] | WorkflowDefinition[..., Any]
        if call.kind == "activity":
            definition = execution.registry.activities[call.name]
        else:
            definition = execution.children[call.seq].definition
        try:
            return encode_result(definition, value, execution.converter)
        except InvalidValueError as error:
            raise InvalidValueError(f"the answer to {call} does not fit: {error}") from error


def _sent_last(events: Sequence[WorkflowEvent], branched_seq: int) -> Iterator[WorkflowEvent]:
    """What the newest turn has sent: whatever was sent before it had been answered when that one began."""
    for event in reversed(view_of(events).events):
        if event.seq <= branched_seq or event.kind in INPUT_KINDS:
            return
        if event.kind in _SENT:
            yield event


# -- answers that cannot be ----------------------------------------------------------------------------


def check_answers(answers: Answers, workflow_id: str, events: Sequence[WorkflowEvent]) -> None:
    """Refuse answers to what was answered, or is no call; those behind the log's end are seen afterwards.

    Args:
        answers: as they were given.
        workflow_id: the branch.
        events: its log, decoded, from the run on in which it stands.

    Raises:
        InvalidValueError: they are neither a mapping of seqs nor a function.
        UsageError: one cannot be an answer; it says where to branch, if a result is to be another one.
    """
    if callable(answers):
        return
    if not isinstance(answers, Mapping):
        raise InvalidValueError(
            f"answers are a value for each seq, or a function of the call, got {answers!r:.60}"
        )
    for seq in answers:
        if type(seq) is not int or seq < 1:
            raise InvalidValueError(f"an answer stands under the seq of what it answers, got {seq!r:.60}")
    view = view_of(events).events
    results = {_answered_by(event): event for event in view if event.kind in _RESULTS}
    begun = {event.seq: event for event in view}
    end = events[-1].seq
    mark = next((event for event in reversed(events) if event.kind is BRANCHED), None)
    for seq in answers:
        if seq in results:
            raise _answered(seq, results[seq], workflow_id, mark)
        event = begun.get(seq)
        is_shared_message = mark is not None and seq < mark.seq and event is not None and event.kind in _SENT
        if seq <= end and (event is None or event.kind not in _CALLS or is_shared_message):
            what = "no event that counts" if event is None else event.kind.name
            why = ", which was sent before the branch began" if is_shared_message else ""
            raise UsageError(f"seq {seq} of {workflow_id!r} is {what}{why}: there is nothing to answer")


def _answered_by(event: WorkflowEvent) -> int:
    record: Any = decode_record(event, RECORD_BY_KIND[event.kind])
    seq: int = record.seq
    return seq


def _answered(seq: int, result: WorkflowEvent, workflow_id: str, mark: WorkflowEvent | None) -> UsageError:
    is_shared = mark is not None and result.seq < mark.seq
    where = read_branched(mark).parent if mark is not None and is_shared else workflow_id
    part = "the shared part" if is_shared else "the log"
    return UsageError(
        f"seq {seq} of {workflow_id!r} was answered: {result.kind.name} at seq {result.seq} stands in {part}"
        f" and cannot be replaced; branch {where!r} at seq {result.seq - 1} to answer it otherwise"
    )


def check_used(imagined: Imagined, answers: Answers, workflow_id: str) -> None:
    """Refuse answers that nothing asked for, once the play has come to its end.

    Args:
        imagined: played.
        answers: as they were given.
        workflow_id: the branch.

    Raises:
        UsageError: one is to no call that the play has come to.
    """
    if callable(answers):
        return
    calls = imagined.open_calls()
    lacking = set(answers) - imagined.answered - {call.seq for call in calls}
    if lacking:
        named = "; ".join(map(str, calls)) or "nothing"
        raise UsageError(
            f"there was nothing to answer at seq {min(lacking)} of {workflow_id!r}; nothing was written. Open"
            f" at the end: {named}"
        )
