"""A set of projections, kept up together: one loop reads a page once for all that stand near one another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import attrs
import trio

from treadle.errors import (
    InvalidValueError,
    RecordChangedError,
    RuntimeClosedError,
    StoreError,
    StoreUnavailableError,
    TreadleError,
    UsageError,
)
from treadle.payloads import CodecChain, Converter, JsonConverter
from treadle.projections.baselines import is_wanted, take_baseline
from treadle.projections.folding import PLAIN, without_baselines
from treadle.projections.keeper import Keeper, ProjectionStatistics
from treadle.projections.kept import Failure, Host, Shelf
from treadle.projections.projection import Projection
from treadle.projections.rebuilding import Progress, Rebuilt, rebuild
from treadle.projections.verifying import Verdict, verify
from treadle.stores import PAGE_EVENTS, Store, Unit

EVERY_EVENTS: Final = PAGE_EVENTS
"""After how many events states are written by default: a page, so that what it costs is shared by many."""
EVERY_SECONDS: Final = 1.0
"""After what time they are written by default: so much is folded again after a kill."""
STANDBY_SECONDS: Final = 10.0
"""How long a projection that another process keeps up must not have moved before this one takes it over."""
PAUSE_SECONDS: Final = 0.5
"""How long to leave a store alone that could not be read or written."""
_logger: Final = logging.getLogger("treadle.projections")
WAIT_SECONDS_MIN: Final = 0.001
"""The shortest wait for a time: a shorter one may be lost in the clock's rounding, and never end."""
EVENTS_MAX: Final = 1_000_000
"""The most events between two writes: all of them are folded again after a kill."""


@attrs.frozen(slots=True, eq=False)
class _Waiter:
    """Somebody who waits until projections have read up to a position."""

    task: trio.lowlevel.Task
    keepers: tuple[Keeper, ...]
    position: int

    @property
    def served(self) -> bool:
        return all(one.has_reached(self.position) for one in self.keepers)


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
        self._every_events = every_events
        self._every_seconds = float(every_seconds)
        self._standby_seconds = float(standby_seconds)
        self._page_events = min(PAGE_EVENTS, every_events)
        self._keepers = {projection.name: Keeper(projection) for projection in projections}
        self._host: Host | None = None
        self._shelf: Shelf | None = None
        self._newest = 0
        self._waiters: dict[_Waiter, None] = {}

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
        return tuple(keeper.statistics(self._newest) for keeper in self._keepers.values())

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
        host = self._host
        if host is None:
            raise keepers[0].stopped_error()
        position = await host.store.position()
        await self._wait_for(host, keepers, position)

    @trio.lowlevel.enable_ki_protection
    async def _wait_for(self, host: Host, keepers: tuple[Keeper, ...], position: int) -> None:
        waiter = _Waiter(trio.lowlevel.current_task(), keepers, position)
        if not waiter.served:
            self._waiters[waiter] = None
            host.nudge()
            await host.kernel.park(partial(self._waiters.pop, waiter, None))
        for keeper in keepers:
            if keeper.position < position:
                raise keeper.stopped_error()

    def _wake_served(self, host: Host, *, all_of_them: bool = False) -> None:
        for waiter in list(self._waiters):
            if all_of_them or waiter.served:
                del self._waiters[waiter]
                host.kernel.wake(waiter.task)

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
        if self._host is not None:
            keeper.afresh = True
            await self._wait_for(self._host, (keeper,), rebuilt.position)
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
        try:
            for keeper in self._keepers.values():
                await keeper.open(host, self._shelf)
            self._newest = await host.store.position()
        except BaseException:
            self._let_go(host)
            raise

    def _let_go(self, host: Host) -> None:
        for keeper in self._keepers.values():
            if keeper.status != "stopped":
                keeper.forget("closed")
        self._host = self._shelf = None
        self._wake_served(host, all_of_them=True)

    async def run(self, host: Host) -> None:
        """Follow the feed until the runtime closes; called by the runtime.

        Args:
            host: as in `open`.
        """
        try:
            while not host.closing:
                try:
                    waits = await self._turn(host)
                except RuntimeClosedError:
                    return
                except StoreUnavailableError:
                    waits = PAUSE_SECONDS
                if waits is not None and waits <= 0:
                    continue
                await host.wait_changed(waits)
            # What was committed last belongs to it, when it can be had at once.
            await self._write([one for one in self._keepers.values() if one.unwritten])
        except RuntimeClosedError:
            return
        except StoreError as error:
            self._stop_all(error)
        finally:
            self._let_go(host)

    def _stop_all(self, error: TreadleError) -> None:
        _logger.warning("projections are kept up no longer: %s", error)
        for keeper in self._keepers.values():
            keeper.forget("stopped")
            keeper.cause = error
            keeper.failure = Failure(keeper.position, "", f"{type(error).__name__}: {error}")

    async def _turn(self, host: Host) -> float | None:
        """Do what is to be done now, and tell how long to wait then; None for until something happens."""
        await self._read_afresh(host)
        # Registered before anything is folded: from then on nothing it has not read is removed.
        await self._write([one for one in self._keepers.values() if one.is_new])
        moved = await self._round(host)
        self._wake_served(host)
        now = trio.current_time()
        limits = self._every_events, self._every_seconds
        due = {keeper: keeper.due_at(*limits) for keeper in self._keepers.values()}
        to_write = [keeper for keeper, at in due.items() if at is not None and at <= now]
        failed = bool(to_write) and not await self._write(to_write)
        if moved and not failed:
            return 0.0
        await self._keep_baselines(host)
        if failed:
            return PAUSE_SECONDS
        later = [at for keeper, at in due.items() if at is not None and keeper not in to_write]
        later += [one.look_again_at for one in self._keepers.values() if one.status == "standby"]
        if any(one.afresh for one in self._keepers.values()):
            return 0.0
        return max(WAIT_SECONDS_MIN, min(later) - trio.current_time()) if later else None

    # -- reading --

    async def _round(self, host: Host) -> bool:
        """Read a page for each place in the feed at which a projection stands; tell whether there was more.

        Those within one page share it, and stand together from then on. One that is far behind gets its
        page in each round as the others get theirs: neither waits for the other to end.
        """
        following = [one for one in self._keepers.values() if one.status == "following"]
        newest = await host.store.position()
        self._newest = newest
        moved = False
        while following:
            least = min(one.position for one in following)
            if least >= newest:
                break
            page = await host.store.feed(least, limit=self._page_events)
            # A short page is the end; all that will ever lie up to `newest` has been seen then.
            more = len(page) == self._page_events
            end = page[-1].position if more else max(newest, page[-1].position if page else 0)
            near = [one for one in following if one.position < end]
            await self._share(without_baselines(page), end, near, host)
            following = [one for one in following if one not in near]
            moved = moved or more
        return moved

    async def _share(self, page: Sequence[Any], end: int, near: Sequence[Keeper], host: Host) -> None:
        assert self._shelf is not None  # noqa: S101  # opened
        now = trio.current_time()
        for keeper in near:
            part = page
            if page and keeper.position >= page[0].position:
                part = [event for event in page if event.position > keeper.position]
            await keeper.take(part, end, now, host, self._shelf)

    async def _read_afresh(self, host: Host) -> None:
        now = trio.current_time()
        for keeper in self._keepers.values():
            if keeper.status == "standby" and now >= keeper.look_again_at and not keeper.afresh:
                await self._look_again(keeper, host, now)
            if keeper.afresh:
                await self._open_again(keeper, host)

    async def _look_again(self, keeper: Keeper, host: Host, now: float) -> None:
        """See whether the other process still moves a projection; take it over when it does not."""
        assert self._shelf is not None  # noqa: S101  # opened
        stored = await self._shelf.find(keeper.name)
        newest = await host.store.position()
        keeper.look_again_at = now + self._standby_seconds
        if stored != keeper.stored or stored is None:
            keeper.saw(stored)
        elif keeper.position < keeper.newest_then:
            # It was behind already when it was looked at last, and has not moved since.
            keeper.afresh = True
        keeper.newest_then = newest

    async def _open_again(self, keeper: Keeper, host: Host) -> None:
        assert self._shelf is not None  # noqa: S101  # opened
        try:
            await keeper.open(host, self._shelf)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # the user's own decode may raise anything
            keeper.refuse(error)

    async def _keep_baselines(self, host: Host) -> None:
        """Copy the states of those that could be rebuilt no more, because events were removed."""
        shelf = self._shelf
        assert shelf is not None  # noqa: S101  # opened
        horizon = await shelf.horizon()
        if not horizon:
            return
        for keeper in self._keepers.values():
            there, value = keeper.checkpoint, keeper.stored
            if keeper.status != "following" or keeper.afresh or there is None or value is None:
                continue
            if not is_wanted(there, horizon):
                continue
            try:
                keeper.checkpoint, keeper.stored = await take_baseline(host, shelf, keeper.name, there, value)
            except RecordChangedError:
                keeper.overtaken(trio.current_time() + self._standby_seconds)

    # -- writing --

    async def _write(self, keepers: Sequence[Keeper]) -> bool:
        """Write states and checkpoints, a unit for each projection; tell whether the store took all."""
        host, shelf = self._host, self._shelf
        assert host is not None  # noqa: S101  # opened
        assert shelf is not None  # noqa: S101
        units: list[tuple[Keeper, Unit]] = []
        for keeper in keepers:
            unit = keeper.unit(shelf, host.kernel.wall_time_ns())
            if unit is not None:
                units.append((keeper, unit))
        if not units:
            return True
        errors = await host.commit([unit for _, unit in units])
        now = trio.current_time()
        for (keeper, unit), error in zip(units, errors, strict=True):
            keeper.written(unit, error, now, self._standby_seconds)
        return all(error is None or isinstance(error, UsageError) for error in errors)


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
