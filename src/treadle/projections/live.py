"""A set of projections, kept up together: one loop reads a page once for all that stand near one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from treadle.errors import (
    InvalidValueError,
    UsageError,
)
from treadle.payloads import CodecChain, Converter, JsonConverter
from treadle.projections.folding import PLAIN
from treadle.projections.keeper import Keeper, ProjectionStatistics
from treadle.projections.kept import Host, Shelf
from treadle.projections.loop import Limits, Loop
from treadle.projections.projection import Projection
from treadle.projections.rebuilding import Progress, Rebuilt, rebuild
from treadle.projections.verifying import Verdict, verify
from treadle.stores import PAGE_EVENTS, Store

EVERY_EVENTS: Final = PAGE_EVENTS
"""After how many events states are written by default: a page, so that what it costs is shared by many."""
EVERY_SECONDS: Final = 1.0
"""After what time they are written by default: so much is folded again after a kill."""
STANDBY_SECONDS: Final = 10.0
"""How long a projection that another process keeps up must not have moved before this one takes it over."""
EVENTS_MAX: Final = 1_000_000
"""The most events between two writes: all of them are folded again after a kill."""


class Projections:
    """Projections of one store, kept up by a runtime: ``open_runtime(store, projections=Projections(...))``.

    State and checkpoint are written together, so that after any crash the state holds exactly the events up
    to the checkpoint. One process keeps a projection up; another one that tries stands by, visibly, and
    takes over when the first has not moved for a while.

    Args:
        *projections: at least one, each with a name of its own.
        every_events: after how many events at the latest they are written.
        every_seconds: after what time at the latest they are written, when there is something to write.
        standby_seconds: how long one that another process keeps up must not have moved before this set
            takes it over; longer than that process's `every_seconds`.

    Raises:
        InvalidValueError: something is no projection, two have one name, or a limit is no positive number.
    """

    def __init__(
        self,
        *projections: Projection[Any],
        every_events: int = EVERY_EVENTS,
        every_seconds: float = EVERY_SECONDS,
        standby_seconds: float = STANDBY_SECONDS,
    ) -> None:
        _check_set(projections)
        if type(every_events) is not int or not 1 <= every_events <= EVENTS_MAX:
            raise InvalidValueError(
                f"every_events is an int from 1 to {EVENTS_MAX:,}, got {every_events!r:.60}"
            )
        _check_seconds("every_seconds", every_seconds)
        _check_seconds("standby_seconds", standby_seconds)
        page_events = min(PAGE_EVENTS, every_events)
        self._limits = Limits(every_events, float(every_seconds), float(standby_seconds), page_events)
        self._keepers = {projection.name: Keeper(projection) for projection in projections}
        self._host: Host | None = None
        self._shelf: Shelf | None = None
        self._loop: Loop | None = None
        self._newest = 0

    # -- what there is --

    @property
    def names(self) -> tuple[str, ...]:
        """The projections' names, in the order in which they were given."""
        return tuple(self._keepers)

    def projection(self, name: str) -> Projection[Any]:
        """Find a projection.

        Args:
            name: its name.

        Returns:
            The projection.

        Raises:
            InvalidValueError: none of this set is called so.
        """
        return self._keeper(name).projection

    def _keeper(self, name: str) -> Keeper:
        keeper = self._keepers.get(name)
        if keeper is None:
            raise InvalidValueError(
                f"no projection of this set is called {name!r:.60}; it has {', '.join(map(repr, self.names))}"
            )
        return keeper

    def state(self, name: str, key: str | None = None) -> Any:
        """Give a projection's state as it is in memory; of one that has stopped, where it stopped.

        It is the state itself, not a copy: do not change it. It may hold events that are not in the written
        state yet, none that is not durable in its log.

        Args:
            name: the projection.
            key: whose state, of a projection with keys.

        Returns:
            The state; of a key without events, what `initial` makes.

        Raises:
            InvalidValueError: there is no such projection, or it has keys and none was given, or the reverse.
            ProjectionStoppedError: it is not kept up here.
        """
        keeper = self._keeper(name)
        check_asked(keeper.projection, key)
        states = keeper.check_kept_up().states
        wanted = PLAIN if key is None else key
        return states[wanted] if wanted in states else keeper.projection.initial()

    def keys(self, name: str) -> list[str]:
        """List the keys of a projection, as they are in memory.

        Args:
            name: the projection.

        Returns:
            Keys that have had an event, in their order.

        Raises:
            InvalidValueError: there is no such projection, or it has no keys.
            ProjectionStoppedError: it is not kept up here.
        """
        keeper = self._keeper(name)
        if keeper.projection.key is None:
            raise InvalidValueError(f"projection {name!r} has one state and no keys; ask for state({name!r})")
        return sorted(keeper.check_kept_up().states)

    async def stored(
        self,
        name: str,
        key: str | None = None,
        *,
        store: Store | None = None,
        converter: Converter | None = None,
        codecs: CodecChain | None = None,
    ) -> Any:
        """Read a projection's state as it was last written, by whichever process keeps it up.

        Args:
            name: the projection.
            key: whose state, of a projection with keys.
            store: where from; None for the runtime's.
            converter: what its writer used; None for the runtime's, or the usual one.
            codecs: what its writer used; None for the runtime's, or none.

        Returns:
            The state; what `initial` makes when nothing is written of it.

        Raises:
            InvalidValueError: there is no such projection, it has keys and none was given or the reverse, or
                what is kept cannot be read.
            UsageError: no store was given, and no runtime keeps this set up.
            StoreError: the store could not be read.
        """
        projection = self._keeper(name).projection
        check_asked(projection, key)
        shelf = self.shelf(store, converter, codecs)
        loaded = await shelf.load(projection)
        kept = None if loaded is None else loaded.kept.get(PLAIN if key is None else key)
        return projection.initial() if kept is None else shelf.read(projection, kept.state)

    def shelf(
        self, store: Store | None, converter: Converter | None = None, codecs: CodecChain | None = None
    ) -> Shelf:
        """Find the records that are asked for.

        Args:
            store: where they lie; None for the runtime's.
            converter: states to JSON and back; None for the runtime's, or the usual one.
            codecs: what states go through; None for the runtime's, or none.

        Returns:
            What reads them.

        Raises:
            UsageError: no store was given, and no runtime keeps this set up.
        """
        if store is None:
            if self._shelf is None:
                raise UsageError(
                    "no runtime keeps these projections up: hand them to open_runtime(projections=...), or"
                    " say of which store=..."
                )
            return self._shelf
        return Shelf(store, converter or JsonConverter(), codecs or CodecChain())

    def statistics(self) -> tuple[ProjectionStatistics, ...]:
        """Tell how each projection stands.

        Returns:
            A frozen snapshot of each, in the order in which they were given.
        """
        newest = self._newest if self._loop is None else self._loop.newest
        return tuple(keeper.statistics(newest) for keeper in self._keepers.values())

    # -- what can be asked of them while they are kept up --

    async def caught_up(self, *names: str) -> None:
        """Wait until what is durable now is in the states: what you have written before, you read then.

        Args:
            *names: of which projections; none for all.

        Raises:
            InvalidValueError: there is no such projection.
            UsageError: no runtime keeps this set up.
            ProjectionStoppedError: one of them is not kept up here, and will not get there.
        """
        keepers = tuple(self._keeper(name) for name in names or self.names)
        host, loop = self._host, self._loop
        if host is None or loop is None:
            raise keepers[0].stopped_error()
        await loop.wait_for(keepers, await host.store.position())

    def retry(self, name: str) -> None:
        """Let a projection that has stopped, or stands by, go on from what is kept of it.

        Args:
            name: the projection.

        Raises:
            InvalidValueError: there is no such projection.
            ProjectionStoppedError: no runtime keeps this set up.
        """
        keeper = self._keeper(name)
        if self._host is None:
            raise keeper.stopped_error()
        keeper.afresh = True
        self._host.nudge()

    # -- duality --

    async def verify(
        self,
        *names: str,
        store: Store | None = None,
        converter: Converter | None = None,
        codecs: CodecChain | None = None,
        progress: Progress | None = None,
    ) -> list[Verdict]:
        """Hold what is kept of projections against a rebuild from the log.

        Nothing is written, and nobody has to stop: both sides are taken at the position of the checkpoint. Of
        a store that retention has removed events from, the rebuild begins at the baseline that was kept, and
        the verdict says so.

        Args:
            *names: which projections; none for all.
            store: where from; None for the runtime's.
            converter: what their writer used; None for the runtime's, or the usual one.
            codecs: what their writer used; None for the runtime's, or none.
            progress: told after each page of the feed: the position reached, and the one aimed at.

        Returns:
            A verdict for each: whether both sides are the same, or where they part.

        Raises:
            InvalidValueError: there is no such projection, nothing is kept of it, or the events that it was
                made of are gone.
            ProjectionVersionError: another version of the fold has made what is kept.
            ProjectionAheadError: it has read further than the store reaches.
            UsageError: no store was given, and no runtime keeps this set up.
            StoreError: the store could not be read.
        """
        shelf = self.shelf(store, converter, codecs)
        chosen = [self._keeper(name).projection for name in names or self.names]
        return [await verify(shelf, projection, progress) for projection in chosen]

    async def rebuild(
        self,
        name: str,
        *,
        host: Host | None = None,
        progress: Progress | None = None,
        from_kept: bool = False,
    ) -> Rebuilt:
        """Make a projection's state anew, and put it in the place of what is kept.

        All at once or not at all: until it is done everybody reads the old state, and a kill on the way
        leaves it. Afterwards this set goes on from the new one.

        Args:
            name: the projection.
            host: ``runtime.host()`` of a runtime that does not keep this set up; None for the one that does.
            progress: told after each page of the feed: the position reached, and the one aimed at.
            from_kept: pass over events that retention has removed, when no baseline is there to begin at.

        Returns:
            What it has come to.

        Raises:
            InvalidValueError: there is no such projection, its fold has raised, its state cannot be kept, or
                events it needs are gone; nothing was changed.
            UsageError: no host was given, and no runtime keeps this set up.
            StoreError: the store failed.
        """
        keeper = self._keeper(name)
        used = self._host if host is None else host
        if used is None:
            raise UsageError(
                "no runtime keeps these projections up: hand them to open_runtime(projections=...), or give"
                " host=runtime.host()"
            )
        shelf = Shelf(used.store, used.converter, used.codecs)
        keeper.rebuilding = True
        try:
            rebuilt = await rebuild(used, shelf, keeper.projection, progress, from_kept=from_kept)
        finally:
            keeper.rebuilding = False
        if self._loop is not None:
            keeper.afresh = True
            await self._loop.wait_for((keeper,), rebuilt.position)
        return rebuilt

    # -- a companion of a runtime --

    async def open(self, host: Host) -> None:
        """Look what is kept; called by `open_runtime`.

        Args:
            host: the runtime, as a companion sees it.

        Raises:
            UsageError: another runtime keeps this set up.
            ProjectionVersionError: another version of a fold has made what is kept.
            ProjectionAheadError: one has read further than the store reaches.
            InvalidValueError: what is kept cannot be read.
            StoreError: the store could not be read.
        """
        if self._host is not None:
            raise UsageError(
                "another runtime keeps these projections up; make a Projections(...) for each runtime"
            )
        self._host, self._shelf = host, Shelf(host.store, host.converter, host.codecs)
        self._loop = Loop(host, self._shelf, tuple(self._keepers.values()), self._limits)
        try:
            await self._loop.open()
        except BaseException:
            self._let_go(self._loop)
            raise

    async def run(self, host: Host) -> None:
        """Follow the feed until the runtime closes; called by the runtime.

        Args:
            host: as in `open`.
        """
        loop = self._loop
        assert loop is not None  # noqa: S101  # opened
        assert host is self._host  # noqa: S101  # with the same host
        try:
            await loop.run()
        finally:
            self._let_go(loop)

    def _let_go(self, loop: Loop) -> None:
        self._host = self._shelf = self._loop = None
        self._newest = loop.newest
        loop.let_go()


def check_asked(projection: Projection[Any], key: str | None) -> None:
    """Refuse a question for a key of a projection that has none, and the reverse.

    Args:
        projection: the projection.
        key: whose state is asked for.

    Raises:
        InvalidValueError: it does not fit.
    """
    if (projection.key is None) != (key is None) or not isinstance(key, str | None):
        has = "one state, and no keys" if projection.key is None else "a state for each key, a str"
        raise InvalidValueError(f"projection {projection.name!r} has {has}; got key {key!r:.60}")


def _check_set(projections: Sequence[object]) -> None:
    names: list[str] = []
    for projection in projections:
        if not isinstance(projection, Projection):
            raise InvalidValueError(f"a set is made of projections, Projection(...), got {projection!r:.60}")
        if projection.name in names:
            raise InvalidValueError(
                f"two projections of one set are called {projection.name!r}; the state of each is kept under"
                " its name: call one of them something else"
            )
        names.append(projection.name)
    if not names:
        raise InvalidValueError("a set without projections keeps nothing up; give it some: Projection(...)")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InvalidValueError(f"{name} is a positive number of seconds, got {value!r:.60}")
