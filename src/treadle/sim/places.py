"""Where a world keeps what survives its processes: memory that is shared, or a simulated disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import apsw

from treadle.errors import TreadleError
from treadle.sim.disk import SimulatedDisk
from treadle.sim.draws import Draws
from treadle.sim.lives import LifeKernel
from treadle.stores import Store, StoreOptions
from treadle.stores.memory import MemoryStore
from treadle.stores.sqlite import SqliteStore, open_store

_CHANGES: Final = {"write", "sync", "truncate", "delete"}


class Place(Protocol):
    """What outlives every process."""

    async def open(self) -> Store:
        """Open the store; called inside a life."""

    async def leave(self, store: Store) -> None:
        """Close in order what `open` gave."""

    def sever(self, store: Store | None) -> None:
        """Let nothing that is still done through a store have an effect; its life is over."""

    def cut_power(self) -> None:
        """Lose what a power cut loses; every life is over."""

    def in_the_middle(self, operations: int, deed: Callable[[], object]) -> bool:
        """Let something happen inside a write: `deed`, at the operation of the disk so many from now.

        Returns:
            False when there is nothing here that could be in the middle of anything.
        """

    def close(self) -> None:
        """Give back what the place takes."""


class MemoryPlace:
    """Memory that outlives its processes: nothing is ever lost, so power cuts cost nothing.

    A life that is over cannot even begin to write, because it does not come back from the turn before.

    Args:
        kernel: the world's.
    """

    def __init__(self, kernel: LifeKernel) -> None:
        self._store = MemoryStore(kernel)

    async def open(self) -> Store:
        """Give the one store there is."""
        return self._store

    async def leave(self, store: Store) -> None:
        """Do nothing: others use it too."""

    def sever(self, store: Store | None) -> None:
        """Do nothing; see above."""

    def cut_power(self) -> None:
        """Do nothing."""

    def in_the_middle(self, operations: int, deed: Callable[[], object]) -> bool:  # noqa: ARG002
        """Tell that memory is written in one piece."""
        return False

    def close(self) -> None:
        """Do nothing."""


class DiskPlace:
    """SQLite over a simulated disk; one process at a time.

    Args:
        kernel: the world's.
        draws: decides what a power cut leaves of each sector.
    """

    def __init__(self, kernel: LifeKernel, draws: Draws) -> None:
        self.disk = SimulatedDisk(draw=draws.fraction)
        self._kernel = kernel

    async def open(self) -> Store:
        """Open the file that is there, or make it."""
        return await open_store(StoreOptions("/treadle.db", "sim:"), self._kernel, vfs=self.disk.name)

    async def leave(self, store: Store) -> None:
        """Close the store, with its last checkpoint."""
        await store.aclose()

    def sever(self, store: Store | None) -> None:
        """Take the disk away from its process: it goes on with a copy that nobody sees."""
        self.disk.sever()
        _drop(store)

    def cut_power(self) -> None:
        """Cut the power: what was synced stays, all else is lost, kept, torn or garbled."""
        self.disk.cut_power()

    def in_the_middle(self, operations: int, deed: Callable[[], object]) -> bool:
        """Let something happen inside a write; the operation that it happens in has no effect."""
        left = operations

        def count(operation: str, _file: str) -> None:
            nonlocal left
            if operation in _CHANGES:
                left -= 1
                if left <= 0:
                    self.disk.fault = None
                    deed()

        self.disk.fault = count
        return True

    def close(self) -> None:
        """Forget the disk."""
        self.disk.close()


def _drop(store: Store | None) -> None:
    """Give back what a dead process's connections take here; it has no effect on anything."""
    if isinstance(store, SqliteStore) and store._writer is not None:
        with suppress(apsw.Error, TreadleError):
            store._writer.connection.close(True)
