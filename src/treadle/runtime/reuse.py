"""Ids that were deleted and used again: what tells their logs from such as have lost their beginning.

Both begin at a seq above 1. But of a log whose id was used again nothing is missing: its first kept event is
the first one since the deletion, and a fold begins there with its first state. The deletion notes where.
"""

from __future__ import annotations

from typing import Final

from treadle.errors import CorruptStoreError
from treadle.events import WorkflowId
from treadle.runtime.decoding import origin_of
from treadle.stores import Head, Record, Store

DELETED: Final = "treadle:deleted"
"""The namespace of ids that were deleted; a value the seqs of the first events behind it, the newest last."""
DELETIONS_MAX: Final = 64
"""How many deletions of an id are known: the last is its log's own, older ones are those of branches."""


async def begins_anew(store: Store, head: Head) -> bool:
    """Tell whether nothing is missing of a log that begins above seq 1.

    Args:
        store: where it is.
        head: where it stands.

    Returns:
        Whether its first kept event is the first one behind a deletion of the id that it was written under.

    Raises:
        StoreError: the store could not be read.
    """
    first = head.first_kept_seq
    origin = head.workflow_id
    if first <= head.shared_seq:
        try:
            origin = await origin_of(store, origin, first)
        except CorruptStoreError:
            # Begun by hand, without a BRANCHED that names the parent; damage is told by whoever reads on.
            return False
    return b"%d" % first in await _deletions(store, origin)


async def deletion(store: Store, head: Head) -> Record:
    """Make what notes a deletion, for the unit that deletes.

    Args:
        store: where the log is.
        head: where it stands.

    Returns:
        The record.

    Raises:
        StoreError: the store could not be read.
    """
    before = await _deletions(store, head.workflow_id)
    seqs = [*before, b"%d" % head.next_seq][-DELETIONS_MAX:]
    return Record(DELETED, head.workflow_id.encode(), b" ".join(dict.fromkeys(seqs)))


async def _deletions(store: Store, workflow_id: WorkflowId) -> list[bytes]:
    return (await store.record(DELETED, workflow_id.encode()) or b"").split()
