"""The compression codec: DEFLATE, where it helps.

    0x00 0x01 raw DEFLATE stream

The same bytes from the same zlib; another build of it may compress better, and writes others. What is
stored stays readable by all, so this shows only where an event is offered a second time by another build.
"""

from __future__ import annotations

import zlib
from typing import Final

from treadle.errors import CodecError, InvalidValueError
from treadle.events import PAYLOAD_SIZE_BYTES_MAX
from treadle.payloads.codecs import CodecContext, header, place

_NUMBER: Final = 1
_HEADER: Final = header(_NUMBER)
_RAW: Final = -zlib.MAX_WBITS
"""A bare stream: the header of zlib's own format and its checksum (8 bytes) tell nothing new."""

COMPRESS_FROM_SIZE_BYTES: Final = 128
"""Below this a document rarely shrinks, and trying takes longer than writing it."""


class Compression:
    """A codec that makes payloads smaller; those that would not shrink are left as they are.

    Args:
        level: 1 (fast) to 9 (small).

    Raises:
        InvalidValueError: the level is another.
    """

    __slots__ = ("_level",)

    def __init__(self, *, level: int = 6) -> None:
        if type(level) is not int or not 1 <= level <= 9:
            raise InvalidValueError(f"a compression level is an int from 1 to 9, got {level!r}")
        self._level = level

    def __repr__(self) -> str:
        return f"Compression(level={self._level})"

    @property
    def number(self) -> int:
        """1."""
        return _NUMBER

    def encode(self, payload: bytes, context: CodecContext) -> bytes:
        """Compress a payload if that makes it smaller.

        Args:
            payload: any bytes.
            context: not used.

        Returns:
            The smaller of both.
        """
        del context
        if len(payload) < COMPRESS_FROM_SIZE_BYTES:
            return payload
        compressor = zlib.compressobj(self._level, zlib.DEFLATED, _RAW)
        encoded = _HEADER + compressor.compress(payload) + compressor.flush()
        return encoded if len(encoded) < len(payload) else payload

    def decode(self, payload: bytes, context: CodecContext) -> bytes:
        """Decompress a payload; never to more than a payload may have.

        Args:
            payload: what `encode` made.
            context: for the error's words.

        Returns:
            What was compressed.

        Raises:
            CodecError: it is damaged, cut short, or would become larger than any payload.
        """
        decompressor = zlib.decompressobj(_RAW)
        try:
            plain = decompressor.decompress(payload[len(_HEADER) :], PAYLOAD_SIZE_BYTES_MAX + 1)
        except zlib.error as error:
            raise CodecError(f"{place(context)} is compressed and damaged: {error}") from error
        if len(plain) > PAYLOAD_SIZE_BYTES_MAX:
            raise CodecError(
                f"{place(context)} unfolds to more than {PAYLOAD_SIZE_BYTES_MAX:,} bytes;"
                " treadle has not written it"
            )
        if not decompressor.eof or decompressor.unused_data:
            raise CodecError(
                f"{place(context)} is compressed and damaged: its stream ends too early or too late"
            )
        return plain
