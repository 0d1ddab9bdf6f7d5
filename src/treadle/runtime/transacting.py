"""Transactions: decide on several logs, write several logs, all or nothing.

What is read is remembered as a guard, what is written as a batch, and all of it goes to the store as one
unit: taken only if every log still stands where it was read. Otherwise another writer came first, and the
decision is made again on what is there now. So transactions are serializable over the logs they read, and
write skew cannot happen: two that read the same logs and write different ones cannot both be taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from treadle.errors import (
    AdmissionError,
    BatchError,
    ConflictError,
    InvalidValueError,
    SequenceGapError,
    StaleSequenceError,
    UsageError,
)
from treadle.events import (
    EventKind,
    WorkflowEvent,
    WorkflowId,
    check_key,
    check_prefix,
    check_seq,
    event_kind,
)
from treadle.events import workflow_id as make_workflow_id
from treadle.log import chain_digest, check_range, check_reducer
from treadle.runtime.committer import key_is_taken
from treadle.runtime.inbox import Proposal
from treadle.runtime.replaying import fold
from treadle.stores import Batch, Guard, Head, Message, Unit

if TYPE_CHECKING:  # a transaction points back at its runtime
    from treadle.runtime.runtime import Runtime

S = TypeVar("S")
T = TypeVar("T")

ATTEMPTS_MAX: Final = 100
"""How often a decision is made at most when others keep coming first: by then they always will."""
RACE_PAUSE_SECONDS: Final = 0.002
"""How long is waited at most before the second attempt; before each further one up to twice as long."""
RACE_PAUSE_SECONDS_MAX: Final = 0.25
"""Where that ends. Of fifty who decide on the same two logs one is taken with each commit, so they must
spread over fifty commits: with pauses that grew by one step each time, half of them gave up."""
# By other names, because a transaction has a method `list`.
_Events: TypeAlias = list[WorkflowEvent]
_Ids: TypeAlias = list[WorkflowId]
_Messages: TypeAlias = list[Message]
RACES: Final = (ConflictError, SequenceGapError, StaleSequenceError)
"""What says that another came first: read again, and decide again."""

_deciding: ContextVar[Transaction | None] = ContextVar("treadle_deciding", default=None)


def check_not_deciding(what: str) -> None:
    """Refuse a call that would go round the transaction in which it is made.

    Args:
        what: the call, for the message.

    Raises:
        UsageError: it is made inside `decide`, or in a task that was started there and not ended with it.
    """
    transaction = _deciding.get()
    if transaction is not None and not transaction.is_over:
        raise UsageError(
            f"{what} inside decide goes round its transaction: nothing would guard it, and it would be done"
            " again with each attempt; use the transaction's own methods, or call it after transact()"
        )


class Transaction:
    """What `decide` reads and writes through; from `Runtime.transact`.

    It is good for one attempt: when another writer came first, `decide` is given a new one. Each log is
    read as it stood at its first reading; the events that are to be appended are seen behind it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._store = runtime.store
        self._heads: dict[WorkflowId, Head] = {}
        self._appended: dict[WorkflowId, list[WorkflowEvent]] = {}
        self._keys: dict[WorkflowId, list[bytes | None]] = {}
        self._messages: list[Message] = []
        self._position: int | None = None
        self._over = False

    # -- reading --

    async def read(self, workflow_id: str | int, from_seq: int = 1, to_seq: int | None = None) -> _Events:
        """Read a stretch of a log, all of it at once, and guard the log.

        Args:
            workflow_id: the log.
            from_seq: the first seq, inclusive.
            to_seq: the last seq, inclusive; None for the end.

        Returns:
            Its events in seq order, those that this transaction appends included.

        Raises:
            InvalidValueError: the id is none, or a bound is no seq.
            EventsPrunedError: `from_seq` lies below the first kept seq.
            UsageError: the attempt is over.
            StoreError: the store could not be read.
        """
        check_range(from_seq, to_seq)
        head = await self._head(workflow_id)
        last = head.next_seq - 1 if to_seq is None else min(to_seq, head.next_seq - 1)
        events: _Events = []
        limit = self._runtime.config.page_events
        while from_seq <= last:
            page = await self._store.read(head.workflow_id, from_seq, last, limit=limit)
            if not page:
                break
            events += page
            from_seq = page[-1].seq + 1
        behind = self._appended.get(head.workflow_id, ())
        return events + [e for e in behind if from_seq <= e.seq and (to_seq is None or e.seq <= to_seq)]

    async def replay(
        self, workflow_id: str | int, apply: Callable[[S, WorkflowEvent], S], state: S, from_seq: int = 1
    ) -> S:
        """Fold a log into a state, and guard it.

        Args:
            workflow_id: the log.
            apply: takes the state and the next event and returns the state after it.
            state: the state before the first event.
            from_seq: the first seq, inclusive.

        Returns:
            The state after the last event, those that this transaction appends included.

        Raises:
            InvalidValueError: the id is none, `from_seq` is no seq, or `apply` cannot be called.
            EventsPrunedError: `from_seq` lies below the first kept seq.
            UsageError: the attempt is over.
            StoreError: the store could not be read.
            Exception: whatever `apply` raises, with a note that names workflow and seq.
        """
        check_reducer(apply)
        check_seq(from_seq)
        events = await self.read(workflow_id, from_seq)
        return fold(apply, state, events, make_workflow_id(workflow_id))

    async def next_seq(self, workflow_id: str | int) -> int:
        """Tell the seq after the last event of a log, and guard it.

        Args:
            workflow_id: the log.

        Returns:
            1 for a log without events; what this transaction appends is counted.

        Raises:
            InvalidValueError: the id is none.
            UsageError: the attempt is over.
            StoreError: the store could not be read.
        """
        head = await self._head(workflow_id)
        return head.next_seq + len(self._appended.get(head.workflow_id, ()))

    async def list(self, prefix: str = "") -> _Ids:
        """List the workflows that have events, and guard the list.

        The guard is coarse: it holds only while nobody appends to any log of the store, so in a busy store
        a decision that lists is made again and again. A log that names the others needs no list.

        Args:
            prefix: only ids that begin so.

        Returns:
            Their ids in the order of their UTF-8 bytes; a log that only this transaction begins is not
            among them.

        Raises:
            InvalidValueError: the prefix is no str.
            UsageError: the attempt is over.
            StoreError: the store could not be read.
        """
        check_prefix(prefix)
        self._check_open()
        if self._position is None:
            self._position = await self._store.position()
        found: _Ids = []
        while page := await self._store.list_workflows(prefix=prefix, after=found[-1] if found else None):
            found += page
        return found

    # -- writing --

    async def append(
        self,
        workflow_id: str | int,
        kind: EventKind | int | str,
        payload: bytes = b"",
        *,
        timestamp: int | None = None,
        key: bytes | None = None,
    ) -> WorkflowEvent:
        """Append an event to a plain log when the transaction is taken, and guard the log.

        Args:
            workflow_id: the log.
            kind: what happened.
            payload: the content.
            timestamp: event time in nanoseconds; None takes the clock's.
            key: an idempotency key, unique in the log.

        Returns:
            The event as it will stand there.

        Raises:
            InvalidValueError: a value lies outside what its word allows.
            BatchError: the transaction appends more to this log than `batch_events_max`.
            UsageError: it is a durable workflow (send it a signal), or the attempt is over.
            WorkflowUnavailableError: its actor has crashed too often.
            StoreError: the store could not be read.
        """
        if key is not None:
            check_key(key)
        head = await self._head(workflow_id)
        if head.facts is not None:
            raise UsageError(
                f"{head.workflow_id!r} is a durable workflow: only its runner appends to its log; send it a"
                " signal instead, with tx.signal()"
            )
        self._runtime._supervisor.check_available(head.workflow_id)
        there = self._appended.setdefault(head.workflow_id, [])
        if len(there) >= (most := self._runtime.config.batch_events_max):
            raise BatchError(f"a transaction appends at most {most} events to a log; split it up")
        time_ns = self._runtime._kernel.wall_time_ns() if timestamp is None else timestamp
        event = WorkflowEvent(head.next_seq + len(there), time_ns, event_kind(kind), payload)
        there.append(event)
        self._keys.setdefault(head.workflow_id, []).append(key)
        return event

    async def signal(self, workflow_id: str | int, name: str, *args: Any, key: bytes | None = None) -> None:
        """Send a signal to a durable workflow when the transaction is taken.

        Args:
            workflow_id: the workflow.
            name: the signal's name.
            *args: its values.
            key: an id for the message, unique for its workflow: sent twice, it arrives once.

        Raises:
            InvalidValueError: the id or the name is none, or an argument has no JSON form.
            WorkflowNotFoundError: there is no such workflow.
            WorkflowClosedError: it has come to its end.
            UsageError: it is a plain log, or the attempt is over.
            StoreError: the store could not be read.
        """
        if key is not None:
            check_key(key)
        self._check_open()
        row = await self._runtime._durable.signal_row(make_workflow_id(workflow_id), name, args, key)
        self._messages.append(row)

    # -- the attempt --

    async def _head(self, workflow_id: str | int) -> Head:
        self._check_open()
        name = make_workflow_id(workflow_id)
        if name not in self._heads:
            (self._heads[name],) = await self._store.heads([name])
        return self._heads[name]

    def _check_open(self) -> None:
        if self._over:
            raise UsageError(
                "this transaction belongs to an attempt that is over; read and append inside decide alone"
            )

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be read or appended through it."""
        return self._over

    def end(self) -> None:
        """Let nothing more be read or appended through it."""
        self._over = True

    async def is_torn(self) -> bool:
        """Tell whether anything that was read has changed since.

        Returns:
            Whether the decision was made on what never stood there together.

        Raises:
            StoreError: the store could not be read.
        """
        then = list(self._heads.values())
        now = await self._store.heads([head.workflow_id for head in then]) if then else []
        moved = any(_stands(one) != _stands(other) for one, other in zip(then, now, strict=True))
        return moved or (self._position is not None and self._position != await self._store.position())

    def unit(self) -> Unit | None:
        """Make the unit that the store takes or refuses.

        Returns:
            The unit; None when nothing is written and at most one log was read, which needs no guard.
        """
        batches = tuple(self._batch(name, events) for name, events in self._appended.items())
        # For logs that are appended to as well: a deleted log stands where it stood, so that no batch tells.
        guards = tuple(Guard(name, *_stands(head)) for name, head in self._heads.items())
        if not batches and not self._messages and self._position is None and len(guards) < 2:
            return None
        return Unit(batches, guards, tuple(self._messages), position=self._position)

    def _batch(self, workflow_id: WorkflowId, events: _Events) -> Batch:
        head, keys = self._heads[workflow_id], self._keys[workflow_id]
        digests, before = [], head.digest
        for event in events:
            before = chain_digest(before, event)
            digests.append(before)
        keyed = tuple(keys) if any(key is not None for key in keys) else None
        return Batch(workflow_id, head.digest, tuple(events), tuple(digests), keyed, token=head.token)

    @property
    def written(self) -> _Ids:
        """The logs that it appends to."""
        return list(self._appended)

    @property
    def is_keyed(self) -> bool:
        """Whether a key says of each of its events which one it is."""
        return all(key is not None for keys in self._keys.values() for key in keys)

    @property
    def messages(self) -> _Messages:
        """The messages that it sends."""
        return self._messages


async def transact(
    runtime: Runtime, decide: Callable[[Transaction], Awaitable[T]], attempts_max: int | None
) -> T:
    """Decide until nobody else came first; see `Runtime.transact`.

    Args:
        runtime: the runtime.
        decide: reads and writes through a transaction.
        attempts_max: how often at most; None for what the runtime's config says.

    Returns:
        What `decide` has returned.

    Raises:
        UsageError: `decide` is none, or goes round the transaction.
        ConflictError: others came first each time.
    """
    most = runtime.config.readmissions_max + 1 if attempts_max is None else attempts_max
    if type(most) is not int or not 1 <= most <= ATTEMPTS_MAX:
        raise InvalidValueError(f"attempts_max is an int from 1 to {ATTEMPTS_MAX}, got {attempts_max!r}")
    if not callable(decide):
        raise InvalidValueError(f"decide is an async function of a transaction, got {decide!r}")
    check_not_deciding("transact()")
    attempt = 0
    while True:
        attempt += 1
        lost = await _attempt(runtime, decide)
        if not isinstance(lost, AdmissionError):
            return lost
        if attempt >= most:
            lost.add_note(f"decided {attempt} times, and others came first each time")
            raise lost
        kernel = runtime._kernel
        pause_seconds = min(RACE_PAUSE_SECONDS * 2 ** (attempt - 1), RACE_PAUSE_SECONDS_MAX)
        await kernel.sleep(kernel.random() * pause_seconds)


async def _attempt(runtime: Runtime, decide: Callable[[Transaction], Awaitable[T]]) -> T | AdmissionError:
    """Decide once; an `AdmissionError` when another writer came first."""
    transaction = Transaction(runtime)
    try:
        with _marked(runtime, transaction):
            result: T = await _awaitable(decide(transaction), decide)
    except Exception:
        # It may have seen one log before and another one after somebody's write: that says nothing.
        if await transaction.is_torn():
            return _torn(transaction)
        raise
    unit = transaction.unit()
    if unit is not None:
        proposal = Proposal(None)
        try:
            await runtime._supervisor.commit_unit(proposal, unit)
        except RACES as error:
            if key_is_taken(error):
                raise
            return error
        finally:
            runtime._supervisor.forget(transaction.written)
        if proposal.repeated and not transaction.is_keyed:
            # Somebody else's equal events stand in these places; both are wanted.
            return _torn(transaction)
        runtime._durable.hand_on(transaction.messages)
    return result


def _awaitable(made: object, decide: object) -> Awaitable[Any]:
    if not isinstance(made, Awaitable):
        raise InvalidValueError(f"decide is an async function of a transaction, got {decide!r}")
    return made


def _stands(head: Head) -> tuple[int, bytes, int]:
    return head.next_seq, head.digest, head.first_kept_seq


def _torn(transaction: Transaction) -> ConflictError:
    name, head = next(iter(transaction._heads.items()), (WorkflowId(""), None))
    next_seq = head.next_seq if head is not None else 1
    return ConflictError(
        "what was read has changed meanwhile; read it again and decide again",
        workflow_id=name,
        next_seq=next_seq,
        seq=next_seq,
    )


@contextmanager
def _marked(runtime: Runtime, transaction: Transaction) -> Iterator[None]:
    """Let every call that goes round the transaction be refused, in tasks that are started here as well."""
    supervisor, before = runtime._supervisor, _deciding.set(transaction)
    supervisor.transactions += 1
    try:
        yield
    finally:
        transaction.end()  # a task that was started there may live on
        supervisor.transactions -= 1
        _deciding.reset(before)
