"""A fold: how a log becomes a state, with a name and a version under which states of it can be kept.

A function alone would do to replay a log. What is kept of it (a snapshot, a baseline) must be told apart from
what another function, or an earlier version of this one, has left; hence the name and the version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import attrs
import msgspec
from msgspec import Raw

from treadle.errors import InvalidValueError
from treadle.events import EventKind, WorkflowEvent

S = TypeVar("S")

NAME_SIZE_BYTES_MAX: Final = 100
"""A fold's name stands in every baseline and beside every snapshot: a name, not a sentence."""
VERSION_MAX: Final = 2**31 - 1
"""Versions are counted by hand."""


def _named(_: object, __: object, name: Any) -> None:
    if not isinstance(name, str) or not name.isprintable() or not 1 <= _size(name) <= NAME_SIZE_BYTES_MAX:
        raise InvalidValueError(
            f"a fold's name is a printable str of 1-{NAME_SIZE_BYTES_MAX} UTF-8 bytes, got {name!r:.60};"
            " call it after what it computes"
        )


def _size(name: str) -> int:
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        return 0


def _counted(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if type(value) is not int or not 1 <= value <= VERSION_MAX:
        raise InvalidValueError(f"a fold's {attribute.name} is an int from 1 on, got {value!r:.60}")


def _called(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not callable(value):
        advice = "; write lambda: ..., so that each log begins with one of its own"
        raise InvalidValueError(
            f"a fold's {attribute.name} is a function, got {value!r:.60}"
            f"{advice if attribute.name == 'initial' else ''}"
        )


@attrs.frozen(slots=True)
class Fold(Generic[S]):
    """How a log becomes a state.

    Events of the kind BASELINE are not given to `apply`: they hold a state and say nothing new, and a replay
    that begins at one must come to the same as one that begins at seq 1.

    Args:
        name: what it computes; snapshots and baselines are found under it.
        version: raise it whenever the same events give another state, or the state another form.
        initial: makes the state before the first event, such as ``dict`` or ``lambda: Order()``.
        apply: takes the state and the next event and returns the state after it.
        state: the state's type, by which the runtime's converter makes it again of JSON. Without it plain
            values come back; a state that would come back as something else is refused.
        encode: turns a state into bytes, instead of the converter.
        decode: turns those bytes into the state again.
        upgrade: makes the state of one that a baseline of an earlier version holds; called with that version
            and with plain JSON values, or the bytes of its `encode`. Snapshots need none: they are made anew.
        snapshot_every: after how many replayed events `handle.replay` leaves a snapshot by itself; None for
            never.

    Raises:
        InvalidValueError: a name, version or function is none, or one of `encode` and `decode` is missing.
    """

    name: str = attrs.field(validator=_named)
    version: int = attrs.field(validator=_counted)
    initial: Callable[[], S] = attrs.field(validator=_called)
    apply: Callable[[S, WorkflowEvent], S] = attrs.field(validator=_called)
    state: Any = attrs.field(default=Any, kw_only=True)
    encode: Callable[[S], bytes] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_called)
    )
    decode: Callable[[bytes], S] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_called)
    )
    upgrade: Callable[[int, Any], S] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_called)
    )
    snapshot_every: int | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_counted)
    )

    def __attrs_post_init__(self) -> None:
        """See that what is written can be read."""
        if (self.encode is None) != (self.decode is None):
            raise InvalidValueError(
                f"fold {self.name!r} has one of encode and decode; give both, or neither for the converter"
            )


class FoldedState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a fold: the payload of a BASELINE event, and the content of a snapshot.

    Attributes:
        fold: the fold's name.
        version: its version.
        workflow_id: the log.
        seq: the last seq that the state holds.
        digest: the digest there, in hexadecimal.
        json: the state, when the converter has written it.
        data: the state, when the fold's own `encode` has.
    """

    fold: str
    version: int
    workflow_id: str
    seq: int
    digest: str
    json: Raw = Raw(b"null")
    data: bytes | None = None


def encode_folded(folded: FoldedState) -> bytes:
    """Write a kept state down.

    Args:
        folded: the state, and what it is of.

    Returns:
        One JSON document.
    """
    return msgspec.json.encode(folded)


def decode_folded(payload: bytes) -> FoldedState:
    """Read a kept state.

    Args:
        payload: what `encode_folded` has made.

    Returns:
        The state, and what it is of.

    Raises:
        InvalidValueError: it is none of ours.
    """
    try:
        return msgspec.json.decode(payload, type=FoldedState)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"this is no state that treadle has kept: {error}") from error


def is_folded(event: WorkflowEvent) -> bool:
    """Tell whether a fold's `apply` is given an event.

    Args:
        event: any event of a log.

    Returns:
        False for a BASELINE alone.
    """
    return event.kind is not EventKind.BASELINE
