"""A fold: how a log becomes a state, with a name and a version under which states of it can be kept.

A function alone would do to replay a log. What is kept of it (a snapshot, a baseline) must be told apart from
what another function, or an earlier version of this one, has left; hence the name and the version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

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
PROJECTIONS: Final = "treadle:projection"
"""The namespace of registered projections; a key is its name, a value JSON whose `position` is the last
position that it has read. Nothing behind the least of them is removed."""

HORIZON_SPACE: Final = "treadle:retention"
HORIZON_KEY: Final = b"horizon"
"""The record of the retention horizon, a position in decimal: no event behind it was ever removed, and those
up to it may have been. It only rises, and rises before anything is removed."""


# -- what a fold is made of; a projection is a fold over the feed, and held to the same ------------------


def check_named(instance: object, _: object, name: Any) -> None:
    """Refuse what is no fold's name; an attrs validator.

    Args:
        instance: what is to be called so.
        _: unused.
        name: the name.

    Raises:
        InvalidValueError: it is none.
    """
    if not isinstance(name, str) or not name.isprintable() or not 1 <= _size(name) <= NAME_SIZE_BYTES_MAX:
        raise InvalidValueError(
            f"a {_word(instance)}'s name is a printable str of 1-{NAME_SIZE_BYTES_MAX} UTF-8 bytes, got"
            f" {name!r:.60}; call it after what it computes"
        )


def _word(instance: object) -> str:
    return type(instance).__name__.lower()


def _size(name: str) -> int:
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        return 0


def check_counted(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse what is no version of a fold, or no number of events; an attrs validator.

    Args:
        instance: the fold.
        attribute: what it is.
        value: the number.

    Raises:
        InvalidValueError: it is none.
    """
    if type(value) is not int or not 1 <= value <= VERSION_MAX:
        raise InvalidValueError(
            f"a {_word(instance)}'s {attribute.name} is an int from 1 on, got {value!r:.60}"
        )


def check_called(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse what cannot be called; an attrs validator.

    Args:
        instance: the fold.
        attribute: which of its functions.
        value: what was given for it.

    Raises:
        InvalidValueError: it is no function.
    """
    if not callable(value):
        advice = "; write lambda: ..., so that each state begins as one of its own"
        raise InvalidValueError(
            f"a {_word(instance)}'s {attribute.name} is a function, got {value!r:.60}"
            f"{advice if attribute.name == 'initial' else ''}"
        )


class StateConverter(Protocol):
    """Values to JSON and back, as `treadle.payloads.Converter` does it; of which this room does not know."""

    def encode(self, value: Any) -> bytes:
        """Turn a value into JSON."""

    def decode(self, payload: bytes, annotation: Any = ...) -> Any:
        """Make the value again."""


class StateForm(Protocol[S]):
    """What is asked of a fold, or of a projection, about the form of its states."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def state(self) -> Any:
        """The state's type, for the converter."""

    @property
    def encode(self) -> Callable[[S], bytes] | None:
        """Turns a state into bytes, instead of the converter."""

    @property
    def decode(self) -> Callable[[bytes], S] | None:
        """Turns those bytes into the state again."""


def check_form(form: StateForm[Any]) -> None:
    """See that what is written can be read.

    Args:
        form: a fold or projection.

    Raises:
        InvalidValueError: it has one of `encode` and `decode`.
    """
    if (form.encode is None) != (form.decode is None):
        raise InvalidValueError(
            f"{_word(form)} {form.name!r} has one of encode and decode; give both, or neither for the"
            " converter"
        )


def write_state(form: StateForm[S], state: S, converter: StateConverter) -> bytes:
    """Put a state into the form in which it is kept, and see that it comes back as it was.

    Args:
        form: the fold or projection whose it is.
        state: the state.
        converter: for one without an `encode` of its own.

    Returns:
        JSON, or what `encode` has made.

    Raises:
        InvalidValueError: the state has no JSON form, or would come back as something else.
    """
    kept = _form_of(form, state, converter)
    # A state that comes back as something else would give another replay, one day, unseen.
    back = read_state(form, kept, converter)
    if back == state:
        return kept
    # Without an `==` of its own, a value is equal to itself alone: its form has to speak for it.
    plain = type(back) is type(state) and type(state).__eq__ is object.__eq__
    if plain and _form_of(form, back, converter) == kept:
        return kept
    word = _word(form)
    raise InvalidValueError(
        f"the state of {word} {form.name!r} would come back as {back!r:.80} instead of {state!r:.80};"
        f" name its type with {type(form).__name__}(state=...), or give encode and decode"
    )


def _form_of(form: StateForm[S], state: S, converter: StateConverter) -> bytes:
    if form.encode is None:
        return converter.encode(state)
    data: object = form.encode(state)
    if type(data) is not bytes:
        raise InvalidValueError(
            f"encode of {_word(form)} {form.name!r} gives bytes, got {type(data).__name__}"
        )
    return data


def read_state(form: StateForm[S], kept: bytes, converter: StateConverter) -> S:
    """Make a state again of the form in which it is kept.

    Args:
        form: the fold or projection whose it is.
        kept: what `write_state` has made.
        converter: for one without a `decode` of its own.

    Returns:
        The state.

    Raises:
        InvalidValueError: it does not fit.
    """
    if form.decode is not None:
        return form.decode(kept)
    state: S = converter.decode(kept, form.state)
    return state


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

    name: str = attrs.field(validator=check_named)
    version: int = attrs.field(validator=check_counted)
    initial: Callable[[], S] = attrs.field(validator=check_called)
    apply: Callable[[S, WorkflowEvent], S] = attrs.field(validator=check_called)
    state: Any = attrs.field(default=Any, kw_only=True)
    encode: Callable[[S], bytes] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_called)
    )
    decode: Callable[[bytes], S] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_called)
    )
    upgrade: Callable[[int, Any], S] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_called)
    )
    snapshot_every: int | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_counted)
    )

    def __attrs_post_init__(self) -> None:
        """See that what is written can be read."""
        check_form(self)


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
