"""Replaying many isolated logs at once: hop to the store once for many logs, fold each by itself."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Self, TypeVar

import attrs
import trio

from treadle.errors import StoreError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.kernel import Kernel
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
        events: how many events were folded.
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

    It works in waves: each wave reads up to `concurrency` stretches of logs at once, in a nursery of its
    own that ends before the first result of the wave is given, so no task outlives a call. After a
    cancellation or a store's error the next call goes on where this one would have.

    Args:
        store: read from.
        kernel: starts the readers.
        apply: the reducer.
        make_state: makes the first state.
        workflow_ids: which workflows; None for all, in the order of their ids.
        concurrency: how many reads run at once.
        page_events: how many events one read fetches.
    """

    def __init__(
        self,
        store: Store,
        kernel: Kernel,
        apply: Callable[[S, WorkflowEvent], S],
        make_state: Callable[..., S],
        workflow_ids: Iterable[WorkflowId] | None,
        *,
        concurrency: int,
        page_events: int,
    ) -> None:
        self._store = store
        self._kernel = kernel
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
            stretches = await self._next_stretches()
            if not stretches:
                raise StopAsyncIteration
            await self._read_wave(stretches)
        return await self._replay_next()

    async def _next_stretches(self) -> list[list[WorkflowId]]:
        wanted = LOGS_A_HOP * self._concurrency
        while len(self._left) < wanted and not self._all_listed:
            page = await self._store.list_workflows(after=self._listed_after)
            self._left.extend(page)
            self._all_listed = not page
            self._listed_after = page[-1] if page else None
        chosen = [self._left.popleft() for _ in range(min(wanted, len(self._left)))]
        return [chosen[start : start + LOGS_A_HOP] for start in range(0, len(chosen), LOGS_A_HOP)]

    async def _read_wave(self, stretches: list[list[WorkflowId]]) -> None:
        pages: list[list[LogPage]] = [[] for _ in stretches]
        failures: list[BaseException] = []
        try:
            async with trio.open_nursery() as nursery:
                for place, stretch in enumerate(stretches):
                    self._kernel.spawn(nursery, self._read, stretch, pages, place, failures)
        finally:
            # Whatever was not read, for lack of room, by an error or a cancellation, is left to be read.
            unread: list[WorkflowId] = []
            for stretch, read in zip(stretches, pages, strict=True):
                self._pages.extend(read)
                unread.extend(stretch[len(read) :])
            self._left.extendleft(reversed(unread))
        if failures:
            raise failures[0]

    async def _read(
        self,
        stretch: list[WorkflowId],
        pages: list[list[LogPage]],
        place: int,
        failures: list[BaseException],
    ) -> None:
        # Collected, not raised: a nursery would wrap it in a group, and callers get no groups from us.
        try:
            pages[place] = await self._store.read_many(stretch, events_max=self._page_events)
        except Exception as error:  # noqa: BLE001  # raised again by the caller
            failures.append(error)

    async def _replay_next(self) -> Replayed[S]:
        # Taken off only when it is done, so that neither a cancellation nor a store's error between two
        # pages of a long log loses it. A log that the user's own code cannot take is not tried again.
        page = self._pages[0]
        try:
            replayed = await self._replayed(page)
        except (trio.Cancelled, StoreError):
            raise
        except BaseException:
            self._pages.popleft()
            raise
        self._pages.popleft()
        return replayed

    async def _replayed(self, page: LogPage) -> Replayed[S]:
        workflow_id, events, complete = page
        state = fold(self._apply, self._make_state(workflow_id), events, workflow_id)
        count = len(events)
        while not complete:
            events = await self._store.read(workflow_id, events[-1].seq + 1, limit=self._page_events)
            state = fold(self._apply, state, events, workflow_id)
            count += len(events)
            complete = len(events) < self._page_events
        return Replayed(workflow_id, state, count)


def _state_maker(make_state: Callable[..., S]) -> Callable[[WorkflowId], S]:
    """Accept both a plain factory (`dict`, `lambda: 0`) and one that wants to know the workflow."""
    try:
        parameters = inspect.signature(make_state).parameters.values()
    except (TypeError, ValueError):
        return lambda _: make_state()
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    required: list[Any] = [p for p in parameters if p.kind in positional and p.default is p.empty]
    return make_state if required else lambda _: make_state()
