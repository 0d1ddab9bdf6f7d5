"""Which batches a log takes: one table, used by the in-memory log, the actors and every store.

A batch is judged alone first: an empty one, one over its limit, one with a gap or a repeat inside is
refused wherever the log stands. Then it is held against the log, whose next seq is *n*. The first row of
`ADMISSION` that fits is the answer; together the rows cover everything.

Two rows deserve their reason. A batch that lies wholly below *n* and equals what is stored is *accepted*
and writes nothing: whoever was cut off before the answer may ask again, at least once becomes exactly
once. And a batch that overlaps *n* is refused even when the stored part is equal, because its writer has
decided the rest without having seen that somebody else was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from treadle.errors import (
    AdmissionError,
    BatchError,
    ConflictError,
    EventsPrunedError,
    SequenceGapError,
    StaleSequenceError,
)
from treadle.events import BATCH_EVENTS_MAX, WorkflowEvent, WorkflowId


class Answer(Enum):
    """What a log says to a batch."""

    APPEND = "append"
    GAP = "gap"
    PRUNED = "pruned"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    STALE = "stale"


Difference = Callable[[], int | None]
"""The first seq at which the batch differs from what is stored, or None; read only when a row asks."""

Row = tuple[str, Callable[[int, int, int, int, Difference], bool], Answer]

# first and last: the batch's seqs.  n: the log's next seq.  kept: its first kept seq.
ADMISSION: Final[tuple[Row, ...]] = (
    ("starts at n", lambda first, last, n, kept, differs: first == n, Answer.APPEND),
    ("starts above n", lambda first, last, n, kept, differs: first > n, Answer.GAP),
    ("begins below the first kept seq", lambda first, last, n, kept, differs: first < kept, Answer.PRUNED),
    (
        "ends below n, and every event equals what is stored",
        lambda first, last, n, kept, differs: last < n and differs() is None,
        Answer.REPEATED,
    ),
    (
        "holds an event that differs from the stored one at its seq",
        lambda first, last, n, kept, differs: differs() is not None,
        Answer.CONFLICT,
    ),
    (
        "starts below n and runs past it, stored part equal",
        lambda first, last, n, kept, differs: first < n <= last,
        Answer.STALE,
    ),
)


def judge(first: int, last: int, next_seq: int, first_kept_seq: int, differs: Difference) -> Answer:
    """Find the first row of the table that fits.

    Args:
        first: the batch's first seq.
        last: its last seq.
        next_seq: the seq the log would take next.
        first_kept_seq: the log's oldest seq that retention has kept.
        differs: tells the first seq at which batch and log differ, or None.

    Returns:
        The answer.
    """
    for _, fits, answer in ADMISSION:
        if fits(first, last, next_seq, first_kept_seq, differs):
            return answer
    raise AssertionError("the admission table covers every batch")  # pragma: no cover


def check_batch(events: Sequence[WorkflowEvent], *, events_max: int = BATCH_EVENTS_MAX) -> None:
    """Refuse a batch that is wrong by itself.

    Args:
        events: the batch.
        events_max: how many events one batch may hold.

    Raises:
        BatchError: it is empty, too long, or has a gap or a repeat inside.
    """
    check_batch_size(len(events), events_max=events_max)
    expected = events[0].seq
    for event in events:
        if event.seq != expected:
            problem = "a gap" if event.seq > expected else "a repeat"
            raise BatchError(
                f"the seqs of a batch rise by one, got {problem} inside: {event.seq} where {expected}"
                " belongs; send each event once, in order"
            )
        expected += 1


def check_batch_size(size: int, *, events_max: int = BATCH_EVENTS_MAX) -> None:
    """Refuse a batch with too few or too many events.

    Args:
        size: how many events it holds.
        events_max: how many it may hold.

    Raises:
        BatchError: it is empty or too long.
    """
    if size == 0:
        raise BatchError("a batch has at least one event, got an empty one; leave the call out")
    if size > events_max:
        raise BatchError(f"a batch has at most {events_max} events, got {size}; send it in several batches")


def first_difference(
    events: Sequence[WorkflowEvent],
    stored: Sequence[WorkflowEvent],
    *,
    timestamps_given: Sequence[bool] | None = None,
) -> int | None:
    """Compare a batch with what stands at its seqs.

    Args:
        events: the batch.
        stored: the stored events from the batch's first seq on; may end before the batch does.
        timestamps_given: for each event whether its caller gave the timestamp; one that the runtime's
            clock supplied says nothing about the caller and is left out. None: all were given.

    Returns:
        The first seq that differs, or None.
    """
    for place, (offered, kept) in enumerate(zip(events, stored, strict=False)):
        if offered == kept:
            continue
        same_content = (offered.seq, offered.kind, offered.payload) == (kept.seq, kept.kind, kept.payload)
        if same_content and timestamps_given is not None and not timestamps_given[place]:
            continue
        return offered.seq
    return None


def refusal(
    answer: Answer,
    workflow_id: WorkflowId,
    events: Sequence[WorkflowEvent],
    *,
    next_seq: int,
    first_kept_seq: int = 1,
    stored: Sequence[WorkflowEvent] = (),
    conflict_seq: int | None = None,
) -> AdmissionError:
    """Word the error for an answer that refuses.

    Args:
        answer: GAP, PRUNED, CONFLICT or STALE.
        workflow_id: the log.
        events: the batch.
        next_seq: the seq the log would take next.
        first_kept_seq: the log's oldest kept seq.
        stored: the stored events from the batch's first seq on, for a conflict.
        conflict_seq: the first seq that differs, for a conflict.

    Returns:
        The error, to be raised or handed over.
    """
    log = f"workflow {workflow_id!r}"
    first, last = events[0].seq, events[-1].seq
    offered = f"seq {first}" if first == last else f"seqs {first}-{last}"
    if answer is Answer.GAP:
        return SequenceGapError(
            f"{log}: expected seq {next_seq}, got {offered}; append the events before it first",
            workflow_id=workflow_id,
            next_seq=next_seq,
        )
    if answer is Answer.PRUNED:
        return EventsPrunedError(
            f"{log}: {offered} lies below the first kept seq {first_kept_seq}, so it cannot be compared;"
            f" continue at seq {next_seq}",
            workflow_id=workflow_id,
            next_seq=next_seq,
            first_kept_seq=first_kept_seq,
        )
    if answer is Answer.STALE:
        return StaleSequenceError(
            f"{log}: expected seq {next_seq}, got {offered} decided without what was stored since;"
            f" read from {first}, decide again, append at {next_seq}",
            workflow_id=workflow_id,
            next_seq=next_seq,
        )
    return _conflict(log, workflow_id, events, next_seq, stored, conflict_seq)


def _conflict(
    log: str,
    workflow_id: WorkflowId,
    events: Sequence[WorkflowEvent],
    next_seq: int,
    stored: Sequence[WorkflowEvent],
    conflict_seq: int | None,
) -> ConflictError:
    seq = events[0].seq if conflict_seq is None else conflict_seq
    place = seq - events[0].seq
    there = stored[place] if place < len(stored) else None
    ours = events[place] if place < len(events) else None
    if there is None:
        message = (
            f"{log}: seq {seq} was decided on another history: the digest before it differs from the"
            " stored one; read the log again and decide again"
        )
    else:
        message = (
            f"{log}: another event stands at seq {seq}: stored {_brief(there)}, offered {_brief(ours)};"
            f" read the log, then append at seq {next_seq}"
        )
    return ConflictError(
        message, workflow_id=workflow_id, next_seq=next_seq, seq=seq, stored=there, offered=ours
    )


def _brief(event: WorkflowEvent | None) -> str:
    if event is None:
        return "nothing"
    payload = event.payload if len(event.payload) <= 32 else event.payload[:32] + b"..."
    return f"{event.kind.name} {payload!r} at {event.timestamp}"
