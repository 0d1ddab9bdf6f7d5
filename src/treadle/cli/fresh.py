"""Fresh stores for the demo and the stress run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from treadle.cli.exits import CommandError
from treadle.cli.notes import note
from treadle.cli.stores import path_of

MEMORY: Final = "memory:"


@attrs.define
class FreshStore:
    """A store that did not exist before.

    Attributes:
        url: how it is opened.
        keep: whether it outlives the command.
    """

    url: str
    keep: bool


@contextmanager
def fresh_store(url: str | None, *, keep: bool) -> Iterator[FreshStore]:
    """Choose a place for a store, and clean it away unless somebody wants it.

    Args:
        url: where the user wants it, which is then kept; None for a temporary folder.
        keep: keep the temporary folder too.

    Yields:
        The place; nothing exists there yet.

    Raises:
        CommandError: something exists there already.
    """
    if url is not None:
        path = path_of(url)
        if os.path.lexists(path):
            raise CommandError(
                f"{path} exists, and this command wants a fresh store; give another path or delete it"
            )
        yield FreshStore(url, keep=True)
        return
    folder = tempfile.mkdtemp(prefix="treadle-fresh-")
    fresh = FreshStore(str(Path(folder, "store.db")), keep=keep)
    try:
        yield fresh
    finally:
        if fresh.keep:
            note(f"the store is kept: {fresh.url}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
