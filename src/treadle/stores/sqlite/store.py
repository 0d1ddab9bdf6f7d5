"""The store itself: the contract's methods, each a question in a thread or a group for the writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import apsw
import trio

from treadle.errors import StoreReadOnlyError, StoreUnavailableError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.kernel import Kernel
from treadle.stores import asking
from treadle.stores.contract import (
    PAGE_EVENTS,
    PAGE_WORKFLOWS,
    RECLAIM_EVENTS,
    AuditRow,
    Batch,
    Damage,
    FeedEvent,
    Head,
    LogPage,
    Message,
    Outcome,
    Record,
    Store,
    StoreStatistics,
    Unit,
)
from treadle.stores.lifetimes import Graft
from treadle.stores.sqlite import checking, copying, files, reading
from treadle.stores.sqlite.faults import READ_ERRORS, translated
from treadle.stores.sqlite.gate import Gate
from treadle.stores.sqlite.opening import Opened
from treadle.stores.sqlite.readers import READERS_MAX, open_reader
from treadle.stores.sqlite.transaction import Token
from treadle.stores.sqlite.writer import Writer

T = TypeVar("T")


class SqliteStore(Store):
    """A store in one SQLite file; see `Store` for what every method promises.

    Made by `open_store`, which has judged the file. Beside the file lie its write-ahead log (`-wal`) and
    shared memory (`-shm`), which belong to it: copy a store with `backup`, never file by file. After an
    error that made the disk doubtful there is a marker (`-poisoned`) as well.

    Args:
        opened: the parts.
        url: how it was opened.
        kernel: through which it waits.
    """

    durable = True
    shared = True

    def __init__(self, opened: Opened, url: str, kernel: Kernel) -> None:
        self.url = url
        self._kernel = kernel
        self._path = opened.path
        self.path = opened.path if opened.identity is not None else None
        self._health = opened.health
        self._writer = opened.writer
        self._readers = opened.readers
        self._identity = opened.identity
        self._write_gate = Gate(kernel, 1)
        # Without readers of its own the writer's connection answers, one question at a time.
        self._read_gate = self._write_gate if opened.readers is None else Gate(kernel, READERS_MAX)
        self._watch_gate = Gate(kernel, 1)
        self._watch: apsw.Connection | None = None
        self._closed = False

    # -- writing --

    async def append(self, units: Sequence[Unit | Batch | Graft]) -> list[Outcome]:
        """Write units; see `Store.append`."""
        return await self._write(Writer.append, units)

    async def raise_epoch(self) -> int:
        """Take over as runner; see `Store.raise_epoch`."""
        return await self._write(Writer.raise_epoch)

    async def maintain(self) -> None:
        """Checkpoint when the WAL has grown; see `Store.maintain`."""
        if self._writer is None or not self._writer.checkpoint_is_due():
            await self._kernel.turn()
            if self._health.poisoned:
                raise self._health.error()
            return
        await self._write(Writer.maintain)

    async def _write(self, work: Callable[..., T], *args: Any) -> T:
        await self._kernel.checkpoint_if_cancelled()
        self._check_writable()
        await self._write_gate.enter()
        try:
            return await self._kernel.run_blocking(work, self._check_writable(), *args)
        finally:
            self._write_gate.leave()

    def _check_writable(self) -> Writer:
        self._check_open()
        if self._writer is None:
            raise StoreReadOnlyError(f"{self._path}: the store was opened read-only; open it for writing")
        if self._health.poisoned:
            raise self._health.error()
        return self._writer

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError(f"{self._path}: the store is closed; open it again")

    # -- reading --

    async def _ask(self, question: Callable[..., T], *args: Any) -> T:
        await self._kernel.checkpoint_if_cancelled()
        await self._read_gate.enter()
        try:
            self._check_open()
            if self._readers is not None:
                return await self._kernel.run_blocking(self._readers.ask, question, *args)
            return await self._kernel.run_blocking(self._ask_writer, question, *args)
        finally:
            self._read_gate.leave()

    async def _ask_shown(self, question: Callable[..., T], *args: Any) -> T:
        """Ask what must not show more than was acknowledged; `question` takes the cut last."""
        return await self._ask(self._shown, question, args)

    def _shown(self, connection: apsw.Connection, question: Callable[..., T], args: tuple[Any, ...]) -> T:
        # As late as can be: whoever only reads hears of another process's failure in no other way.
        self._notice_marker()
        return question(connection, *args, self._health.cut)

    def _notice_marker(self) -> None:
        if not self._health.poisoned and self._health.marked():
            self._health.adopt_marker(self._writer.position if self._writer is not None else None)

    def _ask_writer(self, question: Callable[..., T], *args: Any) -> T:
        connection = self._check_connection()
        try:
            return question(connection, *args)
        except READ_ERRORS as error:
            raise translated(error, self._path, connection.system_errno) from error

    def _check_connection(self) -> apsw.Connection:
        if self._writer is None:
            raise AssertionError("a store without readers has a writer")  # pragma: no cover
        return self._writer.connection

    async def heads(self, workflow_ids: Sequence[WorkflowId]) -> list[Head]:
        """Tell where logs stand; see `Store.heads`."""
        asking.check_ids(workflow_ids)
        # Taken before the look, so that whatever is written in between makes the tokens stale.
        generation = self._writer.generation if self._writer is not None else None
        found = await self._ask_shown(reading.heads, workflow_ids)
        if generation is None or self._health.poisoned:
            return [head for head, _ in found]
        return [head._replace(token=Token(generation, head, key)) for head, key in found]

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
        return await self._ask_shown(reading.read, workflow_id, from_seq, to_seq, limit)

    async def read_many(
        self, workflow_ids: Sequence[WorkflowId], *, events_max: int = PAGE_EVENTS
    ) -> list[LogPage]:
        """Read many logs; see `Store.read_many`."""
        asking.check_ids(workflow_ids)
        asking.check_page(events_max)
        return await self._ask_shown(reading.read_many, workflow_ids, events_max)

    async def between(
        self,
        workflow_id: WorkflowId,
        since: int,
        until: int | None,
        *,
        after_seq: int = 0,
        limit: int = PAGE_EVENTS,
    ) -> list[WorkflowEvent]:
        """Read a page by event time; see `Store.between`.

        Looks at every row of the workflow: an index on time would cost each append a random page.
        """
        asking.check_id(workflow_id)
        asking.check_times(since, until)
        asking.check_page(limit, after_seq)
        return await self._ask_shown(reading.between, workflow_id, since, until, after_seq, limit)

    async def find_key(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        """Find a keyed event; see `Store.find_key`."""
        asking.check_id(workflow_id)
        asking.check_bytes(key)
        return await self._ask_shown(reading.find_key, workflow_id, key)

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
        return await self._ask_shown(reading.list_workflows, prefix, after, status, hidden, limit)

    async def count_workflows(self, *, prefix: str = "", hidden: bool = False) -> int:
        """Count workflows; see `Store.count_workflows`."""
        asking.check_names(prefix)
        return await self._ask_shown(reading.count_workflows, prefix, hidden)

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
        found = await self._ask_shown(reading.due, until_ns, after, limit)
        return [head for head, _ in found]

    async def feed(
        self, after_position: int = 0, *, hidden: bool = False, limit: int = PAGE_EVENTS
    ) -> list[FeedEvent]:
        """Read in commit order; see `Store.feed`."""
        asking.check_page(limit, after_position)
        return await self._ask_shown(reading.feed, after_position, hidden, limit)

    async def change_counter(self) -> int:
        """Tell SQLite's own counter of commits; see `Store.change_counter`.

        Raises:
            StorePoisonedError: nothing more will come; followers end with this.
        """
        await self._kernel.checkpoint_if_cancelled()
        gate = self._read_gate if self._readers is None else self._watch_gate
        await gate.enter()
        try:
            self._check_open()
            return await self._kernel.run_blocking(self._count_changes)
        finally:
            gate.leave()

    def _count_changes(self) -> int:
        self._notice_marker()
        if self._health.poisoned:
            raise self._health.error()
        if self._readers is None:
            return self._check_connection().total_changes()
        if self._watch is None and (stamp := self._readers.stamp()) is not None:
            # Nobody writes; when somebody begins, the connection's counter is another number than this.
            return stamp[2]
        try:
            if self._watch is None:
                self._watch = open_reader(self._path)
            # A connection of its own: the counter tells only what *others* have committed, and compares
            # only on one connection.
            return int(self._watch.execute("PRAGMA data_version").get)
        except (apsw.Error, OSError) as error:
            raise translated(error, self._path) from error

    async def position(self) -> int:
        """Tell the newest position; see `Store.position`."""
        return await self._ask_shown(reading.position_shown)

    async def statistics(self) -> StoreStatistics:
        """Count what is there; see `Store.statistics`."""
        workflows, events, position = await self._ask_shown(reading.counts)
        return StoreStatistics(self.url, workflows, events, position, files.size_on_disk(self._path))

    async def messages(self, workflow_id: WorkflowId, *, limit: int = PAGE_EVENTS) -> list[Message]:
        """Read waiting messages; see `Store.messages`."""
        asking.check_id(workflow_id)
        asking.check_page(limit)
        return await self._ask(reading.messages, workflow_id, limit)

    async def workflows_with_messages(
        self, *, after: WorkflowId | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[WorkflowId]:
        """List non-empty mailboxes; see `Store.workflows_with_messages`."""
        asking.check_names("", after)
        asking.check_page(limit)
        return await self._ask(reading.workflows_with_messages, after, limit)

    async def record(self, namespace: str, key: bytes) -> bytes | None:
        """Look a record up; see `Store.record`."""
        asking.check_space(namespace)
        asking.check_bytes(key)
        return await self._ask(reading.record, namespace, key)

    async def records(
        self, namespace: str, *, after: bytes | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[Record]:
        """List records; see `Store.records`."""
        asking.check_space(namespace)
        asking.check_page(limit)
        if after is not None:
            asking.check_bytes(after)
        return await self._ask(reading.records, namespace, after, limit)

    # -- branches, and what is no longer needed --

    async def branches_of(
        self, workflow_id: WorkflowId, *, after: WorkflowId | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[WorkflowId]:
        """List branches; see `Store.branches_of`."""
        asking.check_id(workflow_id)
        asking.check_names("", after)
        asking.check_page(limit)
        return await self._ask(reading.branches_of, workflow_id, after, limit)

    async def reclaim(self, *, events_max: int = RECLAIM_EVENTS) -> int:
        """Remove what no log shows any more; see `Store.reclaim`."""
        asking.check_page(events_max)
        return await self._write(Writer.reclaim, events_max, self._kernel.wall_time_ns)

    async def compact(self, after_position: int = 0, *, events_max: int = RECLAIM_EVENTS) -> int | None:
        """Write events anew; see `Store.compact`."""
        asking.check_page(events_max, after_position)
        return await self._write(Writer.compact, after_position, events_max, self._kernel.wall_time_ns)

    async def vacuum(self) -> None:
        """Write the whole file anew without any slack; every other process has to wait, or keeps it waiting.

        Raises:
            StoreUnavailableError: another process uses it; nothing was changed.
            StoreError: as `append`.
        """
        await self._write(Writer.vacuum)

    # -- looking after it --

    async def audit(
        self, workflow_id: WorkflowId, after_seq: int = 0, *, limit: int = PAGE_EVENTS
    ) -> list[AuditRow]:
        """Read raw rows; see `Store.audit`."""
        asking.check_id(workflow_id)
        asking.check_page(limit, after_seq)
        return await self._ask_shown(reading.audit, workflow_id, after_seq, limit)

    async def check_structure(self) -> list[Damage]:
        """Let SQLite check its pages and indices, and check what hangs together; see the contract."""
        return await self._ask(checking.check_structure)

    async def backup(self, path: str) -> None:
        """Write a consistent copy; see `Store.backup`."""
        name = asking.check_copy(path)
        self._notice_marker()
        if self._health.poisoned and self._health.cut != reading.INTEGER_MAX:
            # The copy would hold what reads no longer show, without the marker that says why.
            raise self._health.error()
        await self._ask(copying.copy_to, name, self._path)

    async def aclose(self) -> None:
        """Close; see `Store.aclose`."""
        if self._closed:
            await self._kernel.turn()
            return
        self._closed = True
        with trio.CancelScope(shield=True):
            gates = [self._write_gate, self._watch_gate]
            if self._readers is not None:
                gates += [self._read_gate] * READERS_MAX
            # Every place taken means that nobody is inside; who still waits finds the store closed.
            for gate in gates:
                await gate.enter()
            try:
                await self._kernel.run_blocking(self._close)
            finally:
                for gate in gates:
                    gate.leave()

    def _close(self) -> None:
        try:
            if self._watch is not None:
                self._watch.close()
            if self._readers is not None:
                self._readers.close()
            if self._writer is not None:
                self._writer.close()
        finally:
            if self._identity is not None:
                files.unregister(self._identity)
