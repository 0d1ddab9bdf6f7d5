"""Tells damage in a write-ahead log from the torn tail that every power cut leaves.

SQLite reads a WAL up to the first frame whose checksum does not hold and silently drops the rest: right
for a torn tail, wrong for a bit that flipped in the middle, where whole acknowledged commits would vanish
without an error. The two can be told apart. A frame's checksum continues from the checksum *stored* in
the frame before it, so the frames behind a bad one can still be verified among themselves; and with
``synchronous=FULL`` every commit is on disk before the next one begins, so a power cut tears the last
commit only. Hence: a bad frame, behind it the end of a commit, and behind that end one more whole
commit, is damage. Anything less could be a torn tail and is none of our business.

Where the damage lies in a frame's own header, the frame can be proved all the same: by the next one, which
continues from the checksum that this one should have, or by its checksum, when only its salts are bad.

What may lie behind the end of a sound log must raise no alarm: frames of an earlier round have other
salts; frames of a commit torn in an earlier crash have the same salts, but no whole commit follows theirs
unbroken; copies of a commit's last frame, which pad it to a sector, are part of that commit.

A header that does not hold hides the whole log. Each frame but the first can still be verified from the
one before it, so the commits behind such a header are found all the same.

The format is SQLite's own, version 3007000 of it (https://sqlite.org/fileformat2.html#walformat).
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Final, TypeAlias

import attrs

HEADER_SIZE_BYTES: Final = 32
FRAME_HEADER_SIZE_BYTES: Final = 24
_MAGIC: Final = 0x377F0682
_FORMAT_VERSION: Final = 3_007_000
_PAGE_SIZES_BYTES: Final = frozenset(1 << bits for bits in range(9, 17))
_MASK: Final = 0xFFFF_FFFF


Checksum: TypeAlias = tuple[int, int]


@attrs.frozen(slots=True)
class WalReport:
    """What a write-ahead log holds.

    Attributes:
        header_sound: whether the header's own checksum holds; SQLite ignores the whole file otherwise.
        frames_sound: how many frames can be read, whole commits or not.
        commits_sound: how many whole commits SQLite will see.
        frames_there: how many frames the file has room for, stale ones of earlier rounds included.
        bad_frame: the number, from 1, of the first damaged frame, or None. Set only when a later commit
            proves that it was damaged, not torn.
        bad_offset: the byte at which that frame begins, or None.
    """

    header_sound: bool
    frames_sound: int = 0
    commits_sound: int = 0
    frames_there: int = 0
    bad_frame: int | None = None
    bad_offset: int | None = None


@attrs.frozen(slots=True)
class _Layout:
    page_size_bytes: int
    salts: bytes
    words: struct.Struct
    pair: struct.Struct

    def checksum(self, data: bytes, start: tuple[int, int]) -> tuple[int, int]:
        """Continue SQLite's checksum over a page."""
        first, second = start
        words = iter(self.words.unpack(data))
        # Masking at each step would double the time; without any the numbers would grow for ever.
        # Eight pairs at a time keep them under 64 bits.
        for a, b, c, d, e, f, g, h in zip(*[words] * 8, strict=False):
            first += a + second
            second += b + first
            first += c + second
            second += d + first
            first += e + second
            second += f + first
            first = first + g + second & _MASK
            second = second + h + first & _MASK
        return first, second


def scan_wal(file: BinaryIO) -> WalReport:
    """Read a write-ahead log from its beginning and judge it; nothing is changed.

    Args:
        file: the log, at its beginning; read once, front to back.

    Returns:
        What is there, and the damage if there is any.
    """
    header = file.read(HEADER_SIZE_BYTES)
    layout, checksum = _read_header(header)
    if layout is None:
        return WalReport(header_sound=False)
    frames = commits = number = 0
    tail: _Tail | None = None
    told: Checksum | None = None
    frame_size_bytes = FRAME_HEADER_SIZE_BYTES + layout.page_size_bytes
    while len(frame := file.read(frame_size_bytes)) == frame_size_bytes:
        number += 1
        sound, stored, computed = _verify(layout, frame, checksum, stale_too=tail is None)
        if not sound and told is not None:
            # It goes on from what the frame before should say: only that frame's own checksum is damaged.
            sound, stored, computed = _verify(layout, frame, told)
        told = None if sound else computed
        if tail is not None:
            tail.take(frame, sound=sound)
        elif sound:
            frames += 1
            commits += _is_commit(frame)
        else:
            # A checksum that holds leaves only the salts to be damaged: an older round's never would.
            ours = _same_salts(layout, frame) or computed == stored
            tail = _Tail(number, ours and _is_commit(frame), frame)
        if tail is not None and tail.damaged:
            offset = HEADER_SIZE_BYTES + (tail.first_bad - 1) * frame_size_bytes
            return WalReport(True, frames, commits, number, tail.first_bad, offset)
        checksum = stored
    return WalReport(True, frames, commits, number)


def hidden_pages(file: BinaryIO, page_size_bytes: int) -> dict[int, int]:
    """Find the whole commits behind a header that does not hold, which SQLite would not look at.

    The header may be torn instead of damaged: SQLite writes a new one over a log once everything in it is
    in the store's file. So what is found proves damage only when the store's file lacks it.

    Args:
        file: the log; read from its beginning.
        page_size_bytes: of the store's file.

    Returns:
        The byte of the log at which each page begins, as the last of these commits left it.
    """
    file.seek(0)
    header = file.read(HEADER_SIZE_BYTES)
    first = file.read(FRAME_HEADER_SIZE_BYTES)
    if len(first) < FRAME_HEADER_SIZE_BYTES or page_size_bytes not in _PAGE_SIZES_BYTES:
        return {}
    for order in "<>":
        layout = _layout(order, page_size_bytes, first[8:16])
        file.seek(HEADER_SIZE_BYTES)
        if pages := _committed_pages(layout, file, header):
            return pages
    return {}


def committed_pages(file: BinaryIO, *, beyond_damage: bool) -> dict[int, int]:
    """Tell where the pages lie as the whole commits of a sound header's log left them.

    Args:
        file: the log; read from its beginning.
        beyond_damage: go on behind a damaged frame, with the commits behind it: for a log of which `scan_wal`
            has proved that they were whole.

    Returns:
        The byte of the log at which each page begins.
    """
    file.seek(0)
    layout, checksum = _read_header(file.read(HEADER_SIZE_BYTES))
    if layout is None:
        return {}
    frame_size_bytes = FRAME_HEADER_SIZE_BYTES + layout.page_size_bytes
    committed: dict[int, int] = {}
    pending: dict[int, int] = {}
    offset = HEADER_SIZE_BYTES
    while len(frame := file.read(frame_size_bytes)) == frame_size_bytes:
        sound, stored, _ = _verify(layout, frame, checksum)
        if sound:
            pending[int.from_bytes(frame[:4])] = offset + FRAME_HEADER_SIZE_BYTES
            if _is_commit(frame):
                committed |= pending
                pending = {}
        elif not beyond_damage:
            break
        offset, checksum = offset + frame_size_bytes, stored
    return committed


def _committed_pages(layout: _Layout, file: BinaryIO, header: bytes) -> dict[int, int]:
    frame_size_bytes = FRAME_HEADER_SIZE_BYTES + layout.page_size_bytes
    committed: dict[int, int] = {}
    pending: dict[int, int] = {}
    pages = 0
    offset, checksum = HEADER_SIZE_BYTES, (0, 0)
    while len(frame := file.read(frame_size_bytes)) == frame_size_bytes:
        page, size = struct.unpack_from(">2I", frame)
        sound, stored, _ = _verify(layout, frame, checksum)
        if offset == HEADER_SIZE_BYTES:
            # One of the two is sound when only one bit of the header is not.
            starts = (_header_checksum(layout, header), struct.unpack_from(">2I", header, 24))
            sound = any(_verify(layout, frame, start)[0] for start in starts)
        elif not sound:
            break
        if sound:
            pending[page] = offset + FRAME_HEADER_SIZE_BYTES
        if size and pending:
            pages = size
            committed |= pending
            pending = {}
        offset, checksum = offset + frame_size_bytes, stored
    return {page: place for page, place in committed.items() if 0 < page <= pages}


class _Tail:
    """What follows the first bad frame: waits for the end of a commit, then for one whole commit."""

    def __init__(self, first_bad: int, bad_is_commit: bool, frame: bytes) -> None:  # noqa: FBT001
        self.first_bad = first_bad
        self.damaged = False
        # A bad frame that still says "commit" ends its own commit: whole ones may follow at once.
        self._ended = bad_is_commit
        self._previous = frame
        self._previous_bad = True

    def take(self, frame: bytes, *, sound: bool) -> None:
        if not sound:
            # The chain is broken once more: what was seen so far belongs to another round or crash.
            self._ended = False
        elif _is_commit(frame) and not self._is_padding(frame):
            self.damaged = self._ended
            self._ended = True
        self._previous, self._previous_bad = frame, not sound

    def _is_padding(self, frame: bytes) -> bool:
        # Page number and size are the first eight bytes; the page follows the frame's header.
        before = self._previous
        return before[:8] == frame[:8] and (self._previous_bad or before[24:] == frame[24:])


def _read_header(header: bytes) -> tuple[_Layout | None, tuple[int, int]]:
    if len(header) < HEADER_SIZE_BYTES:
        return None, (0, 0)
    magic, version, page_size_bytes, _, _, _, first, second = struct.unpack(">8I", header)
    if magic & ~1 != _MAGIC or version != _FORMAT_VERSION or page_size_bytes not in _PAGE_SIZES_BYTES:
        return None, (0, 0)
    order = ">" if magic & 1 else "<"
    layout = _layout(order, page_size_bytes, header[16:24])
    start = _header_checksum(layout, header)
    return (layout if start == (first, second) else None), start


def _layout(order: str, page_size_bytes: int, salts: bytes) -> _Layout:
    words = struct.Struct(f"{order}{page_size_bytes // 4}I")
    return _Layout(page_size_bytes, salts, words, struct.Struct(f"{order}2I"))


def _header_checksum(layout: _Layout, header: bytes) -> tuple[int, int]:
    checksum = (0, 0)
    for place in range(0, 24, 8):
        checksum = _pair(layout, header[place : place + 8], checksum)
    return checksum


def _pair(layout: _Layout, data: bytes, start: tuple[int, int]) -> tuple[int, int]:
    a, b = layout.pair.unpack(data)
    first = start[0] + a + start[1] & _MASK
    return first, start[1] + b + first & _MASK


def _verify(
    layout: _Layout, frame: bytes, before: Checksum, *, stale_too: bool = False
) -> tuple[bool, Checksum, Checksum | None]:
    """Tell whether a frame holds, its checksum as stored, and as it should be.

    The last is None for a frame with other salts, of which there may be very many, unless `stale_too`.
    """
    stored = struct.unpack_from(">II", frame, 16)
    same_salts = _same_salts(layout, frame)
    if not same_salts and not stale_too:
        return False, stored, None
    checksum = _pair(layout, frame[:8], before)
    # 512 bytes is the smallest page: always a multiple of eight pairs of words.
    computed = layout.checksum(frame[FRAME_HEADER_SIZE_BYTES:], checksum)
    return same_salts and computed == stored, stored, computed


def _same_salts(layout: _Layout, frame: bytes) -> bool:
    return frame[8:16] == layout.salts


def _is_commit(frame: bytes) -> bool:
    return frame[4:8] != b"\0\0\0\0"
