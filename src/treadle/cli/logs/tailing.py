"""`treadle log tail`: the end of a log, and what comes after it."""

from __future__ import annotations

from typing import Annotated, Final

import trio
from cyclopts import Parameter

from treadle.cli.notes import note
from treadle.cli.options import (
    DEFAULT_STORE,
    WHOLE,
    Flag,
    OutputFormat,
    OutputOption,
    Positive,
    StoreOption,
    WorkflowArgument,
)
from treadle.cli.output import EVENT_COLUMNS, Rows, event_cells, event_record
from treadle.cli.stores import not_found, reading_runtime
from treadle.events import WorkflowId
from treadle.events import workflow_id as checked_workflow_id
from treadle.runtime import Runtime

EXAMPLES: Final = """Examples:

  treadle log tail order-1
  treadle log tail order-1 -n 1 -o json
  treadle log tail order-1 --follow -o jsonl | jq .text
"""


def tail(
    workflow_id: WorkflowArgument,
    /,
    *,
    follow: Annotated[Flag, Parameter(name=["--follow", "-f"])] = False,
    events: Annotated[int, WHOLE, Parameter(name=["--events", "-n"], validator=Positive)] = 10,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print the last events of one log, and with --follow each new one as it becomes durable.

    Following ends with Ctrl-C. Events that other processes append arrive within 50 milliseconds.

    Args:
        workflow_id: the workflow's id.
        follow: go on with new events, without end; a workflow without events is waited for.
        events: how many events of the past to print.
        output: how the events are printed.
        store: the store.

    Raises:
        InvalidValueError: the id is none.
        NotFoundError: there is no such workflow.
        StoreError: the store could not be opened or read.
    """
    trio.run(_tail, store, checked_workflow_id(workflow_id), follow, events, output)


async def _tail(url: str, workflow_id: WorkflowId, follow: bool, events: int, output: OutputFormat) -> None:  # noqa: FBT001  # handed on by position through trio.run
    async with reading_runtime(url) as runtime:
        (head,) = await runtime.store.heads([workflow_id])
        if head.next_seq == 1:
            if not follow:
                raise await not_found(runtime.store, workflow_id)
            note(f"no events in {workflow_id!r} yet; waiting for the first")
        first = max(head.first_kept_seq, head.next_seq - events)
        if follow:
            await _follow(runtime, workflow_id, first, output)
            return
        with Rows(output, *EVENT_COLUMNS) as rows:
            async for event in runtime.workflow(workflow_id).read(first):
                rows.add(event_record(workflow_id, event), *event_cells(event))


async def _follow(runtime: Runtime, workflow_id: WorkflowId, first: int, output: OutputFormat) -> None:
    # A document that never ends is none: whoever asked for JSON gets one object a line.
    with Rows("jsonl" if output == "json" else output, *EVENT_COLUMNS) as rows:
        rows.flush()
        async for event in runtime.workflow(workflow_id).follow(first):
            rows.add(event_record(workflow_id, event), *event_cells(event))
            rows.flush()
