"""Reading a log by pages: async iteration that holds nothing open and may be left at any time."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Self, TypeAlias

from treadle.events import WorkflowEvent, WorkflowId
from treadle.stores import Store

NextPage: TypeAlias = Callable[[int], Awaitable[list[WorkflowEvent]]]
"""Fetches the page after a seq; a page shorter than `page_events` is the last."""


class Events:
    """Events of one log, in seq order, fetched page by page.

    Not an async generator on purpose: there is nothing to clean up, so breaking out of the loop is safe.
    Cancellation loses nothing: the next call gives the event this one would have given.

    Args:
        next_page: fetches the page after a seq.
        after_seq: where to begin.
        page_events: how many events a full page has.
    """

    def __init__(self, next_page: NextPage, after_seq: int, page_events: int) -> None:
        self._next_page = next_page
        self._after_seq = after_seq
        self._page_events = page_events
        self._page: list[WorkflowEvent] = []
        self._place = 0
        self._pages_taken = 0
        self._ended = False

    def __aiter__(self) -> Self:
        """Iterate over the reader itself."""
        return self

    async def __anext__(self) -> WorkflowEvent:
        """Give the next event.

        Returns:
            The next event in seq order.

        Raises:
            StopAsyncIteration: there is none.
            EventsPrunedError: it lies below the first kept seq.
            StoreError: the store could not be read.
        """
        await self._fetch()
        if self._place == len(self._page):
            raise StopAsyncIteration
        event = self._page[self._place]
        self._place += 1
        return event

    async def next_page(self) -> list[WorkflowEvent]:
        """Give what is left of the current page, or else the next one: the fast way through a long log.

        Returns:
            Events in seq order; empty at the end.

        Raises:
            EventsPrunedError: they lie below the first kept seq.
            StoreError: the store could not be read.
        """
        await self._fetch()
        rest = self._page[self._place :] if self._place else self._page
        self._place = len(self._page)
        return rest

    async def _fetch(self) -> None:
        while self._place == len(self._page) and not self._ended:
            taken = self._pages_taken
            page = await self._next_page(self._after_seq)
            if self._pages_taken != taken:
                # Of several tasks that share a reader another was faster: this page was given.
                continue
            self._pages_taken += 1
            self._ended = len(page) < self._page_events
            if page:
                self._after_seq = page[-1].seq
            self._page, self._place = page, 0

    async def list(self) -> list[WorkflowEvent]:
        """Read the rest into memory.

        Returns:
            All events not given yet.

        Raises:
            EventsPrunedError: they lie below the first kept seq.
            StoreError: the store could not be read.
        """
        return [event async for event in self]


class WorkflowIds:
    """Ids of the workflows that have events, fetched page by page; safe to leave at any time.

    Args:
        store: listed.
        prefix: only ids that begin so.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._page: deque[WorkflowId] = deque()
        self._after: WorkflowId | None = None

    def __aiter__(self) -> Self:
        """Iterate over the listing itself."""
        return self

    async def __anext__(self) -> WorkflowId:
        """Give the next id, in the order of their UTF-8 bytes.

        Returns:
            The id.

        Raises:
            StopAsyncIteration: there is none.
            StoreError: the store could not be read.
        """
        if not self._page:
            self._page.extend(await self._store.list_workflows(prefix=self._prefix, after=self._after))
            if not self._page:
                raise StopAsyncIteration
        self._after = self._page.popleft()
        return self._after
