"""Replaying many isolated logs at once: hop to the store once for many logs, fold each by itself."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, Self, TypeVar

import attrs
import trio

from treadle.errors import EventsPrunedError, StoreError
from treadle.events import SEQ_MAX, WorkflowEvent, WorkflowId
from treadle.runtime.event_time import View, seq_known_by
from treadle.stores import LogPage, Store

S = TypeVar("S")

LOGS_A_HOP: Final = 256
"""How many logs one hop may fetch: a hop costs about a hundred microseconds, a short log some tens."""


@attrs.frozen(slots=True)
class Replayed(Generic[S]):
    """One workflow, replayed.

    Attributes:
        workflow_id: the workflow.
        state: its state after the last event.
        events: how many events were folded; 0 for a log of which nothing is shown.
    """

    workflow_id: WorkflowId
    state: S
    events: int


def fold(
    apply: Callable[[S, WorkflowEvent], S], state: S, events: Iterable[WorkflowEvent], workflow_id: str
) -> S:
    """Fold events into a state; a reducer's own exception tells where it happened.

    Args:
        apply: the reducer.
        state: the state before.
        events: what is folded.
        workflow_id: whose they are, for the note on an exception.

    Returns:
        The state after.

    Raises:
        Exception: whatever `apply` raises, with a note that names workflow and seq.
    """
    event = None
    try:
        for event in events:
            state = apply(state, event)
    except Exception as error:
        if event is not None:
            error.add_note(f"while replaying workflow {workflow_id!r}, seq {event.seq} ({event.kind.name})")
        raise
    return state


class ReplayAll(Generic[S]):
    """Streams the states of many workflows as they are replayed; safe to leave at any time.

    It works in waves: each wave fetches the pages of many logs in one hop to the store, then folds each
    log by itself. Reading in several threads at once was tried and is slower (half the rate with four):
    they take turns at the interpreter's lock. No task outlives a call. After a cancellation or a store's
    error the next call goes on where this one would have.

    Args:
        store: read from.
        apply: the reducer.
        make_state: makes the first state.
        workflow_ids: which workflows; None for all, in the order of their ids.
        concurrency: how many pages of logs are under way at once.
        page_events: how many events one page has.
        cut: replays a log whose first event has a seq above 1, or gives None when nothing is missing of it;
            None itself folds it from its first kept event.
        view: which events count; None for all.
    """

    def __init__(
        self,
        store: Store,
        apply: Callable[[S, WorkflowEvent], S],
        make_state: Callable[..., S],
        workflow_ids: Iterable[WorkflowId] | None,
        *,
        concurrency: int,
        page_events: int,
        cut: Callable[[LogPage], Awaitable[Replayed[S] | None]] | None = None,
        view: View | None = None,
    ) -> None:
        self._view = None if view is None or view.is_whole else view
        self._cut = cut
        self._store = store
        self._apply = apply
        self._make_state = _state_maker(make_state)
        self._left: deque[WorkflowId] = deque(() if workflow_ids is None else workflow_ids)
        self._listed_after: WorkflowId | None = None
        self._all_listed = workflow_ids is not None
        self._concurrency = concurrency
        self._page_events = page_events
        self._pages: deque[LogPage] = deque()

    def __aiter__(self) -> Self:
        """Iterate over the replay itself."""
        return self

    async def __anext__(self) -> Replayed[S]:
        """Give the next workflow that is done.

        Returns:
            The workflow, its state and the number of its events.

        Raises:
            StopAsyncIteration: all are done.
            StoreError: the store could not be read.
            Exception: whatever the reducer raises, with a note that names workflow and seq.
        """
        while not self._pages:
            chosen = await self._next_logs()
            if not chosen:
                raise StopAsyncIteration
            await self._read_wave(chosen)
        if self._view is not None or not self._pages[0].complete or self._is_cut(self._pages[0]):
            return await self._replay_long()
        workflow_id, events, _ = self._pages.popleft()
        state = fold(self._apply, self._make_state(workflow_id), events, workflow_id)
        return Replayed(workflow_id, state, len(events))

    async def _next_logs(self) -> list[WorkflowId]:
        wanted = LOGS_A_HOP * self._concurrency
        while len(self._left) < wanted and not self._all_listed:
            page = await self._store.list_workflows(after=self._listed_after)
            self._left.extend(page)
            self._all_listed = not page
            self._listed_after = page[-1] if page else None
        return [self._left.popleft() for _ in range(min(wanted, len(self._left)))]

    async def _read_wave(self, chosen: list[WorkflowId]) -> None:
        pages: list[LogPage] = []
        try:
            pages = await self._store.read_many(chosen, events_max=self._page_events * self._concurrency)
        finally:
            # Whatever was not read, for lack of room, by an error or a cancellation, is left to be read.
            self._pages.extend(pages)
            self._left.extendleft(reversed(chosen[len(pages) :]))

    async def _replay_long(self) -> Replayed[S]:
        # Taken off only when it is done, so that neither a cancellation nor a store's error between two
        # pages of a long log loses it. A log that the user's own code cannot take is not tried again.
        try:
            replayed = await self._replayed_from_where_it_begins()
        except (trio.Cancelled, StoreError):
            raise
        except BaseException:
            self._pages.popleft()
            raise
        self._pages.popleft()
        return replayed

    async def _replayed_from_where_it_begins(self) -> Replayed[S]:
        while True:
            page = self._pages[0]
            try:
                return await self._replayed(page)
            except EventsPrunedError:
                # Cut while it was read? Then it is read again, from where it begins now.
                (now,) = await self._store.read_many([page.workflow_id], events_max=self._page_events)
                if _first_seq(now) == _first_seq(page):
                    raise
                self._pages[0] = now

    def _is_cut(self, page: LogPage) -> bool:
        return self._cut is not None and bool(page.events) and page.events[0].seq > 1

    async def _replayed(self, page: LogPage) -> Replayed[S]:
        if self._cut is not None and self._is_cut(page):
            replayed = await self._cut(page)
            if replayed is not None:
                return replayed
        workflow_id, events, complete = page
        state, count, last = self._make_state(workflow_id), 0, await self._last_shown(page)
        while True:
            shown, is_over = (events, False) if self._view is None else self._view.shown(events, last)
            state = fold(self._apply, state, shown, workflow_id)
            count += len(shown)
            if complete or is_over:
                return Replayed(workflow_id, state, count)
            events = await self._store.read(workflow_id, events[-1].seq + 1, limit=self._page_events)
            complete = len(events) < self._page_events

    async def _last_shown(self, page: LogPage) -> int:
        if self._view is None or self._view.known_by is None or not page.events:
            return SEQ_MAX
        return await seq_known_by(self._store, page.workflow_id, self._view.known_by)


def _first_seq(page: LogPage) -> int:
    return page.events[0].seq if page.events else 0


def _state_maker(make_state: Callable[..., S]) -> Callable[[WorkflowId], S]:
    """Accept both a plain factory (`dict`, `lambda: 0`) and one that wants to know the workflow."""
    try:
        parameters = inspect.signature(make_state).parameters.values()
    except (TypeError, ValueError):
        return lambda _: make_state()
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    required: list[Any] = [p for p in parameters if p.kind in positional and p.default is p.empty]
    return make_state if required else lambda _: make_state()
