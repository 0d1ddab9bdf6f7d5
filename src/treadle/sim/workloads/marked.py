"""Events that carry marks: each says whose log it was written for, and has a name of its own in the world.

Whatever is read later tells so whose it is, and which call has written it.
"""

from __future__ import annotations

from collections.abc import Sequence

from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.log import chain_digest
from treadle.stores import Batch


def mark_of(event: WorkflowEvent) -> str:
    """Read an event's mark.

    Args:
        event: of a workload of logs.

    Returns:
        The mark.
    """
    return event.payload.partition(b"|")[2].decode()


def owner_of(event: WorkflowEvent) -> str:
    """Read whose log an event was written for.

    Args:
        event: of a workload of logs.

    Returns:
        The workflow id.
    """
    return event.payload.partition(b"|")[0].decode()


def payload_of(name: str, mark: str) -> bytes:
    """Word an event's payload.

    Args:
        name: the log that it is written to.
        mark: its mark.

    Returns:
        The payload.
    """
    return f"{name}|{mark}".encode()


def marked_batch(
    name: WorkflowId, digest: bytes, first_seq: int, marks: Sequence[str], token: object = None
) -> Batch:
    """Chain events into a batch, as a writer does who goes past the runtime.

    Args:
        name: the log.
        digest: that of the event before the first one.
        first_seq: the seq of the first one.
        marks: a mark for each event.
        token: what the store has said of the log's head, if anything.

    Returns:
        The batch; all its events are of time 0.
    """
    before, events, digests = digest, list[WorkflowEvent](), list[bytes]()
    for seq, mark in enumerate(marks, first_seq):
        events.append(WorkflowEvent(seq, 0, EventKind.CUSTOM, payload_of(name, mark)))
        digests.append(digest := chain_digest(digest, events[-1]))
    return Batch(name, before, tuple(events), tuple(digests), token=token)
