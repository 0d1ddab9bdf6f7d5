"""`treadle store backup`: a consistent copy of a store that is in use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import trio
from cyclopts import Parameter

from treadle.cli.options import DEFAULT_STORE, OutputOption, StoreOption
from treadle.cli.output import progress, show_facts
from treadle.cli.store.files import file_of
from treadle.cli.stores import reading_store
from treadle.stores import StoreStatistics

EXAMPLES: Final = """Examples:

  treadle store backup orders-2026-01-31.db
  treadle store backup copy.db --store orders.db && treadle log verify --store copy.db
"""
USAGE: Final = "Usage: treadle store backup [OPTIONS] FILE"
LOOK_SECONDS: Final = 0.1
"""How often a bar looks how far the copy has come."""


def backup(
    file: Annotated[str, Parameter(allow_leading_hyphen=False)],
    /,
    *,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Copy a store into a new file, as it is at one instant, while others write to it.

    The file appears whole or not at all, and without free pages. Never copy a store with cp or rsync: its
    newest events lie in the write-ahead log beside it. To restore, stop every process that uses the store,
    move its file away together with the -wal and -shm beside it, and put the copy in its place.

    Args:
        file: the copy; nothing may exist there.
        output: how the summary is printed.
        store: the store.

    Raises:
        CommandError: it is a store in memory.
        UsageError: the file exists.
        StoreError: the store could not be opened or read, or the copy not written.
    """
    path = file_of(store)
    told = trio.run(_backup, store, path, file)
    facts = {
        "file": file,
        "workflows": told.workflows,
        "events": told.events,
        "position": told.position,
        "size_bytes": told.size_bytes,
    }
    show_facts(
        output,
        "copied",
        facts,
        {label.replace("_bytes", " in bytes"): value for label, value in facts.items()},
    )


async def _backup(url: str, path: str, file: str) -> StoreStatistics:
    # Pages of the log that are not checkpointed are copied as well; the bar may end early, never late.
    total = Path(path).stat().st_size  # noqa: ASYNC240  # one look, before anything is copied
    async with reading_store(url, ignore_poison=True) as store:
        with progress("copying", total) as advance:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, Path(file), advance)
                await store.backup(file)
                nursery.cancel_scope.cancel()
    async with reading_store(file) as copy:
        return await copy.statistics()


async def _watch(file: Path, advance: Callable[[float], None]) -> None:
    seen = 0
    while True:
        await trio.sleep(LOOK_SECONDS)
        sizes = [draft.stat().st_size for draft in file.parent.glob(f"{file.name}.new-*")]
        size = max(sizes, default=seen)
        advance(size - seen)
        seen = size
