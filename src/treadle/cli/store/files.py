"""The file that a command about a whole store is about."""

from __future__ import annotations

from pathlib import Path

from treadle.cli.exits import CommandError
from treadle.cli.stores import no_store, path_of

_MEMORY = "memory:"


def file_of(url: str) -> str:
    """Tell which file a store lies in, and see that there is one.

    Args:
        url: the URL or path.

    Returns:
        The path.

    Raises:
        CommandError: it is a store in memory.
        StoreUnavailableError: there is no such file.
    """
    if url.lower().startswith(_MEMORY):
        raise CommandError("a memory store ends with its process, and lies in no file; name another one")
    path = path_of(url)
    if not Path(path).exists() and (missing := no_store(url)) is not None:
        raise missing
    return path
