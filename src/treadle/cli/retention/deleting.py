"""`treadle workflow delete`: logs that go altogether."""

from __future__ import annotations

from typing import Annotated, Final

import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import existing_store
from treadle.cli.options import DEFAULT_STORE, OutputFormat, OutputOption, StoreOption
from treadle.cli.output import Column, Rows, progress
from treadle.cli.retention.pruning import give_back
from treadle.cli.stores import known_workflows
from treadle.runtime import RetentionPolicy, open_runtime
from treadle.runtime.retention import Sweep

DELETE_USAGE: Final = "Usage: treadle workflow delete WORKFLOW-ID... [OPTIONS]"
DELETE_EXAMPLES: Final = """Examples:

  treadle workflow delete order-7
  treadle workflow delete order-7 order-8 -o jsonl
"""
_COLUMNS: Final = (Column("events", 12, right=True), Column("workflow", whole=True))


def delete(
    workflow_id: Annotated[list[str], Parameter(name="WORKFLOW-ID", negative="", consume_multiple=True)],
    /,
    *,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Delete logs: nothing of them can be read or listed any more, and their room is given back.

    A durable workflow must have ended (`treadle workflow terminate`), and no message may wait for it. Events
    that branches share stay in them. A deleted id keeps its place: an event or a run that begins under it one
    day goes on behind its last seq, so that no old reference ever means something new.

    Args:
        workflow_id: the logs, deleted one after the other; the first that cannot be ends the command.
        output: how the rows are printed: for each log how many events it has lost.
        store: the store, which must exist.

    Raises:
        NotFoundError: there is no such workflow; nothing was deleted.
        EventsNeededError: it has not ended, or a message or a projection needs it.
        ConflictError: somebody has appended meanwhile; it was not deleted.
        StoreError: the store failed.
    """
    trio.run(_delete, store, workflow_id, output)


async def _delete(url: str, names: list[str], output: OutputFormat) -> None:
    async with existing_store(url) as store, open_runtime(store) as runtime:
        ids = await known_workflows(store, names)
        sweep = Sweep(runtime, RetentionPolicy())
        try:
            with Rows(output, *_COLUMNS) as rows, progress("deleting", len(ids)) as advance:
                for workflow_id in ids:
                    (head,) = await store.heads([workflow_id])
                    await runtime.workflow(workflow_id).delete()
                    events = head.next_seq - head.first_kept_seq
                    sweep.swept.events_removed += events
                    rows.add({"workflow_id": workflow_id, "events": events}, f"{events:,}", workflow_id)
                    advance(1)
        finally:
            await give_back(sweep)
