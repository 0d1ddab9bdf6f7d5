"""What a store is: the contract that every store keeps, and the values it speaks in.

The model in one sentence: a store is a set of gap-free, digest-chained logs, each with a head, beside a
mailbox and a few small records, changed only by *units* and seen only as it is after a whole unit.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

import attrs

from treadle.errors import AdmissionError, FencedError, RecordChangedError, UsageError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.stores.lifetimes import Begun, Branch, Cut, Graft

PAGE_EVENTS: Final = 2_000
"""How many events one read fetches by default: enough to pay for the thread hop, little enough to hold."""
PAGE_WORKFLOWS: Final = 1_000
"""How many workflows one listing fetches by default."""
RECLAIM_EVENTS: Final = 1_000
"""How many events one step of reclaiming or compacting touches by default: no more than a full group, so that
appends wait no longer for it than for each other."""


# -- what goes in: named tuples, because one of each is made for every append ---------------------------


class HeadFacts(NamedTuple):
    """What the writer of a batch knows of its log and the store keeps beside the head, unread.

    Attributes:
        status: a number of the writer's choosing; listings can ask for one.
        run_start_seq: the seq that names the current run.
        wake_up_ns: when the workflow wants to be looked at again, in nanoseconds since 1970, or None.
        name: the workflow's type.
        details: anything else, in bytes.
    """

    status: int
    run_start_seq: int
    wake_up_ns: int | None
    name: str
    details: bytes = b""


class Batch(NamedTuple):
    """Events for one log, with the head they were decided on.

    Attributes:
        workflow_id: the log.
        digest_before: the digest of the event before the first one (of the id, at seq 1).
        events: at least one, seqs rising by one; the first one's seq is the expected next seq.
        digests: the digest after each event.
        keys: for each event its idempotency key or None; None when there is none at all.
        facts: the log's head facts from now on; None leaves them.
        token: the `Head.token` or `Written.tokens` entry this batch builds on, or None.

    A batch is also a unit of itself alone, and answers as one: the plain append, by far the most common
    unit, is handed over bare. Two containers less for each append that waits for its commit are worth a
    tenth of its cost, most of it the garbage collector's.
    """

    workflow_id: WorkflowId
    digest_before: bytes
    events: tuple[WorkflowEvent, ...]
    digests: tuple[bytes, ...]
    keys: tuple[bytes | None, ...] | None = None
    facts: HeadFacts | None = None
    token: object = None

    @property
    def batches(self) -> tuple[Batch, ...]:
        """Itself."""
        return (self,)

    @property
    def guards(self) -> tuple[Guard, ...]:
        """None."""
        return ()

    @property
    def messages_put(self) -> tuple[Message, ...]:
        """None."""
        return ()

    @property
    def messages_taken(self) -> tuple[Taken, ...]:
        """None."""
        return ()

    @property
    def records(self) -> tuple[Record, ...]:
        """None."""
        return ()

    @property
    def restated(self) -> tuple[Restated, ...]:
        """None."""
        return ()

    @property
    def branches(self) -> tuple[Branch, ...]:
        """None."""
        return ()

    @property
    def begun(self) -> tuple[Begun, ...]:
        """None."""
        return ()

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """None."""
        return ()

    @property
    def position(self) -> int | None:
        """None."""
        return None

    @property
    def epoch(self) -> int | None:
        """None."""
        return None

    @property
    def expected(self) -> tuple[Record, ...]:
        """None."""
        return ()


class Guard(NamedTuple):
    """A log that was read, and must still have this head.

    Attributes:
        workflow_id: the log; the unit may have a batch for it, which comes after.
        next_seq: where it must stand.
        digest: the digest of its last event.
        first_kept_seq: where it must begin, so that nothing was cut since: a log that was deleted stands
            where it stood. None for anywhere.
    """

    workflow_id: WorkflowId
    next_seq: int
    digest: bytes
    first_kept_seq: int | None = None


class Restated(NamedTuple):
    """Head facts set anew while nothing is appended: the log must have this head, and keeps it."""

    workflow_id: WorkflowId
    next_seq: int
    digest: bytes
    facts: HeadFacts


class Message(NamedTuple):
    """A row of the mailbox: a message to a workflow, waiting until an activation consumes it.

    Attributes:
        workflow_id: to whom.
        message_id: 1-255 bytes, unique for its workflow, for ever; a known one is not stored again.
        kind: a number of the sender's choosing.
        payload: its content.
    """

    workflow_id: WorkflowId
    message_id: bytes
    kind: int
    payload: bytes


class Taken(NamedTuple):
    """A message that an activation has consumed."""

    workflow_id: WorkflowId
    message_id: bytes


class Record(NamedTuple):
    """A small mutable value of the store, outside every log; `value` None removes it."""

    namespace: str
    key: bytes
    value: bytes | None


class Unit(NamedTuple):
    """What a store takes or refuses as one.

    Attributes:
        batches: at most one for each log.
        guards: logs that must be unchanged.
        messages_put: to be stored in the mailbox.
        messages_taken: to be taken out; one that is not waiting refuses the unit.
        records: to be set or removed.
        epoch: the runner's epoch, or None for writers that need none; an older one is refused.
        restated: logs with events, and without a batch here, whose head facts are set; refused when one's
            head has changed.
        branches: logs that begin here as branches of others.
        begun: logs that begin here in the middle.
        cuts: logs, without a batch here, that lose their beginning.
        position: the newest position there must be in the store, or None: the guard of whoever has decided
            on a listing. Anybody's append refuses the unit.
        expected: records that must hold just these values when the unit comes (None: there must be none);
            any other value refuses it. The guard of whoever keeps a state in records beside others.
    """

    batches: tuple[Batch, ...] = ()
    guards: tuple[Guard, ...] = ()
    messages_put: tuple[Message, ...] = ()
    messages_taken: tuple[Taken, ...] = ()
    records: tuple[Record, ...] = ()
    epoch: int | None = None
    restated: tuple[Restated, ...] = ()
    branches: tuple[Branch, ...] = ()
    begun: tuple[Begun, ...] = ()
    cuts: tuple[Cut, ...] = ()
    position: int | None = None
    expected: tuple[Record, ...] = ()


# -- what comes out -------------------------------------------------------------------------------------


@attrs.frozen(slots=True)
class Written:
    """The unit is durable.

    Attributes:
        tokens: for each batch the token for the next one of its log; None: the batch's own stays good.
    """

    tokens: tuple[object, ...] | None = None


@attrs.frozen(slots=True)
class Repeated:
    """Everything in the unit was there already; nothing was written.

    Attributes:
        events: for each batch the stored events.
    """

    events: tuple[tuple[WorkflowEvent, ...], ...]


@attrs.frozen(slots=True)
class Refused:
    """Nothing of the unit was written.

    Attributes:
        error: why: an `AdmissionError` (gap, stale, conflict, pruned), `FencedError` or `RecordChangedError`;
            of a graft that has made no unit, a `UsageError`.
    """

    error: AdmissionError | FencedError | RecordChangedError | UsageError


Outcome = Written | Repeated | Refused

WRITTEN: Final = Written()
"""The common answer, made once."""


class Head(NamedTuple):
    """Where a log stands.

    Attributes:
        workflow_id: the log.
        next_seq: the seq it takes next; 1 for a log without events.
        digest: the digest of its last event.
        first_kept_seq: the oldest seq that can be read.
        digest_before: the digest before the first kept seq.
        facts: what its writer last handed over, or None.
        shared_seq: the last seq whose event it shares with a log that it is a branch of; 0 for none.
        token: the store's own mark, to be handed back in a `Batch`: it lets the store trust the batch's
            expected head without reading it. It never makes a wrong batch right.
    """

    workflow_id: WorkflowId
    next_seq: int
    digest: bytes
    first_kept_seq: int = 1
    digest_before: bytes = b""
    facts: HeadFacts | None = None
    token: object = None
    shared_seq: int = 0


class LogPage(NamedTuple):
    """One log's events from a read of many logs.

    Attributes:
        workflow_id: the log.
        events: a store may make each only when it is looked at; a row that is none raises
            `CorruptStoreError` then.
        complete: whether they reach the end asked for.
    """

    workflow_id: WorkflowId
    events: Sequence[WorkflowEvent]
    complete: bool


class FeedEvent(NamedTuple):
    """An event with its place in the store's commit order."""

    position: int
    workflow_id: WorkflowId
    event: WorkflowEvent


class AuditRow(NamedTuple):
    """A stored event as raw as it lies there, with all that is kept beside it: nothing is believed yet."""

    position: int
    seq: int
    timestamp: int
    kind: int
    payload: bytes
    digest: bytes
    key: bytes | None = None


@attrs.frozen(slots=True)
class Damage:
    """Something stored that is not what was written.

    Attributes:
        message: what was expected and what was found.
        workflow_id: the log in which it shows, or None.
        seq: the first seq that shows it, or None.
    """

    message: str
    workflow_id: str | None = None
    seq: int | None = None


@attrs.frozen(slots=True)
class StoreStatistics:
    """What a store tells about itself.

    Attributes:
        url: how it was opened.
        workflows: how many logs have events.
        events: how many events it holds.
        position: the position of the newest event; 0 for none.
        size_bytes: what it takes on disk, or None.
    """

    url: str
    workflows: int
    events: int
    position: int
    size_bytes: int | None


class Store(abc.ABC):
    """Keeps events; understands none. This docstring is the contract; `treadle.testing` checks it.

    **Units.** `append` takes many units and answers each by itself; all that are taken become durable in
    one transaction, or, when the call raises, none surely is. A unit is all or nothing: its batches,
    guards, mailbox rows and records together. Units are decided in order, each seeing those before it.
    A guard compares what it names of a head, that of a log with a batch in its unit before the batch.

    **Compare-and-append.** A batch says by its first seq and by `digest_before` on which head it was
    decided. The store compares both: the seq alone would accept an event decided on another history.
    Anything but an exact fit is answered by the table in `treadle.log.admission`: an exact repeat of
    stored events is `Repeated`, everything else `Refused` with the table's error. A batch whose first
    seq fits but whose digest differs is a conflict. In a unit of several batches either all are repeats
    or all must fit. When a batch of a log is refused, every later one in the same call that was decided
    on it no longer fits and is refused too.

    **Tokens.** Comparing costs a look-up for each batch. A store may hand out tokens with heads and
    outcomes; a batch that carries a token still good is known to build on a fresh head. Tokens lose
    their good when anything else has written, when anything was refused, and when a write failed. A
    token vouches for the head only, never for the batch: a batch wrong by itself is refused.

    **Keys.** A key is unique within its log. A unit of one single-event batch whose key is known is
    answered `Repeated` with the event that carries it, whatever the batch holds; in any other unit a
    known key refuses with `ConflictError`.

    **Mailbox.** Message ids are unique for their workflow for ever, taken ones included; putting a known
    one changes nothing. Waiting messages are read in the order in which they were put.

    **Records** are small and mutable, outside every log. A unit may name records that it has read: it is
    refused with `RecordChangedError` when one of them holds another value by then, also one that was set by
    a unit before it in the same call. Repeats are answered before that is looked at.

    **Failures of the whole call.** *Refused*: `StoreUnavailableError`, `StoreFullError`,
    `StoreReadOnlyError`: surely not written, try again later. *Unknown*: `OutcomeUnknownError`: may be
    written. *Poisoned*: `StorePoisonedError`: after an I/O error on write, fsync or checkpoint the store
    takes nothing more, and reads end at the last position whose commit was answered.

    **Durable** means that after `append` has returned its outcomes survive `kill -9` and power loss, in
    a store that says `durable`.

    **Positions** rise in commit order over all logs, are never used twice, and may have gaps. Whoever
    has read the feed up to a position has seen every event that will ever be at or below it.

    **Branches** share their parent's events up to a seq: no event is copied, and a branch of a branch is as
    quick to read as any log. Every read of a branch gives shared and own events as one log; keys of shared
    events are known in it. The feed carries its own events only. What a branch shares stays readable in it
    whatever becomes of the parent; so do its keys, also when the parent, deleted, takes one of them anew. A
    `Graft` is finished when its turn has come, of the store as it stands after the units before it, and then
    decided as the unit that it has made.

    **Cuts** take effect with their unit: from then on reads below the first kept seq raise, keys of those
    events are forgotten, and the feed leaves them out. A cut that would take events away which a branch
    shares is refused with `EventsSharedError`; deleting a log whole is not, its shared events stay until no
    branch needs them. A deleted log keeps its place: it stands behind its last event for ever, with that
    event's digest. What no log shows any more is removed by `reclaim`.

    **Hidden logs** are left out of listings, counts of workflows and the feed unless they are asked for;
    whoever knows their id reads them as any other. What is appended to a deleted one is no longer hidden.

    **Reads** see whole units only, hold nothing open between calls, and never see what could vanish.
    Unknown workflows read as empty logs. Seqs below the first kept one raise `EventsPrunedError`.

    **Questions that cannot be right** (a seq below 1, a limit that is no int, an id that is no str or not
    Unicode) raise `InvalidValueError`; an id that no log can have reads as an empty log.

    **Cancellation.** Every method is a checkpoint. A call to `append` that has begun is carried to its
    end even when its caller is cancelled, and what it wrote stays written.

    Attributes:
        url: how it was opened.
        durable: whether outcomes survive power loss.
        shared: whether other processes may write to it, so that followers must poll.
        path: the file it lies in, links resolved, beside which a runner's lock may lie; None when only
            this process can reach it.
    """

    url: str
    durable: ClassVar[bool]
    shared: ClassVar[bool]
    path: str | None = None

    # -- writing --

    @abc.abstractmethod
    async def append(self, units: Sequence[Unit | Batch | Graft]) -> list[Outcome]:
        """Write units, in order, in one transaction.

        Args:
            units: at least one; a bare `Batch` is a unit of itself alone, a `Graft` is finished by its store.

        Returns:
            One outcome for each unit, in order.

        Raises:
            UsageError: something is no unit, or one that is wrong by itself; nothing was written.
            StoreUnavailableError: busy or unreachable; nothing was written.
            StoreFullError: no room; nothing was written.
            StoreReadOnlyError: it cannot be written; nothing was written.
            OutcomeUnknownError: it failed while writing; some or all units may be written.
            StorePoisonedError: it takes nothing more; nothing was written.
        """

    @abc.abstractmethod
    async def raise_epoch(self) -> int:
        """Take over as the store's runner: every older epoch is refused from now on.

        Returns:
            The new epoch, 1 or higher.

        Raises:
            StoreError: as `append`.
        """

    @abc.abstractmethod
    async def maintain(self) -> None:
        """Do the housekeeping that is due (a checkpoint); called between commits, usually does nothing.

        Raises:
            StorePoisonedError: an I/O error; the store takes nothing more.
        """

    # -- heads and logs --

    @abc.abstractmethod
    async def heads(self, workflow_ids: Sequence[WorkflowId]) -> list[Head]:
        """Tell where logs stand.

        Args:
            workflow_ids: the logs.

        Returns:
            One head for each, in order; an unknown log has next seq 1 and the digest of its id.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def read(
        self,
        workflow_id: WorkflowId,
        from_seq: int = 1,
        to_seq: int | None = None,
        *,
        limit: int = PAGE_EVENTS,
    ) -> list[WorkflowEvent]:
        """Read a page of a log, by seq.

        Args:
            workflow_id: the log.
            from_seq: the first seq, inclusive.
            to_seq: the last seq, inclusive; None for the end.
            limit: the most events to give.

        Returns:
            Events in seq order; fewer than `limit` only at the end of what was asked for.

        Raises:
            EventsPrunedError: `from_seq` lies below the first kept seq.
            CorruptStoreError: a row is no event.
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def read_many(
        self, workflow_ids: Sequence[WorkflowId], *, events_max: int = PAGE_EVENTS
    ) -> list[LogPage]:
        """Read many logs from their first kept events in one hop.

        Args:
            workflow_ids: the logs, in the order wanted.
            events_max: about how many events to give: reading stops once that many are there.

        Returns:
            Pages for the first logs asked for, at least one; only the last page may be incomplete, the
            logs after it were not read.

        Raises:
            CorruptStoreError: a row is no event.
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def between(
        self,
        workflow_id: WorkflowId,
        since: int,
        until: int | None,
        *,
        after_seq: int = 0,
        limit: int = PAGE_EVENTS,
    ) -> list[WorkflowEvent]:
        """Read a page of a log, by event time.

        Args:
            workflow_id: the log.
            since: the earliest event time, inclusive, in nanoseconds.
            until: the latest event time, exclusive; None for no end.
            after_seq: continue after this seq.
            limit: the most events to give.

        Returns:
            Events with ``since <= timestamp < until`` in seq order; fewer than `limit` only at the end.

        Raises:
            CorruptStoreError: a row is no event.
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def find_key(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        """Find the event that carries an idempotency key.

        Args:
            workflow_id: the log.
            key: the key.

        Returns:
            The event, or None.

        Raises:
            StoreError: the store could not be read.
        """

    # -- over all logs --

    @abc.abstractmethod
    async def list_workflows(
        self,
        *,
        prefix: str = "",
        after: WorkflowId | None = None,
        status: int | None = None,
        hidden: bool = False,
        limit: int = PAGE_WORKFLOWS,
    ) -> list[WorkflowId]:
        """List a page of the workflows that have events.

        Args:
            prefix: only ids that begin so.
            after: continue after this id.
            status: only those whose head facts have this status.
            hidden: hidden ones as well.
            limit: the most ids to give.

        Returns:
            Ids in the order of their UTF-8 bytes; fewer than `limit` only at the end.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def count_workflows(self, *, prefix: str = "", hidden: bool = False) -> int:
        """Count the workflows that have events.

        Args:
            prefix: only ids that begin so.
            hidden: hidden ones as well.

        Returns:
            How many.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def due(
        self,
        until_ns: int,
        *,
        after: tuple[int, WorkflowId] | None = None,
        limit: int = PAGE_WORKFLOWS,
    ) -> list[Head]:
        """List the logs whose head facts ask to be woken up by then.

        Args:
            until_ns: the latest wake-up time, inclusive.
            after: continue after this wake-up time and, of those with the same, after this id.
            limit: the most heads to give.

        Returns:
            Heads, earliest wake-up first, those with the same in the order of their ids' UTF-8 bytes.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def feed(
        self, after_position: int = 0, *, hidden: bool = False, limit: int = PAGE_EVENTS
    ) -> list[FeedEvent]:
        """Read a page of all logs in commit order.

        Args:
            after_position: continue after this position.
            hidden: events of hidden logs as well.
            limit: the most events to give.

        Returns:
            Events in the order of their positions; fewer than `limit` only at the end.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def change_counter(self) -> int:
        """Tell a number that differs from last time when anybody may have committed since.

        Returns:
            The number; only its being different means anything.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def position(self) -> int:
        """Tell the highest position that was ever given to an event.

        Returns:
            The position; 0 before the first event.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def statistics(self) -> StoreStatistics:
        """Count what is there; may take as long as reading an index of it all.

        Returns:
            The figures at one instant.

        Raises:
            StoreError: the store could not be read.
        """

    # -- mailbox and records --

    @abc.abstractmethod
    async def messages(self, workflow_id: WorkflowId, *, limit: int = PAGE_EVENTS) -> list[Message]:
        """Read the messages that wait for a workflow.

        Args:
            workflow_id: to whom they are.
            limit: the most messages to give.

        Returns:
            Messages in the order in which they were put.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def workflows_with_messages(
        self, *, after: WorkflowId | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[WorkflowId]:
        """List the workflows for which messages wait, with events or without.

        Args:
            after: continue after this id.
            limit: the most ids to give.

        Returns:
            Ids in the order of their UTF-8 bytes.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def record(self, namespace: str, key: bytes) -> bytes | None:
        """Look a record up.

        Args:
            namespace: whose record.
            key: which one.

        Returns:
            Its value, or None.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def records(
        self, namespace: str, *, after: bytes | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[Record]:
        """List a page of a namespace's records.

        Args:
            namespace: whose records.
            after: continue after this key.
            limit: the most records to give.

        Returns:
            Records in the order of their keys.

        Raises:
            StoreError: the store could not be read.
        """

    # -- branches, and what is no longer needed --

    @abc.abstractmethod
    async def branches_of(
        self, workflow_id: WorkflowId, *, after: WorkflowId | None = None, limit: int = PAGE_WORKFLOWS
    ) -> list[WorkflowId]:
        """List a page of the logs that share events which lie in this one, hidden ones too.

        Args:
            workflow_id: the log; it may be deleted.
            after: continue after this id.
            limit: the most ids to give.

        Returns:
            Ids in the order of their UTF-8 bytes; branches of branches are among them when what they share
            lies here.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def reclaim(self, *, events_max: int = RECLAIM_EVENTS) -> int:
        """Remove events that no log shows any more, and give their room back: one small step of it.

        Args:
            events_max: how many at most. A step is over sooner when it has cost as much as a full group of
                appends, which wait as long as it takes; one event at least is removed when there is any.

        Returns:
            How many were removed; 0 when nothing is left to remove.

        Raises:
            StoreError: as `append`.
        """

    @abc.abstractmethod
    async def compact(self, after_position: int = 0, *, events_max: int = RECLAIM_EVENTS) -> int | None:
        """Write events anew where removed ones have left holes, keeping their positions: one small step.

        Args:
            after_position: continue after this position.
            events_max: how many events to write at most; see `reclaim`.

        Returns:
            The position to continue after; None when the end is reached.

        Raises:
            StoreError: as `append`.
        """

    # -- looking after it --

    @abc.abstractmethod
    async def audit(
        self, workflow_id: WorkflowId, after_seq: int = 0, *, limit: int = PAGE_EVENTS
    ) -> list[AuditRow]:
        """Read a page of a log with everything stored beside it, unbelieved.

        Args:
            workflow_id: the log.
            after_seq: continue after this seq.
            limit: the most rows to give.

        Returns:
            Rows in seq order.

        Raises:
            CorruptStoreError: the rows cannot be read at all.
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def check_structure(self) -> list[Damage]:
        """Let the store check all that lies outside the logs' digest chains.

        Returns:
            What is damaged; empty when nothing is.

        Raises:
            StoreError: the store could not be read.
        """

    @abc.abstractmethod
    async def backup(self, path: str) -> None:
        """Write a consistent copy of the whole store, while it is in use.

        Args:
            path: a file that does not exist yet.

        Raises:
            UsageError: the file exists, or this store cannot be copied into a file.
            StoreError: the store could not be read or the copy not written.
        """

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close the store; what was answered stays. Closing twice does nothing; nothing may follow.

        Shielded from cancellation, because a connection half closed is worse than a late one.
        """


@attrs.frozen(slots=True)
class StoreOptions:
    """What every store's `open` is given.

    Attributes:
        location: the URL without its scheme: a path, or what the store makes of it.
        url: the URL as the caller wrote it.
        create: make the store when it does not exist; otherwise that is an error.
        read_only: refuse writes and change nothing, not even in the file's surroundings.
        ignore_poison: open a poisoned store as well, to look at all of it; it still takes nothing.
    """

    location: str
    url: str
    create: bool = True
    read_only: bool = False
    ignore_poison: bool = False
