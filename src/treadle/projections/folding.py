"""Folding pages of the feed: the states of one projection in memory, and what has changed of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import attrs

from treadle.errors import InvalidValueError
from treadle.events import RECORD_KEY_SIZE_BYTES_MAX, EventKind
from treadle.projections.projection import Projection
from treadle.stores import FeedEvent

S = TypeVar("S")

PLAIN: Final = ""
"""Under which the state of a projection without keys stands in memory."""


class FoldError(Exception):
    """A projection's function has raised; the cause is what it raised.

    Attributes:
        event: the event it was given.
    """

    def __init__(self, event: FeedEvent) -> None:
        super().__init__(event)
        self.event = event


@attrs.define(slots=True, eq=False)
class Folding(Generic[S]):
    """The states of one projection, and by which event each was changed last.

    Attributes:
        projection: the fold.
        states: by key; a projection without keys has one, under `PLAIN`.
        touched: of the keys that have changed since `settle`, the last event that did.
    """

    projection: Projection[S]
    states: dict[str, S] = attrs.Factory(dict)
    touched: dict[str, FeedEvent] = attrs.Factory(dict)

    @classmethod
    def fresh(cls, projection: Projection[S]) -> Folding[S]:
        """Begin before the first event.

        Args:
            projection: the fold.

        Returns:
            Its states there.
        """
        return cls(projection, {} if projection.key else {PLAIN: projection.initial()})

    def fold(self, events: Sequence[FeedEvent]) -> None:
        """Fold events in.

        Args:
            events: those that come next, without baselines.

        Raises:
            FoldError: a function of the projection has raised; the states are good for nothing any more,
                because it may have changed one before it did.
        """
        if self.projection.key is None:
            self._fold_plain(events)
        else:
            self._fold_keyed(events, self.projection.key)

    def _fold_plain(self, events: Sequence[FeedEvent]) -> None:
        apply, state, event = self.projection.apply, self.states[PLAIN], None
        try:
            for event in events:
                state = apply(state, event)
        except Exception as error:
            assert event is not None  # noqa: S101  # a sequence gives its elements without raising
            raise FoldError(event) from error
        self.states[PLAIN] = state
        if event is not None:
            self.touched[PLAIN] = event

    def _fold_keyed(self, events: Sequence[FeedEvent], key_of: Any) -> None:
        apply, initial = self.projection.apply, self.projection.initial
        states, touched = self.states, self.touched
        for event in events:
            try:
                key = key_of(event)
                if key is None:
                    continue
                if key not in states:
                    check_key(self.projection, key)
                    states[key] = apply(initial(), event)
                else:
                    states[key] = apply(states[key], event)
            except Exception as error:
                raise FoldError(event) from error
            touched[key] = event

    def settle(self) -> None:
        """Note that all changes are written."""
        self.touched = {}


def check_key(projection: Projection[Any], key: object) -> None:
    """Refuse what is no key of a state.

    Args:
        projection: whose `key` function has given it.
        key: what it gave.

    Raises:
        InvalidValueError: it is no str, or too long.
    """
    try:
        if isinstance(key, str) and len(key.encode()) <= RECORD_KEY_SIZE_BYTES_MAX:
            return
    except UnicodeEncodeError:
        pass
    raise InvalidValueError(
        f"a key of projection {projection.name!r} is a str of at most {RECORD_KEY_SIZE_BYTES_MAX} UTF-8"
        f" bytes, or None for an event that is not its own; got {key!r:.60}"
    )


def without_baselines(page: Sequence[FeedEvent]) -> list[FeedEvent]:
    """Leave out what folds are not given.

    Args:
        page: of the feed.

    Returns:
        The events that say something new.
    """
    baseline = EventKind.BASELINE
    return [event for event in page if event.event.kind is not baseline]
