"""`treadle log read`: the events of one log, by seq or by time."""

from __future__ import annotations

from typing import Annotated, Final

import trio
from cyclopts import Parameter

from treadle.cli.options import (
    DEFAULT_STORE,
    WHOLE,
    OutputFormat,
    OutputOption,
    StoreOption,
    WorkflowArgument,
)
from treadle.cli.output import EVENT_COLUMNS, Rows, event_cells, event_record
from treadle.cli.stores import known_workflows, reading_runtime
from treadle.cli.times import MomentOption
from treadle.events import SEQ_MAX, TIMESTAMP_MIN
from treadle.log import check_range
from treadle.runtime import Events, WorkflowHandle

EXAMPLES: Final = """Examples:

  treadle log read order-1
  treadle log read order-1 --from 10 --to 20
  treadle log read order-1 --since 2026-01-31T00:00:00Z -o jsonl
"""


def read(
    workflow_id: WorkflowArgument,
    /,
    *,
    from_seq: Annotated[int, WHOLE, Parameter(name="--from", allow_leading_hyphen=True)] = 1,
    to_seq: Annotated[int | None, WHOLE, Parameter(name="--to", allow_leading_hyphen=True)] = None,
    since: MomentOption = None,
    until: MomentOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print the events of one log, in seq order.

    A time is RFC 3339, such as 2026-01-31T12:00:00Z, or whole nanoseconds since 1970. Tables shorten
    payloads; json and jsonl print all of them.

    Args:
        workflow_id: the workflow's id.
        from_seq: the first seq.
        to_seq: the last seq; the end of the log if left out.
        since: only events at this event time or later.
        until: only events before this event time.
        output: how the events are printed.
        store: the store.

    Raises:
        InvalidValueError: a bound is not one.
        NotFoundError: there is no such workflow.
        StoreError: the store could not be opened or read.
    """
    check_range(from_seq, to_seq)
    trio.run(_read, store, workflow_id, (from_seq, to_seq), (since, until), output)


async def _read(
    url: str,
    name: str,
    seqs: tuple[int, int | None],
    times: tuple[int | None, int | None],
    output: OutputFormat,
) -> None:
    async with reading_runtime(url) as runtime:
        (workflow_id,) = await known_workflows(runtime.store, [name])
        with Rows(output, *EVENT_COLUMNS) as rows:
            async for event in _chosen(runtime.workflow(workflow_id), seqs, times):
                if seqs[0] <= event.seq <= (seqs[1] or SEQ_MAX):
                    rows.add(event_record(workflow_id, event), *event_cells(event))


def _chosen(
    handle: WorkflowHandle, seqs: tuple[int, int | None], times: tuple[int | None, int | None]
) -> Events:
    since, until = times
    if since is None and until is None:
        return handle.read(*seqs)
    return handle.between(TIMESTAMP_MIN if since is None else since, until)
