"""A projection: a fold over the feed, with a name and a version under which its state is kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs

from treadle.errors import InvalidValueError
from treadle.log import check_called, check_counted, check_form, check_named
from treadle.stores import FeedEvent

S = TypeVar("S")


@attrs.frozen(slots=True)
class Projection(Generic[S]):
    """How the feed, all events of a store in commit order, becomes a state or one state for each key.

    Its functions are pure: the same events give the same state, however they are split into pages, however
    often the program was restarted between them, and today as next year. `treadle.testing.check_projection`
    tries that. Events of the kind BASELINE are not given to them: they hold a state and say nothing new.

    Args:
        name: what it computes; its state is kept under it.
        initial: makes the state before the first event, such as ``dict`` or ``lambda: 0``; with `key`, the
            state before a key's first event.
        apply: takes the state and the next `FeedEvent`, which has ``position``, ``workflow_id`` and
            ``event``, and returns the state after it. It may change the state that it is given.
        version: raise it whenever the same events give another state, or the state another form.
        key: tells whose state an event changes: a str, or None for nobody's. Without it there is one state.
        state: the state's type, by which the runtime's converter makes it again of JSON. Without it plain
            values come back; a state that would come back as something else stops the projection.
        encode: turns a state into bytes, instead of the converter.
        decode: turns those bytes into the state again.

    Raises:
        InvalidValueError: a name, version or function is none, or one of `encode` and `decode` is missing.
    """

    name: str = attrs.field(validator=check_named)
    initial: Callable[[], S] = attrs.field(validator=check_called)
    apply: Callable[[S, FeedEvent], S] = attrs.field(validator=check_called)
    version: int = attrs.field(default=1, kw_only=True, validator=check_counted)
    key: Callable[[FeedEvent], str | None] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_called)
    )
    state: Any = attrs.field(default=Any, kw_only=True)
    encode: Callable[[S], bytes] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_called)
    )
    decode: Callable[[bytes], S] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_called)
    )

    def __attrs_post_init__(self) -> None:
        """See that what is written can be read, and that nothing of it waits."""
        check_form(self)
        for function in (self.initial, self.apply, self.key):
            if inspect.iscoroutinefunction(function):
                raise InvalidValueError(
                    f"projection {self.name!r}: {function.__qualname__} is an async function; a fold waits"
                    " for nothing: write def, and do what waits somewhere else"
                )
