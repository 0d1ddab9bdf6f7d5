"""The pages of a damaged store: its file, and over it what the write-ahead log holds."""

# Plain strings, as SQLite speaks them; a Path made for each look would cost more than the look.
# ruff: noqa: PTH123
from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, Final

from treadle.errors import StoreFormatError
from treadle.stores.sqlite import schema
from treadle.stores.sqlite.files import WAL_SUFFIX, size_bytes
from treadle.stores.sqlite.salvaging.cells import FIRST_PAGE_HEADER_SIZE_BYTES
from treadle.stores.sqlite.wal import committed_pages, hidden_pages, scan_wal

PAGE_SIZES_BYTES: Final = frozenset(1 << bits for bits in range(9, 17))
PAGE_SIZE_BYTES: Final = 4096
"""SQLite's own choice, which treadle never changes: what counts when nothing says so any more."""
_MAGIC: Final = b"SQLite format 3\0"
_TRUNK_MAX: Final = 1_000_000
"""A list of free pages with more parts than this goes round."""


class Pages:
    """Gives pages by their number; from `open_pages`.

    Attributes:
        size_bytes: of one page.
        count: how many there are.
        wal_is_damaged: whether a part of the write-ahead log cannot be believed.
    """

    def __init__(self, file: BinaryIO, wal: BinaryIO | None, size_bytes: int) -> None:
        self._file = file
        self._wal = wal
        self.size_bytes = size_bytes
        self.wal_is_damaged = False
        self._places = self._over(wal) if wal is not None else {}
        length = os.fstat(file.fileno()).st_size
        self.count = max(-(-length // size_bytes), *self._places, 0)

    def _over(self, wal: BinaryIO) -> dict[int, int]:
        wal.seek(0)
        report = scan_wal(wal)
        self.wal_is_damaged = not report.header_sound or report.bad_frame is not None
        if not report.header_sound:
            return hidden_pages(wal, self.size_bytes)
        return committed_pages(wal, beyond_damage=report.bad_frame is not None)

    def read(self, number: int) -> bytes | None:
        """Read a page.

        Args:
            number: which one, from 1.

        Returns:
            Its bytes, filled up with zeros where the file was cut short; None where there is none.
        """
        if not 1 <= number <= self.count:
            return None
        try:
            if self._wal is not None and number in self._places:
                self._wal.seek(self._places[number])
                return self._wal.read(self.size_bytes).ljust(self.size_bytes, b"\0")
            self._file.seek((number - 1) * self.size_bytes)
            return self._file.read(self.size_bytes).ljust(self.size_bytes, b"\0")
        except OSError:
            return None  # a place that the disk cannot read any more is one more damaged page

    def free(self) -> set[int]:
        """Tell which pages hold nothing any more, if that can be told.

        What was removed on purpose must not come back; so the list is believed only when it is as long as the
        header says, and otherwise everything that can be read counts.

        Returns:
            Their numbers.
        """
        first = self.read(1)
        if first is None or not first.startswith(_MAGIC):
            return set()
        trunk, told = struct.unpack_from(">2I", first, 32)
        found: set[int] = set()
        for _ in range(_TRUNK_MAX):
            page = self.read(trunk) if trunk else None
            if page is None or trunk in found:
                break
            found.add(trunk)
            trunk, leaves = struct.unpack_from(">2I", page)
            if leaves > self.size_bytes // 4 - 2:
                return set()
            found.update(struct.unpack_from(f">{leaves}I", page, 8))
        return found if len(found) == told else set()


@contextmanager
def open_pages(path: str) -> Iterator[Pages]:
    """Open a damaged store for reading, without SQLite.

    Args:
        path: its file, which no process has open.

    Yields:
        Its pages.

    Raises:
        StoreFormatError: it is somebody else's database, or of a newer treadle.
        OSError: it cannot be read at all.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "rb"))
        header = file.read(FIRST_PAGE_HEADER_SIZE_BYTES)
        _refuse_foreign(header, path)
        wal: BinaryIO | None = None
        if size_bytes(path + WAL_SUFFIX):
            wal = stack.enter_context(open(path + WAL_SUFFIX, "rb"))
        yield Pages(file, wal, _page_size(wal, header))


def _refuse_foreign(header: bytes, path: str) -> None:
    if len(header) < FIRST_PAGE_HEADER_SIZE_BYTES or not header.startswith(_MAGIC):
        return
    (version,) = struct.unpack_from(">I", header, 60)
    (application_id,) = struct.unpack_from(">I", header, 68)
    # One flipped bit in either makes no file foreign; another program's mark is far from ours.
    if (application_id ^ schema.APPLICATION_ID).bit_count() > 1:
        raise StoreFormatError(
            f"{path}: an SQLite database, but not a treadle store (application id {application_id:#x},"
            f" expected {schema.APPLICATION_ID:#x}); give another path"
        )
    is_ours = (version ^ schema.SCHEMA_VERSION).bit_count() <= 1
    if schema.SCHEMA_VERSION < version < 2 * schema.SCHEMA_VERSION and not is_ours:
        raise StoreFormatError(
            f"{path}: made by a newer treadle: the file has schema version {version}, this treadle knows"
            f" up to {schema.SCHEMA_VERSION}; upgrade treadle"
        )


def _page_size(wal: BinaryIO | None, header: bytes) -> int:
    candidates = []
    if header.startswith(_MAGIC) and len(header) >= FIRST_PAGE_HEADER_SIZE_BYTES:
        (told,) = struct.unpack_from(">H", header, 16)
        candidates.append(65_536 if told == 1 else told)
    if wal is not None and len(head := wal.read(12)) == 12:
        candidates.append(struct.unpack_from(">I", head, 8)[0])
    return next((size for size in candidates if size in PAGE_SIZES_BYTES), PAGE_SIZE_BYTES)
