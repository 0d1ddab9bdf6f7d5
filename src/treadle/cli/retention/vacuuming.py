"""`treadle store vacuum`: the whole file written anew, without any slack."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import trio

from treadle.cli.durable.connecting import existing_store
from treadle.cli.exits import CommandError
from treadle.cli.options import DEFAULT_STORE, OutputOption, StoreOption
from treadle.cli.output import progress, show_facts
from treadle.cli.stores import path_of
from treadle.errors import StoreUnavailableError
from treadle.stores.sqlite import SqliteStore, is_held

EXAMPLES: Final = """Examples:

  treadle store vacuum
  treadle store vacuum --store orders.db
"""


def vacuum(*, output: OutputOption = "table", store: StoreOption = DEFAULT_STORE) -> None:
    """Write the whole file anew without any slack; nobody else may have it open meanwhile.

    It needs room for a second copy beside it. Seqs, positions and digests stay as they are; killed in the
    middle, the file is as it was. While others use
    the store, `treadle store prune --compact` does most of it.

    Args:
        output: how the figures are printed.
        store: the store, which must exist.

    Raises:
        CommandError: the store is none in a file.
        StoreUnavailableError: there is no such store, or somebody has it open.
        StoreError: it could not be written.
    """
    before, after = trio.run(_vacuum, store)
    facts = {"bytes_before": before, "bytes_after": after}
    show_facts(output, "vacuumed", facts, {"bytes before": before, "bytes after": after})


async def _vacuum(url: str) -> tuple[int, int]:
    path = Path(path_of(url)).resolve()  # noqa: ASYNC240  # nothing else runs in this process
    if path.exists() and is_held(str(path)):
        raise StoreUnavailableError(
            f"{path}: another process has the store open; stop it first, or use `treadle store prune"
            " --compact`, which works beside others"
        )
    async with existing_store(url) as store:
        if not isinstance(store, SqliteStore):
            raise CommandError(f"{url} is no store in a file: there is nothing to vacuum")
        before = path.stat().st_size
        with progress("vacuuming", None):
            await store.vacuum()
        return before, path.stat().st_size
