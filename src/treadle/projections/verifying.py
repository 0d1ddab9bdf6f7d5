"""Duality: what was kept up event by event must be what a rebuild of the same events gives.

    the log, from its beginning or a baseline ─→ fold ─→ states, made anew   ┐
                                                                             ├─ the same, key by key
    checkpoint and states, as they are kept     ──────────────────────────── ┘

Where a key differs, the feed is folded once more for those keys alone. When the kept state is one that the
log has given, what parted them is the key's next event; otherwise nothing tells more than its last one.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from treadle.errors import CodecError, InvalidValueError, TreadleError
from treadle.log import write_state
from treadle.projections.folding import PLAIN, FoldError, without_baselines
from treadle.projections.keeper import check_fits
from treadle.projections.kept import KeyedState, Loaded, Shelf
from treadle.projections.projection import Projection
from treadle.projections.rebuilding import TRIES_MAX, Beginning, Progress, begin, refold
from treadle.stores import PAGE_EVENTS, FeedEvent

DIFFERENCES_MAX: Final = 100
"""How many differing keys are looked at closely: each keeps its states in memory meanwhile."""
SHOWN_LENGTH_MAX: Final = 2_000
"""How much of a state a difference shows."""


@attrs.frozen(slots=True)
class Difference:
    """Where what is kept and what a rebuild gives part.

    Attributes:
        key: whose state; None for a projection without keys.
        position: of the event at which they part, or, when that cannot be told, of the last one of that key.
        workflow_id: whose event that is; empty when there is none.
        seq: its place in that log; 0 when there is none.
        why: what is known of it, in words.
        kept: the state that is kept, as text; None when there is none.
        rebuilt: the state that the rebuild gives, as text; None when it gives none.
    """

    key: str | None
    position: int
    workflow_id: str
    seq: int
    why: str
    kept: str | None
    rebuilt: str | None


@attrs.frozen(slots=True)
class Verdict:
    """What holding a projection against a rebuild has shown.

    Attributes:
        name: the projection.
        version: of its fold.
        position: the checkpoint's: both sides hold the events up to here.
        from_position: where the rebuild began: 0 for the log's first event, otherwise that of the baseline
            which is kept since retention has removed events.
        events: how many the rebuild has read.
        keys: how many keys are kept; 1 for a projection without keys.
        differing: how many keys differ.
        differences: where they part, the earliest first; at most the first hundred.
    """

    name: str
    version: int
    position: int
    from_position: int
    events: int
    keys: int
    differing: int
    differences: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        """Whether both sides are the same."""
        return self.differing == 0


async def verify(shelf: Shelf, projection: Projection[Any], progress: Progress | None) -> Verdict:
    """Hold what is kept of a projection against a rebuild.

    Args:
        shelf: reads.
        projection: the fold.
        progress: told after each page.

    Returns:
        What it has shown.

    Raises:
        InvalidValueError: nothing is kept, it cannot be read, or the events it was made of are gone.
        ProjectionVersionError: another version of the fold has made it.
        ProjectionAheadError: it has read further than the store reaches.
        StoreError: the store could not be read.
    """
    for _ in range(TRIES_MAX):
        loaded = await shelf.load(projection)
        if loaded is None:
            raise InvalidValueError(
                f"nothing is kept of projection {projection.name!r}: let a runtime keep it up first, with"
                " open_runtime(projections=...), or rebuild it"
            )
        check_fits(projection, loaded.checkpoint, await shelf.store.position())
        horizon = await shelf.horizon()
        beginning = await begin(shelf, projection, loaded.checkpoint, horizon)
        if beginning is None or beginning.position > loaded.checkpoint.position:
            raise _unverifiable(projection, loaded, horizon)
        verdict = await _Duality(shelf, projection, loaded, beginning).verdict(progress)
        if await shelf.horizon() <= max(horizon, beginning.position):
            return verdict
    raise InvalidValueError(
        f"projection {projection.name!r}: during each of {TRIES_MAX} looks retention has removed events; try"
        " again when it rests"
    )


class _Duality:
    """The two sides of one projection."""

    def __init__(
        self, shelf: Shelf, projection: Projection[Any], loaded: Loaded, beginning: Beginning
    ) -> None:
        self._shelf = shelf
        self._projection = projection
        self._loaded = loaded
        self._beginning = beginning
        self._until = loaded.checkpoint.position
        self._keyed = projection.key is not None

    async def verdict(self, progress: Progress | None) -> Verdict:
        """Compare them."""
        start = self._beginning.position
        try:
            _, events = await refold(self._shelf, self._beginning, self._until, progress)
        except FoldError as error:
            return self._verdict(start, error.event.position, 1, [self._raised(error)])
        rebuilt = self._rebuilt()
        kept = self._loaded.kept
        differing = [
            key for key in sorted(kept.keys() | rebuilt) if not self._same(kept.get(key), rebuilt.get(key))
        ]
        found: list[Difference] = []
        if differing:
            found = await self._where(differing[:DIFFERENCES_MAX], rebuilt)
        return self._verdict(start, events, len(differing), found)

    def _verdict(self, start: int, events: int, differing: int, found: list[Difference]) -> Verdict:
        found.sort(key=lambda difference: (difference.position, difference.key or ""))
        name, version = self._projection.name, self._projection.version
        keys = len(self._loaded.kept)
        return Verdict(name, version, self._until, start, events, keys, differing, tuple(found))

    # -- comparing --

    def _rebuilt(self) -> dict[str, bytes | TreadleError]:
        return {key: self._form(state) for key, state in self._beginning.folding.states.items()}

    def _form(self, state: Any) -> bytes | TreadleError:
        try:
            return write_state(self._projection, state, self._shelf.converter)
        except (InvalidValueError, CodecError) as error:
            return error

    def _same(self, kept: KeyedState | None, rebuilt: bytes | TreadleError | None) -> bool:
        if kept is None or not isinstance(rebuilt, bytes):
            return False
        return self._shelf.plain(self._projection.name, kept.state) == rebuilt

    # -- finding where --

    async def _where(self, keys: list[str], rebuilt: dict[str, bytes | TreadleError]) -> list[Difference]:
        """Fold once more, and see after which event of each key the kept state was right last."""
        beginning = await begin(
            self._shelf, self._projection, self._loaded.checkpoint, self._beginning.position
        )
        assert beginning is not None  # noqa: S101  # it began there before
        traces = {key: _Trace(self, key, beginning.folding.states.get(key)) for key in keys}
        position = beginning.position
        while position < self._until:
            page = await self._shelf.store.feed(position, limit=PAGE_EVENTS)
            for event in without_baselines(page):
                if event.position <= self._until:
                    self._trace(event, traces)
            position = page[-1].position if page else self._until
        return [trace.difference(rebuilt.get(key)) for key, trace in traces.items()]

    def _trace(self, event: FeedEvent, traces: dict[str, _Trace]) -> None:
        key = self._projection.key(event) if self._projection.key is not None else PLAIN
        if key is not None and key in traces:
            traces[key].take(event)

    def _raised(self, error: FoldError) -> Difference:
        event, cause = error.event, error.__cause__
        why = f"the rebuild's fold raises there: {type(cause).__name__}: {cause}"
        return Difference(None, event.position, event.workflow_id, event.event.seq, why, None, None)

    def kept_form(self, key: str) -> bytes | None:
        """Give the form of the state that is kept of a key.

        Args:
            key: whose.

        Returns:
            The form; None when none is kept.
        """
        kept = self._loaded.kept.get(key)
        return None if kept is None else self._shelf.plain(self._projection.name, kept.state)


class _Trace:
    """One key's states on the way, held against the state that is kept of it."""

    def __init__(self, duality: _Duality, key: str, state: Any) -> None:
        self._duality = duality
        self._projection = duality._projection
        self._key = key
        self._kept = duality.kept_form(key)
        first = self._projection.initial() if state is None else state
        self._state = first
        self._matched = self._kept is not None and duality._form(first) == self._kept
        self._next: FeedEvent | None = None
        self._first: FeedEvent | None = None
        self._last: FeedEvent | None = None

    def take(self, event: FeedEvent) -> None:
        """Fold the key's next event.

        Args:
            event: the event.
        """
        if self._matched and self._next is None:
            self._next = event
        self._first = self._first or event
        self._last = event
        self._state = self._projection.apply(self._state, event)
        if self._kept is not None and self._duality._form(self._state) == self._kept:
            self._matched, self._next = True, None

    def difference(self, rebuilt: bytes | TreadleError | None) -> Difference:
        """Tell where the two sides part.

        Args:
            rebuilt: what the rebuild has given.

        Returns:
            The difference.
        """
        event, why = self._parting(rebuilt)
        kept = self._duality._loaded.kept.get(self._key)
        at = (event.position, event.workflow_id, event.event.seq) if event else (0, "", 0)
        if event is None and kept is not None:
            at = (kept.position, kept.workflow_id, 0)
        key = self._key if self._duality._keyed else None
        return Difference(key, *at, why, _shown(self._kept), _shown(rebuilt))

    def _parting(self, rebuilt: bytes | TreadleError | None) -> tuple[FeedEvent | None, str]:
        if isinstance(rebuilt, TreadleError):
            return self._last, f"the rebuilt state cannot be kept: {rebuilt}"
        if self._kept is None:
            return self._first, "no state is kept of this key, and the log gives one from this event on"
        if rebuilt is None:
            return None, "a state is kept of this key, and no event of the log gives it one"
        if self._matched and self._next is not None:
            return self._next, "the kept state is that before this event, which it does not hold"
        return self._last, "the kept state is none that the log gives at any event; this is the key's last"


def _shown(form: bytes | TreadleError | None) -> str | None:
    return None if not isinstance(form, bytes) else form[:SHOWN_LENGTH_MAX].decode(errors="replace")


def _unverifiable(projection: Projection[Any], loaded: Loaded, horizon: int) -> InvalidValueError:
    baseline = loaded.checkpoint.baseline
    kept = f"the last baseline is of position {baseline}" if baseline else "no baseline is kept"
    return InvalidValueError(
        f"projection {projection.name!r} cannot be held against its log now: retention has removed events up"
        f" to position {horizon}, and {kept}; whoever keeps it up takes one when it next looks: try again"
        " then"
    )
