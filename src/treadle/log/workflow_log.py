"""Many workflows' logs in memory: synchronous, pure, usable alone by anyone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TypeVar

import attrs

from treadle.errors import BatchError, InvalidValueError
from treadle.events import (
    TIMESTAMP_MAX,
    NewEvent,
    WorkflowEvent,
    WorkflowId,
    check_seq,
    check_timestamp,
)
from treadle.events import workflow_id as _workflow_id
from treadle.log.admission import Answer, check_batch, check_batch_size, first_difference, judge, refusal
from treadle.log.digests import chain_digest, root_digest

S = TypeVar("S")


@attrs.frozen(slots=True, init=False, weakref_slot=False)
class Appended:
    """What an append has led to.

    Attributes:
        events: the events as they stand in the log, in order.
        repeated: True when they were there already and nothing was written.
    """

    events: tuple[WorkflowEvent, ...]
    repeated: bool = False

    # By hand like `WorkflowEvent`: one is made for every append.
    def __init__(self, events: tuple[WorkflowEvent, ...], repeated: bool = False) -> None:  # noqa: FBT001, FBT002  # a plain value
        _set_events(self, events)
        _set_repeated(self, repeated)

    @property
    def seq(self) -> int:
        """The seq of the last of the events."""
        return self.events[-1].seq

    @property
    def event(self) -> WorkflowEvent:
        """The last of the events."""
        return self.events[-1]


_set_events = Appended.__dict__["events"].__set__
_set_repeated = Appended.__dict__["repeated"].__set__


@attrs.define(slots=True, eq=False)
class _Log:
    """One workflow's events; `rising` while no event came with an earlier time than the one before."""

    events: list[WorkflowEvent] = attrs.Factory(list)
    digest: bytes = b""
    rising: bool = True
    by_time: list[tuple[int, int]] = attrs.Factory(list)


_timestamp = attrgetter("timestamp")


class WorkflowLog:
    """Append-only, gap-free logs of many workflows, in memory.

    Synchronous and pure: no clock, no chance, no I/O. Not for several threads at once. Every error
    changes nothing. Wherever a workflow id is taken, an ``int`` will do (see `treadle.workflow_id`).

    Example:
        >>> log = WorkflowLog()
        >>> log.append("order-7", NewEvent("signal_received", b"paid", timestamp=5)).seq
        1
    """

    def __init__(self) -> None:
        self._logs: dict[str, _Log] = {}

    def append(self, workflow_id: str | int, event: WorkflowEvent | NewEvent) -> Appended:
        """Append one event, or accept it silently when it stands there already.

        Args:
            workflow_id: the log.
            event: a `WorkflowEvent` with its seq, or a `NewEvent` that takes the next one.

        Returns:
            The event as it stands in the log, and whether it was there before.

        Raises:
            InvalidValueError: the id is not one, the event is neither kind of event, or a `NewEvent`
                has no timestamp.
            SequenceGapError: its seq lies above the next one.
            ConflictError: another event stands at its seq.
        """
        # Anything but a known name goes the long way, where it is converted or refused.
        log = self._logs.get(workflow_id) if type(workflow_id) is str else None
        if log is None:
            return self.extend(workflow_id, (event,))
        events = log.events
        next_seq = len(events) + 1
        if type(event) is not WorkflowEvent:
            event = _placed(event, next_seq)
        if event.seq != next_seq:
            # Only the table's first row, "starts at n", is taken here; all others are `extend`'s.
            return self.extend(workflow_id, (event,))
        if log.rising and events and event.timestamp < events[-1].timestamp:
            log.rising = False
        log.digest = chain_digest(log.digest, event)
        events.append(event)
        return Appended((event,))

    def extend(self, workflow_id: str | int, events: Iterable[WorkflowEvent | NewEvent]) -> Appended:
        """Append a batch, all or nothing.

        Args:
            workflow_id: the log.
            events: at most `treadle.BATCH_EVENTS_MAX` events; all with seqs, or all without.

        Returns:
            The events as they stand in the log, and whether all were there before.

        Raises:
            InvalidValueError: the id is not one, something is no event, or a `NewEvent` has no timestamp.
            BatchError: the batch is empty, too long, or has a gap or a repeat inside.
            SequenceGapError: it starts above the next seq.
            StaleSequenceError: it starts below the next seq and runs past it.
            ConflictError: another event stands at one of its seqs.
        """
        name = _workflow_id(workflow_id)
        log = self._logs.get(name)
        offered = list_of(events)
        check_batch_size(len(offered))
        next_seq = 1 if log is None else len(log.events) + 1
        batch = _placed_batch(offered, next_seq)
        check_batch(batch)
        answer = judge(batch[0].seq, batch[-1].seq, next_seq, 1, lambda: self._difference(name, batch))
        if answer is not Answer.APPEND:
            return self._answer_old(name, log or _Log(), batch, answer)
        if log is None:
            log = self._logs[name] = _Log(digest=root_digest(name))
        for event in batch:
            if log.events and event.timestamp < log.events[-1].timestamp:
                log.rising = False
            log.digest = chain_digest(log.digest, event)
            log.events.append(event)
        return Appended(batch)

    def read(
        self, workflow_id: str | int, from_seq: int = 1, to_seq: int | None = None
    ) -> list[WorkflowEvent]:
        """Read a stretch of a log.

        Args:
            workflow_id: the log.
            from_seq: its first seq, inclusive.
            to_seq: its last seq, inclusive; None for the end. Past the end means the end.

        Returns:
            The events in seq order; empty for an unknown workflow.

        Raises:
            InvalidValueError: the id or a seq is not one.
        """
        check_range(from_seq, to_seq)
        return self._events(workflow_id)[from_seq - 1 : to_seq]

    def between(self, workflow_id: str | int, since: int, until: int | None = None) -> list[WorkflowEvent]:
        """Read by event time.

        O(log n + results) while event times only rise; after a late event the first query sorts an index
        and later ones cost O(log n + k log k).

        Args:
            workflow_id: the log.
            since: the earliest event time, inclusive, in nanoseconds.
            until: the latest event time, exclusive; None for no end, which alone reaches `TIMESTAMP_MAX`.

        Returns:
            The events with ``since <= timestamp < until``, in seq order.

        Raises:
            InvalidValueError: the id or a timestamp is not one.
        """
        check_timestamp(since)
        if until is not None:
            check_timestamp(until)
        end = TIMESTAMP_MAX + 1 if until is None else until
        log = self._logs.get(_workflow_id(workflow_id))
        if log is None or since >= end:
            return []
        if log.rising:
            start = bisect_left(log.events, since, key=_timestamp)
            return log.events[start : bisect_left(log.events, end, lo=start, key=_timestamp)]
        index = _time_index(log)
        start = bisect_left(index, (since, 0))
        seqs = sorted(seq for _, seq in index[start : bisect_left(index, (end, 0), lo=start)])
        return [log.events[seq - 1] for seq in seqs]

    def replay(
        self,
        workflow_id: str | int,
        apply: Callable[[S, WorkflowEvent], S],
        state: S,
        from_seq: int = 1,
        to_seq: int | None = None,
    ) -> S:
        """Fold a stretch of a log, in order, into a state.

        Args:
            workflow_id: the log.
            apply: takes the state and the next event and returns the state after it; a function or a
                `treadle.Visitor`.
            state: the state before the first event.
            from_seq: the first seq, inclusive.
            to_seq: the last seq, inclusive; None for the end.

        Returns:
            The state after the last event.

        Raises:
            InvalidValueError: the id or a seq is not one, or `apply` cannot be called.
        """
        check_reducer(apply)
        for event in self.read(workflow_id, from_seq, to_seq):
            state = apply(state, event)
        return state

    def event_at(self, workflow_id: str | int, seq: int) -> WorkflowEvent | None:
        """Look one event up, in constant time.

        Args:
            workflow_id: the log.
            seq: its place.

        Returns:
            The event, or None when the log does not reach that far.

        Raises:
            InvalidValueError: the id or the seq is not one.
        """
        check_seq(seq)
        events = self._events(workflow_id)
        return events[seq - 1] if seq <= len(events) else None

    def stream_len(self, workflow_id: str | int) -> int:
        """Count a log's events.

        Args:
            workflow_id: the log.

        Returns:
            How many events it holds; 0 for an unknown workflow.

        Raises:
            InvalidValueError: the id is not one.
        """
        return len(self._events(workflow_id))

    def next_seq(self, workflow_id: str | int) -> int:
        """Tell the seq the log would take next.

        Args:
            workflow_id: the log.

        Returns:
            1 for an unknown workflow.

        Raises:
            InvalidValueError: the id is not one.
        """
        return len(self._events(workflow_id)) + 1

    def digest(self, workflow_id: str | int) -> bytes:
        """Tell the digest of a log's last event, which stands for its whole history.

        Args:
            workflow_id: the log.

        Returns:
            16 bytes; for an unknown workflow those with which its chain would begin.

        Raises:
            InvalidValueError: the id is not one.
        """
        name = _workflow_id(workflow_id)
        log = self._logs.get(name)
        return root_digest(name) if log is None else log.digest

    def workflow_ids(self) -> list[WorkflowId]:
        """List the workflows that have events, in the order of their first one.

        Returns:
            Their ids.
        """
        return [WorkflowId(name) for name in self._logs]

    def _events(self, workflow_id: str | int) -> list[WorkflowEvent]:
        log = self._logs.get(_workflow_id(workflow_id))
        return [] if log is None else log.events

    def _difference(self, name: WorkflowId, batch: tuple[WorkflowEvent, ...]) -> int | None:
        return first_difference(batch, self._events(name)[batch[0].seq - 1 : batch[-1].seq])

    def _answer_old(
        self, name: WorkflowId, log: _Log, batch: tuple[WorkflowEvent, ...], answer: Answer
    ) -> Appended:
        stored = log.events[batch[0].seq - 1 : batch[-1].seq]
        if answer is Answer.REPEATED:
            return Appended(tuple(stored), repeated=True)
        raise refusal(
            answer,
            name,
            batch,
            next_seq=len(log.events) + 1,
            stored=stored,
            conflict_seq=first_difference(batch, stored),
        )


def list_of(events: Iterable[WorkflowEvent | NewEvent]) -> list[WorkflowEvent | NewEvent]:
    """Take a caller's batch as a list.

    Args:
        events: the batch.

    Returns:
        The events.

    Raises:
        BatchError: it is no collection; a single event, most likely.
    """
    try:
        iterator = iter(events)
    except TypeError:
        shown = type(events).__name__
        raise BatchError(
            f"a batch is a collection of events, got one {shown}; append() it, or put it in a list"
        ) from None
    return list(iterator)


def check_range(from_seq: int, to_seq: int | None) -> None:
    """Refuse what cannot bound a stretch of a log.

    Args:
        from_seq: its first seq.
        to_seq: its last seq, or None for the end.

    Raises:
        InvalidValueError: one of them is not a seq.
    """
    check_seq(from_seq)
    if to_seq is not None:
        check_seq(to_seq)


def check_reducer(apply: object) -> None:
    """Refuse what cannot fold a log.

    Args:
        apply: what is to be called with a state and an event.

    Raises:
        InvalidValueError: it cannot be called.
    """
    if not callable(apply):
        raise InvalidValueError(
            f"apply is called with a state and an event, got {apply!r:.60}; give a function or a Visitor"
        )


def _placed(event: object, seq: int) -> WorkflowEvent:
    if isinstance(event, WorkflowEvent):
        return event
    if not isinstance(event, NewEvent):
        raise InvalidValueError(f"a log takes WorkflowEvent or NewEvent, got {type(event).__name__}")
    if event.timestamp is None:
        raise InvalidValueError("a WorkflowLog has no clock: give the NewEvent a timestamp (time.time_ns())")
    return WorkflowEvent(seq, event.timestamp, event.kind, event.payload)


def _placed_batch(offered: list[WorkflowEvent | NewEvent], next_seq: int) -> tuple[WorkflowEvent, ...]:
    kinds = {type(event) for event in offered}
    if len(kinds) > 1:
        raise InvalidValueError(
            "the events of a batch all have seqs (WorkflowEvent) or all have none (NewEvent), got both"
        )
    return tuple(_placed(event, seq) for seq, event in enumerate(offered, next_seq))


def _time_index(log: _Log) -> list[tuple[int, int]]:
    # Sorting what is sorted but for its tail is nearly linear, so the index is completed, not rebuilt.
    if len(log.by_time) < len(log.events):
        log.by_time.extend((event.timestamp, event.seq) for event in log.events[len(log.by_time) :])
        log.by_time.sort()
    return log.by_time
