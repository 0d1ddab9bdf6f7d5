"""Following a log: history first, then what is committed from now on, with no gap and no repeat.

A follower only ever *pulls*: it reads a page after the last seq it has given, and when there is none it
waits for a hint that something was committed, then reads again. Nothing is pushed, so there is no seam
between history and live events that could lose or repeat one.

Other processes' commits are found by asking the store. Runtimes over one store object that nobody else can
reach (the one in memory) tell each other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Self

import attrs
import trio

from treadle.errors import StoreUnavailableError, TreadleError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.kernel import Kernel
from treadle.runtime.inbox import raise_own
from treadle.stores import Store

_neighbours: Final[dict[int, list[Changes]]] = {}
"""Open runtimes by the store they share, when nobody can share it but within this process."""


@attrs.define(slots=True, eq=False)
class Interest:
    """One follower's wish to hear of one log, or of all, from before it reads until it waits no longer."""

    workflow_id: WorkflowId | None
    kernel: Kernel
    changed: bool = False
    task: trio.lowlevel.Task | None = None

    def hint(self) -> None:
        """Let the follower look again."""
        self.changed = True
        if self.task is not None:
            task, self.task = self.task, None
            self.kernel.wake(task)

    def stop_waiting(self) -> None:
        """Take back the wish to be woken."""
        self.task = None


class Changes:
    """Hints that a log may have grown.

    Args:
        store: asked about other processes' commits, when it can have any.
        kernel: through which it waits.
        poll_seconds: how often it asks.

    Attributes:
        elsewhere: called when another runtime of this process has committed to the same store object.
    """

    def __init__(self, store: Store, kernel: Kernel, poll_seconds: float) -> None:
        self.elsewhere: Callable[[], object] = _nothing
        self._store = store
        self._kernel = kernel
        self._poll_seconds = poll_seconds
        # Dicts for their order: any of very many who follow one log leaves at once.
        self._interests: dict[WorkflowId, dict[Interest, None]] = {}
        self._feed_interests: dict[Interest, None] = {}
        self._error: TreadleError | None = None
        self._poller: trio.lowlevel.Task | None = None
        self._thread = threading.get_ident()
        self._neighbours: list[Changes] = []

    def open(self) -> None:
        """Meet the other runtimes over this store, if it is one that tells nobody of commits."""
        if not self._store.shared:
            self._neighbours = _neighbours.setdefault(id(self._store), [])
            self._neighbours.append(self)

    def close(self) -> None:
        """Take leave of them."""
        if self in self._neighbours:
            self._neighbours.remove(self)
            if not self._neighbours:
                del _neighbours[id(self._store)]

    def group_committed(self) -> None:
        """Tell those who follow the feed, here and in the other runtimes, that something was written."""
        self._hint_feed()
        if len(self._neighbours) > 1:
            for other in list(self._neighbours):
                # A task is woken by its own thread alone; who shares such a store between threads must poll.
                if other is not self and other._thread == self._thread:
                    other.elsewhere()
                    other._hint_all()

    @property
    def anybody(self) -> bool:
        """Whether anybody follows a log."""
        return bool(self._interests)

    def enter(self, workflow_id: WorkflowId | None) -> Interest:
        """Begin to listen; must be called before the read that may find nothing.

        Args:
            workflow_id: the log; None for the feed, of which a whole group's commit is one hint.

        Returns:
            The interest, to be given to `wait` and then to `leave`.

        Raises:
            TreadleError: following has ended: the store is poisoned or the runtime closed.
        """
        if self._error is not None:
            raise_own(self._error)
        interest = Interest(workflow_id, self._kernel)
        listening = self._feed_interests
        if workflow_id is not None:
            listening = self._interests.setdefault(workflow_id, {})
        listening[interest] = None
        self._wake_poller()
        return interest

    def leave(self, interest: Interest) -> None:
        """Stop listening.

        Args:
            interest: from `enter`.
        """
        if interest.workflow_id is None:
            del self._feed_interests[interest]
            return
        listening = self._interests[interest.workflow_id]
        del listening[interest]
        if not listening:
            del self._interests[interest.workflow_id]

    @trio.lowlevel.enable_ki_protection
    async def wait(self, interest: Interest) -> None:
        """Wait until the log may have grown; a checkpoint only when it has not yet.

        Args:
            interest: from `enter`.

        Raises:
            TreadleError: following has ended.
        """
        if not interest.changed:
            interest.task = trio.lowlevel.current_task()
            await self._kernel.park(interest.stop_waiting)
        interest.changed = False
        if self._error is not None:
            raise_own(self._error)

    def committed(self, workflow_id: WorkflowId) -> None:
        """Tell those who follow a log that it has grown.

        Args:
            workflow_id: the log.
        """
        for interest in self._interests.get(workflow_id, ()):
            interest.hint()

    def committed_perhaps(self) -> None:
        """Tell all who follow that their log may have grown."""
        self._hint_all()

    def fail(self, error: TreadleError) -> None:
        """End all following with an error, now and from now on.

        Args:
            error: why.
        """
        if self._error is None:
            self._error = error
        self._hint_all()

    @trio.lowlevel.enable_ki_protection
    async def poll(self) -> None:
        """Look for other processes' commits while anybody follows; runs until cancelled."""
        if not self._store.shared:
            return
        seen: int | None = None
        while True:
            if not self.anybody and not self._feed_interests:
                self._poller = trio.lowlevel.current_task()
                await self._kernel.park(self._forget_poller)
            try:
                counter = await self._store.change_counter()
            except StoreUnavailableError:
                # Passing, perhaps. Followers read for themselves, and each hears of it if it has not passed.
                counter = None
            except TreadleError as error:
                self.fail(error)
                return
            if counter is None or counter != seen:
                seen = counter
                self._hint_all()
            await self._kernel.sleep(self._poll_seconds)

    def _hint_feed(self) -> None:
        for interest in list(self._feed_interests):
            interest.hint()

    def _hint_all(self) -> None:
        self._hint_feed()
        for listening in list(self._interests.values()):
            for interest in listening:
                interest.hint()

    def _wake_poller(self) -> None:
        if self._poller is not None:
            task, self._poller = self._poller, None
            self._kernel.wake(task)

    def _forget_poller(self) -> None:
        self._poller = None


class Follower:
    """An endless async iterator over one log; safe to leave at any time, nothing has to be closed.

    Args:
        store: read from.
        changes: where hints come from.
        workflow_id: the log.
        from_seq: the first seq to give.
        page_events: how many events one read fetches.
    """

    def __init__(
        self, store: Store, changes: Changes, workflow_id: WorkflowId, from_seq: int, page_events: int
    ) -> None:
        self._store = store
        self._changes = changes
        self._workflow_id = workflow_id
        self._next_seq = from_seq
        self._page_events = page_events
        self._page: deque[WorkflowEvent] = deque()

    def __aiter__(self) -> Self:
        """Iterate over the follower itself."""
        return self

    async def __anext__(self) -> WorkflowEvent:
        """Give the next event, waiting for it if need be.

        Cancellation loses nothing: the next call gives the event this one would have given.

        Returns:
            The next event in seq order.

        Raises:
            RuntimeClosedError: the runtime has closed.
            StoreError: the store could not be read, or is poisoned.
        """
        while not self._page:
            page = await self._next_page()
            # Of several tasks that share a follower the first to wake has taken the page in for all.
            if not self._page:
                self._page.extend(event for event in page if event.seq >= self._next_seq)
        event = self._page.popleft()
        self._next_seq = event.seq + 1
        return event

    # Ctrl-C between entering and the try would leave the interest behind, and the poller at work for ever.
    @trio.lowlevel.enable_ki_protection
    async def _next_page(self) -> list[WorkflowEvent]:
        interest = self._changes.enter(self._workflow_id)
        try:
            while not (page := await self._read()):
                await self._changes.wait(interest)
        finally:
            self._changes.leave(interest)
        return page

    async def _read(self) -> list[WorkflowEvent]:
        return await self._store.read(self._workflow_id, self._next_seq, limit=self._page_events)


def _nothing() -> None:
    pass
