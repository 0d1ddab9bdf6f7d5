"""A memory store with faults that a test can switch on: pauses, errors before or after the write, rivals.

Which faults it may make, and why each must be survived: a commit may take as long as it likes (a disk
does); it may be refused (busy, full), fail without telling whether it wrote (a connection that broke), or
poison the store; reads may hang or fail; another process may write between any two of our commits. It
never loses or alters what it has written, because then nothing above could be right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import trio

from treadle import EventKind, WorkflowEvent
from treadle.errors import OutcomeUnknownError, StoreFullError, StorePoisonedError, StoreUnavailableError
from treadle.events import WorkflowId
from treadle.kernel import Kernel
from treadle.log import chain_digest, root_digest
from treadle.stores import WRITTEN, Batch, Head, LogPage, Outcome, Unit
from treadle.stores.memory import MemoryStore, _View

FULL = StoreFullError("the disk is full")
UNAVAILABLE = StoreUnavailableError("the store is busy")
UNKNOWN = OutcomeUnknownError("the line broke")
POISONED = StorePoisonedError("the disk is no longer to be trusted")


class Gate:
    """A door that is open, or shut until the test opens it; it counts who waits at it."""

    def __init__(self, kernel: Kernel) -> None:
        self.shut = False
        self._kernel = kernel
        self._waiting: dict[trio.lowlevel.Task, None] = {}

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        self.shut = True

    def open(self) -> None:
        self.shut = False
        self.let_through()

    def let_through(self) -> None:
        """Let those go on who wait now; whoever comes later waits."""
        waiting, self._waiting = self._waiting, {}
        for task in waiting:
            self._kernel.wake(task)

    async def enter(self) -> None:
        if self.shut:
            task = trio.lowlevel.current_task()
            self._waiting[task] = None
            await self._kernel.park(lambda: self._waiting.pop(task, None))


class FaultyStore(MemoryStore):
    """The memory store, with faults on demand.

    Attributes:
        groups: the units of every call to `append`, in order.
        commits: shut it and commits wait before they write.
        answers: shut it and commits wait after they have written.
        reads: shut it and reads of every kind wait.
        faults: for each coming append an error and whether it writes all the same; None: no fault.
        before_write: called, one after the other, just before each coming append writes.
        read_error: raised by every read while it is set.
        heads_calls: the ids of every call to `heads`.
        reading_max: how many calls of `read_many` were under way at once.
    """

    def __init__(self, kernel: Kernel, *, shared: bool = False) -> None:
        super().__init__(kernel)
        self.shared = shared
        self.groups: list[list[Unit]] = []
        self.commits = Gate(kernel)
        self.answers = Gate(kernel)
        self.reads = Gate(kernel)
        self.faults: deque[tuple[Exception, bool] | None] = deque()
        self.before_write: deque[Callable[[], object]] = deque()
        self.poison: StorePoisonedError | None = None
        self.read_error: Exception | None = None
        self.heads_calls: list[list[WorkflowId]] = []
        self.reading = 0
        self.reading_max = 0

    # -- what a test asks for --

    def fail_next(self, error: Exception, *, written: bool = False) -> None:
        """Let the next append without a fault yet fail."""
        self.faults.append((error, written))

    def write_foreign(
        self, name: str, payload: bytes, *, timestamp: int = 7, key: bytes | None = None
    ) -> WorkflowEvent:
        """Write one event as another process would: at once, and nobody here is told."""
        workflow_id = WorkflowId(name)
        head = self._head(workflow_id)
        event = WorkflowEvent(head.next_seq, timestamp, EventKind.CUSTOM, payload)
        keys = None if key is None else (key,)
        batch = Batch(workflow_id, head.digest, (event,), (chain_digest(head.digest, event),), keys)
        assert self._decide(Unit((batch,)), _View(self)) is WRITTEN
        self._commits += 1
        return event

    def stored(self, name: str) -> list[WorkflowEvent]:
        """Tell what is there, without a wait; checks that seqs and digests have no hole."""
        log = self._logs.get(WorkflowId(name))
        if log is None:
            return []
        digest = root_digest(WorkflowId(name))
        events = log.events(1)
        for place, event in enumerate(events, 1):
            digest = chain_digest(digest, event)
            assert (event.seq, digest) == (place, log.digest_at(place))
        return list(events)

    def payloads(self, name: str) -> list[bytes]:
        """Tell the payloads that are there."""
        return [event.payload for event in self.stored(name)]

    # -- the store --

    async def append(self, units: Sequence[Unit]) -> list[Outcome]:
        self.groups.append(list(units))
        await self.commits.enter()
        if self.poison is not None:
            raise self.poison
        if self.before_write:
            self.before_write.popleft()()
        error, written = (self.faults.popleft() if self.faults else None) or (None, True)
        if isinstance(error, StorePoisonedError):
            self.poison = error
        outcomes = await super().append(units) if written else []
        await self.answers.enter()
        if error is not None:
            raise error
        return outcomes

    async def _may_read(self) -> None:
        await self.reads.enter()
        if self.read_error is not None:
            raise self.read_error

    async def heads(self, workflow_ids: Sequence[WorkflowId]) -> list[Head]:
        self.heads_calls.append(list(workflow_ids))
        await self._may_read()
        return await super().heads(workflow_ids)

    async def read(self, *args, **options) -> list[WorkflowEvent]:
        await self._may_read()
        return await super().read(*args, **options)

    async def between(self, *args, **options) -> list[WorkflowEvent]:
        await self._may_read()
        return await super().between(*args, **options)

    async def read_many(self, *args, **options) -> list[LogPage]:
        self.reading += 1
        self.reading_max = max(self.reading_max, self.reading)
        try:
            await self._may_read()
            return await super().read_many(*args, **options)
        finally:
            self.reading -= 1

    async def change_counter(self) -> int:
        await self._may_read()
        return await super().change_counter()
