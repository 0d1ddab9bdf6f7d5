"""The timetable: who wants to be woken at which wall time, and the one task that waits for the earliest.

Wall time decides, monotonic time waits: how long to wait is worked out from the wall clock, and the wall
clock is read again at least every minute, so a clock that was set, or a machine that slept, neither loses
a wake-up nor delays it by more than that.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import inf
from typing import Final, Generic, TypeVar

import trio

from treadle.kernel import Kernel

WALL_CLOCK_SECONDS_MAX: Final = 60.0
"""The longest wait between two looks at the wall clock."""
_NANOSECONDS: Final = 1_000_000_000

K = TypeVar("K")


class Timetable(Generic[K]):
    """Wake-ups by key, each at most once.

    Args:
        kernel: tells the time and waits.
        due: called with each key whose time has come, in the order of their times; must not wait.
    """

    def __init__(self, kernel: Kernel, due: Callable[[K], object]) -> None:
        self._kernel = kernel
        self._due = due
        self._when: dict[K, int] = {}
        # Entries that were moved or cleared stay until their time and are then passed over.
        self._heap: list[tuple[int, int, K]] = []
        self._entries = 0
        self._waiter: trio.lowlevel.Task | None = None

    def __len__(self) -> int:
        return len(self._when)

    def __contains__(self, key: K) -> bool:
        return key in self._when

    def set(self, key: K, when_ns: int) -> None:
        """Wake a key at a time, and no longer at the one it had.

        Args:
            key: who.
            when_ns: when, in nanoseconds since 1970; past times are due at once.
        """
        if self._when.get(key) == when_ns:
            return
        self._when[key] = when_ns
        self._entries += 1
        heapq.heappush(self._heap, (when_ns, self._entries, key))
        if self._heap[0][2] is key:
            self._wake()

    def clear(self, key: K) -> None:
        """Wake a key no longer.

        Args:
            key: who.
        """
        self._when.pop(key, None)
        if len(self._heap) > 2 * len(self._when) + 1_000:
            # More is past than to come: begin anew, paid for by the thousand that were cleared.
            self._heap = [entry for entry in self._heap if self._when.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def _wake(self) -> None:
        if self._waiter is not None:
            task, self._waiter = self._waiter, None
            self._kernel.wake(task)

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Wake whose time has come, until cancelled."""
        while True:
            now_ns = self._kernel.wall_time_ns()
            while self._heap and self._heap[0][0] <= now_ns:
                when_ns, _, key = heapq.heappop(self._heap)
                if self._when.get(key) == when_ns:
                    del self._when[key]
                    self._due(key)
            await self._wait(now_ns)

    async def _wait(self, now_ns: int) -> None:
        seconds = inf
        if self._heap:
            # Rounded up by a microsecond: a float of seconds may fall a hair short of the time itself.
            seconds = (self._heap[0][0] - now_ns) / _NANOSECONDS + 1e-6
            if self._kernel.wall_clock_jumps:
                seconds = min(seconds, WALL_CLOCK_SECONDS_MAX)
        with trio.move_on_after(seconds):
            self._waiter = trio.lowlevel.current_task()
            await self._kernel.park(self._forget_waiter)

    def _forget_waiter(self) -> None:
        self._waiter = None
