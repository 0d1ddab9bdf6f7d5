"""Very many lines in little memory: a sequence that keeps them compressed, block by block.

A history of a hundred thousand workflows has millions of lines of much the same words. As objects they are a
fifth of what a world keeps; compressed they take an eighth of that. Whoever walks through them never holds
more than a block of them unpacked.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from operator import eq
from typing import Final, overload

from treadle.errors import InternalError

BLOCK_LINES: Final = 512
"""How many lines are compressed together: four times as many would save a hundredth, and cost who asks for
one line four times as much."""
_LEVEL: Final = 1
"""Level 6 would save a quarter of what little is left, for three times the CPU."""


class Lines(Sequence[bytes]):
    """Lines in the order in which they came; see the top of this file.

    It is equal to any sequence of the same lines.

    Args:
        lines: the first ones, without their ends.
    """

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        self._blocks: list[bytes] = []
        self._open: list[bytes] = []
        self._unpacked: tuple[int, list[bytes]] = (-1, [])
        for line in lines:
            self.append(line)

    def append(self, line: bytes) -> None:
        """Add a line.

        Args:
            line: without its end.

        Raises:
            InternalError: one of the lines of its block holds an end of a line.
        """
        self._open.append(line)
        if len(self._open) == BLOCK_LINES:
            block = b"\n".join(self._open)
            if block.count(b"\n") != BLOCK_LINES - 1:
                raise InternalError("expected lines without their ends, got one with an end inside")
            self._blocks.append(zlib.compress(block, _LEVEL))
            self._open = []

    def __len__(self) -> int:
        return len(self._blocks) * BLOCK_LINES + len(self._open)

    @overload
    def __getitem__(self, place: int) -> bytes: ...

    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...

    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        asked = place + len(self) if place < 0 else place
        if not 0 <= asked < len(self):
            raise IndexError(f"expected the place of one of {len(self)} lines, got {place}")
        number, within = divmod(asked, BLOCK_LINES)
        return self._block(number)[within]

    def _block(self, number: int) -> list[bytes]:
        if number == len(self._blocks):
            return self._open
        if self._unpacked[0] != number:
            # Who asks for one line asks for its neighbours next.
            self._unpacked = number, _unpack(self._blocks[number])
        return self._unpacked[1]

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            yield from _unpack(block)
        yield from self._open

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"<{len(self):,} lines>"


def _unpack(block: bytes) -> list[bytes]:
    return zlib.decompress(block).split(b"\n")
