"""The events of a durable workflow, decoded: what `treadle workflow show` prints below a summary."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from treadle.cli.durable.words import event_words
from treadle.cli.notes import write_out
from treadle.cli.output import PAYLOAD_CELL_SIZE, Column, Rows
from treadle.engine.origins import decoded_events
from treadle.events import WorkflowEvent
from treadle.formats.times import timestamp_text
from treadle.payloads import CodecChain
from treadle.stores import Head, Store

_COLUMNS: Final = (Column("seq", 8, right=True), Column("time", 30), Column("event", 25), Column("what"))


async def read_history(store: Store, head: Head, chain: CodecChain, from_seq: int) -> list[WorkflowEvent]:
    """Read a durable workflow's events.

    Args:
        store: where they are.
        head: the workflow's.
        chain: decodes payloads.
        from_seq: the first one.

    Returns:
        The events as the engine wrote them.

    Raises:
        CodecError: a codec or a key is missing.
        StoreError: the store could not be read.
    """
    events: list[WorkflowEvent] = []
    seq = max(from_seq, head.first_kept_seq)
    while page := await store.read(head.workflow_id, seq):
        events += page
        seq = page[-1].seq + 1
    return list(decoded_events(head.workflow_id, events, chain))


def history_record(events: list[WorkflowEvent]) -> list[dict[str, Any]]:
    """Word events for JSON.

    Args:
        events: as the engine wrote them.

    Returns:
        An object each: seq, timestamp, kind, what in words, and the payload as JSON.
    """
    return [
        {
            "seq": event.seq,
            "timestamp": event.timestamp,
            "kind": event.kind.name,
            "what": event_words(event),
            "payload": msgspec.Raw(event.payload),
        }
        for event in events
    ]


def show_history(events: list[WorkflowEvent]) -> None:
    """Print events as a table.

    Args:
        events: as the engine wrote them.
    """
    write_out("\n")
    with Rows("table", *_COLUMNS) as rows:
        for event in events:
            what = event_words(event)
            if len(what) > PAYLOAD_CELL_SIZE:
                what = what[: PAYLOAD_CELL_SIZE - 1] + "…"
            rows.add({}, str(event.seq), timestamp_text(event.timestamp), event.kind.name, what)
