"""Decoding single events of a log, under the id of the log that each was written to."""

from __future__ import annotations

from treadle.engine.origins import decoded_event, origin_in
from treadle.events import WorkflowEvent, WorkflowId
from treadle.payloads import CodecChain, CodecContext, is_encoded
from treadle.stores import Store


async def payload_of(
    store: Store, codecs: CodecChain, workflow_id: WorkflowId, event: WorkflowEvent
) -> bytes:
    """Take off what codecs have put round an event's payload.

    In what a branch shares it was encoded under the id of the log it was written to. Only an encoded event
    makes its reader look for that one.

    Args:
        store: where the log is.
        codecs: decode.
        workflow_id: the log.
        event: as it is stored; no mark.

    Returns:
        The payload as it was written.

    Raises:
        CodecError: a codec or a key is missing, or the payload is damaged.
        StoreError: the store could not be read.
    """
    if not is_encoded(event.payload):
        return codecs.decode(event.payload, CodecContext(workflow_id, event.seq))
    origin = await origin_of(store, workflow_id, event.seq)
    return decoded_event(origin, event, codecs).payload


async def origin_of(store: Store, workflow_id: WorkflowId, seq: int) -> WorkflowId:
    """Tell to which log an event was written.

    Args:
        store: where the log is.
        workflow_id: the log.
        seq: of an event that it shows.

    Returns:
        The log itself, or one whose events it shares.

    Raises:
        StoreError: the store could not be read.
    """
    (head,) = await store.heads([workflow_id])
    branched: list[WorkflowEvent] = []
    wanted = head.shared_seq + 1 if head.shared_seq >= seq else 0
    while wanted:
        branched += await store.read(workflow_id, wanted, wanted, limit=1)
        _, wanted = origin_in(workflow_id, seq, branched)
    origin, _ = origin_in(workflow_id, seq, branched)
    return WorkflowId(origin)
