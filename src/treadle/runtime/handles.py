"""A handle: what callers hold of one workflow. Making one does no I/O and keeps nothing alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import attrs
from trio.lowlevel import current_task, enable_ki_protection

from treadle.errors import BatchError, InvalidValueError
from treadle.events import (
    PAYLOAD_SIZE_BYTES_MAX,
    EventKind,
    NewEvent,
    WorkflowEvent,
    WorkflowId,
    check_key,
    check_payload,
    check_seq,
    check_timestamp,
    event_kind,
)
from treadle.events import workflow_id as make_workflow_id
from treadle.log import Appended, Fold, check_batch, check_batch_size, check_range, check_reducer, list_of
from treadle.runtime.baselines import baseline, check_fold
from treadle.runtime.branching import branch
from treadle.runtime.durable.beginning_branches import BranchMode, check_mode
from treadle.runtime.durable.handle import DurableHandle
from treadle.runtime.event_time import View, viewed
from treadle.runtime.folds import FoldReplay
from treadle.runtime.following import Follower
from treadle.runtime.inbox import Content, Proposal, raise_own
from treadle.runtime.reading import Events
from treadle.runtime.replaying import fold
from treadle.runtime.retention import delete, prune
from treadle.runtime.transacting import check_not_deciding

if TYPE_CHECKING:  # a handle points back at its runtime
    from treadle.runtime.runtime import Runtime

S = TypeVar("S")


class WorkflowHandle(DurableHandle):
    """One workflow of one runtime; from `Runtime.workflow` or `Runtime.start`.

    Every method that reads tells what is durable, including what other processes have written; none
    shows what could still vanish.

    Attributes:
        workflow_id: the workflow.
    """

    __slots__ = ("_runtime", "_supervisor")

    def __init__(self, runtime: Runtime, workflow_id: WorkflowId, *, run: int | None = None) -> None:
        super().__init__(runtime._durable, workflow_id, run)
        self._runtime = runtime
        self._supervisor = runtime._supervisor

    def __repr__(self) -> str:
        return f"<WorkflowHandle {self.workflow_id!r}>"

    # -- writing --

    # Ctrl-C between noting the task and parking it would let the committer wake a task that does not wait.
    @enable_ki_protection
    async def append(
        self,
        kind: EventKind | int | str,
        payload: bytes = b"",
        *,
        timestamp: int | None = None,
        seq: int | None = None,
        key: bytes | None = None,
    ) -> Appended:
        """Append one event; when this returns, the event is durable.

        A call without `seq` and `key` is at most once for each attempt: after an unknown outcome a
        repeat may append a second event. Whoever re-sends gives one of them; then a repeat answers with
        the event that is there, `repeated`.

        Cancelled before the actor took it, nothing was written; cancelled later, it may be.

        Args:
            kind: what happened; an `EventKind`, its number or its name.
            payload: the content, at most `treadle.PAYLOAD_SIZE_BYTES_MAX` bytes.
            timestamp: event time in nanoseconds since 1970, UTC; None takes the clock's. In a repeat by
                seq a timestamp that was not given is not compared.
            seq: the place this event must take.
            key: an idempotency key of 1-64 bytes, unique in this workflow; a known one answers with the
                event it wrote.

        Returns:
            The event as it stands in the log, and whether it was there before.

        Raises:
            InvalidValueError: a value lies outside what its word allows.
            UsageError: it is a durable workflow; send it a signal.
            SequenceGapError: `seq` lies above the next one.
            ConflictError: another event stands at `seq`, or other writers were faster too many times.
            EventsPrunedError: `seq` lies below the first kept one.
            WorkflowUnavailableError: this workflow's actor has crashed.
            RuntimeClosedError: the runtime is closing; surely not written.
            StoreError: the store failed; its `written` says whether the event may be there.
        """
        if type(kind) is not EventKind:
            kind = event_kind(kind)
        if type(payload) is not bytes or len(payload) > PAYLOAD_SIZE_BYTES_MAX:
            check_payload(payload)
        if timestamp is not None:
            check_timestamp(timestamp)
        if seq is not None:
            check_seq(seq)
        keys = None
        if key is not None:
            check_key(key)
            keys = (key,)
        supervisor = self._supervisor
        if supervisor.transactions:
            check_not_deciding("append()")
        actor = supervisor.actors.get(self.workflow_id) or supervisor.actor(self.workflow_id)
        proposal = Proposal(actor, kind, payload, timestamp, seq, keys)
        # What `Supervisor.submit` does, written out: each coroutine less is a twentieth of the whole path.
        await supervisor.checkpoint_if_cancelled()
        if not supervisor.step_here(actor, proposal):
            await supervisor.submit_slowly(actor, proposal)
        if not proposal.decided:
            proposal.task = current_task()
            await supervisor.park_with(proposal.abandon)
        if proposal.error is not None:
            raise_own(proposal.error)
        return Appended(proposal.events, proposal.repeated)  # type: ignore[arg-type]  # decided: has events

    async def extend(
        self,
        events: Iterable[NewEvent | WorkflowEvent],
        *,
        seq: int | None = None,
        keys: Sequence[bytes | None] | None = None,
    ) -> Appended:
        """Append a batch, all or nothing; when this returns, it is durable.

        Args:
            events: at most the runtime's `batch_events_max`; all `NewEvent`, or all `WorkflowEvent` whose
                seqs then say where the batch belongs.
            seq: the place the first event must take, for `NewEvent`.
            keys: for each event its idempotency key or None.

        Returns:
            The events as they stand in the log, and whether all were there before.

        Raises:
            InvalidValueError: something is no event, or the two kinds of event are mixed.
            UsageError: it is a durable workflow; send it a signal.
            BatchError: the batch is empty, too long, or has a gap or a repeat (of a seq, of a key) inside.
            SequenceGapError: it starts above the next seq.
            StaleSequenceError: it starts below the next seq and runs past it.
            ConflictError: another event stands at one of its seqs, or one of its keys is taken.
            EventsPrunedError: it begins below the first kept seq.
            WorkflowUnavailableError: this workflow's actor has crashed.
            RuntimeClosedError: the runtime is closing; surely not written.
            StoreError: the store failed; its `written` says whether the batch may be there.
        """
        self._check_outside("extend()")
        batch = list_of(events)
        check_batch_size(len(batch), events_max=self._runtime.config.batch_events_max)
        first = _first_seq(batch, seq)
        contents: tuple[Content, ...] = tuple((event.kind, event.payload, event.timestamp) for event in batch)
        proposal = Proposal(
            self._supervisor.actor(self.workflow_id),
            seq=first,
            keys=_checked_keys(keys, len(batch)),
            batch=contents,
        )
        await self._supervisor.submit(proposal)
        return Appended(proposal.events, proposal.repeated)  # type: ignore[arg-type]  # decided: has events

    async def branch(self, *, at: int, to: str | int, mode: BranchMode = "what_if") -> WorkflowHandle:
        """Begin a log that shares this one's events up to a seq, and goes on by itself.

        No event is copied, whatever the history's length: it takes the time of one append. The branch reads
        as one log at once, with an event of its own behind the shared ones that says where it comes from
        (`EventKind.BRANCHED`). Whatever becomes of this log, what the branch shares stays.

        A branch of a durable workflow does nothing by itself. As ``"what_if"`` it plays in virtual time, and
        only when it is asked to (`what_if`); no effect leaves it, and listings, the feed and `replay_all`
        leave it out unless they are asked for it. As ``"real"`` it waits, held, for `resume`; then it runs as
        any other workflow does: activities that were pending run again under its own idempotency keys, the
        children that had begun are the original's, and it waits for their end beside it. Messages that are
        still in the mailbox are the original's alone.

        Cancelled, the branch may be there; the same call then raises `WorkflowExistsError`.

        Args:
            at: the last seq that is shared; any that this log keeps, in the middle of a turn too.
            to: the branch's id, never used before.
            mode: ``"what_if"`` or ``"real"``; of no meaning for a plain log.

        Returns:
            A handle to the branch.

        Raises:
            InvalidValueError: `at` is no seq, `to` no id, or `mode` none.
            UsageError: `to` is this log itself, or the run it would go on in is no longer kept whole.
            SequenceGapError: this log does not reach that far.
            EventsPrunedError: `at` lies below the first kept seq.
            WorkflowExistsError: the id is in use, or was.
            CodecError: the start of the run it would go on in cannot be read without its codec.
            RuntimeClosedError: the runtime is closing; nothing was written.
            StoreError: the store failed; its `written` says whether the branch may be there.
        """
        check_seq(at)
        check_mode(mode)
        self._check_outside("branch()")
        branch_id = make_workflow_id(to)
        await branch(self._runtime, self.workflow_id, at, branch_id, mode)
        return WorkflowHandle(self._runtime, branch_id)

    async def baseline(self, *folds: Fold[Any]) -> Appended:
        """Append the states of folds to a plain log, so that what came before may be removed.

        From then on a replay with one of these folds may begin here; retention (`treadle.RetentionPolicy`,
        `prune`, ``treadle store prune``) removes what came before, and nothing else may be removed. Give
        every fold that is still to read this log: one that is left out cannot begin at a baseline.

        Cancelled, it may be there; the same call then finds it.

        Args:
            *folds: the folds, each with a name of its own; an event for each.

        Returns:
            The events, `repeated` when the log ends with this very baseline already.

        Raises:
            InvalidValueError: one is no fold, two have one name, or a state is too large, has no JSON form,
                or would come back as something else.
            UsageError: it is a durable workflow; its code calls `workflow.continue_as_new`.
            WorkflowNotFoundError: the log has no events.
            EventsPrunedError: a fold cannot read the baseline with which the log begins.
            ConflictError: others appended first too many times; nothing was written.
            RuntimeClosedError: the runtime is closing; nothing was written.
            StoreError: the store failed; its `written` says whether it may be there.
            Exception: whatever a fold raises, with a note that names workflow and seq.
        """
        self._check_outside("baseline()")
        return await baseline(self._runtime, self.workflow_id, folds)

    async def prune(self, before_seq: int | None = None) -> int:
        """Remove what lies before a baseline: of a plain log a BASELINE, of a durable one its current run.

        What was removed is out of sight when this returns, and its room is given back in the background by
        a runtime with a `treadle.RetentionPolicy`, or by ``treadle store prune``.

        Cancelled, it may be removed or not.

        Args:
            before_seq: the first seq that is kept; None for that of the last baseline.

        Returns:
            The first kept seq, whether anything was removed or not.

        Raises:
            InvalidValueError: not a seq.
            WorkflowNotFoundError: the log has no events.
            EventsPrunedError: `before_seq` lies below the first kept seq.
            EventsNeededError: no baseline begins there, or a projection has not read so far.
            EventsSharedError: a branch shares events that would go; it names the branch.
            ConflictError: somebody has appended meanwhile; nothing was removed.
            CodecError: the start of a durable workflow's run cannot be read without its codec.
            RuntimeClosedError: the runtime is closing; nothing was removed.
            StoreError: the store failed; its `written` says whether it may be removed.
        """
        self._check_outside("prune()")
        return await prune(self._runtime, self.workflow_id, before_seq)

    async def delete(self) -> None:
        """Delete the log: nothing of it can be read or listed any more.

        Events that branches share stay in them. The id keeps its place: an event that is appended one day,
        or a workflow that is started, goes on behind the last one, so that no old reference ever means
        something new.

        Cancelled, it may be deleted or not.

        Raises:
            WorkflowNotFoundError: it has no events.
            EventsNeededError: it is a durable workflow that has not ended or for which a message waits, or a
                projection has not read so far. A what-if branch can be deleted at any time.
            ConflictError: somebody has appended meanwhile; nothing was deleted.
            RuntimeClosedError: the runtime is closing; nothing was deleted.
            StoreError: the store failed; its `written` says whether it may be deleted.
        """
        self._check_outside("delete()")
        await delete(self._runtime, self.workflow_id)

    # -- reading --

    def read(self, from_seq: int = 1, to_seq: int | None = None) -> Events:
        """Read a stretch of the log: ``async for event in handle.read(): ...``.

        Args:
            from_seq: the first seq, inclusive.
            to_seq: the last seq, inclusive; None for the end.

        Returns:
            An async iterator that fetches page by page; ``await .list()`` reads it all at once.

        Raises:
            InvalidValueError: a bound is not a seq.
        """
        check_range(from_seq, to_seq)
        self._check_outside("read()")
        store, limit = self._runtime.store, self._runtime.config.page_events

        async def next_page(after_seq: int) -> list[WorkflowEvent]:
            if to_seq is not None and after_seq >= to_seq:
                return []
            return await store.read(self.workflow_id, after_seq + 1, to_seq, limit=limit)

        return Events(next_page, from_seq - 1, limit)

    def between(self, since: int, until: int | None = None) -> Events:
        """Read by event time: events with ``since <= timestamp < until``, in seq order.

        Of a log whose beginning was removed it gives those that are kept.

        Args:
            since: the earliest event time, inclusive, in nanoseconds.
            until: the latest event time, exclusive; None for no end, which alone reaches
                `treadle.TIMESTAMP_MAX`.

        Returns:
            An async iterator that fetches page by page.

        Raises:
            InvalidValueError: a bound is not a timestamp.
        """
        check_timestamp(since)
        if until is not None:
            check_timestamp(until)
        self._check_outside("between()")
        store, limit = self._runtime.store, self._runtime.config.page_events

        async def next_page(after_seq: int) -> list[WorkflowEvent]:
            return await store.between(self.workflow_id, since, until, after_seq=after_seq, limit=limit)

        return Events(next_page, 0, limit)

    @overload
    async def replay(self, apply: Fold[S], /, *, to_seq: int | None = None) -> S: ...

    @overload
    async def replay(
        self,
        apply: Callable[[S, WorkflowEvent], S],
        state: S,
        from_seq: int = 1,
        to_seq: int | None = None,
        *,
        as_of: int | None = None,
        known_by: int | None = None,
        late: bool = True,
    ) -> S: ...

    async def replay(
        self,
        apply: Any,
        state: Any = attrs.NOTHING,
        from_seq: int = 1,
        to_seq: int | None = None,
        *,
        as_of: int | None = None,
        known_by: int | None = None,
        late: bool = True,
    ) -> Any:
        """Fold a stretch of the log, in order, into a state.

        A function folds exactly the events asked for. A `treadle.Fold` gives its state at the end, or at
        `to_seq`, from the nearest state that was kept: a snapshot, the baseline with which a log begins
        whose beginning was removed, or its first event.

        With `to_seq` it is the state as recorded at a seq; with `as_of` the state as it was at a time, by
        what is known today; with both `as_of` and `known_by` by what was known then. All bounds hold
        together, and the order is always that of the seqs.

        Args:
            apply: takes the state and the next event and returns the state after it; a function or a
                `treadle.Visitor`. Or a `treadle.Fold`, which has its own first state and begins at the
                log's beginning.
            state: the state before the first event.
            from_seq: the first seq, inclusive.
            to_seq: the last seq, inclusive; None for the end.
            as_of: only events that had happened by this event time, inclusive, in nanoseconds.
            known_by: only events that were recorded up to this position of the store, inclusive: the same
                instant in all logs. `runtime.store.position()` tells today's.
            late: whether events count that stand behind one which happened after `as_of`: they had
                happened by then, and whoever looked then did not know them.

        Returns:
            The state after the last event.

        Raises:
            InvalidValueError: a bound is not what it must be, `late` is False without `as_of`, `apply`
                cannot be called, or a fold came with a state, a first seq, or a bound of time.
            EventsPrunedError: `from_seq` lies below the first kept seq, or the fold cannot read the baseline
                with which the log begins.
            StoreError: the store could not be read.
            Exception: whatever `apply` raises, with a note that names workflow and seq.
        """
        view = View(as_of, known_by, late)
        if isinstance(apply, Fold):
            view.check_fold(apply, "replay(fold.apply, fold.initial(), as_of=...)")
            if state is not attrs.NOTHING or from_seq != 1:
                raise InvalidValueError(
                    f"fold {apply.name!r} has a first state and begins at the log's beginning: leave state"
                    " and from_seq out"
                )
            check_range(1, to_seq)
            self._check_outside("replay()")
            return await FoldReplay(self._runtime, self.workflow_id, apply).replay(to_seq)
        check_reducer(apply)
        if state is attrs.NOTHING:
            raise InvalidValueError("a function folds from a state: replay(apply, state), or give a Fold")
        events = self.read(from_seq, to_seq)
        if not view.is_whole:
            store, limit = self._runtime.store, self._runtime.config.page_events
            events = await viewed(store, self.workflow_id, view, from_seq, to_seq, limit)
        while page := await events.next_page():
            state = fold(apply, state, page, self.workflow_id)
        return state

    async def snapshot(self, fold: Fold[S]) -> int:
        """Keep a fold's state, so that the next replay with it reads only what follows.

        A snapshot is a cache: one that is lost, damaged or of another version is passed over with a warning,
        and the events are read. It never lets events be removed; a baseline does.

        Cancelled, it may be kept or not.

        Args:
            fold: the fold.

        Returns:
            The last seq that the state holds.

        Raises:
            InvalidValueError: it is no fold, or its state is too large, has no JSON form, or would come back
                as something else.
            WorkflowNotFoundError: the log has no events.
            EventsPrunedError: the fold cannot read the baseline with which the log begins.
            RuntimeClosedError: the runtime is closing; nothing was kept.
            StoreError: the store failed.
            Exception: whatever the fold raises, with a note that names workflow and seq.
        """
        check_fold(fold)
        self._check_outside("snapshot()")
        return await FoldReplay(self._runtime, self.workflow_id, fold).snapshot()

    async def event_at(self, seq: int) -> WorkflowEvent | None:
        """Look one event up.

        Args:
            seq: its place.

        Returns:
            The event, or None when the log does not reach that far.

        Raises:
            InvalidValueError: not a seq.
            EventsPrunedError: it lies below the first kept seq.
            StoreError: the store could not be read.
        """
        check_seq(seq)
        self._check_outside("event_at()")
        found = await self._runtime.store.read(self.workflow_id, seq, seq, limit=1)
        return found[0] if found else None

    async def stream_len(self) -> int:
        """Count the log's durable events, pruned ones included.

        Returns:
            How many; 0 for a workflow without events.

        Raises:
            StoreError: the store could not be read.
        """
        return await self.next_seq() - 1

    async def next_seq(self) -> int:
        """Tell the seq after the last durable event.

        Returns:
            1 for a workflow without events.

        Raises:
            StoreError: the store could not be read.
        """
        self._check_outside("a handle's reading")
        (head,) = await self._runtime.store.heads([self.workflow_id])
        return head.next_seq

    async def digest(self) -> bytes:
        """Tell the digest of the last durable event, which stands for the whole history.

        Returns:
            16 bytes; for a workflow without events those with which its chain would begin.

        Raises:
            StoreError: the store could not be read.
        """
        self._check_outside("a handle's reading")
        (head,) = await self._runtime.store.heads([self.workflow_id])
        return head.digest

    def follow(self, from_seq: int = 1) -> Follower:
        """Read the history from a seq on, then every event as it becomes durable, without end.

        No event is missing or given twice where history ends and live events begin. Other processes'
        events arrive within the runtime's `poll_seconds`.

        Args:
            from_seq: the first seq to give.

        Returns:
            An async iterator; safe to leave at any time.

        Raises:
            InvalidValueError: not a seq.
        """
        check_seq(from_seq)
        self._check_outside("follow()")
        runtime = self._runtime
        return Follower(
            runtime.store, runtime._changes, self.workflow_id, from_seq, runtime.config.page_events
        )


def _first_seq(batch: list[NewEvent | WorkflowEvent], seq: int | None) -> int | None:
    if seq is not None:
        check_seq(seq)
    kinds = {type(event) for event in batch}
    if kinds == {NewEvent}:
        return seq
    if kinds != {WorkflowEvent}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InvalidValueError(f"a batch is all NewEvent or all WorkflowEvent, got {names}")
    seqs = [event.seq for event in batch if isinstance(event, WorkflowEvent)]
    if seq is not None and seq != seqs[0]:
        raise InvalidValueError(f"the first event says seq {seqs[0]}, the call says {seq}; leave one out")
    _check_rising(batch)
    return seqs[0]


def _check_rising(batch: list[NewEvent | WorkflowEvent]) -> None:
    # Imported sizes may lie above a caller's limit, which was checked before: only the order is left.
    check_batch([event for event in batch if isinstance(event, WorkflowEvent)], events_max=len(batch))


def _checked_keys(keys: Sequence[bytes | None] | None, events: int) -> tuple[bytes | None, ...] | None:
    if keys is None:
        return None
    if not isinstance(keys, list | tuple):
        # A set has no order, a str or bytes would be taken letter by letter.
        raise InvalidValueError(f"keys are a list, one or None for each event, got {keys!r:.60}")
    if len(keys) != events:
        raise InvalidValueError(
            f"there is one key, or None, for each event: expected {events}, got {len(keys)}"
        )
    given = [key for key in keys if key is not None]
    for key in given:
        check_key(key)
    if len(set(given)) < len(given):
        raise BatchError("a key names one event of its workflow, got one twice in a batch; leave one out")
    return tuple(keys) if any(key is not None for key in keys) else None
