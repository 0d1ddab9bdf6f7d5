"""Workflow histories of Temporal and Cadence, as their tools and test suites write them: JSON.

Each history event becomes one event, its seq the event's id, its payload the whole original event:
every field, numbers in the file's own digits, names sorted. Events may stand in any order; event types
come in three spellings (``EVENT_TYPE_TIMER_FIRED``, ``TimerFired``, ``18``), times as RFC 3339 or as
integer nanoseconds. A file holds one history and no name for it, and is taken whole or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from treadle.errors import FormatError, InvalidValueError
from treadle.events import EventKind, WorkflowEvent
from treadle.events import workflow_id as checked_workflow_id
from treadle.formats.contract import ImportedLog, StoreRecord
from treadle.formats.sources import stem
from treadle.formats.times import timestamp_ns
from treadle.payloads import encode

HISTORY_SIZE_BYTES_MAX: Final = 256 * 1024 * 1024
"""A history is read whole. Its servers end one at 50 MiB; base64 and indentation make it longer."""

KIND_BY_TYPE: Final[dict[str, EventKind]] = {
    "WorkflowExecutionStarted": EventKind.WORKFLOW_STARTED,
    "ActivityTaskScheduled": EventKind.ACTIVITY_SCHEDULED,
    "ActivityTaskCompleted": EventKind.ACTIVITY_COMPLETED,
    "ActivityTaskFailed": EventKind.ACTIVITY_FAILED,
    "ActivityTaskTimedOut": EventKind.ACTIVITY_FAILED,
    "ActivityTaskCanceled": EventKind.ACTIVITY_FAILED,
    "TimerFired": EventKind.TIMER_FIRED,
    "WorkflowExecutionSignaled": EventKind.SIGNAL_RECEIVED,
    "WorkflowExecutionCompleted": EventKind.WORKFLOW_COMPLETED,
    "WorkflowExecutionFailed": EventKind.WORKFLOW_FAILED,
    "WorkflowExecutionTimedOut": EventKind.WORKFLOW_FAILED,
    "WorkflowExecutionTerminated": EventKind.WORKFLOW_FAILED,
    "WorkflowExecutionCanceled": EventKind.WORKFLOW_FAILED,
}
"""Whatever ended without its result has failed, also when somebody wanted it so: a scheduled activity
is closed by exactly one event, and a reader who counts open ones needs it. Every other type, known or
not, is CUSTOM; the payload tells which."""

TEMPORAL_TYPES: Final[dict[int, str]] = {
    1: "WorkflowExecutionStarted",
    2: "WorkflowExecutionCompleted",
    3: "WorkflowExecutionFailed",
    4: "WorkflowExecutionTimedOut",
    10: "ActivityTaskScheduled",
    12: "ActivityTaskCompleted",
    13: "ActivityTaskFailed",
    14: "ActivityTaskTimedOut",
    16: "ActivityTaskCanceled",
    18: "TimerFired",
    21: "WorkflowExecutionCanceled",
    26: "WorkflowExecutionSignaled",
    27: "WorkflowExecutionTerminated",
}
"""Temporal's numbers for the types that have a kind of their own; its count begins at 1."""
CADENCE_TYPES: Final[dict[int, str]] = {
    0: "WorkflowExecutionStarted",
    1: "WorkflowExecutionCompleted",
    2: "WorkflowExecutionFailed",
    3: "WorkflowExecutionTimedOut",
    9: "ActivityTaskScheduled",
    11: "ActivityTaskCompleted",
    12: "ActivityTaskFailed",
    13: "ActivityTaskTimedOut",
    16: "ActivityTaskCanceled",
    18: "TimerFired",
    22: "WorkflowExecutionCanceled",
    27: "WorkflowExecutionSignaled",
    28: "WorkflowExecutionTerminated",
}
"""Cadence's numbers for the same; its count begins at 0."""

_SPELT_OUT: Final = "EVENT_TYPE_"
_WHOLE: Final = re.compile("-?[0-9]{1,19}")
_SHAPES: Final = (
    '{"events": [...]}, {"history": {"events": [...]}}, {"history": [{"events": [...]}, ...]}'
    " or a bare list of events"
)


class _UnfitError(Exception):
    """What is wrong with the file, before its name is put in front."""


def read(
    chunks: Iterable[bytes], *, source: str, workflow_id: str | int | None = None
) -> Iterator[ImportedLog | StoreRecord]:
    """Read one history.

    Args:
        chunks: the file's plain bytes, cut anywhere.
        source: its name, for messages, and its stem for the workflow.
        workflow_id: names the workflow; None takes the file's stem.

    Returns:
        An iterator over one log.

    Raises:
        FormatError: not JSON, of another shape, ids that are not 1, 2, 3 ... n, a bad time, an event
            over its limit, or a file over `HISTORY_SIZE_BYTES_MAX`; nothing has been yielded.
        InvalidValueError: the workflow id is none.
    """
    name = checked_workflow_id(stem(source) if workflow_id is None else workflow_id)
    try:
        found = _in_order(_found_events(_document(_whole(chunks))))
        types = _numbered_types(found[0])
        events = tuple(_event(seq, event, types) for seq, event in enumerate(found, 1))
    except _UnfitError as error:
        raise FormatError(str(error), source=source) from error.__cause__
    except _MalformedError as error:
        raise FormatError(str(error), source=source, line=error.line) from error.__cause__
    yield ImportedLog(name, events)


class _MalformedError(Exception):
    """The file is not JSON from this line on."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


def _whole(chunks: Iterable[bytes]) -> bytes:
    taken = bytearray()
    for chunk in chunks:
        taken += chunk
        if len(taken) > HISTORY_SIZE_BYTES_MAX:
            raise _UnfitError(
                f"a history file has at most {HISTORY_SIZE_BYTES_MAX} bytes, got more; is it one history?"
            )
    return bytes(taken)


def _document(text: bytes) -> Any:
    # The standard parser and not msgspec's, for its hooks: numbers stay as they are written (an int64
    # attribute survives, and so does 1.10), and a name that comes twice does not vanish.
    try:
        return json.loads(
            text,
            parse_int=_verbatim,
            parse_float=_verbatim,
            parse_constant=_no_number,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        raise _MalformedError(
            f"a history is one JSON document, got another text: {error.msg} at column {error.colno};"
            " fetch or export it again",
            error.lineno,
        ) from error
    except UnicodeDecodeError as error:
        raise _MalformedError(
            f"a history is JSON in UTF-8, got other bytes at {error.start}; fetch it again",
            None,
        ) from error
    except RecursionError as error:
        raise _UnfitError("a history nests a few levels deep, got a text too deep to read") from error


def _verbatim(digits: str) -> msgspec.Raw:
    return msgspec.Raw(digits.encode())


def _no_number(name: str) -> Any:
    raise _UnfitError(f"a history is JSON, which has no {name}; fetch or export it again")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _UnfitError(
            f"a JSON object has each name once, got {twice!a} twice; which one holds cannot be told"
        )
    return named


def _found_events(document: Any) -> list[Any]:
    history = document.get("history", document) if isinstance(document, dict) else document
    if isinstance(document, dict) and document.get("nextPageToken"):
        raise _UnfitError("a history is whole, this one goes on (nextPageToken); fetch all its pages")
    if history is not document and isinstance(history, list):
        found = [event for page in history for event in _page(page)]
    elif isinstance(history, dict):
        found = _page(history)
    elif isinstance(history, list):
        found = history
    else:
        raise _other_shape(history)
    if not found:
        raise _UnfitError("a history has at least one event, got none; fetch or export it again")
    return found


def _page(page: Any) -> list[Any]:
    events = page.get("events") if isinstance(page, dict) else None
    if not isinstance(events, list):
        raise _other_shape(page)
    return events


def _other_shape(value: Any) -> _UnfitError:
    names = f" with {', '.join(sorted(value)[:5]) or 'no names'}" if isinstance(value, dict) else ""
    return _UnfitError(f"a history is {_SHAPES}; got {_type_name(value)}{names}; is it another format?")


def _type_name(value: Any) -> str:
    names: dict[type[Any], str] = {dict: "an object", list: "a list", str: "a text", msgspec.Raw: "a number"}
    return names.get(type(value), json.dumps(value, default=str))


def _in_order(found: list[Any]) -> list[dict[str, Any]]:
    numbered: dict[int, dict[str, Any]] = {}
    for place, event in enumerate(found, 1):
        number = _event_id(place, event)
        if number in numbered:
            raise _UnfitError(f"event ids run 1, 2, 3 ... n, got {number} twice; export the history again")
        numbered[number] = event
    expected = 1
    for number in sorted(numbered):
        if number != expected:
            raise _UnfitError(_gap(number, expected))
        expected += 1
    return [numbered[number] for number in range(1, expected)]


def _gap(number: int, expected: int) -> str:
    if number < 1:
        return f"event ids run 1, 2, 3 ... n, got {number}; export the history again"
    missing = f"{expected}" if number == expected + 1 else f"{expected} to {number - 1}"
    before = f"after {expected - 1}" if expected > 1 else "first"
    return (
        f"event ids run 1, 2, 3 ... n without a gap, got {number} {before}: {missing} missing;"
        " was the file trimmed? Export the whole history"
    )


def _event_id(place: int, event: Any) -> int:
    if not isinstance(event, dict):
        raise _UnfitError(f"a history event is an object, event {place} of the file is {_type_name(event)}")
    number = _integer(event.get("eventId"))
    if number is None:
        raise _UnfitError(
            f"a history event has a whole number as eventId, event {place} of the file has"
            f" {_shown(event, 'eventId')}; is it another format?"
        )
    return number


def _event(seq: int, event: dict[str, Any], types: dict[int, str]) -> WorkflowEvent:
    kind = KIND_BY_TYPE.get(_event_type(seq, event, types), EventKind.CUSTOM)
    try:
        return WorkflowEvent(seq, _event_time(seq, event), kind, encode(event))
    except InvalidValueError as error:
        raise _UnfitError(f"event {seq}: {error}") from error


def _event_type(seq: int, event: dict[str, Any], types: dict[int, str]) -> str:
    given = event.get("eventType")
    number = _integer(given)
    if number is not None:
        return types.get(number, "")
    if not isinstance(given, str):
        raise _UnfitError(
            f"a history event has a name or number as eventType, event {seq} has {_shown(event, 'eventType')}"
        )
    if given.startswith(_SPELT_OUT):
        return "".join(word.capitalize() for word in given.removeprefix(_SPELT_OUT).split("_"))
    return given


def _numbered_types(first: dict[str, Any]) -> dict[int, str]:
    # Every history begins with WorkflowExecutionStarted, which is 0 in Cadence and 1 in Temporal. Where
    # the first type is spelt in letters, the name of the time tells the two apart.
    number = _integer(first.get("eventType"))
    if number is None:
        return TEMPORAL_TYPES if "eventTime" in first else CADENCE_TYPES
    if number not in (0, 1):
        raise _UnfitError(
            "a history begins with WorkflowExecutionStarted, which is 1 in Temporal and 0 in Cadence,"
            f" got the type {number}; export the whole history"
        )
    return TEMPORAL_TYPES if number == 1 else CADENCE_TYPES


def _event_time(seq: int, event: dict[str, Any]) -> int:
    field = "eventTime" if "eventTime" in event else "timestamp"
    given = event.get(field)
    number = _integer(given)
    if number is not None:
        return number
    if not isinstance(given, str):
        raise _UnfitError(
            "a history event has an eventTime (RFC 3339) or timestamp (integer nanoseconds),"
            f" event {seq} has {_shown(event, field)}; export the history again"
        )
    return timestamp_ns(given)


def _integer(value: Any) -> int | None:
    if isinstance(value, msgspec.Raw):
        value = bytes(value).decode()
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else None


def _shown(event: dict[str, Any], field: str) -> str:
    if field not in event:
        return f"no {field}"
    value = event[field]
    text = bytes(value).decode() if isinstance(value, msgspec.Raw) else f"{value!a}"
    return f"{text[:40]}{'...' if len(text) > 40 else ''}"
