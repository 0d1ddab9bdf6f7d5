"""`treadle workflow ...`: which workflows there are, and what each has come to."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Final, Literal, NamedTuple

import attrs
import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import CodecsOption
from treadle.cli.durable.modules import load_codecs
from treadle.cli.durable.showing import history_record, read_history, show_history
from treadle.cli.notes import note, write_out
from treadle.cli.options import (
    DEFAULT_STORE,
    WHOLE,
    Flag,
    OutputFormat,
    OutputOption,
    Positive,
    PrefixOption,
    StoreOption,
    WorkflowArgument,
)
from treadle.cli.output import Column, Rows, show_facts
from treadle.cli.stores import known_workflows, reading_runtime, reading_store
from treadle.engine import Status
from treadle.events import EventKind, WorkflowEvent, WorkflowId, check_seq
from treadle.events import workflow_id as checked_workflow_id
from treadle.formats.times import timestamp_text
from treadle.payloads import CodecChain
from treadle.stores import PAGE_WORKFLOWS, Head, Store

LIST_EXAMPLES: Final = """Examples:

  treadle workflow list
  treadle workflow list --prefix order- --limit 10
  treadle workflow list --after order-000010 -o jsonl
  treadle workflow list --status held
"""
SHOW_EXAMPLES: Final = """Examples:

  treadle workflow show order-1
  treadle workflow show order-1 -o json
  treadle workflow show order-7 --from 20
"""
COUNT_EXAMPLES: Final = """Examples:

  treadle workflow count
  treadle workflow count --prefix order-
"""
STATUS_BY_FINAL_KIND: Final = {
    EventKind.WORKFLOW_COMPLETED: "completed",
    EventKind.WORKFLOW_FAILED: "failed",
}
"""How a log that has ended ends; any other last event leaves it open."""
StatusName = Literal["running", "completed", "failed", "cancelled", "terminated", "held"]
_DIGEST_CELL_SIZE: Final = 12
"""Enough to see that two differ; ids need the room, and `show` and JSON have all of it."""
_COLUMNS: Final = (
    Column("events", 8, right=True),
    Column("digest", _DIGEST_CELL_SIZE),
    Column("status", 10),
    Column("workflow", whole=True),
)


def list_workflows(
    *,
    prefix: PrefixOption = "",
    status: Annotated[StatusName | None, Parameter(show_default=False)] = None,
    hidden: Annotated[Flag, Parameter(name="--hidden")] = False,
    limit: Annotated[int | None, WHOLE, Parameter(validator=Positive)] = None,
    after: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """List the workflows that have events, in the order of their ids' UTF-8 bytes.

    Durable workflows have a status; plain logs have none.

    Args:
        prefix: only workflows whose id begins so.
        status: only durable workflows that stand so.
        hidden: what-if branches as well.
        limit: at most so many; all if left out.
        after: continue behind this id.
        output: how the workflows are printed.
        store: the store.

    Raises:
        InvalidValueError: the id to continue behind is none.
        StoreError: the store could not be opened or read.
    """
    start = None if after is None else checked_workflow_id(after)
    number = None if status is None else int(Status[status.upper()])
    trio.run(_list, store, _Chosen(prefix, number, hidden), limit, start, output)


class _Chosen(NamedTuple):
    """Which workflows are listed; the store's own words."""

    prefix: str
    status: int | None
    hidden: bool


async def _list(
    url: str,
    chosen: _Chosen,
    limit: int | None,
    after: WorkflowId | None,
    output: OutputFormat,
) -> None:
    async with reading_store(url) as store:
        with Rows(output, *_COLUMNS) as rows:
            while limit is None or rows.count < limit:
                wanted = PAGE_WORKFLOWS if limit is None else min(PAGE_WORKFLOWS, limit - rows.count)
                page = await store.list_workflows(**chosen._asdict(), after=after, limit=wanted)
                if not page:
                    return
                await _add_page(store, page, rows)
                after = page[-1]
        if after is not None and await store.list_workflows(**chosen._asdict(), after=after, limit=1):
            note(f"there are more: --after={shlex.quote(after)} goes on")


async def _add_page(store: Store, page: list[WorkflowId], rows: Rows) -> None:
    for head in await store.heads(page):
        digest = head.digest.hex()
        status = None if head.facts is None else Status(head.facts.status).name.lower()
        record = {
            "workflow_id": head.workflow_id,
            "events": head.next_seq - 1,
            "digest": digest,
            "status": status,
            "name": None if head.facts is None else head.facts.name,
        }
        rows.add(record, str(head.next_seq - 1), digest[:_DIGEST_CELL_SIZE], status or "-", head.workflow_id)


def show(
    workflow_id: WorkflowArgument,
    /,
    *,
    from_seq: Annotated[int, WHOLE, Parameter(name="--from", allow_leading_hyphen=True)] = 1,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show what one workflow has come to: its events by kind, first and last time, digest, status.

    Below that a durable workflow's events follow, in words and, as JSON, with their decoded payloads. Its
    status is its own; that of a plain log is completed or failed when the last event says so, and open
    otherwise.

    Args:
        workflow_id: the workflow's id.
        from_seq: the first event of a durable workflow that is shown; those before are counted only.
        codecs: what payloads go through.
        output: how it is printed.
        store: the store.

    Raises:
        InvalidValueError: the id is none.
        NotFoundError: there is no such workflow.
        CodecError: payloads are encoded, and their codecs were not given.
        StoreError: the store could not be opened or read.
    """
    name = checked_workflow_id(workflow_id)
    check_seq(from_seq)
    facts, rows, history = trio.run(_show, store, name, from_seq, load_codecs(codecs))
    if history is not None:
        facts["history"] = history_record(history)
    show_facts(output, name, facts, rows)
    if history and output == "table":
        show_history(history)


@attrs.define
class _Summary:
    """What a log adds up to."""

    events: int = 0
    first_time: int | None = None
    last_time: int | None = None
    final_kind: EventKind | None = None
    kinds: dict[EventKind, int] = attrs.Factory(dict)


def _summed(summary: _Summary, event: WorkflowEvent) -> _Summary:
    summary.events += 1
    if summary.first_time is None:
        summary.first_time = event.timestamp
    summary.last_time = event.timestamp
    summary.final_kind = event.kind
    summary.kinds[event.kind] = summary.kinds.get(event.kind, 0) + 1
    return summary


async def _show(
    url: str, name: WorkflowId, from_seq: int, chain: CodecChain
) -> tuple[dict[str, Any], dict[str, Any], list[WorkflowEvent] | None]:
    async with reading_runtime(url) as runtime:
        await known_workflows(runtime.store, [name])
        (head,) = await runtime.store.heads([name])
        summary = await runtime.workflow(name).replay(_summed, _Summary(), head.first_kept_seq)
        history = None
        if head.facts is not None:
            history = await read_history(runtime.store, head, chain, from_seq)
    status = _status(head, summary)
    kinds = {kind.name: count for kind, count in sorted(summary.kinds.items())}
    facts = {
        "workflow_id": name,
        "status": status,
        "events": summary.events,
        "next_seq": head.next_seq,
        "first_kept_seq": head.first_kept_seq,
        "first_timestamp": summary.first_time,
        "last_timestamp": summary.last_time,
        "digest": head.digest.hex(),
        "kinds": kinds,
    }
    rows = {
        "status": status,
        "events": summary.events,
        "first kept seq": head.first_kept_seq if head.first_kept_seq > 1 else None,
        "first time": None if summary.first_time is None else timestamp_text(summary.first_time),
        "last time": None if summary.last_time is None else timestamp_text(summary.last_time),
        "digest": head.digest.hex(),
        **kinds,
    }
    return facts, rows, history


def _status(head: Head, summary: _Summary) -> str:
    if head.facts is not None:
        return Status(head.facts.status).name.lower()
    return "open" if summary.final_kind is None else STATUS_BY_FINAL_KIND.get(summary.final_kind, "open")


def count(
    *, prefix: PrefixOption = "", output: OutputOption = "table", store: StoreOption = DEFAULT_STORE
) -> None:
    """Count the workflows that have events.

    Args:
        prefix: only workflows whose id begins so.
        output: how the number is printed; as a table it stands alone.
        store: the store.

    Raises:
        StoreError: the store could not be opened or read.
    """
    number = trio.run(_count, store, prefix)
    if output == "table":
        write_out(f"{number}\n")
    else:
        show_facts(output, "", {"workflows": number}, {})


async def _count(url: str, prefix: str) -> int:
    async with reading_store(url) as store:
        return await store.count_workflows(prefix=prefix)
