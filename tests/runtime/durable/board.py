"""A board on which the tests' activities note what they do, and where they wait until a test lets them go."""

from __future__ import annotations

from collections import defaultdict

import trio


class Board:
    """Notes and gates, by name.

    Attributes:
        notes: what was noted, in order.
        counts: how often each name was noted.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.notes: list[object] = []
        self.counts: defaultdict[str, int] = defaultdict(int)
        self._gates: dict[str, trio.Event] = {}
        self._arrived: dict[str, trio.Event] = {}

    def note(self, name: str, value: object = None) -> int:
        """Note something; tell how often its name was noted by now."""
        self.counts[name] += 1
        self.notes.append(name if value is None else (name, value))
        return self.counts[name]

    async def wait(self, gate: str) -> None:
        """Wait until the test opens a gate, and let it know that somebody does."""
        self._arrived.setdefault(gate, trio.Event()).set()
        await self._gates.setdefault(gate, trio.Event()).wait()

    async def wait_for_arrival(self, gate: str) -> None:
        """Wait until somebody waits at a gate."""
        await self._arrived.setdefault(gate, trio.Event()).wait()

    def open(self, gate: str) -> None:
        """Open a gate for good."""
        self._gates.setdefault(gate, trio.Event()).set()


board = Board()


async def kinds(handle) -> list[str]:
    """The kinds of a log's events, as words."""
    return [event.kind.name.lower() for event in await handle.read().list()]
