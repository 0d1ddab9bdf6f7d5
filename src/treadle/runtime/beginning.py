"""Logs that begin in the middle: a copy of one whose beginning is kept elsewhere, or nowhere any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from treadle.events import WorkflowEvent, WorkflowId
from treadle.log import chain_digest
from treadle.runtime.inbox import Proposal
from treadle.stores import Batch, Begun, Unit

if TYPE_CHECKING:  # what is done here is done for a runtime
    from treadle.runtime.runtime import Runtime


async def begin_log(
    runtime: Runtime,
    workflow_id: WorkflowId,
    events: Sequence[WorkflowEvent],
    digest_before: bytes,
    keys: tuple[bytes | None, ...] | None = None,
) -> None:
    """Begin a log with events whose chain does not begin with its id; durable when this returns.

    Args:
        runtime: the runtime.
        workflow_id: the log, never used before.
        events: its first events, at least one, their seqs rising by one.
        digest_before: the digest before the first of them.
        keys: for each event its idempotency key or None.

    Raises:
        ConflictError: the id is in use, or a key comes twice.
        RuntimeClosedError: the runtime is closing; nothing was written.
        StoreError: the store failed; its `written` says whether it may be there.
    """
    digests: list[bytes] = []
    for event in events:
        digests.append(chain_digest(digests[-1] if digests else digest_before, event))
    batch = Batch(workflow_id, digest_before, tuple(events), tuple(digests), keys)
    unit = Unit((batch,), begun=(Begun(workflow_id, events[0].seq, digest_before),))
    try:
        await runtime._supervisor.commit_unit(Proposal(None), unit)
    finally:
        runtime._supervisor.forget([workflow_id])
