"""What will happen when: a heap of dated things, with an order for equal times that no crash can change."""

from __future__ import annotations

import heapq
from typing import Any

import attrs

Order = tuple[int, str, int, int]
"""Who comes first at equal times: rank, workflow, number, number. Made from what the log or the script say,
never from the moment at which somebody happened to put it down."""


@attrs.define(eq=False, slots=True)
class Item:
    """One dated thing.

    Attributes:
        time_ns: when.
        order: its place among those of equal time; no two have the same.
        what: the thing.
        is_done: whether it has happened, or never will.
    """

    time_ns: int
    order: Order
    what: Any
    is_done: bool = False

    def __lt__(self, other: Item) -> bool:
        return (self.time_ns, self.order) < (other.time_ns, other.order)


class Agenda:
    """Everything that is still to come."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[Item] = []

    def put(self, time_ns: int, order: Order, what: Any) -> Item:
        """Write something down.

        Args:
            time_ns: when it is to happen.
            order: its place among those of equal time.
            what: the thing.

        Returns:
            The item; marking it done takes it off.
        """
        item = Item(time_ns, order, what)
        heapq.heappush(self._heap, item)
        return item

    def first(self) -> Item | None:
        """Tell what comes next, and leave it where it is.

        Returns:
            The item, or None when nothing is to come.
        """
        heap = self._heap
        while heap and heap[0].is_done:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def forget(self, kinds: tuple[type, ...]) -> None:
        """Take everything of some kinds off.

        Args:
            kinds: types of things.
        """
        self._heap = [item for item in self._heap if not item.is_done and not isinstance(item.what, kinds)]
        heapq.heapify(self._heap)
