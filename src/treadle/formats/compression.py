"""gzip, taken apart as a stream: bounded steps, several members, and an error for a file cut short."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from treadle.errors import FormatError

GZIP_MAGIC: Final = b"\x1f\x8b"
PIECE_SIZE_BYTES_MAX: Final = 64 * 1024
"""What is handed on at once, however much a reader of files or a decompressor has: a gzip bomb holds a
thousand times its size, and nobody below should hold more than a step of it."""
_GZIP_WINDOW: Final = 31  # zlib's way to say: a gzip header, the largest window


def pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut chunks so that none is longer than `PIECE_SIZE_BYTES_MAX`; empty ones vanish.

    Args:
        chunks: bytes, cut anywhere.

    Returns:
        An iterator over the same bytes.
    """
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE_SIZE_BYTES_MAX):
            yield chunk[start : start + PIECE_SIZE_BYTES_MAX]


def decompressed(chunks: Iterable[bytes], *, source: str) -> Iterator[bytes]:
    """Undo gzip when the bytes begin as gzip does, whatever the file is called; else pass them on.

    Args:
        chunks: the file's bytes, cut anywhere.
        source: its name, for messages.

    Returns:
        An iterator over plain bytes in pieces of at most `PIECE_SIZE_BYTES_MAX`.

    Raises:
        FormatError: the gzip data is damaged, ends early, or is followed by something else.
    """
    start, rest = peeked(pieces(chunks), len(GZIP_MAGIC))
    return _members(rest, source) if start.startswith(GZIP_MAGIC) else rest


def peeked(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Look at the first bytes of a stream without losing them.

    Args:
        chunks: the stream.
        size: how many bytes to see; fewer come when the stream is shorter.

    Returns:
        The first bytes, and the whole stream again.
    """
    taken: list[bytes] = []
    seen = 0
    while seen < size and (chunk := next(chunks, None)) is not None:
        taken.append(chunk)
        seen += len(chunk)
    return b"".join(taken)[:size], chain(taken, chunks)


def _members(chunks: Iterator[bytes], source: str) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP_WINDOW)
    between = b""
    for chunk in chunks:
        data = between + chunk
        between = b""
        while data:
            if member.eof:
                # gzip pads with zeros to a block of tape; a further member begins with the magic.
                data = data.lstrip(b"\0")
                if len(data) < len(GZIP_MAGIC):
                    between = data
                    break
                if not data.startswith(GZIP_MAGIC):
                    raise _foreign_tail(source)
                member = zlib.decompressobj(_GZIP_WINDOW)
            yield from _step(member, data, source)
            data = member.unused_data if member.eof else member.unconsumed_tail
    yield from _drained(member, source)
    if between:
        raise _foreign_tail(source)


def _step(member: zlib._Decompress, data: bytes, source: str) -> Iterator[bytes]:
    try:
        plain = member.decompress(data, PIECE_SIZE_BYTES_MAX)
    except zlib.error as error:
        raise FormatError(
            f"a gzip file holds what its checksums say, this one is damaged ({error}); fetch it again",
            source=source,
        ) from error
    if plain:
        yield plain


def _drained(member: zlib._Decompress, source: str) -> Iterator[bytes]:
    # Input may be used up while output still waits inside: ask until a step gives nothing.
    while not member.eof:
        empty = True
        for plain in _step(member, member.unconsumed_tail, source):
            empty = False
            yield plain
        if empty and not member.eof:
            raise FormatError(
                "a gzip file ends with its checksum, this one ends early; fetch it again", source=source
            )


def _foreign_tail(source: str) -> FormatError:
    return FormatError(
        "a gzip file holds gzip members alone, something else follows them; fetch it again, or cut the tail",
        source=source,
    )
