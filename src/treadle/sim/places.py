"""Where a world keeps what survives its processes: memory that is shared, or a simulated disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import apsw

from treadle.errors import TreadleError
from treadle.sim.disk import Problem, SimulatedDisk
from treadle.sim.draws import Draws
from treadle.sim.lives import LifeKernel
from treadle.stores import Store, StoreOptions
from treadle.stores.memory import MemoryStore
from treadle.stores.sqlite import SqliteStore, open_store

_CHANGES: Final = {"write", "sync", "truncate", "delete"}
FAILING: Final = ("read", "write", "sync", "truncate")
"""What of a disk may fail: all that SQLite asks of it again and again."""


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

    def fail(self, operation: str, operations: int) -> bool:
        """Let an operation of this name fail with an I/O error: of those from now on, the so manieth.

        Returns:
            False when there is nothing here that could fail.
        """

    def fill(self, room_bytes: int) -> bool:
        """Leave so much room for what will be written.

        Returns:
            False when there is no end to the room here.
        """

    def heal(self) -> None:
        """Let nothing fail any more, and give room."""

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

    def fail(self, operation: str, operations: int) -> bool:  # noqa: ARG002
        """Tell that memory does not fail."""
        return False

    def fill(self, room_bytes: int) -> bool:  # noqa: ARG002
        """Tell that memory is not full."""
        return False

    def heal(self) -> None:
        """Do nothing."""

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
        # What is to come, as (operations, how many of them from now): in the middle of a write, a failure.
        self._deed: Callable[[], object] | None = None
        self._deed_in = 0
        self._failing: dict[str, int] = {}
        # Those whose process died inside one of their calls: SQLite must come back from it before it ends.
        self._inside = False
        self._left_open: list[Store | None] = []

    async def open(self) -> Store:
        """Open the file that is there, or make it."""
        self._drop_all()
        # After a failed fsync a real store is shut until somebody has cleared it, which writes its log anew.
        self.disk.renew_doubtful("-wal")
        return await open_store(StoreOptions("/treadle.db", "sim:"), self._kernel, vfs=self.disk.name)

    async def leave(self, store: Store) -> None:
        """Close the store, with its last checkpoint."""
        await store.aclose()

    def sever(self, store: Store | None) -> None:
        """Take the disk away from its process: it goes on with a copy that nobody sees."""
        self.disk.sever()
        self._left_open.append(store)
        if not self._inside:
            self._drop_all()

    def _drop_all(self) -> None:
        while self._left_open:
            _drop(self._left_open.pop())

    def cut_power(self) -> None:
        """Cut the power: what was synced stays, all else is lost, kept, torn or garbled."""
        self.disk.cut_power()

    def in_the_middle(self, operations: int, deed: Callable[[], object]) -> bool:
        """Let something happen inside a write; the operation that it happens in has no effect."""
        self._deed, self._deed_in = deed, operations
        self.disk.fault = self._next
        return True

    def fail(self, operation: str, operations: int) -> bool:
        """Let an operation of this name fail with an I/O error."""
        self._failing[operation] = operations
        self.disk.fault = self._next
        return True

    def fill(self, room_bytes: int) -> bool:
        """Leave so much room beside what is there."""
        self.disk.room_bytes = sum(map(len, self.disk.files().values())) + room_bytes
        return True

    def heal(self) -> None:
        """Let nothing fail any more, and give room."""
        self._failing.clear()
        self.disk.room_bytes = None

    def _next(self, operation: str, _file: str) -> Problem | None:
        if self._deed is not None and operation in _CHANGES:
            self._deed_in -= 1
            if self._deed_in <= 0:
                deed, self._deed = self._deed, None
                self._inside = True
                deed()
                self._inside = False
                return None
        if operation not in self._failing:
            return None
        self._failing[operation] -= 1
        if self._failing[operation] > 0:
            return None
        del self._failing[operation]
        return Problem.IO

    def close(self) -> None:
        """Forget the disk."""
        self._drop_all()
        self.disk.close()


def _drop(store: Store | None) -> None:
    """Give back what a dead process's connections take here; it has no effect on anything."""
    if isinstance(store, SqliteStore) and store._writer is not None:
        with suppress(apsw.Error, TreadleError):
            store._writer.connection.close(True)
