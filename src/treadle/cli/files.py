"""Files that commands read: named by a path, or `-` for stdin, and taken in chunks so that a bar can move."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final, cast

STDIN: Final = "-"
CHUNK_SIZE_BYTES: Final = 256 * 1024


@contextmanager
def opened(name: str, advance: Callable[[float], None]) -> Iterator[Iterable[bytes]]:
    """Open a file, or stdin.

    Args:
        name: its path, or `-`.
        advance: told how many bytes were taken.

    Yields:
        Its bytes, chunk by chunk.

    Raises:
        OSError: it cannot be read.
    """
    if name == STDIN:
        # What has come, without waiting for a whole chunk: the writer of a pipe may be slow.
        yield _chunks_of(cast("BufferedReader", sys.stdin.buffer).read1, advance)
    else:
        with Path(name).open("rb") as file:
            yield _chunks_of(file.read, advance)


def told_name(name: str) -> str:
    """Tell what messages call a file.

    Args:
        name: its path, or `-`.

    Returns:
        The path, or ``stdin``.
    """
    return "stdin" if name == STDIN else name


def size_bytes(name: str) -> int | None:
    """Tell how large a file is.

    Args:
        name: its path, or `-`.

    Returns:
        Its size, or None for stdin.

    Raises:
        OSError: there is no such file.
    """
    return None if name == STDIN else Path(name).stat().st_size


def _chunks_of(read: Callable[[int], bytes], advance: Callable[[float], None]) -> Iterator[bytes]:
    while chunk := read(CHUNK_SIZE_BYTES):
        advance(len(chunk))
        yield chunk
