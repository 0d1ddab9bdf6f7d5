"""A door with a few places: who finds none waits through the kernel, first come, first in."""

from __future__ import annotations

import trio

from treadle.kernel import Kernel


class Gate:
    """Lets a bounded number of tasks in at once.

    Trio's own semaphores would do, but a simulated world has to own every wait of a store.

    Args:
        kernel: through which tasks wait.
        places: how many may be inside.
    """

    def __init__(self, kernel: Kernel, places: int) -> None:
        self._kernel = kernel
        self._free = places
        # A dict, because it keeps the order of arrival and gives up any waiter at once.
        self._waiting: dict[trio.lowlevel.Task, None] = {}

    async def enter(self) -> None:
        """Take a place, waiting for one if need be; cancelled while waiting, it takes none."""
        if self._free:
            self._free -= 1
            return
        task = trio.lowlevel.current_task()
        self._waiting[task] = None
        await self._kernel.park(lambda: self._waiting.pop(task))

    def leave(self) -> None:
        """Hand the place to the first who waits, or give it back."""
        if self._waiting:
            task = next(iter(self._waiting))
            del self._waiting[task]
            self._kernel.wake(task)
        else:
            self._free += 1
