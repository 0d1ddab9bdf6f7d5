"""The reference: a store in memory, as plain as the contract reads.

It is not durable and not shared. What other stores do with files they must do so that nobody can tell
them from this one; `treadle.testing` holds them against it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import islice, takewhile

import attrs

from treadle.errors import StoreReadOnlyError, StoreUnavailableError, UsageError
from treadle.events import TIMESTAMP_MAX, WorkflowEvent, WorkflowId
from treadle.kernel import Kernel
from treadle.log import root_digest
from treadle.stores import asking
from treadle.stores.contract import (
    PAGE_EVENTS,
    PAGE_WORKFLOWS,
    AuditRow,
    Batch,
    Damage,
    FeedEvent,
    Head,
    HeadFacts,
    LogPage,
    Message,
    Outcome,
    Record,
    Store,
    StoreOptions,
    StoreStatistics,
    Unit,
    Written,
)
from treadle.stores.judging import check_units, judge_unit


async def open_store(options: StoreOptions, kernel: Kernel) -> MemoryStore:
    """Open an empty store.

    Args:
        options: `location` must be empty.
        kernel: through which it gives way.

    Returns:
        The store.

    Raises:
        UsageError: a location was given.
    """
    await kernel.turn()
    if options.location:
        raise UsageError(f"a memory store has no place: expected 'memory:', got {options.url!r}")
    return MemoryStore(kernel, read_only=options.read_only)


@attrs.define(slots=True, eq=False)
class _Log:
    """What is kept of one workflow."""

    events: list[WorkflowEvent] = attrs.Factory(list)
    digests: list[bytes] = attrs.Factory(list)
    positions: list[int] = attrs.Factory(list)
    keys: dict[bytes, int] = attrs.Factory(dict)
    facts: HeadFacts | None = None


@attrs.define(slots=True, eq=False)
class _Mailbox:
    """The messages of one workflow; ids stay known after their message was taken."""

    waiting: dict[bytes, Message] = attrs.Factory(dict)
    known: set[bytes] = attrs.Factory(set)


class _View:
    """The store as `judging` sees it: units are applied one after the other, so it is simply as it is."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def head(self, workflow_id: WorkflowId) -> Head:
        return self._store._head(workflow_id)

    def stored(self, workflow_id: WorkflowId, from_seq: int, to_seq: int) -> Sequence[WorkflowEvent]:
        log = self._store._logs.get(workflow_id)
        return log.events[from_seq - 1 : to_seq] if log else ()

    def keyed(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        log = self._store._logs.get(workflow_id)
        seq = log.keys.get(key) if log else None
        return log.events[seq - 1] if log and seq else None

    def message_waits(self, workflow_id: WorkflowId, message_id: bytes) -> bool:
        mailbox = self._store._mailboxes.get(workflow_id)
        return mailbox is not None and message_id in mailbox.waiting

    def epoch(self) -> int:
        return self._store._epoch


class MemoryStore(Store):
    """A store in memory; see `Store` for what every method promises.

    Args:
        kernel: through which it gives way.
        read_only: refuse writes.
    """

    durable = False
    shared = False

    def __init__(self, kernel: Kernel, *, read_only: bool = False) -> None:
        self.url = "memory:"
        self._kernel = kernel
        self._read_only = read_only
        self._closed = False
        self._logs: dict[WorkflowId, _Log] = {}
        self._ids: list[WorkflowId] = []
        self._feed: list[FeedEvent] = []
        self._mailboxes: dict[WorkflowId, _Mailbox] = {}
        # Whoever opens the store asks for these, and in a long world most logs are at their end.
        self._with_messages: dict[WorkflowId, None] = {}
        self._with_wake_up: dict[WorkflowId, int] = {}
        self._records: dict[str, dict[bytes, bytes]] = {}
        self._epoch = 0
        self._commits = 0

    async def _enter(self) -> None:
        await self._kernel.turn()
        if self._closed:
            raise StoreUnavailableError("the store is closed; open it again")

    # -- writing --

    async def append(self, units: Sequence[Unit | Batch]) -> list[Outcome]:
        """Write units; see `Store.append`."""
        await self._enter()
        if self._read_only:
            raise StoreReadOnlyError("the store was opened read-only; open it for writing")
        check_units(units)
        self._commits += 1
        view = _View(self)
        return [self._decide(unit, view) for unit in units]

    def _decide(self, unit: Unit | Batch, view: _View) -> Outcome:
        outcome = judge_unit(unit, view)
        if isinstance(outcome, Written):
            self._apply(unit)
        return outcome

    def _apply(self, unit: Unit | Batch) -> None:
        for batch in unit.batches:
            self._apply_batch(batch)
        for message in unit.messages_put:
            mailbox = self._mailboxes.setdefault(message.workflow_id, _Mailbox())
            if message.message_id not in mailbox.known:
                mailbox.known.add(message.message_id)
                mailbox.waiting[message.message_id] = message
                self._with_messages[message.workflow_id] = None
        for taken in unit.messages_taken:
            waiting = self._mailboxes[taken.workflow_id].waiting
            del waiting[taken.message_id]
            if not waiting:
                del self._with_messages[taken.workflow_id]
        for record in unit.records:
            space = self._records.setdefault(record.namespace, {})
            if record.value is None:
                space.pop(record.key, None)
            else:
                space[record.key] = record.value
        for restated in unit.restated:
            self._state(restated.workflow_id, restated.facts)

    def _state(self, workflow_id: WorkflowId, facts: HeadFacts) -> None:
        self._logs[workflow_id].facts = facts
        if facts.wake_up_ns is None:
            self._with_wake_up.pop(workflow_id, None)
        else:
            self._with_wake_up[workflow_id] = facts.wake_up_ns

    def _apply_batch(self, batch: Batch) -> None:
        log = self._logs.get(batch.workflow_id)
        if log is None:
            log = self._logs[batch.workflow_id] = _Log()
            # Python orders strings by code point, which is the order of their UTF-8 bytes.
            insort(self._ids, batch.workflow_id)
        for event, digest in zip(batch.events, batch.digests, strict=True):
            log.events.append(event)
            log.digests.append(digest)
            log.positions.append(len(self._feed) + 1)
            self._feed.append(FeedEvent(len(self._feed) + 1, batch.workflow_id, event))
        for event, key in zip(batch.events, batch.keys or (), strict=False):
            if key is not None:
                log.keys[key] = event.seq
        if batch.facts is not None:
            self._state(batch.workflow_id, batch.facts)

    async def raise_epoch(self) -> int:
        """Take over; see `Store.raise_epoch`."""
        await self._enter()
        self._epoch += 1
        return self._epoch

    async def maintain(self) -> None:
        """Do nothing: memory needs no housekeeping."""
        await self._enter()

    # -- heads and logs --

    def _head(self, workflow_id: WorkflowId) -> Head:
        root = root_digest(workflow_id)
        log = self._logs.get(workflow_id)
        if log is None:
            return Head(workflow_id, 1, root, 1, root)
        return Head(workflow_id, len(log.events) + 1, log.digests[-1], 1, root, log.facts)

    def _events(self, workflow_id: WorkflowId) -> list[WorkflowEvent]:
        log = self._logs.get(workflow_id)
        return log.events if log else []

    async def heads(self, workflow_ids: Sequence[WorkflowId]) -> list[Head]:
        """Tell where logs stand; see `Store.heads`."""
        asking.check_ids(workflow_ids)
        await self._enter()
        return [self._head(workflow_id) for workflow_id in workflow_ids]

    async def read(
        self,
        workflow_id: WorkflowId,
        from_seq: int = 1,
        to_seq: int | None = None,
        *,
        limit: int = PAGE_EVENTS,
    ) -> list[WorkflowEvent]:
        """Read a page by seq; see `Store.read`."""
        asking.check_stretch(workflow_id, from_seq, to_seq, limit)
        await self._enter()
        return self._events(workflow_id)[from_seq - 1 : to_seq][:limit]

    async def read_many(
        self, workflow_ids: Sequence[WorkflowId], *, events_max: int = PAGE_EVENTS
    ) -> list[LogPage]:
        """Read many logs; see `Store.read_many`."""
        asking.check_ids(workflow_ids)
        asking.check_page(events_max)
        await self._enter()
        pages: list[LogPage] = []
        room = events_max
        for workflow_id in workflow_ids:
            if room <= 0 and pages:
                break
            events = self._events(workflow_id)
            page = events[: max(room, 1)]
            pages.append(LogPage(workflow_id, page, len(page) == len(events)))
            room -= len(page)
        return pages

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
        asking.check_id(workflow_id)
        asking.check_times(since, until)
        asking.check_page(limit, after_seq)
        await self._enter()
        later = self._events(workflow_id)[after_seq:]
        end = TIMESTAMP_MAX + 1 if until is None else until
        return [event for event in later if since <= event.timestamp < end][:limit]

    async def find_key(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        """Find a keyed event; see `Store.find_key`."""
        asking.check_id(workflow_id)
        asking.check_bytes(key)
        await self._enter()
        return _View(self).keyed(workflow_id, key)

    # -- over all logs --

    async def list_workflows(
        self,
        *,
        prefix: str = "",
        after: WorkflowId | None = None,
        status: int | None = None,
        limit: int = PAGE_WORKFLOWS,
    ) -> list[WorkflowId]:
        """List workflows; see `Store.list_workflows`."""
        asking.check_names(prefix, after)
        asking.check_page(limit)
        await self._enter()
        # Only what the page holds is looked at: all who ask for pages would be quadratic otherwise.
        start = bisect_left(self._ids, prefix)
        if after is not None:
            start = max(start, bisect_right(self._ids, after))
        found: Iterable[WorkflowId] = takewhile(
            lambda name: name.startswith(prefix), islice(self._ids, start, None)
        )
        if status is not None:
            found = (name for name in found if (facts := self._logs[name].facts) and facts.status == status)
        return list(islice(found, limit))

    async def count_workflows(self, *, prefix: str = "") -> int:
        """Count workflows; see `Store.count_workflows`."""
        asking.check_names(prefix)
        await self._enter()
        return sum(name.startswith(prefix) for name in self._ids)

    async def due(
        self,
        until_ns: int,
        *,
        after: tuple[int, WorkflowId] | None = None,
        limit: int = PAGE_WORKFLOWS,
    ) -> list[Head]:
        """List due logs; see `Store.due`."""
        asking.check_due(until_ns, after)
        asking.check_page(limit)
        await self._enter()
        wake_ups = sorted(
            (wake_up_ns, name) for name, wake_up_ns in self._with_wake_up.items() if wake_up_ns <= until_ns
        )
        return [self._head(name) for wake_up, name in wake_ups if after is None or (wake_up, name) > after][
            :limit
        ]

    async def feed(self, after_position: int = 0, *, limit: int = PAGE_EVENTS) -> list[FeedEvent]:
        """Read in commit order; see `Store.feed`."""
        asking.check_page(limit, after_position)
        await self._enter()
        return self._feed[after_position : after_position + limit]

    async def change_counter(self) -> int:
        """Count commits; see `Store.change_counter`."""
        await self._enter()
        return self._commits

    async def statistics(self) -> StoreStatistics:
        """Count what is there; see `Store.statistics`."""
        await self._enter()
        return StoreStatistics(self.url, len(self._logs), len(self._feed), len(self._feed), None)

    # -- mailbox and records --

    async def messages(self, workflow_id: WorkflowId, *, limit: int = PAGE_EVENTS) -> list[Message]:
        """Read waiting messages; see `Store.messages`."""
        asking.check_id(workflow_id)
        asking.check_page(limit)
        await self._enter()
        mailbox = self._mailboxes.get(workflow_id)
        return list(mailbox.waiting.values())[:limit] if mailbox else []

    async def workflows_with_messages(
        self, *, after: WorkflowId | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[WorkflowId]:
        """List non-empty mailboxes; see `Store.workflows_with_messages`."""
        asking.check_names("", after)
        asking.check_page(limit)
        await self._enter()
        waiting = sorted(self._with_messages)
        return [name for name in waiting if after is None or name > after][:limit]

    async def record(self, namespace: str, key: bytes) -> bytes | None:
        """Look a record up; see `Store.record`."""
        asking.check_space(namespace)
        asking.check_bytes(key)
        await self._enter()
        return self._records.get(namespace, {}).get(key)

    async def records(
        self, namespace: str, *, after: bytes | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[Record]:
        """List records; see `Store.records`."""
        asking.check_space(namespace)
        asking.check_page(limit)
        if after is not None:
            asking.check_bytes(after)
        await self._enter()
        space = self._records.get(namespace, {})
        keys = sorted(key for key in space if after is None or key > after)
        return [Record(namespace, key, space[key]) for key in keys[:limit]]

    # -- looking after it --

    async def audit(
        self, workflow_id: WorkflowId, after_seq: int = 0, *, limit: int = PAGE_EVENTS
    ) -> list[AuditRow]:
        """Read raw rows; see `Store.audit`."""
        asking.check_id(workflow_id)
        asking.check_page(limit, after_seq)
        await self._enter()
        log = self._logs.get(workflow_id) or _Log()
        rows = zip(log.positions, log.events, log.digests, strict=True)
        keys = {seq: key for key, seq in log.keys.items()}
        return [
            AuditRow(
                position,
                event.seq,
                event.timestamp,
                int(event.kind),
                event.payload,
                digest,
                keys.get(event.seq),
            )
            for position, event, digest in list(rows)[after_seq : after_seq + limit]
        ]

    async def check_structure(self) -> list[Damage]:
        """Find nothing: there is no file to be damaged."""
        await self._enter()
        return []

    async def backup(self, path: str) -> None:
        """Refuse: see `Store.backup`.

        Args:
            path: unused.

        Raises:
            UsageError: always; a memory store is exported, not copied.
        """
        await self._enter()
        raise UsageError(f"a memory store has no file to copy to {path!r}; export it as JSON Lines instead")

    async def aclose(self) -> None:
        """Close; see `Store.aclose`."""
        self._closed = True
        await self._kernel.turn()
