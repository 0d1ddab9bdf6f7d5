"""The logs of generated workflows, held against what the engine promises about any of them. Pure.

Only records are read, and no code of any workflow runs, but for `replays`, which is the one promise about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from treadle.checkers import Violation
from treadle.engine import Execution, Registry, Status, WorkflowDefinition
from treadle.engine.records import (
    CLOSING_KINDS,
    ActivityCompleted,
    ChildCompleted,
    ChildScheduled,
    TimerStarted,
    WorkflowCompleted,
    decode_record,
)
from treadle.errors import TreadleError
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.payloads import JsonConverter
from treadle.stores import HeadFacts

_ENDS: Final = {EventKind.ACTIVITY_COMPLETED, EventKind.ACTIVITY_FAILED, EventKind.ACTIVITY_CANCELLED}
_STATUS: Final = {
    EventKind.WORKFLOW_COMPLETED: Status.COMPLETED,
    EventKind.WORKFLOW_FAILED: Status.FAILED,
    EventKind.WORKFLOW_CANCELLED: Status.CANCELLED,
    EventKind.WORKFLOW_TERMINATED: Status.TERMINATED,
}
_decode: Final = JsonConverter().decode


def result_of(events: Sequence[WorkflowEvent]) -> Any:
    """Read what a workflow has returned.

    Args:
        events: its whole log; the last one completes it.

    Returns:
        The value.
    """
    return _decode(bytes(decode_record(events[-1], WorkflowCompleted).result))


def has_completed(events: Sequence[WorkflowEvent]) -> bool:
    """Tell whether a workflow has returned.

    Args:
        events: its whole log.

    Returns:
        Whether its last event says so.
    """
    return bool(events) and events[-1].kind is EventKind.WORKFLOW_COMPLETED


def answered_once(name: str, events: Sequence[WorkflowEvent]) -> list[Violation]:
    """Check that every activity has one end, and that its attempts are counted.

    Args:
        name: the workflow.
        events: its whole log.

    Returns:
        What was broken.
    """
    problems: list[tuple[int, str]] = []
    attempts: dict[int, int] = {}
    for event in events:
        if event.kind is EventKind.ACTIVITY_SCHEDULED:
            attempts[event.seq] = 1
        elif event.kind is EventKind.ACTIVITY_ATTEMPT_FAILED:
            told = _decode(event.payload)
            seq, attempt = told["seq"], told["attempt"]
            if attempts.get(seq) != attempt:
                problems.append((event.seq, f"attempt {attempt} at {seq} failed, not {attempts.get(seq)}"))
            attempts[seq] = attempt + 1
        elif event.kind in _ENDS:
            seq = _decode(event.payload)["seq"]
            if attempts.pop(seq, None) is None:
                problems.append((event.seq, f"activity {seq} has a second end, or none begun"))
    if has_completed(events) and attempts:
        problems.append((events[-1].seq, f"it has completed, and activities {sorted(attempts)} have no end"))
    return [Violation("answered_once", name, seq, message) for seq, message in problems]


def results_are_own(name: str, events: Sequence[WorkflowEvent]) -> list[Violation]:
    """Check that the result of every activity is its own; they tell whose they are.

    Args:
        name: the workflow.
        events: its whole log.

    Returns:
        What was broken.
    """
    violations: list[Violation] = []
    for event in events:
        if event.kind is EventKind.ACTIVITY_COMPLETED:
            record = decode_record(event, ActivityCompleted)
            result = _decode(bytes(record.result))
            if result != f"{name}:{record.seq}":
                message = f"the result of {name}:{record.seq} is {result!r}"
                violations.append(Violation("isolation", name, event.seq, message))
    return violations


def carried_out_as_told(
    name: str, events: Sequence[WorkflowEvent], begun: Mapping[tuple[str, int], int]
) -> list[Violation]:
    """Check that no activity was begun more often than its log tells; only while no process has died.

    Args:
        name: the workflow.
        events: its whole log.
        begun: workflow and seq -> how often the activity was begun.

    Returns:
        What was broken.
    """
    told: dict[int, int] = {}
    for event in events:
        if event.kind is EventKind.ACTIVITY_SCHEDULED:
            told[event.seq] = 1
        elif event.kind is EventKind.ACTIVITY_ATTEMPT_FAILED:
            told[_decode(event.payload)["seq"]] += 1
    return [
        Violation(
            "answered_once", name, seq, f"activity {seq} was begun {begun[name, seq]} times, not {count}"
        )
        for seq, count in told.items()
        if begun.get((name, seq), 0) > count
    ]


def timers_in_time(name: str, events: Sequence[WorkflowEvent], *, late_ns_max: int | None) -> list[Violation]:
    """Check that every timer fires once at most, never early, and not much too late.

    Args:
        name: the workflow.
        events: its whole log.
        late_ns_max: how late it may be; None when the clock was moved.

    Returns:
        What was broken.
    """
    violations: list[Violation] = []
    armed: dict[int, int] = {}
    for event in events:
        if event.kind is EventKind.TIMER_STARTED:
            armed[event.seq] = decode_record(event, TimerStarted).deadline_ns
        elif event.kind is EventKind.TIMER_CANCELLED:
            armed.pop(_decode(event.payload)["seq"], None)
        elif event.kind is EventKind.TIMER_FIRED:
            for seq in _decode(event.payload)["timers"]:
                deadline_ns = armed.pop(seq, None)
                late_ns = 0 if deadline_ns is None else event.timestamp - deadline_ns
                if deadline_ns is None:
                    message = f"timer {seq} has fired, and is not armed"
                elif late_ns < 0 or (late_ns_max is not None and late_ns > late_ns_max):
                    message = f"timer {seq} has fired {late_ns / 1e9:.3f} s after its time"
                else:
                    continue
                violations.append(Violation("timers", name, event.seq, message))
    return violations


def signals_once(
    name: str, events: Sequence[WorkflowEvent], sent: Sequence[tuple[str, int, int]]
) -> list[Violation]:
    """Check that signals that were taken are there once, and in the order in which they were sent.

    Args:
        name: the workflow.
        events: its whole log.
        sent: marks that were acknowledged, each with the moment at which it was sent and answered.

    Returns:
        What was broken.
    """
    found: list[str] = [
        _decode(event.payload)["args"][0] for event in events if event.kind is EventKind.SIGNAL_RECEIVED
    ]
    place_of = {mark: place for place, mark in enumerate(found)}
    problems = [(mark, "is there twice") for mark in place_of if found.count(mark) > 1]
    # However it has ended (a child may be cancelled): what was still in its mailbox is kept as undelivered.
    if not events or events[-1].kind not in CLOSING_KINDS:
        problems += [(mark, "was taken and is not there") for mark, _, _ in sent if mark not in place_of]
    # A later one has arrived: this one had been taken before that was sent.
    for mark, _, answered in sent:
        later = [other for other, begun, _ in sent if begun > answered and other in place_of]
        if any(place_of.get(mark, len(found)) > place_of[other] for other in later):
            problems.append((mark, f"was sent before {later[0]!r}, and is not there before it"))
    return [Violation("acknowledged_once", name, None, f"signal {mark!r} {what}") for mark, what in problems]


def children_of(events: Sequence[WorkflowEvent]) -> list[WorkflowId]:
    """Name the children that a workflow has begun.

    Args:
        events: its whole log.

    Returns:
        Their ids, in the order in which they were begun.
    """
    begun = [event for event in events if event.kind is EventKind.CHILD_SCHEDULED]
    return [WorkflowId(decode_record(event, ChildScheduled).id) for event in begun]


def children_are_own(
    name: str, events: Sequence[WorkflowEvent], logs: Mapping[str, Sequence[WorkflowEvent]]
) -> list[Violation]:
    """Check that what a workflow was told of a child is what the child's own log says.

    Args:
        name: the workflow.
        events: its whole log.
        logs: those of its children, at least.

    Returns:
        What was broken.
    """
    violations: list[Violation] = []
    child_of: dict[int, str] = {}
    for event in events:
        if event.kind is EventKind.CHILD_SCHEDULED:
            child_of[event.seq] = decode_record(event, ChildScheduled).id
        elif event.kind is EventKind.CHILD_COMPLETED:
            record = decode_record(event, ChildCompleted)
            child = child_of.pop(record.seq, "")
            own = logs.get(child, ())
            if not has_completed(own) or result_of(own) != _decode(bytes(record.result)):
                message = f"child {child!r} is told to have returned what its log does not say"
                violations.append(Violation("isolation", name, event.seq, message))
    return violations


def result_is_own(name: str, events: Sequence[WorkflowEvent]) -> list[Violation]:
    """Check that what a workflow has seen is its own: its activities, its signals, each once.

    Args:
        name: the workflow.
        events: its whole log.

    Returns:
        What was broken.
    """
    if not has_completed(events):
        return []
    foreign = [
        one
        for one in result_of(events)
        if isinstance(one, str) and not one.startswith((f"{name}:", f"{name}.", "failed "))
    ]
    violations = [Violation("isolation", name, events[-1].seq, f"it has seen {one!r}") for one in foreign]
    signals = [one for one in result_of(events) if isinstance(one, str) and one.startswith(f"{name}.")]
    return violations + [
        Violation("acknowledged_once", name, events[-1].seq, f"the code has seen signal {one!r} again")
        for place, one in enumerate(signals)
        if one in signals[:place]
    ]


def head_tells(name: str, events: Sequence[WorkflowEvent], facts: HeadFacts | None) -> list[Violation]:
    """Check that the facts beside a log's head say what the log says.

    Args:
        name: the workflow.
        events: its whole log.
        facts: as they are stored.

    Returns:
        What was broken.
    """
    if facts is None:
        return [Violation("head_facts", name, None, "a durable workflow has none")]
    expected = _STATUS.get(events[-1].kind, Status.RUNNING)
    closed = expected is not Status.RUNNING
    if facts.status != expected or (closed and facts.wake_up_ns is not None):
        message = f"expected {expected.name}, they say {facts.status} and wake-up {facts.wake_up_ns}"
        return [Violation("head_facts", name, events[-1].seq, message)]
    return []


def replays(
    name: WorkflowId,
    events: Sequence[WorkflowEvent],
    definition: WorkflowDefinition[..., Any],
    registry: Registry,
) -> list[Violation]:
    """Check that the same code, given the log, comes to where it was.

    Args:
        name: the workflow.
        events: its whole log.
        definition: its code.
        registry: the code it calls.

    Returns:
        What was broken.
    """
    execution = Execution(definition, name, registry, JsonConverter(), first_seq=events[0].seq)
    try:
        execution.replay(events)
        lacking = execution.finish_replay()
    except TreadleError as error:
        return [Violation("replay_equals_live", name, getattr(error, "seq", None), type(error).__name__)]
    finally:
        if not execution.status.is_closed:
            execution.evict()
    ended = has_completed(events)
    if lacking is not None or execution.drifts or ended != (execution.status is Status.COMPLETED):
        return [Violation("replay_equals_live", name, None, "replay comes to another end than the log")]
    return []
