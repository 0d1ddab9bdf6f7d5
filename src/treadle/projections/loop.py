"""The loop that keeps a set of projections up: read, fold, write, wait; and who waits for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

import attrs
import trio

from treadle.errors import (
    RecordChangedError,
    RuntimeClosedError,
    StoreError,
    StoreUnavailableError,
    TreadleError,
    UsageError,
)
from treadle.projections.baselines import is_wanted, take_baseline
from treadle.projections.folding import without_baselines
from treadle.projections.keeper import Keeper
from treadle.projections.kept import Failure, Host, Shelf
from treadle.stores import FeedEvent, Unit

PAUSE_SECONDS: Final = 0.5
"""How long to leave a store alone that could not be read or written."""
WAIT_SECONDS_MIN: Final = 0.001
"""The shortest wait for a time: a shorter one may be lost in the clock's rounding, and never end."""
_logger: Final = logging.getLogger("treadle.projections")


@attrs.frozen(slots=True)
class Limits:
    """When a set is written, and how much is read at once.

    Attributes:
        every_events: after how many events at the latest it is written.
        every_seconds: after what time at the latest.
        standby_seconds: how long one that another process keeps up must not have moved.
        page_events: how many events one read fetches.
    """

    every_events: int
    every_seconds: float
    standby_seconds: float
    page_events: int


@attrs.frozen(slots=True, eq=False)
class _Waiter:
    """Somebody who waits until projections have read up to a position."""

    task: trio.lowlevel.Task
    keepers: tuple[Keeper, ...]
    position: int

    @property
    def served(self) -> bool:
        return all(one.has_reached(self.position) for one in self.keepers)


class Loop:
    """Keeps projections up over one store.

    Args:
        host: what it may use.
        shelf: where states are kept.
        keepers: of the projections.
        limits: when they are written.

    Attributes:
        newest: the store's newest position, as far as it is known.
    """

    def __init__(self, host: Host, shelf: Shelf, keepers: Sequence[Keeper], limits: Limits) -> None:
        self._host = host
        self._shelf = shelf
        self._keepers = keepers
        self._limits = limits
        self.newest = 0
        self._waiters: dict[_Waiter, None] = {}

    async def open(self) -> None:
        """Look what is kept of each.

        Raises:
            TreadleError: one cannot go on from it.
        """
        for keeper in self._keepers:
            await keeper.open(self._host, self._shelf)
        self.newest = await self._host.store.position()

    @trio.lowlevel.enable_ki_protection
    async def wait_for(self, keepers: tuple[Keeper, ...], position: int) -> None:
        """Wait until projections have read up to a position.

        Args:
            keepers: of which projections.
            position: the position.

        Raises:
            ProjectionStoppedError: one of them will not get there.
        """
        waiter = _Waiter(trio.lowlevel.current_task(), keepers, position)
        if not waiter.served:
            self._waiters[waiter] = None
            self._host.nudge()
            await self._host.kernel.park(partial(self._waiters.pop, waiter, None))
        for keeper in keepers:
            if keeper.position < position:
                raise keeper.stopped_error()

    def wake_served(self, *, all_of_them: bool = False) -> None:
        """Wake those who wait for what has been read by now.

        Args:
            all_of_them: the others as well; they are told that it will not be read.
        """
        for waiter in list(self._waiters):
            if all_of_them or waiter.served:
                del self._waiters[waiter]
                self._host.kernel.wake(waiter.task)

    def let_go(self) -> None:
        """Keep nothing in memory any more, and tell whoever waits."""
        for keeper in self._keepers:
            if keeper.status != "stopped":
                keeper.forget("closed")
        self.wake_served(all_of_them=True)

    async def run(self) -> None:
        """Follow the feed until the host closes, and write what is to be written."""
        try:
            while not self._host.closing:
                try:
                    waits = await self._turn()
                except RuntimeClosedError:
                    return
                except StoreUnavailableError:
                    waits = PAUSE_SECONDS
                if waits is not None and waits <= 0:
                    continue
                await self._host.wait_changed(waits)
            # What was committed last belongs to it, when it can be had at once.
            await self._write([one for one in self._keepers if one.unwritten])
        except RuntimeClosedError:
            return
        except StoreError as error:
            self._stop_all(error)
        finally:
            self.let_go()

    def _stop_all(self, error: TreadleError) -> None:
        _logger.warning("projections are kept up no longer: %s", error)
        for keeper in self._keepers:
            keeper.forget("stopped")
            keeper.cause = error
            keeper.failure = Failure(keeper.position, "", f"{type(error).__name__}: {error}")

    async def _turn(self) -> float | None:
        """Do what is to be done now, and tell how long to wait then; None for until something happens."""
        await self._read_afresh()
        # Registered before anything is folded: from then on nothing it has not read is removed.
        await self._write([one for one in self._keepers if one.is_new])
        moved = await self._round()
        self.wake_served()
        now = trio.current_time()
        limits = self._limits.every_events, self._limits.every_seconds
        due = {keeper: keeper.due_at(*limits) for keeper in self._keepers}
        to_write = [keeper for keeper, at in due.items() if at is not None and at <= now]
        failed = bool(to_write) and not await self._write(to_write)
        if moved and not failed:
            return 0.0
        await self._keep_baselines()
        if failed:
            return PAUSE_SECONDS
        later = [at for keeper, at in due.items() if at is not None and keeper not in to_write]
        later += [one.look_again_at for one in self._keepers if one.status == "standby"]
        if any(one.afresh for one in self._keepers):
            return 0.0
        return max(WAIT_SECONDS_MIN, min(later) - trio.current_time()) if later else None

    # -- reading --

    async def _round(self) -> bool:
        """Read a page for each place in the feed at which a projection stands; tell whether there was more.

        Those within one page share it, and stand together from then on. One that is far behind gets its
        page in each round as the others get theirs: neither waits for the other to end.
        """
        following = [one for one in self._keepers if one.status == "following"]
        newest = await self._host.store.position()
        self.newest = newest
        moved = False
        while following:
            least = min(one.position for one in following)
            if least >= newest:
                break
            page = await self._host.store.feed(least, limit=self._limits.page_events)
            # A short page is the end; all that will ever lie up to `newest` has been seen then.
            more = len(page) == self._limits.page_events
            end = page[-1].position if more else max(newest, page[-1].position if page else 0)
            near = [one for one in following if one.position < end]
            await self._share(without_baselines(page), end, near)
            following = [one for one in following if one not in near]
            moved = moved or more
        return moved

    async def _share(self, page: Sequence[FeedEvent], end: int, near: Sequence[Keeper]) -> None:
        now = trio.current_time()
        for keeper in near:
            part = page
            if page and keeper.position >= page[0].position:
                part = [event for event in page if event.position > keeper.position]
            await keeper.take(part, end, now, self._host, self._shelf)

    async def _read_afresh(self) -> None:
        now = trio.current_time()
        for keeper in self._keepers:
            if keeper.status == "standby" and now >= keeper.look_again_at and not keeper.afresh:
                await self._look_again(keeper, now)
            if keeper.afresh:
                await self._open_again(keeper)

    async def _look_again(self, keeper: Keeper, now: float) -> None:
        """See whether the other process still moves a projection; take it over when it does not."""
        stored = await self._shelf.find(keeper.name)
        newest = await self._host.store.position()
        keeper.look_again_at = now + self._limits.standby_seconds
        if stored != keeper.stored or stored is None:
            keeper.saw(stored)
        elif keeper.position < keeper.newest_then:
            # It was behind already when it was looked at last, and has not moved since.
            keeper.afresh = True
        keeper.newest_then = newest

    async def _open_again(self, keeper: Keeper) -> None:
        try:
            await keeper.open(self._host, self._shelf)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # the user's own decode may raise anything
            keeper.refuse(error)

    async def _keep_baselines(self) -> None:
        """Copy the states of those that could be rebuilt no more, because events were removed."""
        shelf = self._shelf
        horizon = await shelf.horizon()
        if not horizon:
            return
        for keeper in self._keepers:
            there, value = keeper.checkpoint, keeper.stored
            if keeper.status != "following" or keeper.afresh or there is None or value is None:
                continue
            if not is_wanted(there, horizon):
                continue
            try:
                keeper.checkpoint, keeper.stored = await take_baseline(
                    self._host, shelf, keeper.name, there, value
                )
            except RecordChangedError:
                keeper.overtaken(trio.current_time() + self._limits.standby_seconds)
            except StoreError as error:
                # Tried again at the next turn; without it nothing is lost but a place to begin a rebuild.
                keeper.afresh = error.written == "unknown"
                _logger.info("projection %r could take no baseline: %s", keeper.name, error)

    # -- writing --

    async def _write(self, keepers: Sequence[Keeper]) -> bool:
        """Write states and checkpoints, a unit for each projection; tell whether the store took all."""
        host, shelf = self._host, self._shelf
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
            keeper.written(unit, error, now, self._limits.standby_seconds)
        return all(error is None or isinstance(error, UsageError) for error in errors)
