"""What replay compares when the code's bytes are not the log's: field by field, with two severities.

*Divergence*: the code does something else than it did (kind, order, name, an argument's value, a timer's
length, a result). The workflow is held; going on would mix two histories. *Drift*: the code means the
same and says it differently (options, an argument that today's types read as an equal value, the words
of an error). The recorded value wins and the difference is told. Users change options on purpose, to rescue
running workflows; holding them for it would turn the check against its purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
import msgspec

from treadle.engine.failures import Failure
from treadle.engine.records import RECORD_BY_KIND, Record
from treadle.events import EventKind, WorkflowEvent

SHOWN_CHARACTERS_MAX: Final = 200
"""How much of a value an error shows: enough to know it again."""

DRIFTING_FIELDS: Final = frozenset(
    {
        (EventKind.ACTIVITY_SCHEDULED, "options"),
        (EventKind.ACTIVITY_SCHEDULED, "choice"),
        (EventKind.CHILD_SCHEDULED, "parent_close"),
        (EventKind.PATCHED, "deprecated"),
        (EventKind.CANCEL_SENT, "reason"),
        (EventKind.WORKFLOW_CANCELLED, "reason"),
        (EventKind.CONTINUED, "rule_set"),
    }
)
"""Fields that may differ whatever their values are. All others must be equal."""

DecodeValue = Callable[[EventKind, Record, str, bytes], Any]
"""Reads a user's value (kind, record, field, JSON) with today's annotations."""


@attrs.frozen(slots=True)
class Difference:
    """One field that the log and the code see differently.

    Attributes:
        field: its name; arguments are told one by one.
        logged: what the log holds.
        done: what the code did.
        is_drift: whether both mean the same.
    """

    field: str
    logged: str
    done: str
    is_drift: bool


@attrs.frozen(slots=True)
class Drift:
    """What replay has let pass, with the recorded value.

    Attributes:
        seq: the event.
        kind: its kind.
        field: what differs.
        logged: the recorded value, which counts.
        done: what the code says today.
        where: ``file:line`` of the workflow's code.
    """

    seq: int
    kind: EventKind
    field: str
    logged: str
    done: str
    where: str


def describe(kind: EventKind, payload: bytes) -> str:
    """Show an event or command in one line.

    Args:
        kind: its kind.
        payload: its payload.

    Returns:
        Kind and payload, shortened.
    """
    return f"{kind.name} {_shortened(payload.decode(errors='replace'))}"


def differences(event: WorkflowEvent, payload: bytes, decode_value: DecodeValue) -> tuple[Difference, ...]:
    """Compare a recorded command with the one the code makes now; both of one kind.

    Args:
        event: the recorded one.
        payload: of the one made now.
        decode_value: reads values of the user's.

    Returns:
        The fields that differ.

    Raises:
        msgspec.DecodeError: one of the payloads is not what its kind says.
    """
    struct = RECORD_BY_KIND[event.kind]
    logged = msgspec.json.decode(event.payload, type=struct)
    done = msgspec.json.decode(payload, type=struct)
    return tuple(
        difference
        for field in struct.__struct_fields__
        for difference in _field_differences(event.kind, field, logged, done, decode_value)
    )


def _field_differences(
    kind: EventKind, field: str, logged: Record, done: Record, decode_value: DecodeValue
) -> Iterator[Difference]:
    before, after = getattr(logged, field), getattr(done, field)
    if isinstance(before, msgspec.Raw) and isinstance(after, msgspec.Raw):
        if bytes(before) != bytes(after):
            yield from _value_differences(kind, field, logged, done, decode_value)
    elif before != after:
        is_drift = (kind, field) in DRIFTING_FIELDS or _same_failure(before, after)
        yield Difference(field, _shown(before), _shown(after), is_drift)


def _value_differences(
    kind: EventKind, field: str, logged: Record, done: Record, decode_value: DecodeValue
) -> Iterator[Difference]:
    before, after = bytes(getattr(logged, field)), bytes(getattr(done, field))
    is_drift = (kind, field) in DRIFTING_FIELDS or _equal_today(kind, field, logged, done, decode_value)
    places = _places(before, after) if field == "args" else None
    if places is None:
        yield Difference(field, _text(before), _text(after), is_drift)
        return
    for place, (one, other) in enumerate(places):
        if one != other:
            yield Difference(f"argument {place + 1}", one, other, is_drift)


def _equal_today(
    kind: EventKind, field: str, logged: Record, done: Record, decode_value: DecodeValue
) -> bool:
    try:
        before = decode_value(kind, logged, field, bytes(getattr(logged, field)))
        after = decode_value(kind, done, field, bytes(getattr(done, field)))
        return bool(before == after)
    except Exception:  # noqa: BLE001  # a value that today's types cannot read, or compare, is another value
        return False


def _same_failure(before: object, after: object) -> bool:
    # The words of an error name files, ids and times; its type is what code decides by.
    return isinstance(before, Failure) and isinstance(after, Failure) and _types(before) == _types(after)


def _types(failure: Failure) -> tuple[Any, ...]:
    return failure.type, tuple(_types(member) for member in failure.members)


def _places(before: bytes, after: bytes) -> list[tuple[str, str]] | None:
    """Two argument lists side by side, when both are lists; what one lacks shows as 'nothing'."""
    lists = [msgspec.json.decode(one) for one in (before, after)]
    if not all(isinstance(one, list) for one in lists):
        return None
    length = max(map(len, lists))
    texts = [[_text(msgspec.json.encode(value)) for value in one] for one in lists]
    padded = [one + ["nothing"] * (length - len(one)) for one in texts]
    return list(zip(padded[0], padded[1], strict=True))


def _shown(value: object) -> str:
    if value is None or isinstance(value, str | int | float):
        return _shortened(repr(value))
    return _text(msgspec.json.encode(value))


def _text(document: bytes) -> str:
    return _shortened(document.decode(errors="replace"))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}..."
