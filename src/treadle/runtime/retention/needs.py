"""Who still needs events: what retention, `prune` and `delete` ask before anything is removed.

What branches share the store itself refuses to cut. Here are the needs that a store cannot see: the run that
a runner replays, messages that wait, a parent that has not ended, a projection that has not read so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import msgspec

from treadle.engine import Status
from treadle.engine.records import RunStarted
from treadle.errors import CodecError, EventsNeededError, EventsPrunedError, RecordChangedError
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.log import HORIZON_KEY, HORIZON_SPACE, PROJECTIONS
from treadle.runtime.baselines import BASELINES
from treadle.runtime.decoding import payload_of
from treadle.runtime.durable.wire import HELD, RUNS, WHAT_IF
from treadle.runtime.folds import States
from treadle.runtime.inbox import Proposal
from treadle.runtime.reuse import deletion
from treadle.runtime.snapshots import Snapshots
from treadle.stores import PAGE_WORKFLOWS, Cut, Head, Record, Unit
from treadle.stores.births import shared

if TYPE_CHECKING:  # needs are asked for a runtime
    from treadle.runtime.runtime import Runtime

HORIZON_TRIES_MAX: Final = 16
"""How often the horizon is raised anew because another sweep has raised it meanwhile."""
CHAIN_RUNS_MAX: Final = 100_000
"""How many runs are followed back to the start from which they go on."""
CLOSING_KINDS: Final = frozenset(
    {
        EventKind.WORKFLOW_COMPLETED,
        EventKind.WORKFLOW_FAILED,
        EventKind.WORKFLOW_CANCELLED,
        EventKind.WORKFLOW_TERMINATED,
    }
)


def is_what_if(head: Head) -> bool:
    """Tell whether a log is a what-if branch: nothing happens in it unless somebody plays it.

    Args:
        head: the log's.

    Returns:
        Whether it is.
    """
    return head.facts is not None and head.facts.details == WHAT_IF


class _Checkpoint(msgspec.Struct):
    position: int


@attrs.frozen(slots=True)
class Checkpoint:
    """How far the projection that is furthest behind has read.

    Attributes:
        name: the projection.
        position: the last position it has read.
    """

    name: str
    position: int


class Needs:
    """Asks who needs the events of logs.

    Args:
        runtime: over whose store.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._store = runtime.store
        self._supervisor = runtime._supervisor
        self._codecs = runtime._codecs
        self._states = States(runtime)
        self._snapshots = Snapshots(runtime.store, runtime._codecs)

    # -- projections --

    async def checkpoint(self) -> Checkpoint | None:
        """Find the registered projection that is furthest behind.

        Returns:
            It, or None when there is none. One whose record cannot be read has read nothing.
        """
        least: Checkpoint | None = None
        after: bytes | None = None
        while page := await self._store.records(PROJECTIONS, after=after, limit=PAGE_WORKFLOWS):
            for record in page:
                found = Checkpoint(record.key.decode(errors="replace"), _position_of(record))
                if least is None or found.position < least.position:
                    least = found
            after = page[-1].key
        return least

    async def raise_horizon(self, checkpoint: Checkpoint | None) -> None:
        """Note, before events are removed, how far up in the feed some may be missing from then on.

        Whoever rebuilds a projection asks for it: from the log's beginning, or from what was kept of it.

        Args:
            checkpoint: the projection that is furthest behind: nothing behind it is removed.

        Raises:
            TreadleError: it could not be written.
        """
        for _ in range(HORIZON_TRIES_MAX):
            bound = await self._store.position() if checkpoint is None else checkpoint.position
            there = await self._store.record(HORIZON_SPACE, HORIZON_KEY)
            if bound <= _horizon_of(there):
                return
            record = Record(HORIZON_SPACE, HORIZON_KEY, b"%d" % bound)
            unit = Unit(records=(record,), expected=(record._replace(value=there),))
            try:
                await self._supervisor.commit_unit(Proposal(None), unit)
            except RecordChangedError:
                continue
            return
        raise EventsNeededError(
            "the retention horizon was moved by others each time it was to be raised; sweep again later",
            workflow_id="",
            needed_by="projections",
        )

    async def check_read(self, head: Head, below_seq: int, checkpoint: Checkpoint | None) -> None:
        """Refuse to remove what a projection has not read.

        Args:
            head: the log's.
            below_seq: what lies below is to be removed.
            checkpoint: the projection that is furthest behind.

        Raises:
            EventsNeededError: it has not read so far.
        """
        if checkpoint is None or is_what_if(head):
            return  # the feed has no event of a what-if branch: nobody could ever read so far
        rows = await self._store.audit(head.workflow_id, below_seq - 2, limit=1)
        if rows and rows[0].seq == below_seq - 1 and rows[0].position > checkpoint.position:
            raise EventsNeededError(
                f"workflow {head.workflow_id!r}: projection {checkpoint.name!r} has read up to position"
                f" {checkpoint.position}, and the events below seq {below_seq} reach to {rows[0].position};"
                " let it catch up first, or remove its registration",
                workflow_id=head.workflow_id,
                needed_by=f"projection {checkpoint.name!r}",
            )

    # -- where a log may be cut --

    async def noted(self, first: WorkflowId, last: WorkflowId) -> dict[str, int]:
        """Read where logs have their last baselines, as far as that was noted.

        Args:
            first: the first of the logs, in the order of their ids' UTF-8 bytes.
            last: the last one.

        Returns:
            The seq at which each one's baseline begins; logs without one are left out.
        """
        found: dict[str, int] = {}
        one = await self._store.record(BASELINES, first.encode())
        page = [] if one is None else [Record(BASELINES, first.encode(), one)]
        after = first.encode()
        while True:
            for row in page:
                if row.value is not None and row.value.isdigit():
                    found[row.key.decode(errors="replace")] = int(row.value)
            if after >= last.encode():
                return found
            rows = await self._store.records(BASELINES, after=after, limit=PAGE_WORKFLOWS)
            page = [row for row in rows if row.key <= last.encode()]
            after = page[-1].key if len(page) == PAGE_WORKFLOWS else last.encode()

    async def cut_seq(self, head: Head, noted: int | None) -> int:
        """Find the seq below which nothing is needed for a replay.

        Args:
            head: the log's.
            noted: where its last baseline begins, as `noted` has told.

        Returns:
            The seq of its last baseline; the first kept one when there is no later baseline.
        """
        if head.facts is not None:
            held = head.facts.status == Status.HELD
            return head.first_kept_seq if held else max(head.facts.run_start_seq, head.first_kept_seq)
        seq = noted or 0
        if head.first_kept_seq < seq < head.next_seq and await self._begins_baseline(head, seq):
            return seq
        return head.first_kept_seq

    async def _begins_baseline(self, head: Head, seq: int) -> bool:
        events = await self._store.read(head.workflow_id, seq, seq, limit=1)
        kept = await self._states.baseline_of(head.workflow_id, events[0]) if events else None
        return kept is not None and kept.seq == seq - 1

    async def check_cut(self, head: Head, seq: int) -> None:
        """Refuse a cut that would leave a log without its baseline.

        Args:
            head: the log's.
            seq: the first seq that is to be kept.

        Raises:
            EventsNeededError: no replay could begin there.
        """
        name, facts = head.workflow_id, head.facts
        if facts is not None and seq != facts.run_start_seq:
            raise EventsNeededError(
                f"workflow {name!r}: its run began at seq {facts.run_start_seq} and is replayed from there;"
                f" only what lies before it may go, not everything below {seq}",
                workflow_id=name,
                needed_by=f"run {facts.run_start_seq}",
            )
        if facts is None and not await self._begins_baseline(head, seq):
            raise EventsNeededError(
                f"workflow {name!r}: no baseline begins at seq {seq}, so a replay needs what lies below;"
                " append one with handle.baseline(fold), and cut there",
                workflow_id=name,
                needed_by="replay",
            )

    async def check_shared(self, head: Head, seq: int) -> None:
        """Refuse a cut that the store would refuse, without trying it.

        Args:
            head: the log's.
            seq: the first seq that is to be kept.

        Raises:
            EventsSharedError: a branch shares events that would go.
        """
        after: WorkflowId | None = None
        own_seq = head.shared_seq + 1  # what lies before that, branches share with somebody else
        while branches := await self._store.branches_of(head.workflow_id, after=after):
            heads = await self._store.heads(branches)
            if found := [one.workflow_id for one in heads if max(one.first_kept_seq, own_seq) < seq]:
                raise shared(head, seq, found)
            after = branches[-1]

    async def cut_unit(self, head: Head, seq: int) -> Unit:
        """Make the unit that takes the beginning of a log away.

        Args:
            head: the log's.
            seq: the first seq that is kept; judged to be one.

        Returns:
            The unit.

        Raises:
            CodecError: the start of a durable workflow's run cannot be read without its codec.
        """
        name = head.workflow_id
        records = (Record(BASELINES, name.encode(), None),)
        if head.facts is not None:
            first = await self._chain_start(head, seq)
            records = (Record(RUNS, name.encode(), None if first is None else b"%d" % first),)
        return Unit(cuts=(Cut(name, head.next_seq, head.digest, seq),), records=records)

    async def _chain_start(self, head: Head, seq: int) -> int | None:
        """Follow runs back to the start from which the one that begins at a seq goes on."""
        for _ in range(CHAIN_RUNS_MAX):
            if seq < head.first_kept_seq:
                noted = await self._store.record(RUNS, head.workflow_id.encode())
                return int(noted) if noted is not None else None
            events = await self._store.read(head.workflow_id, seq, seq, limit=1)
            if not events or events[0].kind is not EventKind.CONTINUED:
                return seq
            seq = (await self._run(head.workflow_id, events[0])).previous_run
        return None

    async def _run(self, name: WorkflowId, event: WorkflowEvent) -> RunStarted:
        payload = await payload_of(self._store, self._codecs, name, event)
        return msgspec.json.decode(payload, type=RunStarted)

    # -- whether a log may go altogether --

    async def closed_ns(self, head: Head) -> int | None:
        """Tell when a log was closed.

        Args:
            head: the log's.

        Returns:
            The timestamp of the event that says so; None when it is open, or has no events.
        """
        facts = head.facts
        if head.next_seq == head.first_kept_seq or (facts and not Status(facts.status).is_closed):
            return None
        try:
            events = await self._store.read(head.workflow_id, head.next_seq - 1, limit=1)
        except EventsPrunedError:
            return None  # deleted meanwhile
        if not events or (facts is None and events[0].kind not in CLOSING_KINDS):
            return None
        return events[0].timestamp

    async def made_ns(self, head: Head) -> int | None:
        """Tell when a what-if branch was made: what is played in it has times of its own.

        Args:
            head: the branch's.

        Returns:
            The timestamp of its BRANCHED, or of the first event that it keeps; None when it has no events.
        """
        seq = head.shared_seq + 1 if head.shared_seq else head.first_kept_seq
        try:
            events = await self._store.read(head.workflow_id, seq, seq, limit=1)
        except EventsPrunedError:
            return None  # deleted meanwhile
        return events[0].timestamp if events else None

    async def check_delete(self, head: Head) -> None:
        """Refuse to delete a log that something still happens to; a what-if branch is none.

        Args:
            head: the log's.

        Raises:
            EventsNeededError: it is a durable workflow that has not ended, or for which messages wait.
        """
        facts, name = head.facts, head.workflow_id
        if facts is None or is_what_if(head):
            return
        if not Status(facts.status).is_closed:
            raise EventsNeededError(
                f"durable workflow {name!r} is {Status(facts.status).name.lower()}: only one that has ended"
                " can be deleted; cancel or terminate it first",
                workflow_id=name,
                needed_by=f"run {facts.run_start_seq}",
            )
        if await self._store.messages(name, limit=1):
            raise EventsNeededError(
                f"workflow {name!r} has ended, and a message to it waits for somebody who runs this store's"
                " workflows; let them take it first",
                workflow_id=name,
                needed_by="messages",
            )

    async def check_parent(self, head: Head) -> None:
        """Refuse to delete a child whose parent has not ended: people, and branches of it, look it up.

        Args:
            head: of a durable workflow.

        Raises:
            EventsNeededError: its parent goes on.
        """
        facts, name = head.facts, head.workflow_id
        if facts is None or is_what_if(head):
            return
        events = await self._store.read(name, facts.run_start_seq, facts.run_start_seq, limit=1)
        try:
            parent = (await self._run(name, events[0])).parent if events else None
        except CodecError as error:
            raise EventsNeededError(
                f"workflow {name!r} cannot be read without its codec, so nobody knows whose child it is:"
                f" {error}",
                workflow_id=name,
                needed_by="its codec",
            ) from error
        if parent is None:
            return
        (there,) = await self._store.heads([WorkflowId(parent.id)])
        if there.facts is not None and not Status(there.facts.status).is_closed:
            raise EventsNeededError(
                f"workflow {name!r} is a child of {parent.id!r}, which has not ended; it goes when that has",
                workflow_id=name,
                needed_by=f"parent {parent.id!r}",
            )

    async def delete_unit(self, head: Head) -> Unit:
        """Make the unit that deletes a log, and what was kept of it.

        Args:
            head: the log's.

        Returns:
            The unit.
        """
        name = head.workflow_id
        records = await self._snapshots.removals(name)
        records += tuple(Record(space, name.encode(), None) for space in (BASELINES, RUNS, HELD))
        records += (await deletion(self._store, head),)
        return Unit(cuts=(Cut(name, head.next_seq, head.digest, head.next_seq),), records=records)


def _horizon_of(value: bytes | None) -> int:
    return int(value) if value is not None and value.isdigit() else 0


def _position_of(record: Record) -> int:
    try:
        return msgspec.json.decode(record.value or b"", type=_Checkpoint).position
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
