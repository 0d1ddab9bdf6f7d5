"""The vocabulary: what happened, to which workflow, where in its log, and when.

Facts are frozen and validated where they are made, so that no room below or above has to ask again.
The numbers of `EventKind` and the limits on this page are on disk: they never change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any, Final, NewType

import attrs

from treadle.errors import InvalidValueError

WorkflowId = NewType("WorkflowId", str)
"""The name of a workflow: 1-255 UTF-8 bytes, no control characters. Made by `workflow_id`."""

SEQ_MAX: Final = 2**63 - 1
"""Stores keep a seq in a signed 64-bit integer."""
TIMESTAMP_MIN: Final = -(2**63)
TIMESTAMP_MAX: Final = 2**63 - 1
"""Event time is a signed 64-bit count of nanoseconds: the years 1677 to 2262."""
WORKFLOW_ID_SIZE_BYTES_MAX: Final = 255
"""What file systems, message brokers and indices all take as a name."""
WORKFLOW_NUMBER_MAX: Final = 2**64 - 1
"""An integer id is an unsigned 64-bit number and becomes its decimal string."""
PAYLOAD_SIZE_BYTES_MAX: Final = 2 * 1024 * 1024
"""2 MiB, the blob limit users of other engines know; larger values belong in a file whose name is logged."""
BATCH_EVENTS_MAX: Final = 1_000
"""A caller's batch is one transaction's worth of waiting for everybody else, so it is bounded."""
KEY_SIZE_BYTES_MAX: Final = 64
"""An idempotency key is a UUID or a hash, not a document."""
RECORD_KEY_SIZE_BYTES_MAX: Final = 255
"""A record's key is a name, like a workflow id."""


class EventKind(IntEnum):
    """What an event records.

    The numbers are on disk. 0-8 are the kinds of a plain log; those that only the engine writes follow
    from 16, and each new one raises the stores' schema version, so that an older treadle refuses the
    file instead of meeting a number it does not know. 37-39 are about a log's own life; plain logs have
    them as well.
    """

    WORKFLOW_STARTED = 0
    ACTIVITY_SCHEDULED = 1
    ACTIVITY_COMPLETED = 2
    ACTIVITY_FAILED = 3
    TIMER_FIRED = 4
    SIGNAL_RECEIVED = 5
    WORKFLOW_COMPLETED = 6
    WORKFLOW_FAILED = 7
    CUSTOM = 8
    CONTINUED = 16
    SIGNAL_CARRIED = 17
    TIMER_STARTED = 18
    TIMER_CANCELLED = 19
    ACTIVITY_ATTEMPT_FAILED = 20
    ACTIVITY_CANCEL_REQUESTED = 21
    ACTIVITY_CANCELLED = 22
    CANCEL_REQUESTED = 23
    WORKFLOW_CANCELLED = 24
    WORKFLOW_TERMINATED = 25
    SIDE_EFFECT = 26
    PATCHED = 27
    CHILD_SCHEDULED = 28
    CHILD_COMPLETED = 29
    CHILD_FAILED = 30
    CHILD_CANCEL_REQUESTED = 31
    SIGNAL_SENT = 32
    SIGNAL_FAILED = 33
    CANCEL_SENT = 34
    UPDATE_ACCEPTED = 35
    UPDATE_COMPLETED = 36
    BASELINE = 37
    BRANCHED = 38
    RESET = 39


# A dict look-up costs a tenth of EventKind(number); stores decode every row through it.
KIND_BY_NUMBER: Final[dict[int, EventKind]] = {kind.value: kind for kind in EventKind}

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def workflow_id(value: str | int) -> WorkflowId:
    """Make a workflow id from a name or an unsigned 64-bit number.

    Args:
        value: a string of 1-255 UTF-8 bytes without control characters, or an int from 0 to 2**64-1,
            which becomes its decimal string (so ``7`` and ``"7"`` name the same workflow).

    Returns:
        The id, ready for every other call.

    Raises:
        InvalidValueError: the value is of another type, empty, too long, or holds a control character
            or a lone surrogate.
    """
    if type(value) is int:
        if 0 <= value <= WORKFLOW_NUMBER_MAX:
            return WorkflowId(str(value))
        raise InvalidValueError(
            f"a numeric workflow id lies in 0..2**64-1, got {value}; use a string id instead"
        )
    if not isinstance(value, str):
        raise InvalidValueError(f"a workflow id is a str or an int, got {_shown(value)}")
    # The characters themselves: a subclass's own __str__ (an enum's, say) may tell something else.
    name = str.__str__(value)
    _check_workflow_name(name)
    return WorkflowId(name)


def _check_workflow_name(name: str) -> None:
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidValueError(
            f"a workflow id is valid Unicode, got a lone surrogate in {name!a}; decode the name properly"
        ) from None
    if size_bytes == 0:
        raise InvalidValueError(
            "a workflow id has at least one character, got an empty string; name the workflow"
        )
    if size_bytes > WORKFLOW_ID_SIZE_BYTES_MAX:
        raise InvalidValueError(
            f"a workflow id has at most {WORKFLOW_ID_SIZE_BYTES_MAX} UTF-8 bytes, got {size_bytes}"
            f" ({name[:40]!a}...); use a shorter name, or a hash of it"
        )
    if found := _CONTROL_CHARACTER.search(name):
        raise InvalidValueError(
            "a workflow id has no control characters,"
            f" got U+{ord(found[0]):04X} at {found.start()} in {name!a}; strip it"
        )


def check_prefix(prefix: str) -> None:
    """Refuse what cannot be the beginning of a workflow id.

    Args:
        prefix: what ids begin with; may be empty.

    Raises:
        InvalidValueError: not a str, or not valid Unicode.
    """
    if not isinstance(prefix, str):
        raise InvalidValueError(f"a prefix is a str, got {_shown(prefix)}; write a numeric id as its string")
    if prefix:
        try:
            prefix.encode()
        except UnicodeEncodeError:
            raise InvalidValueError(
                f"a prefix is valid Unicode, got a lone surrogate in {prefix!a}; decode it properly"
            ) from None


def event_kind(value: EventKind | int | str) -> EventKind:
    """Make an `EventKind` from itself, its number, or its name in any case.

    Args:
        value: ``EventKind.CUSTOM``, ``8``, ``"CUSTOM"`` or ``"custom"``.

    Returns:
        The kind.

    Raises:
        InvalidValueError: there is no such kind; the message lists those there are.
    """
    if type(value) is EventKind:
        return value
    if isinstance(value, str):
        found = EventKind.__members__.get(value.upper())
    else:
        found = KIND_BY_NUMBER.get(value) if type(value) is int else None
    if found is None:
        known = ", ".join(f"{kind.name.lower()} ({kind.value})" for kind in EventKind)
        raise InvalidValueError(f"an event kind is one of {known}; got {_shown(value)}")
    return found


def check_seq(seq: int) -> None:
    """Refuse what cannot be the place of an event in a log.

    Args:
        seq: the place.

    Raises:
        InvalidValueError: not an int (a bool is none), below 1 or above 2**63-1.
    """
    if type(seq) is not int or not 1 <= seq <= SEQ_MAX:
        raise InvalidValueError(
            f"a seq is an int from 1 to 2**63-1, got {_shown(seq)}; they count 1, 2, 3 ..."
        )


def check_timestamp(timestamp: int) -> None:
    """Refuse what cannot be an event time.

    Args:
        timestamp: nanoseconds since the Unix epoch, UTC.

    Raises:
        InvalidValueError: not an int, or outside a signed 64-bit integer.
    """
    if type(timestamp) is not int or not TIMESTAMP_MIN <= timestamp <= TIMESTAMP_MAX:
        raise InvalidValueError(
            f"a timestamp is an int of nanoseconds since 1970 in 64 signed bits, got {_shown(timestamp)};"
            " use time.time_ns()"
        )


def check_payload(payload: bytes) -> None:
    """Refuse what cannot be a payload.

    Args:
        payload: the event's content.

    Raises:
        InvalidValueError: not bytes, or over `PAYLOAD_SIZE_BYTES_MAX`.
    """
    if type(payload) is not bytes:
        raise InvalidValueError(f"a payload is bytes, got {_shown(payload)}; encode it first")
    if len(payload) > PAYLOAD_SIZE_BYTES_MAX:
        raise InvalidValueError(
            f"a payload has at most {PAYLOAD_SIZE_BYTES_MAX} bytes, got {len(payload)};"
            " keep the value elsewhere and log its name"
        )


def check_key(key: bytes) -> None:
    """Refuse what cannot be an idempotency key.

    Args:
        key: 1-64 bytes, unique within its workflow.

    Raises:
        InvalidValueError: not bytes, empty or too long.
    """
    if type(key) is not bytes:
        raise InvalidValueError(f"a key is bytes, got {_shown(key)}; encode it first")
    if not 1 <= len(key) <= KEY_SIZE_BYTES_MAX:
        raise InvalidValueError(
            f"a key is 1 to {KEY_SIZE_BYTES_MAX} bytes, got {len(key)};"
            f" {'hash a longer one' if key else 'leave an empty one out'}"
        )


def check_record(namespace: str, key: bytes, value: bytes | None) -> None:
    """Refuse what cannot be a record of a store.

    Args:
        namespace: whose record; a str as a workflow id is one.
        key: which one; bytes.
        value: at most `PAYLOAD_SIZE_BYTES_MAX` bytes, or None.

    Raises:
        InvalidValueError: one of them is not.
    """
    if not isinstance(namespace, str):
        raise InvalidValueError(f"a record's namespace is a str, got {_shown(namespace)}")
    _check_workflow_name(namespace)
    if type(key) is not bytes or len(key) > RECORD_KEY_SIZE_BYTES_MAX:
        raise InvalidValueError(
            f"a record's key is at most {RECORD_KEY_SIZE_BYTES_MAX} bytes, got {_shown(key)};"
            " encode it, hash a longer one"
        )
    if value is not None:
        check_payload(value)


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text[:60]}{'...' if len(text) > 60 else ''} ({type(value).__name__})"


@attrs.frozen(slots=True, init=False, weakref_slot=False)
class WorkflowEvent:
    """One fact of one log: frozen, hashable, comparable.

    Args:
        seq: its place in the log: 1, 2, 3 ... without gaps.
        timestamp: event time in nanoseconds since the Unix epoch, UTC; need not rise with seq.
        kind: what it records; a number or a name is accepted and becomes an `EventKind`.
        payload: its content; the log never looks inside.

    Raises:
        InvalidValueError: a value lies outside what its word allows.
    """

    seq: int
    timestamp: int
    kind: EventKind
    payload: bytes = b""

    # Written by hand because events are made by the million: checks inline, and the slots' own setters
    # instead of the general one, make it half the price of attrs' frozen init with validators.
    def __init__(self, seq: int, timestamp: int, kind: EventKind | int | str, payload: bytes = b"") -> None:
        if type(seq) is not int or not 1 <= seq <= SEQ_MAX:
            check_seq(seq)
        if type(timestamp) is not int or not TIMESTAMP_MIN <= timestamp <= TIMESTAMP_MAX:
            check_timestamp(timestamp)
        if type(payload) is not bytes or len(payload) > PAYLOAD_SIZE_BYTES_MAX:
            check_payload(payload)
        _set_seq(self, seq)
        _set_timestamp(self, timestamp)
        _set_kind(self, kind if type(kind) is EventKind else event_kind(kind))
        _set_payload(self, payload)


_new = object.__new__
_set_seq = WorkflowEvent.__dict__["seq"].__set__
_set_timestamp = WorkflowEvent.__dict__["timestamp"].__set__
_set_kind = WorkflowEvent.__dict__["kind"].__set__
_set_payload = WorkflowEvent.__dict__["payload"].__set__


def trusted_event(seq: int, timestamp: int, kind: EventKind, payload: bytes) -> WorkflowEvent:
    """Make an event from values that were already checked, at a third less than the public way.

    For rows that a store reads back and for values an actor has just validated; nothing is checked.

    Args:
        seq: as in `WorkflowEvent`.
        timestamp: as in `WorkflowEvent`.
        kind: an `EventKind`, not a number.
        payload: as in `WorkflowEvent`.

    Returns:
        The event.
    """
    event = _new(WorkflowEvent)
    _set_seq(event, seq)
    _set_timestamp(event, timestamp)
    _set_kind(event, kind)
    _set_payload(event, payload)
    return event


def events_from_rows(
    rows: Iterable[tuple[Any, ...]], refused: Callable[[tuple[Any, ...]], Exception]
) -> Iterator[WorkflowEvent]:
    """Make events from a store's rows one at a time, as `trusted_event` would.

    One loop without a call for each row: replay is made of this. Columns instead of rows (`zip`, `map`)
    were tried and gained nothing.

    Args:
        rows: seq, timestamp, number of the kind, payload.
        refused: words the error for a row that is no event: its kind is unknown, or a value of another type.

    Yields:
        The events.

    Raises:
        Exception: what `refused` has made.
    """
    kind_of = KIND_BY_NUMBER.get
    for seq, timestamp, number, payload in rows:
        kind = kind_of(number)
        if kind is None or type(payload) is not bytes or type(timestamp) is not int or type(seq) is not int:
            raise refused((seq, timestamp, number, payload))
        event = _new(WorkflowEvent)
        _set_seq(event, seq)
        _set_timestamp(event, timestamp)
        _set_kind(event, kind)
        _set_payload(event, payload)
        yield event


@attrs.frozen(slots=True, init=False, weakref_slot=False)
class NewEvent:
    """An event before it has a seq.

    Args:
        kind: what it records; a number or a name is accepted and becomes an `EventKind`.
        payload: its content.
        timestamp: event time in nanoseconds since the Unix epoch, UTC; None lets the runtime's clock
            decide when the event is admitted.

    Raises:
        InvalidValueError: a value lies outside what its word allows.
    """

    kind: EventKind
    payload: bytes = b""
    timestamp: int | None = None

    def __init__(
        self, kind: EventKind | int | str, payload: bytes = b"", timestamp: int | None = None
    ) -> None:
        check_payload(payload)
        if timestamp is not None:
            check_timestamp(timestamp)
        object.__setattr__(self, "kind", event_kind(kind))
        object.__setattr__(self, "payload", payload)
        object.__setattr__(self, "timestamp", timestamp)
