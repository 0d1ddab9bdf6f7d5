"""`treadle store info`: what is in a store, and who works with it."""

from __future__ import annotations

from typing import Any, Final

import attrs
import trio

from treadle.cli.options import DEFAULT_STORE, OutputOption, StoreOption
from treadle.cli.output import counted, show_facts
from treadle.cli.store.files import file_of
from treadle.cli.stores import reading_store
from treadle.errors import StoreFormatError
from treadle.runtime.durable.lease import find_holder
from treadle.stores import sqlite

EXAMPLES: Final = """Examples:

  treadle store info
  treadle store info --store orders.db -o json
"""


def info(*, output: OutputOption = "table", store: StoreOption = DEFAULT_STORE) -> None:
    """Tell what is in a store: logs, events, positions, room on the disk, who runs its workflows.

    It changes nothing, and tells of a store of an older version too. Whether all is as it should be is
    told by `treadle store doctor`, whether it is what was written by `treadle log verify`.

    Args:
        output: how it is printed.
        store: the store.

    Raises:
        CommandError: it is a store in memory.
        StoreError: the store could not be opened or read.
    """
    facts = sqlite.inspect_file(file_of(store))
    poisoned = sqlite.is_poisoned(facts.path)
    runner = trio.run(runner_of, store)
    told = attrs.asdict(facts)
    del told["path"]
    record: dict[str, Any] = {
        "url": store,
        "path": facts.path,
        **told,
        "runner": runner,
        "poisoned": poisoned,
    }
    show_facts(output, "store", record, _rows(facts, store, runner, poisoned=poisoned))


async def runner_of(url: str) -> str | None:
    """Tell who runs a store's workflows.

    Args:
        url: the store.

    Returns:
        Words for the process, or None when nobody does.

    Raises:
        StoreError: the store could not be opened.
    """
    try:
        async with reading_store(url, ignore_poison=True) as store:
            holder = find_holder(store)
    except StoreFormatError:
        return None  # of an older version: whoever runs it now is of that version too
    return None if holder is None else str(holder)


def _rows(facts: sqlite.FileFacts, url: str, runner: str | None, *, poisoned: bool) -> dict[str, Any]:
    newest = sqlite.SCHEMA_VERSION
    version = f"{facts.schema_version}"
    if facts.schema_version < newest:
        version += f", this treadle's is {newest}: `treadle store migrate` brings it up to date"
    pages = f"{facts.pages:,} of {facts.page_size_bytes:,} bytes, {facts.pages_free:,} of them free"
    unreclaimed = (
        f"{counted(facts.events_unreclaimed, 'event')} of no log: `treadle store prune` removes them"
    )
    return {
        "url": url,
        "file": facts.path,
        "schema version": version,
        "logs": facts.logs - facts.logs_deleted,
        "deleted logs": facts.logs_deleted,
        "hidden logs": facts.logs_hidden,
        "branches": facts.branches,
        "events": facts.events,
        "position": facts.position,
        "messages waiting": facts.messages_waiting,
        "records": facts.records,
        "bytes on disk": facts.size_bytes + facts.wal_size_bytes,
        "of which in the write-ahead log": facts.wal_size_bytes,
        "pages": pages,
        "to be reclaimed": unreclaimed if facts.events_unreclaimed else "nothing",
        "runner": runner or "nobody",
        "runner's epoch": facts.epoch,
        "poisoned": poisoned,
    }
