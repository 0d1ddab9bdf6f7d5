"""The digest chain: 16 bytes that stand for a whole history.

Each event's digest is taken over the digest before it and the event itself, so two logs with equal
digests at a seq agree on everything up to it, and a changed, moved, dropped or swapped event shows. The
chain of a log begins with the digest of its workflow id, so two whole logs cannot change places unseen.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final

from treadle.events import EventKind, WorkflowEvent, WorkflowId

DIGEST_SIZE_BYTES: Final = 16
"""128 bits: damage and mistakes never pass; against forgery a store is not the place to trust."""

# Fixed-width fields first: no payload can pretend to be part of them.
_FIXED: Final = struct.Struct(">16sqqI")
pack_fixed = _FIXED.pack


def root_digest(workflow_id: WorkflowId) -> bytes:
    """Tell the digest with which a log's chain begins.

    Args:
        workflow_id: the log.

    Returns:
        16 bytes: the digest "before" seq 1.
    """
    return blake2b(workflow_id.encode(), digest_size=DIGEST_SIZE_BYTES).digest()


def next_digest(previous: bytes, seq: int, timestamp: int, kind: EventKind, payload: bytes) -> bytes:
    """Continue a chain with an event's values, without the event.

    Args:
        previous: the digest before the event, 16 bytes.
        seq: the event's seq.
        timestamp: its event time.
        kind: its kind.
        payload: its payload.

    Returns:
        The digest after the event, 16 bytes.
    """
    return blake2b(pack_fixed(previous, seq, timestamp, kind) + payload, digest_size=16).digest()


def chain_digest(previous: bytes, event: WorkflowEvent) -> bytes:
    """Continue a chain with an event.

    Args:
        previous: the digest before the event, 16 bytes.
        event: the event.

    Returns:
        The digest after the event, 16 bytes.
    """
    fixed = pack_fixed(previous, event.seq, event.timestamp, event.kind)
    return blake2b(fixed + event.payload, digest_size=16).digest()
