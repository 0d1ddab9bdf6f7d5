"""`treadle projection list`: how far each projection of a store has read, from its records alone."""

from __future__ import annotations

from typing import Any, Final

import trio

from treadle.cli.notes import note
from treadle.cli.options import DEFAULT_STORE, OutputFormat, OutputOption, StoreOption
from treadle.cli.output import Column, Rows
from treadle.cli.projections.finding import Kept, find_kept, shelf_of
from treadle.cli.stores import reading_store
from treadle.payloads import CodecChain

EXAMPLES: Final = """Examples:

  treadle projection list
  treadle projection list -o jsonl --store orders.db
"""
_COLUMNS: Final = (
    Column("version", 7, right=True),
    Column("position", 12, right=True),
    Column("behind", 12, right=True),
    Column("keys", 10, right=True),
    Column("projection", 24),
    Column("state"),
)


def list_projections(*, output: OutputOption = "table", store: StoreOption = DEFAULT_STORE) -> None:
    """List the projections of which a store keeps a state: how far each has read, and whether it has stopped.

    All of it stands in the store: no code is loaded, and nobody has to keep them up meanwhile.

    Args:
        output: how the rows are printed.
        store: the store, which must exist.

    Raises:
        StoreError: the store could not be opened or read.
    """
    trio.run(_list, store, output)


async def _list(url: str, output: OutputFormat) -> None:
    async with reading_store(url) as store:
        shelf = shelf_of(store, CodecChain())
        newest = await store.position()
        with Rows(output, *_COLUMNS) as rows:
            for name in await shelf.names():
                kept = await find_kept(shelf, name)
                record = record_of(kept, newest)
                rows.add(record, *_cells(record))
        if not rows.count:
            note("no projection is kept here; open_runtime(store, projections=Projections(...)) keeps one up")


def record_of(kept: Kept, newest: int) -> dict[str, Any]:
    """Tell how a projection stands, as a JSON object.

    Args:
        kept: what its records say.
        newest: the store's newest position.

    Returns:
        The object.
    """
    checkpoint = kept.checkpoint
    if checkpoint is None:
        return {"projection": kept.name, "status": "unreadable", "damage": kept.damage}
    failure = checkpoint.failure
    at_event = failure if failure and failure.workflow_id else None
    ahead = checkpoint.position > newest
    return {
        "projection": kept.name,
        "version": checkpoint.version,
        "status": "ahead" if ahead else "stopped" if failure else "kept",
        "position": checkpoint.position,
        "behind": max(0, newest - checkpoint.position),
        "keys": checkpoint.keys if checkpoint.keyed else None,
        "written_ns": checkpoint.written_ns,
        "baseline": checkpoint.baseline or None,
        "failed_position": at_event.position if at_event else None,
        "failed_workflow_id": at_event.workflow_id if at_event else None,
        "failure": failure.error if failure else None,
    }


def _cells(record: dict[str, Any]) -> tuple[str, ...]:
    name, status = record["projection"], record["status"]
    if status == "unreadable":
        return "", "", "", "", name, f"unreadable: {record['damage']}"
    keys = "" if record["keys"] is None else f"{record['keys']:,}"
    said = status
    if status == "stopped":
        where = record["failed_position"], record["failed_workflow_id"]
        said = f"stopped{'' if where[0] is None else f' at {where[0]:,} ({where[1]})'}: {record['failure']}"
    elif status == "ahead":
        said = "ahead of the store: was a backup restored? rebuild it"
    return str(record["version"]), f"{record['position']:,}", f"{record['behind']:,}", keys, name, said
