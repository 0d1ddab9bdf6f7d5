"""The loader: fetches the heads of many cold actors in one hop."""

from __future__ import annotations

from typing import Final

import trio

from treadle.errors import InternalError, TreadleError
from treadle.kernel import Kernel
from treadle.runtime.actor import Actor
from treadle.runtime.inbox import raise_own
from treadle.stores import Store

LOADS_MAX: Final = 1_000
"""How many heads one hop fetches: a hop costs as much as some tens of look-ups, so a thousand share it."""


class Loader:
    """Loads heads for callers that found their actor cold.

    One hop for each workflow would cost a hundred microseconds; callers that come while a hop is under
    way share the next one.

    Args:
        store: asked for heads.
        kernel: through which it waits.
    """

    def __init__(self, store: Store, kernel: Kernel) -> None:
        self._store = store
        self._kernel = kernel
        # Dicts for their order: any of a hundred thousand who wait for one head gives up at once.
        self._wanted: dict[Actor, dict[trio.lowlevel.Task, None]] = {}
        self._loading: dict[Actor, dict[trio.lowlevel.Task, None]] = {}
        self._idle: trio.lowlevel.Task | None = None
        self._error: TreadleError | None = None
        self._failures: dict[trio.lowlevel.Task, TreadleError] = {}

    @trio.lowlevel.enable_ki_protection
    async def load(self, actor: Actor) -> None:
        """Wait until the head of an actor was fetched.

        Args:
            actor: without a known head and with nothing in flight.

        Raises:
            TreadleError: the store could not be read.
        """
        if self._error is not None:
            raise_own(self._error)
        task = trio.lowlevel.current_task()
        self._wanted.setdefault(actor, {})[task] = None
        if self._idle is not None:
            idle, self._idle = self._idle, None
            self._kernel.wake(idle)
        await self._kernel.park(lambda: self._give_up(actor, task))
        if error := self._failures.pop(task, None):
            raise_own(error)

    def wants(self, actor: Actor) -> bool:
        """Tell whether somebody waits for the head of an actor.

        Args:
            actor: the actor.

        Returns:
            Whether its record must be kept.
        """
        return actor in self._wanted or actor in self._loading

    def _give_up(self, actor: Actor, task: trio.lowlevel.Task) -> None:
        for waiting in (self._wanted, self._loading):
            if actor in waiting:
                waiting[actor].pop(task, None)

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Load until cancelled."""
        while True:
            while not self._wanted:
                self._idle = trio.lowlevel.current_task()
                await self._kernel.park(self._stop_idling)
            await self._load_some()

    async def _load_some(self) -> None:
        chosen = list(self._wanted)[:LOADS_MAX]
        self._loading = {actor: self._wanted.pop(actor) for actor in chosen}
        error: TreadleError | None = None
        try:
            heads = await self._store.heads([actor.workflow_id for actor in chosen])
        except TreadleError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001  # a store's bug must not end the whole runtime
            error = InternalError(f"a store raised {type(failure).__name__} for heads: {failure}")
            error.__cause__ = failure
        else:
            for actor, head in zip(chosen, heads, strict=True):
                if actor.digest is None and not actor.in_flight:
                    actor.learn(head)
        self._finish(error)

    def _finish(self, error: TreadleError | None) -> None:
        loading, self._loading = self._loading, {}
        for tasks in loading.values():
            for task in tasks:
                if error is not None:
                    self._failures[task] = error
                self._kernel.wake(task)

    def fail(self, error: TreadleError) -> None:
        """Refuse all who wait and all who come.

        Args:
            error: why.
        """
        self._error = error
        # An actor may stand in both: some wait for the hop under way, those who came later for the next.
        self._finish(error)
        self._loading, self._wanted = self._wanted, {}
        self._finish(error)

    def _stop_idling(self) -> None:
        self._idle = None
