"""Under which id an event was encoded: in what a branch shares, under that of the log it was written to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from treadle.engine.marks import BRANCHED, MARK_KINDS, read_branched
from treadle.events import WorkflowEvent, trusted_event
from treadle.payloads import CodecChain, CodecContext, is_encoded


def decoded_events(
    workflow_id: str, events: Sequence[WorkflowEvent], codecs: CodecChain
) -> Sequence[WorkflowEvent]:
    """Take off what codecs have put round the payloads of a log.

    Args:
        workflow_id: the log.
        events: as they are stored, up to the log's end: a BRANCHED says where those before it were written.
        codecs: decode.

    Returns:
        The events as they were written; the very same when none was encoded.

    Raises:
        CodecError: a codec or a key is missing, or a payload is damaged.
        CorruptStoreError: a BRANCHED cannot be read.
    """
    # Without codecs, too: a payload that says it is encoded is no JSON, and the error says what it needs.
    if not codecs and not any(is_encoded(event.payload) for event in events):
        return events
    found, origin = [], workflow_id
    for event in reversed(events):
        if event.kind is BRANCHED:
            origin = read_branched(event).written_to
        found.append(event if event.kind in MARK_KINDS else decoded_event(origin, event, codecs))
    return found[::-1]


def decoded_event(origin: str, event: WorkflowEvent, codecs: CodecChain) -> WorkflowEvent:
    """Take off what codecs have put round one event's payload.

    Args:
        origin: the log it was written to.
        event: as it is stored; no mark.
        codecs: decode.

    Returns:
        The event as it was written; the very same when it was not encoded.

    Raises:
        CodecError: a codec or a key is missing, or the payload is damaged.
    """
    plain = codecs.decode(event.payload, CodecContext(origin, event.seq))
    if plain is event.payload:
        return event
    return trusted_event(event.seq, event.timestamp, event.kind, plain)


def origin_in(workflow_id: str, seq: int, branched: Iterable[WorkflowEvent]) -> tuple[str, int]:
    """Tell under which id an event was written.

    Args:
        workflow_id: the log in which it is read.
        seq: the event.
        branched: the log's BRANCHED events, the newest first; as many as are at hand.

    Returns:
        The id, and the seq of the BRANCHED that is wanted as well to be sure of it, or 0.

    Raises:
        CorruptStoreError: a BRANCHED cannot be read.
    """
    origin, wanted = workflow_id, 0
    for event in branched:
        if event.seq <= seq:
            return origin, 0
        found = read_branched(event)
        origin = found.written_to
        wanted = found.previous if found.previous > seq else 0
    return origin, wanted
