"""Bytes to numbered lines, without ever holding more than a line's limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from treadle.errors import FormatError
from treadle.formats.compression import pieces

LINE_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
"""The longest line we write is a 2 MiB payload of control characters, each six bytes as an escape."""


def numbered_lines(
    chunks: Iterable[bytes], *, source: str, size_bytes_max: int = LINE_SIZE_BYTES_MAX
) -> Iterator[tuple[int, bytes]]:
    r"""Cut bytes at line ends.

    Args:
        chunks: bytes, cut anywhere.
        source: the file's name, for messages.
        size_bytes_max: the longest line that is taken.

    Returns:
        An iterator over each line's number, counted from 1, and its bytes without ``\n``; the last line
        needs no line end.

    Raises:
        FormatError: a line is over the limit; no more of it than that has been held.
    """
    number = 1
    parts: list[bytes] = []
    size = 0
    for piece in pieces(chunks):
        *ended, rest = piece.split(b"\n")
        for end in ended:
            _check_size(size + len(end), size_bytes_max, number, source)
            parts.append(end)
            yield number, b"".join(parts)
            number += 1
            parts.clear()
            size = 0
        parts.append(rest)
        size += len(rest)
        _check_size(size, size_bytes_max, number, source)
    if size:
        yield number, b"".join(parts)


def _check_size(size: int, size_max: int, number: int, source: str) -> None:
    if size > size_max:
        raise FormatError(
            f"a line has at most {size_max} bytes, got a longer one; is it a JSON Lines file?",
            source=source,
            line=number,
        )
