"""Who may run now: as many attempts at once as the runtime allows, and of each activity as it allows itself.

First come, first served; only an activity that is at its own limit is passed over, and takes its turn again
as soon as one of its attempts has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Slots(Generic[T]):
    """Slots for attempts, by the activity's name.

    Args:
        running_max: how many run at once, of all activities together.
        waits: tells whether an entry in the queue still wants its slot.
    """

    def __init__(self, running_max: int, waits: Callable[[T], bool]) -> None:
        self._running_max = running_max
        self._waits = waits
        self._arrivals = 0
        self._running: dict[str, int] = {}
        self._queues: dict[str, deque[tuple[int, int | None, T]]] = {}
        self.running = 0

    def take(self, name: str, concurrency: int | None, entry: T) -> bool:
        """Take a slot, or queue up for one.

        Args:
            name: of the activity.
            concurrency: how many of it run at once; None for no limit of its own.
            entry: who queues.

        Returns:
            Whether it has a slot now; otherwise `give_back` will name it.
        """
        if not self._queues and self._has_room(name, concurrency):
            self._occupy(name)
            return True
        self._arrivals += 1
        self._queues.setdefault(name, deque()).append((self._arrivals, concurrency, entry))
        if self.running >= self._running_max:
            return False
        # Somebody may queue for another activity's limit alone; this one need not stand behind them.
        return any(taken is entry for taken in self._next())

    def give_back(self, name: str) -> Iterable[T]:
        """Give a slot back, and tell who has one now.

        Args:
            name: of the activity that has ended.

        Returns:
            Entries whose turn it is, in the order in which they came; each takes its slot as it is given.
        """
        self.running -= 1
        left = self._running[name] - 1
        if left:
            self._running[name] = left
        else:
            del self._running[name]
        return self._next() if self._queues else ()

    def __len__(self) -> int:
        return sum(self._waits(entry) for queue in self._queues.values() for _, _, entry in queue)

    def _next(self) -> Iterator[T]:
        while self.running < self._running_max and (name := self._first_with_room()) is not None:
            queue = self._queues[name]
            entry = queue.popleft()[2]
            if not queue:
                del self._queues[name]
            self._occupy(name)
            yield entry

    def _first_with_room(self) -> str | None:
        found: str | None = None
        earliest = 0
        for name in list(self._queues):
            queue = self._queues[name]
            while queue and not self._waits(queue[0][2]):
                queue.popleft()
            if not queue:
                del self._queues[name]
                continue
            arrival, concurrency, _ = queue[0]
            if (found is None or arrival < earliest) and self._has_room(name, concurrency):
                found, earliest = name, arrival
        return found

    def _has_room(self, name: str, concurrency: int | None) -> bool:
        if self.running >= self._running_max:
            return False
        return concurrency is None or self._running.get(name, 0) < concurrency

    def _occupy(self, name: str) -> None:
        self.running += 1
        self._running[name] = self._running.get(name, 0) + 1
