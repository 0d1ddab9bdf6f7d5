"""The reference: a store in memory, as plain as the contract reads.

It is not durable and not shared. What other stores do with files they must do so that nobody can tell
them from this one; `treadle.testing` holds them against it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat, takewhile

import attrs

from treadle.errors import StoreReadOnlyError, StoreUnavailableError, UsageError
from treadle.events import SEQ_MAX, TIMESTAMP_MAX, WorkflowEvent, WorkflowId
from treadle.kernel import Kernel
from treadle.log import DIGEST_SIZE_BYTES, root_digest
from treadle.stores import asking
from treadle.stores.births import pruned
from treadle.stores.contract import (
    PAGE_EVENTS,
    PAGE_WORKFLOWS,
    RECLAIM_EVENTS,
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
    Refused,
    Store,
    StoreOptions,
    StoreStatistics,
    Unit,
    Written,
)
from treadle.stores.judging import check_units, check_values, finished, judge_unit
from treadle.stores.lifetimes import Cut, Graft
from treadle.stores.memory_log import MemoryLog


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
class _Mailbox:
    """The messages of one workflow; ids stay known after their message was taken."""

    waiting: dict[bytes, Message] = attrs.Factory(dict)
    known: set[bytes] = attrs.Factory(set)


def _check_columns(units: Sequence[Unit | Batch | Graft]) -> None:
    """Refuse what no column can take, before anything is written; a graft holds nothing yet."""
    try:
        for unit in units:
            for batch in unit.batches:
                array("q", [event.timestamp for event in batch.events])
                bytes([event.kind for event in batch.events])
                if len(b"".join(batch.digests)) != len(batch.events) * DIGEST_SIZE_BYTES:
                    raise ValueError("digests")  # noqa: TRY301  # worded below, as all others are
    except (OverflowError, TypeError, ValueError):
        check_values(units)
        raise


class _View:
    """The store as `judging` sees it: units are applied one after the other, so it is simply as it is."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def head(self, workflow_id: WorkflowId) -> Head:
        return self._store._head(workflow_id)

    def stored(self, workflow_id: WorkflowId, from_seq: int, to_seq: int) -> Sequence[WorkflowEvent]:
        log = self._store._logs.get(workflow_id)
        return log.events(from_seq, to_seq) if log else ()

    def keyed(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        log = self._store._logs.get(workflow_id)
        return log.keyed(key) if log else None

    def digest_at(self, workflow_id: WorkflowId, seq: int) -> bytes | None:
        log = self._store._logs.get(workflow_id)
        return log.digest_at(seq) if log else None

    def sharers(self, workflow_id: WorkflowId, below_seq: int, limit: int) -> Sequence[WorkflowId]:
        return self._store._sharers(workflow_id, below_seq)[:limit]

    def position(self) -> int:
        return len(self._store._feed)

    def message_waits(self, workflow_id: WorkflowId, message_id: bytes) -> bool:
        mailbox = self._store._mailboxes.get(workflow_id)
        return mailbox is not None and message_id in mailbox.waiting

    def epoch(self) -> int:
        return self._store._epoch

    def record(self, namespace: str, key: bytes) -> bytes | None:
        return self._store._records.get(namespace, {}).get(key)


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
        self._logs: dict[WorkflowId, MemoryLog] = {}
        self._ids: list[WorkflowId] = []
        # Whose the event at each position is; where it stands in that log is found there. What was removed
        # leaves its place empty.
        self._feed: list[MemoryLog | None] = []
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

    async def append(self, units: Sequence[Unit | Batch | Graft]) -> list[Outcome]:
        """Write units; see `Store.append`."""
        await self._enter()
        if self._read_only:
            raise StoreReadOnlyError("the store was opened read-only; open it for writing")
        check_units(units)
        _check_columns(units)
        self._commits += 1
        view = _View(self)
        return [self._decide(unit, view) for unit in units]

    def _decide(self, given: Unit | Batch | Graft, view: _View) -> Outcome:
        try:
            unit = finished(given, view)
        except UsageError as error:
            return Refused(error)
        outcome = judge_unit(unit, view)
        if isinstance(outcome, Written):
            self._apply(unit)
        return outcome

    def _apply(self, unit: Unit | Batch) -> None:
        if unit.begun or unit.branches:
            self._begin(unit)
        for batch in unit.batches:
            self._apply_batch(batch)
        if unit.messages_put or unit.messages_taken:
            self._apply_messages(unit)
        for record in unit.records:
            space = self._records.setdefault(record.namespace, {})
            if record.value is None:
                space.pop(record.key, None)
            else:
                space[record.key] = record.value
        for restated in unit.restated:
            self._state(restated.workflow_id, restated.facts)
        for cut in unit.cuts:
            self._cut(cut)

    def _begin(self, unit: Unit | Batch) -> None:
        for begun in unit.begun:
            first, before = begun.first_seq, bytearray(begun.digest_before)
            self._add(MemoryLog(begun.workflow_id, before, own_seq=first, first_kept_seq=first))
        for name, parent, at, digest, hidden, _ in unit.branches:
            self._add(self._logs[parent].branch(name, at, digest, hidden=hidden))

    def _add(self, log: MemoryLog) -> MemoryLog:
        self._logs[log.workflow_id] = log
        # Python orders strings by code point, which is the order of their UTF-8 bytes.
        insort(self._ids, log.workflow_id)
        return log

    def _cut(self, cut: Cut) -> None:
        log = self._logs[cut.workflow_id]
        if cut.first_kept_seq <= log.first_kept_seq:
            return
        log.cut(cut.first_kept_seq)
        if cut.is_whole:
            log.facts = None
            self._with_wake_up.pop(cut.workflow_id, None)

    def _sharers(self, workflow_id: WorkflowId, below_seq: int) -> list[WorkflowId]:
        source = self._logs.get(workflow_id)
        return sorted(
            name
            for name, log in self._logs.items()
            if any(there is source and begin < below_seq for begin, _, there in log.shared)
        )

    def _apply_messages(self, unit: Unit | Batch) -> None:
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

    def _state(self, workflow_id: WorkflowId, facts: HeadFacts) -> None:
        self._logs[workflow_id].facts = facts
        if facts.wake_up_ns is None:
            self._with_wake_up.pop(workflow_id, None)
        else:
            self._with_wake_up[workflow_id] = facts.wake_up_ns

    def _apply_batch(self, batch: Batch) -> None:
        log = self._logs.get(batch.workflow_id)
        if log is None:
            root = bytearray(root_digest(batch.workflow_id))
            log = self._add(MemoryLog(batch.workflow_id, root))
        log.append(batch.events, batch.digests, len(self._feed) + 1)
        self._feed.extend(repeat(log, len(batch.events)))
        for event, key in zip(batch.events, batch.keys or (), strict=False):
            if key is not None:
                log.keys = log.keys or {}
                log.keys[key] = (*log.keys.get(key, ()), event.seq)
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
        log = self._logs.get(workflow_id)
        if log is None:
            root = root_digest(workflow_id)
            return Head(workflow_id, 1, root, 1, root)
        first, before = log.first_kept_seq, log.digest_kept()
        return Head(
            workflow_id, log.next_seq, log.digest, first, before, log.facts, shared_seq=log.shared_seq
        )

    def _events(self, workflow_id: WorkflowId, from_seq: int, to_seq: int) -> list[WorkflowEvent]:
        log = self._logs.get(workflow_id)
        return log.events(from_seq, to_seq) if log else []

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
        last = from_seq + limit - 1
        log = self._logs.get(workflow_id)
        if log is not None and from_seq < log.first_kept_seq:
            raise pruned(self._head(workflow_id), from_seq)
        return self._events(workflow_id, from_seq, last if to_seq is None else min(to_seq, last))

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
            head = self._head(workflow_id)
            first = head.first_kept_seq
            page = self._events(workflow_id, first, first + max(room, 1) - 1)
            pages.append(LogPage(workflow_id, page, len(page) == head.next_seq - first))
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
        log = self._logs.get(workflow_id)
        if log is None:
            return []
        end = TIMESTAMP_MAX + 1 if until is None else until
        return list(islice(log.between(since, end, after_seq), limit))

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
        hidden: bool = False,
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
        found = (name for name in found if self._is_listed(name, hidden=hidden))
        if status is not None:
            found = (name for name in found if (facts := self._logs[name].facts) and facts.status == status)
        return list(islice(found, limit))

    def _is_listed(self, workflow_id: WorkflowId, *, hidden: bool) -> bool:
        log = self._logs[workflow_id]
        return log.is_shown and (hidden or not log.hidden)

    async def count_workflows(self, *, prefix: str = "", hidden: bool = False) -> int:
        """Count workflows; see `Store.count_workflows`."""
        asking.check_names(prefix)
        await self._enter()
        named = (name for name in self._ids if name.startswith(prefix))
        return sum(self._is_listed(name, hidden=hidden) for name in named)

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

    async def feed(
        self, after_position: int = 0, *, hidden: bool = False, limit: int = PAGE_EVENTS
    ) -> list[FeedEvent]:
        """Read in commit order; see `Store.feed`."""
        asking.check_page(limit, after_position)
        await self._enter()
        return list(islice(self._fed(min(after_position, len(self._feed)), hidden=hidden), limit))

    def _fed(self, after_position: int, *, hidden: bool) -> Iterator[FeedEvent]:
        for position, log in enumerate(islice(self._feed, after_position, None), after_position + 1):
            if log is not None and (hidden or not log.hidden):
                seq = log.own_seq + bisect_left(log.positions, position)
                if seq >= log.first_kept_seq:
                    yield FeedEvent(position, log.workflow_id, log.event(seq))

    async def change_counter(self) -> int:
        """Count commits; see `Store.change_counter`."""
        await self._enter()
        return self._commits

    async def position(self) -> int:
        """Tell the newest position; see `Store.position`."""
        await self._enter()
        return len(self._feed)

    async def statistics(self) -> StoreStatistics:
        """Count what is there; see `Store.statistics`."""
        await self._enter()
        shown = [log for log in self._logs.values() if log.is_shown]
        events = sum(log.next_seq - max(log.own_seq, log.first_kept_seq) for log in shown)
        return StoreStatistics(self.url, len(shown), events, len(self._feed), None)

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

    # -- branches, and what is no longer needed --

    async def branches_of(
        self, workflow_id: WorkflowId, *, after: WorkflowId | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[WorkflowId]:
        """List branches; see `Store.branches_of`."""
        asking.check_id(workflow_id)
        asking.check_names("", after)
        asking.check_page(limit)
        await self._enter()
        found = self._sharers(workflow_id, SEQ_MAX)
        return [name for name in found if after is None or name > after][:limit]

    async def reclaim(self, *, events_max: int = RECLAIM_EVENTS) -> int:
        """Forget what no log shows any more; see `Store.reclaim`."""
        asking.check_page(events_max)
        await self._enter()
        if self._read_only:
            raise StoreReadOnlyError("the store was opened read-only; open it for writing")
        needed = self._needed()
        room = events_max
        for log in self._logs.values():
            below = min(log.first_kept_seq, needed.get(id(log), log.first_kept_seq))
            for position in log.drop(below, room):
                self._feed[position - 1] = None
                room -= 1
        return events_max - room

    def _needed(self) -> dict[int, int]:
        """Tell from which seq on branches share a log's own events."""
        needed: dict[int, int] = {}
        for log in self._logs.values():
            for begin, _, source in log.shared:
                needed[id(source)] = min(begin, needed.get(id(source), begin))
        return needed

    async def compact(self, after_position: int = 0, *, events_max: int = RECLAIM_EVENTS) -> int | None:
        """Do nothing: memory has no holes; see `Store.compact`."""
        asking.check_page(events_max, after_position)
        await self._enter()
        return None

    # -- looking after it --

    async def audit(
        self, workflow_id: WorkflowId, after_seq: int = 0, *, limit: int = PAGE_EVENTS
    ) -> list[AuditRow]:
        """Read raw rows; see `Store.audit`."""
        asking.check_id(workflow_id)
        asking.check_page(limit, after_seq)
        await self._enter()
        log = self._logs.get(workflow_id)
        return list(islice(log.rows(after_seq + 1, SEQ_MAX), limit)) if log else []

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
