"""`treadle log append`: one event, durable when the command returns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import attrs
import trio
from cyclopts import Parameter

from treadle.cli.exits import CommandError
from treadle.cli.options import DEFAULT_STORE, WHOLE, OutputOption, StoreOption, WorkflowArgument
from treadle.cli.output import show_facts
from treadle.cli.stores import writing_runtime
from treadle.cli.times import MomentOption
from treadle.events import PAYLOAD_SIZE_BYTES_MAX, EventKind, check_key, check_payload, check_seq
from treadle.events import workflow_id as checked_workflow_id
from treadle.formats.times import timestamp_text
from treadle.log import Appended

USAGE: Final = "Usage: treadle log append [OPTIONS] WORKFLOW_ID KIND [PAYLOAD]"
EXAMPLES: Final = """Examples:

  treadle log append order-1 workflow_started '{"customer": 7}'
  treadle log append order-1 custom --payload-file scan.pdf --key 2c9e
  date | treadle log append order-1 signal_received --payload-file -
  treadle log append order-1 custom again --seq 2
"""


_KINDS: Final = {kind.name.lower(): kind for kind in EventKind if kind <= EventKind.CUSTOM}
"""Those of a plain log. The others are the engine's, and mean something only among what it has written."""
_KIND_HELP: Final = f"what happened: {', '.join(_KINDS)}."


@attrs.frozen
class _Wish:
    kind: EventKind
    payload: bytes
    timestamp: int | None
    seq: int | None
    key: bytes | None


def append(
    workflow_id: WorkflowArgument,
    kind: Annotated[str, Parameter(help=_KIND_HELP)],
    payload: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    payload_file: Annotated[str | None, Parameter(allow_leading_hyphen=True, metavar="FILE")] = None,
    seq: Annotated[int | None, WHOLE, Parameter(allow_leading_hyphen=True)] = None,
    key: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    timestamp: MomentOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Append one event to a log; it is durable when the command returns.

    The store and the workflow are made if they do not exist. Sent again with the same --seq or --key, the
    event is not written twice: the answer is the event that is there.

    Args:
        workflow_id: the workflow's id.
        kind: what happened, one of the names of a plain log's kinds in any case.
        payload: the event's content, as text.
        payload_file: read the content from this file instead; - reads stdin.
        seq: the place the event must take; another is a conflict (exit code 5).
        key: an idempotency key of at most 64 bytes, unique in its workflow.
        timestamp: the event time, RFC 3339 or nanoseconds since 1970; now if left out.
        output: how the answer is printed.
        store: the store.

    Raises:
        CommandError: there are two payloads, one over its limit, or a kind that is none of a plain log's.
        InvalidValueError: a value lies outside what its word allows.
        AdmissionError: the event does not fit the log.
        OSError: the payload's file cannot be read.
        StoreError: the store could not be opened or written.
    """
    if payload is not None and payload_file is not None:
        raise CommandError("a payload comes from the command line or from --payload-file, got both")
    if seq is not None:
        check_seq(seq)
    content = _file_content(payload_file) if payload_file is not None else _encoded(payload or "")
    wish = _Wish(_plain_kind(kind), content, timestamp, seq, None if key is None else _encoded(key))
    check_payload(wish.payload)
    if wish.key is not None:
        check_key(wish.key)
    name = checked_workflow_id(workflow_id)
    done = trio.run(_append, store, name, wish)
    event = done.events[0]
    record = {
        "workflow_id": name,
        "seq": event.seq,
        "timestamp": event.timestamp,
        "kind": event.kind.name,
        "repeated": done.repeated,
    }
    show_facts(output, "", record, {**record, "timestamp": timestamp_text(event.timestamp)})


def _plain_kind(text: str) -> EventKind:
    found = _KINDS.get(text.lower())
    if found is None:
        engines = ", which only the engine writes" if text.upper() in EventKind.__members__ else ""
        raise CommandError(f"an event kind is one of {', '.join(_KINDS)}; got {text[:60]!a}{engines}")
    return found


async def _append(url: str, name: str, wish: _Wish) -> Appended:
    async with writing_runtime(url) as runtime:
        return await runtime.workflow(name).append(
            wish.kind, wish.payload, timestamp=wish.timestamp, seq=wish.seq, key=wish.key
        )


def _encoded(text: str) -> bytes:
    # Bytes of the command line that are no UTF-8 come as surrogates and go back to what they were.
    return text.encode(errors="surrogateescape")


def _file_content(path: str) -> bytes:
    # One byte over the limit is enough to refuse it; the rest of a huge file need not be read.
    size = PAYLOAD_SIZE_BYTES_MAX + 1
    if path == "-":
        content = sys.stdin.buffer.read(size)
    else:
        with Path(path).open("rb") as file:
            content = file.read(size)
    if len(content) == size:
        raise CommandError(
            f"a payload has at most {PAYLOAD_SIZE_BYTES_MAX} bytes, {path} has more; log its name instead"
        )
    return content
