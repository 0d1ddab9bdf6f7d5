"""Events of durable workflows in words, and what a log alone tells of what its workflow waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from treadle.engine.failures import Failure
from treadle.engine.failures import describe as failure_words
from treadle.engine.marks import view_of
from treadle.engine.records import RECORD_BY_KIND, UpdateCompleted
from treadle.errors import InvalidValueError
from treadle.events import EventKind, WorkflowEvent
from treadle.formats.times import timestamp_text
from treadle.log import Branched, decode_branched, decode_reset

_K = EventKind


def called(name: str, args: msgspec.Raw | bytes) -> str:
    """Word a call.

    Args:
        name: what is called.
        args: its arguments, JSON.

    Returns:
        ``charge("A-17", 4200)``.
    """
    text = bytes(args).decode()
    inner = text[1:-1] if text.startswith("[") else text
    return f"{name}({inner})"


def _json(value: msgspec.Raw) -> str:
    return bytes(value).decode()


def _why(failure: Failure) -> str:
    return failure_words(failure)


def _update_end(record: UpdateCompleted) -> str:
    told = _json(record.result) if record.failure is None else _why(record.failure)
    return f"{record.id}: {told}"


_WORDS: Final[dict[EventKind, Callable[[Any], str]]] = {
    _K.WORKFLOW_STARTED: lambda r: called(r.name, r.args),
    _K.CONTINUED: lambda r: called(r.name, r.args),
    _K.ACTIVITY_SCHEDULED: lambda r: called(r.name, r.args),
    _K.ACTIVITY_COMPLETED: lambda r: f"of {r.seq}: {_json(r.result)}",
    _K.ACTIVITY_FAILED: lambda r: f"of {r.seq}, attempt {r.attempt}: {_why(r.failure)}",
    _K.ACTIVITY_ATTEMPT_FAILED: lambda r: (
        f"of {r.seq}, attempt {r.attempt}: {_why(r.failure)}; the next at {timestamp_text(r.next_due_ns)}"
    ),
    _K.ACTIVITY_CANCEL_REQUESTED: lambda r: f"of {r.seq}",
    _K.ACTIVITY_CANCELLED: lambda r: f"of {r.seq}",
    _K.TIMER_STARTED: lambda r: f"until {timestamp_text(r.deadline_ns)}",
    _K.TIMER_FIRED: lambda r: f"of {', '.join(map(str, r.timers))}",
    _K.TIMER_CANCELLED: lambda r: f"of {r.seq}",
    _K.SIGNAL_RECEIVED: lambda r: called(r.name, r.args),
    _K.SIGNAL_CARRIED: lambda r: called(r.name, r.args),
    _K.WORKFLOW_COMPLETED: lambda r: _json(r.result),
    _K.WORKFLOW_FAILED: lambda r: _why(r.failure),
    _K.WORKFLOW_CANCELLED: lambda r: r.reason,
    _K.WORKFLOW_TERMINATED: lambda r: r.reason,
    _K.CANCEL_REQUESTED: lambda r: r.reason,
    _K.SIDE_EFFECT: lambda r: _json(r.value) if r.failure is None else _why(r.failure),
    _K.PATCHED: lambda r: f"{r.id}{' (deprecated)' if r.deprecated else ''}",
    _K.CHILD_SCHEDULED: lambda r: f"{called(r.name, r.args)} as {r.id}",
    _K.CHILD_COMPLETED: lambda r: f"of {r.seq}: {_json(r.result)}",
    _K.CHILD_FAILED: lambda r: f"of {r.seq}: {r.status}: {_why(r.failure)}",
    _K.CHILD_CANCEL_REQUESTED: lambda r: f"of {r.seq}: {r.id}",
    _K.SIGNAL_SENT: lambda r: f"{called(r.name, r.args)} to {r.workflow_id}",
    _K.SIGNAL_FAILED: lambda r: f"of {r.seq}: {_why(r.failure)}",
    _K.CANCEL_SENT: lambda r: f"to {r.workflow_id}{': ' if r.reason else ''}{r.reason}",
    _K.UPDATE_ACCEPTED: lambda r: f"{r.id}: {called(r.name, r.args)}",
    _K.UPDATE_COMPLETED: _update_end,
}
"""How each kind is told in one line; the kind itself stands beside it."""


def _branched(found: Branched) -> str:
    return f"of {found.parent} at seq {found.at}"


def event_words(event: WorkflowEvent) -> str:
    """Tell an event of a durable workflow in one line.

    Args:
        event: its payload decoded.

    Returns:
        What happened, beside the kind; the payload as it is when it cannot be read.
    """
    try:
        if event.kind is _K.BRANCHED:
            return _branched(decode_branched(event.payload))
        if event.kind is _K.RESET:
            return f"goes on from seq {decode_reset(event.payload).at}; what came after it is abandoned"
        return _WORDS[event.kind](msgspec.json.decode(event.payload, type=RECORD_BY_KIND[event.kind]))
    except (KeyError, InvalidValueError, msgspec.DecodeError, UnicodeDecodeError):
        return event.payload.decode(errors="replace")


# -- what a log tells without its code -----------------------------------------------------------------

_ENDS: Final = frozenset(
    {_K.ACTIVITY_COMPLETED, _K.ACTIVITY_FAILED, _K.ACTIVITY_CANCELLED, _K.TIMER_CANCELLED, _K.CHILD_COMPLETED,
     _K.CHILD_FAILED, _K.UPDATE_COMPLETED}
)  # fmt: skip
"""Kinds whose record says by `seq` what it ends."""
_BEGINS: Final[dict[EventKind, Callable[[int, Any], str]]] = {
    _K.ACTIVITY_SCHEDULED: lambda seq, r: f"activity {r.name!r} (seq {seq})",
    _K.TIMER_STARTED: lambda seq, r: f"the timer of seq {seq}, at {timestamp_text(r.deadline_ns)}",
    _K.CHILD_SCHEDULED: lambda seq, r: f"child {r.name!r} {r.id!r} (seq {seq})",
    _K.UPDATE_ACCEPTED: lambda seq, r: f"the handler of update {r.name!r} {r.id!r} (seq {seq})",
}
"""Kinds that begin what another event ends."""

_TOLD: Final = _ENDS | _BEGINS.keys() | {_K.TIMER_FIRED, _K.ACTIVITY_ATTEMPT_FAILED}


def open_ends(events: Iterable[WorkflowEvent]) -> list[str]:
    """Tell from a run's events alone what has begun and not ended; signals it waits for are not seen so.

    Args:
        events: of one run, payloads decoded.

    Returns:
        A sentence for each.
    """
    waits: dict[int, str] = {}
    for event in view_of(list(events)).events:
        kind = event.kind
        if kind not in _TOLD:
            continue
        record: Any = msgspec.json.decode(event.payload, type=RECORD_BY_KIND[kind])
        if kind in _BEGINS:
            waits[event.seq] = _BEGINS[kind](event.seq, record)
        elif kind in _ENDS:
            waits.pop(record.seq, None)
        elif kind is _K.TIMER_FIRED:
            for seq in record.timers:
                waits.pop(seq, None)
        elif record.seq in waits:
            told = waits[record.seq].partition(", attempt")[0]
            due = timestamp_text(record.next_due_ns)
            waits[record.seq] = f"{told}, attempt {record.attempt + 1} at {due}, after {_why(record.failure)}"
    return list(waits.values())
