"""Any store, with faults from a seed in front of it.

It never loses or alters what the store has written: then nothing above could be right. What it may do is
be late, refuse, fail to tell, and let the process be killed at the worst moment; `treadle.sim.faults` says
why each of them must be survived.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from treadle.errors import OutcomeUnknownError, StoreFullError, StorePoisonedError, StoreUnavailableError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.kernel import Kernel
from treadle.sim.draws import Draws
from treadle.stores import (
    PAGE_EVENTS,
    PAGE_WORKFLOWS,
    RECLAIM_EVENTS,
    AuditRow,
    Batch,
    Damage,
    FeedEvent,
    Graft,
    Head,
    LogPage,
    Message,
    Outcome,
    Record,
    Store,
    StoreStatistics,
    Unit,
    Written,
)

T = TypeVar("T")

SLOW_SECONDS_MAX: Final = 4
"""How long a slow call takes at most."""
_MILLE: Final = 1_000


class Fences:
    """Sees, from outside the stores, that no runner writes once another has taken over.

    Args:
        broken: takes what must not have happened, in words.

    Attributes:
        raised_by: epoch -> name of the process whose runner it was given.
    """

    def __init__(self, broken: list[str]) -> None:
        self._broken = broken
        self._newest = 0
        self.raised_by: dict[int, str] = {}

    def raised(self, epoch: int, name: str) -> None:
        """Note that a runner has taken over.

        Args:
            epoch: the one it was given.
            name: of the process it is in.
        """
        self.raised_by[epoch] = name
        if epoch <= self._newest:
            self._broken.append(f"epoch {epoch} was given after {self._newest}")
        self._newest = max(self._newest, epoch)

    def written(self, units: Sequence[Unit | Batch | Graft], outcomes: Sequence[Outcome]) -> None:
        """Look at what was written.

        Args:
            units: what was offered.
            outcomes: what the store has answered to each.
        """
        for unit, outcome in zip(units, outcomes, strict=False):
            stale = unit.epoch is not None and unit.epoch < self._newest
            if stale and isinstance(outcome, Written):
                self._broken.append(f"epoch {unit.epoch} has written though {self._newest} had taken over")


class FaultyStore(Store):
    """A store in front of another; see the top of this file.

    It is written to by its own process alone; `SharedFaultyStore` is for one that others write to as well.

    Args:
        inner: the store that keeps everything.
        kernel: through which it is late.
        draws: decides when.
        rates: name of a fault -> how often in a thousand calls; see `treadle.sim.FAULTS`.
        kill: ends the process that uses this store; what comes next has no effect.
        note: told of every fault that has happened: its name, and where.

    Attributes:
        full: whether the disk is full at this time.
        calm: whether nothing happens any more: the end of a run, when everything is looked at.
        kills: the appends at which the process is killed: number, and whether after its write.
        count_append: gives each call to `append` its number; a world counts over all its processes.
        watch: sees what runners write; a world has one for all its processes.
        name: of the process that uses it, for who watches.
        told_late: told how many nanoseconds late each slow call is.
        told_poisoned: told of each call that a store has refused for good, as `treadle log verify` would be
            needed for.
    """

    durable = True
    shared = False

    def __init__(
        self,
        inner: Store,
        kernel: Kernel,
        draws: Draws,
        rates: Mapping[str, int],
        *,
        kill: Callable[[], object] = lambda: None,
        note: Callable[[str, str], object] = lambda _fault, _place: None,
    ) -> None:
        self.durable = inner.durable  # type: ignore[misc]  # a constant of other stores; here of the one behind
        self.url = inner.url
        self.path = inner.path
        self.full = False
        self.calm = False
        self.kills: tuple[tuple[int, bool], ...] = ()
        self.count_append: Callable[[], int] = itertools.count(1).__next__
        self.watch = Fences([])
        self.name = ""
        self.told_late: Callable[[int], object] = lambda _: None
        self.told_poisoned: Callable[[], object] = lambda: None
        self._inner = inner
        self._kernel = kernel
        self._draws = draws
        self._rates = rates
        self._kill = kill
        self._note = note

    def _happens(self, fault: str, place: str) -> bool:
        if self.calm or not self._draws.happens(self._rates.get(fault, 0)):
            return False
        self._note(fault, place)
        return True

    async def _be_late(self, place: str) -> None:
        if self._happens("slow_store", place):
            late_ms = self._draws.between(1, SLOW_SECONDS_MAX * _MILLE)
            self.told_late(late_ms * _MILLE * _MILLE)
            await self._kernel.sleep(late_ms / _MILLE)

    async def _asked(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except StorePoisonedError:
            self.told_poisoned()
            raise

    # -- writing --

    async def append(self, units: Sequence[Unit | Batch | Graft]) -> list[Outcome]:
        """Write units, or fail; see `Store.append`."""
        await self._kernel.checkpoint_if_cancelled()  # a dead process makes no call, and so no fault
        number = self.count_append()
        await self._be_late("append")
        if self.full and not self.calm:
            raise StoreFullError("the simulated disk is full")
        if self._happens("unavailable_store", "append"):
            raise StoreUnavailableError("the simulated store is busy")
        if self._happens("unknown_unwritten", "append"):
            raise OutcomeUnknownError("the simulated line broke before the write")
        await self._may_die(number, "before")
        outcomes = await self._asked(self._inner.append(units))
        self.watch.written(units, outcomes)
        await self._may_die(number, "after")
        if self._happens("unknown_written", "append"):
            raise OutcomeUnknownError("the simulated line broke after the write")
        return outcomes

    async def _may_die(self, number: int, place: str) -> None:
        planned = (number, place == "after") in self.kills
        if planned or self._happens("crash_at_append", place):
            self._kill()
            await self._kernel.turn()  # from which a killed process does not come back

    async def raise_epoch(self) -> int:
        """Take over; see `Store.raise_epoch`."""
        await self._may("raise_epoch")
        epoch = await self._asked(self._inner.raise_epoch())
        self.watch.raised(epoch, self.name)
        return epoch

    async def maintain(self) -> None:
        """Do housekeeping; see `Store.maintain`."""
        await self._asked(self._inner.maintain())

    # -- reading --

    async def _may(self, place: str) -> None:
        await self._kernel.checkpoint_if_cancelled()
        await self._be_late(place)
        if self._happens("unavailable_store", place):
            raise StoreUnavailableError("the simulated store is busy")

    async def _read(self, question: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
        await self._may("read")
        return await question(*args, **options)

    async def heads(self, workflow_ids: Sequence[WorkflowId]) -> list[Head]:
        """Tell where logs stand; see `Store.heads`."""
        return await self._read(self._inner.heads, workflow_ids)

    async def read(
        self,
        workflow_id: WorkflowId,
        from_seq: int = 1,
        to_seq: int | None = None,
        *,
        limit: int = PAGE_EVENTS,
    ) -> list[WorkflowEvent]:
        """Read a page by seq; see `Store.read`."""
        return await self._read(self._inner.read, workflow_id, from_seq, to_seq, limit=limit)

    async def read_many(
        self, workflow_ids: Sequence[WorkflowId], *, events_max: int = PAGE_EVENTS
    ) -> list[LogPage]:
        """Read many logs; see `Store.read_many`."""
        return await self._read(self._inner.read_many, workflow_ids, events_max=events_max)

    async def between(
        self,
        workflow_id: WorkflowId,
        since: int,
        until: int | None,
        *,
        after_seq: int = 0,
        limit: int = PAGE_EVENTS,
    ) -> list[WorkflowEvent]:
        """Read a page by event time; see `Store.between`."""
        question = self._inner.between
        return await self._read(question, workflow_id, since, until, after_seq=after_seq, limit=limit)

    async def find_key(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        """Find a keyed event; see `Store.find_key`."""
        return await self._read(self._inner.find_key, workflow_id, key)

    async def list_workflows(
        self,
        *,
        prefix: str = "",
        after: WorkflowId | None = None,
        status: int | None = None,
        hidden: bool = False,
        limit: int = PAGE_WORKFLOWS,
    ) -> list[WorkflowId]:
        """List workflows; see `Store.list_workflows`."""
        question = self._inner.list_workflows
        return await self._read(
            question, prefix=prefix, after=after, status=status, hidden=hidden, limit=limit
        )

    async def count_workflows(self, *, prefix: str = "", hidden: bool = False) -> int:
        """Count workflows; see `Store.count_workflows`."""
        return await self._read(self._inner.count_workflows, prefix=prefix, hidden=hidden)

    async def due(
        self, until_ns: int, *, after: tuple[int, WorkflowId] | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[Head]:
        """List what is due; see `Store.due`."""
        return await self._read(self._inner.due, until_ns, after=after, limit=limit)

    async def feed(
        self, after_position: int = 0, *, hidden: bool = False, limit: int = PAGE_EVENTS
    ) -> list[FeedEvent]:
        """Read the feed; see `Store.feed`."""
        return await self._read(self._inner.feed, after_position, hidden=hidden, limit=limit)

    async def change_counter(self) -> int:
        """Tell whether others have written; see `Store.change_counter`."""
        return await self._asked(self._inner.change_counter())

    async def position(self) -> int:
        """Tell the newest position; see `Store.position`."""
        return await self._read(self._inner.position)

    async def statistics(self) -> StoreStatistics:
        """Tell about the store; see `Store.statistics`."""
        return await self._inner.statistics()

    async def messages(self, workflow_id: WorkflowId, *, limit: int = PAGE_EVENTS) -> list[Message]:
        """Read a mailbox; see `Store.messages`."""
        return await self._read(self._inner.messages, workflow_id, limit=limit)

    async def workflows_with_messages(
        self, *, after: WorkflowId | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[WorkflowId]:
        """List mailboxes; see `Store.workflows_with_messages`."""
        return await self._read(self._inner.workflows_with_messages, after=after, limit=limit)

    async def record(self, namespace: str, key: bytes) -> bytes | None:
        """Read a record; see `Store.record`."""
        return await self._read(self._inner.record, namespace, key)

    async def records(
        self, namespace: str, *, after: bytes | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[Record]:
        """Read records; see `Store.records`."""
        return await self._read(self._inner.records, namespace, after=after, limit=limit)

    async def branches_of(
        self, workflow_id: WorkflowId, *, after: WorkflowId | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[WorkflowId]:
        """List branches; see `Store.branches_of`."""
        return await self._read(self._inner.branches_of, workflow_id, after=after, limit=limit)

    async def reclaim(self, *, events_max: int = RECLAIM_EVENTS) -> int:
        """Remove what no log shows; see `Store.reclaim`."""
        await self._may("reclaim")
        return await self._inner.reclaim(events_max=events_max)

    async def compact(self, after_position: int = 0, *, events_max: int = RECLAIM_EVENTS) -> int | None:
        """Write events anew; see `Store.compact`."""
        await self._may("compact")
        return await self._inner.compact(after_position, events_max=events_max)

    async def audit(
        self, workflow_id: WorkflowId, after_seq: int = 0, *, limit: int = PAGE_EVENTS
    ) -> list[AuditRow]:
        """Read rows unbelieved; see `Store.audit`."""
        return await self._inner.audit(workflow_id, after_seq, limit=limit)

    async def check_structure(self) -> list[Damage]:
        """Look at the store's own structure; see `Store.check_structure`."""
        return await self._inner.check_structure()

    async def backup(self, path: str) -> None:
        """Copy the store; see `Store.backup`."""
        await self._inner.backup(path)

    async def aclose(self) -> None:
        """Close the store behind; see `Store.aclose`."""
        await self._inner.aclose()


class SharedFaultyStore(FaultyStore):
    """One that other processes write to as well, so that whoever waits for news must poll."""

    shared = True
