"""`treadle store migrate`: an older store brought up to this treadle's version."""

from __future__ import annotations

from typing import Final

import trio

from treadle.cli.options import DEFAULT_STORE, Flag, OutputOption, StoreOption
from treadle.cli.output import show_facts
from treadle.cli.store.files import file_of
from treadle.stores import open_store, sqlite

EXAMPLES: Final = """Examples:

  treadle store migrate --dry-run
  treadle store backup before.db && treadle store migrate
"""


def migrate(
    *, dry_run: Flag = False, output: OutputOption = "table", store: StoreOption = DEFAULT_STORE
) -> None:
    """Bring a store that an older treadle has made up to this one's version, and say from which to which.

    Whoever opens an older store for writing does the same; this is for doing it at a time of your choice,
    since processes with the older treadle cannot open it afterwards. Each step is one transaction: killed
    in the middle, the store has the version before or the one after. Make a backup first.

    Args:
        dry_run: only say what would be done.
        output: how it is printed.
        store: the store.

    Raises:
        CommandError: it is a store in memory.
        StoreError: the store could not be opened or written, or is of a newer treadle.
    """
    path = file_of(store)
    before = sqlite.schema_version(path)
    if not dry_run and before < sqlite.SCHEMA_VERSION:
        trio.run(_open_for_writing, store)
    after = before if dry_run else sqlite.schema_version(path)
    facts = {
        "from_version": before,
        "to_version": sqlite.SCHEMA_VERSION,
        "migrated": after > before,
        "dry_run": dry_run,
    }
    show_facts(output, "migrated" if after > before else "not migrated", facts, _rows(before, after))


def _rows(before: int, after: int) -> dict[str, object]:
    newest = sqlite.SCHEMA_VERSION
    if before == newest:
        return {"schema version": before, "to do": "nothing: it is up to date"}
    if after == before:
        return {"schema version": before, "to do": f"steps to version {newest}: {newest - before}"}
    return {"from version": before, "to version": after}


async def _open_for_writing(url: str) -> None:
    async with open_store(url, create=False):
        pass
