"""SQLite's b-tree pages read without SQLite: every cell that can be read is given, and nothing is believed.

SQLite stops at the first page that is none. A page by itself says what is in its cells, whoever refers to it,
so what one damaged page hides is one page's rows. The format is SQLite's own, version 3
(https://sqlite.org/fileformat2.html#b_tree_pages).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import attrs

Value: TypeAlias = int | float | str | bytes | None
ReadPage: TypeAlias = Callable[[int], bytes | None]

TABLE_LEAF: Final = 0x0D
INDEX_LEAF: Final = 0x0A
INDEX_INTERIOR: Final = 0x02
CELL_SIZE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Twice the largest payload: a cell that says it is larger has a damaged size."""
FIRST_PAGE_HEADER_SIZE_BYTES: Final = 100
_COLUMNS_MAX: Final = 16
_READ_ERRORS: Final = (IndexError, struct.error, ValueError, OverflowError)
_INTEGER_SIZES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


@attrs.frozen(slots=True)
class Cell:
    """A row of a table, or an entry of an index.

    Attributes:
        rowid: the row's number; None for an index.
        values: its columns; an INTEGER PRIMARY KEY is None, as it lies there.
    """

    rowid: int | None
    values: tuple[Value, ...]


def cells(page: bytes, number: int, read_page: ReadPage) -> Iterator[Cell]:
    """Read all cells of a page that can be read.

    Args:
        page: its bytes.
        number: which page, from 1.
        read_page: gives another page, for what has overflowed into it; None where there is none.

    Yields:
        The cells, in the order of the page.
    """
    start = FIRST_PAGE_HEADER_SIZE_BYTES if number == 1 else 0
    kind = page[start]
    if kind not in {TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR}:
        return
    (count,) = struct.unpack_from(">H", page, start + 3)
    pointers = start + (12 if kind == INDEX_INTERIOR else 8)
    for place in range(min(count, (len(page) - pointers) // 2)):
        (offset,) = struct.unpack_from(">H", page, pointers + 2 * place)
        try:
            yield _cell(page, offset, kind, read_page)
        except _READ_ERRORS:
            continue


def _cell(page: bytes, offset: int, kind: int, read_page: ReadPage) -> Cell:
    if kind == INDEX_INTERIOR:
        offset += 4
    size_bytes, offset = _varint(page, offset)
    rowid = None
    if kind == TABLE_LEAF:
        number, offset = _varint(page, offset)
        rowid = number - (1 << 64) if number >= 1 << 63 else number
    if not 1 <= size_bytes <= CELL_SIZE_BYTES_MAX:
        raise ValueError("the cell's size is damaged")
    return Cell(rowid, _record(_payload(page, offset, size_bytes, kind, read_page)))


def _payload(page: bytes, offset: int, size_bytes: int, kind: int, read_page: ReadPage) -> bytes:
    usable = len(page)
    most = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    local = size_bytes
    if size_bytes > most:
        least = (usable - 12) * 32 // 255 - 23
        local = least + (size_bytes - least) % (usable - 4)
        local = least if local > most else local
    content = page[offset : offset + local]
    if len(content) < local:
        raise ValueError("the cell ends behind its page")
    if local == size_bytes:
        return content
    (following,) = struct.unpack_from(">I", page, offset + local)
    parts = [content]
    left = size_bytes - local
    while left > 0:
        # The size bounds the loop: each page takes some of it.
        further = read_page(following)
        if further is None:
            raise ValueError("an overflow page is missing")
        (following,) = struct.unpack_from(">I", further)
        parts.append(further[4 : 4 + left])
        left -= len(parts[-1])
    return b"".join(parts)


def _record(payload: bytes) -> tuple[Value, ...]:
    header_size, offset = _varint(payload, 0)
    kinds: list[int] = []
    while offset < header_size:
        kind, offset = _varint(payload, offset)
        kinds.append(kind)
        if len(kinds) > _COLUMNS_MAX:
            raise ValueError("more columns than any table of ours has")
    if offset != header_size:
        raise ValueError("the record's header is damaged")
    values: list[Value] = []
    for kind in kinds:
        value, offset = _value(payload, offset, kind)
        values.append(value)
    if offset != len(payload):
        raise ValueError("the record is longer than its columns")
    return tuple(values)


def _value(payload: bytes, offset: int, kind: int) -> tuple[Value, int]:
    if kind in {0, 8, 9}:
        return (None, 0, 1)[(0, 8, 9).index(kind)], offset
    if kind in _INTEGER_SIZES:
        end = offset + _INTEGER_SIZES[kind]
        return int.from_bytes(_slice(payload, offset, end), signed=True), end
    if kind == 7:
        return struct.unpack(">d", _slice(payload, offset, offset + 8))[0], offset + 8
    if kind < 12:
        raise ValueError("a kind of value that SQLite keeps for itself")
    end = offset + (kind - 12) // 2
    content = _slice(payload, offset, end)
    return (content.decode() if kind % 2 else content), end


def _slice(payload: bytes, start: int, end: int) -> bytes:
    if end > len(payload):
        raise ValueError("a value ends behind its record")
    return payload[start:end]


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    number = 0
    for place in range(8):
        byte = data[offset + place]
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            return number, offset + place + 1
    return number << 8 | data[offset + 8], offset + 9
