"""What is on a disk: what everybody sees now, and what a power cut would leave of it.

A file's content is kept once, as the system shows it, and beside it what was done since the last fsync
and what stood there before. An fsync then only forgets that list, whatever the file's size, and the
durable content is had by undoing the list backwards, which only a power cut needs.

A power cut undoes everything unsynced and does a part of it again, in the first order. Each 512-byte
sector of a write has a fate of its own, because a drive's cache is written back sector by sector; each
truncation happens or not; of what was done to one name (made, deleted, made again) a first part holds.
After an fsync that failed its operations can still be lost, though the next fsync says yes: that is what
systems do, which mark the pages clean that they could not write.

Chance comes in as a function that draws from [0, 1), and is asked in an order that the operations alone
decide: names are sorted, nothing depends on a hash. This page needs neither SQLite nor anything else that
is not Python's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import blake2b, shake_128
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

Draw: TypeAlias = Callable[[], float]
"""Draws a number from [0, 1), as `random.Random(seed).random`."""

SECTOR_SIZE_BYTES: Final = 512
"""What a drive writes as one: the smallest that is still sold, so that a page of SQLite's is torn often."""
LOST, KEPT, TORN, GARBLED = range(4)
FATES: Final = (LOST,) * 10 + (KEPT,) * 8 + (TORN,) + (GARBLED,)
"""The fates of an unsynced sector, each as likely as it stands here often. Half of them are lost, since a cut
that loses little finds little; one in ten is rubbish, and a page has eight."""
_FLOAT_VALUES: Final = 2**53

Operation: TypeAlias = tuple[int, bytes | None, bytes | bytearray, int]
"""Offset, data (None: truncated there), what stood there before, the size before."""


def below(draw: Draw, count: int) -> int:
    """Draw a whole number.

    Args:
        draw: the source of chance.
        count: how many numbers there are.

    Returns:
        One from 0 to `count` - 1.
    """
    return int(draw() * count)


def rubbish(draw: Draw, size_bytes: int) -> bytes:
    """Make bytes that mean nothing, from one draw.

    Args:
        draw: the source of chance.
        size_bytes: how many.

    Returns:
        The bytes, the same for the same draw on every Python.
    """
    return shake_128(below(draw, _FLOAT_VALUES).to_bytes(7, "big")).digest(size_bytes)


class CutReport(NamedTuple):
    """What a power cut has left, in counts.

    Attributes:
        kept: unsynced sectors that are on the disk.
        lost: those that are not.
        torn: those that are there in part.
        garbled: those whose place holds rubbish.
        undone: truncations, new files and deletions that have not happened.
    """

    kept: int
    lost: int
    torn: int
    garbled: int
    undone: int


class _Tally:
    """Counts what becomes of things, in the order of the fates; the last is what was undone."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * 5

    def report(self) -> CutReport:
        counts = self.counts
        return CutReport(counts[KEPT], counts[LOST], counts[TORN], counts[GARBLED], counts[4])


class StoredFile:
    """The content of one file, whatever name leads to it.

    Args:
        content: what is in it, durably.
        scratch: whether it is gone with its handle, so that nothing of it needs to be remembered.

    Attributes:
        content: what everybody sees now.
        unsynced: what was done since the last fsync, in order.
    """

    __slots__ = ("_doubtful", "content", "unsynced")

    def __init__(self, content: bytes | bytearray = b"", *, scratch: bool = False) -> None:
        self.content = bytearray(content)
        self.unsynced: list[Operation] | deque[Operation] = deque(maxlen=0) if scratch else []
        # Since an fsync has failed: what was done, and whether a later fsync has made it durable.
        self._doubtful: list[tuple[Operation, bool]] = []

    def write(self, data: bytes, offset: int) -> None:
        """Write something; a hole before it is filled with zeros.

        Args:
            data: what; not nothing.
            offset: where.
        """
        content = self.content
        size = len(content)
        if offset < size:
            end = offset + len(data)
            self.unsynced.append((offset, data, content[offset:end], size))
            content[offset:end] = data
            return
        self.unsynced.append((offset, data, b"", size))
        if offset > size:
            content += bytes(offset - size)
        content += data

    def truncate(self, size: int) -> None:
        """Cut the file off, or lengthen it with zeros.

        Args:
            size: how long it is then.
        """
        content = self.content
        if size > len(content):
            self.write(bytes(size - len(content)), len(content))
            return
        self.unsynced.append((size, None, content[size:], len(content)))
        del content[size:]

    def sync(self) -> None:
        """Make everything durable that no failed fsync has left in doubt."""
        if self._doubtful:
            self._doubtful += [(operation, True) for operation in self.unsynced]
        self.unsynced.clear()

    def fail_to_sync(self) -> None:
        """Leave in doubt, for good, whatever is not durable yet."""
        self._doubtful += [(operation, False) for operation in self.unsynced]
        self.unsynced.clear()

    @property
    def is_doubtful(self) -> bool:
        """Whether an fsync of it has failed: what was not durable then never will be."""
        return bool(self._doubtful)

    def copy(self) -> StoredFile:
        """Copy the file with all its past."""
        twin = StoredFile(self.content)
        twin.unsynced = list(self.unsynced)
        twin._doubtful = list(self._doubtful)
        return twin

    def durable(self) -> bytearray:
        """Tell what a power cut leaves that loses whatever it may lose."""
        image = self._undone()
        for operation, certain in self._doubtful:
            if certain:
                _do(image, operation[0], operation[1])
        return image

    def after_cut(self, draw: Draw, tally: _Tally, *, whole_sectors: bool) -> bytearray:
        """Tell what a power cut leaves.

        Args:
            draw: decides the fates.
            tally: counts them.
            whole_sectors: whether a sector that is torn or garbled takes its neighbouring bytes with it.

        Returns:
            The content.
        """
        image = self._undone()
        for (offset, data, _, _), certain in self._past():
            if certain:
                _do(image, offset, data)
            elif data is not None:
                _cut_write(image, offset, data, draw, tally, whole_sectors=whole_sectors)
            elif below(draw, 2):
                del image[offset:]
            else:
                tally.counts[4] += 1
        return image

    def flip(self, offset: int, bit: int) -> None:
        """Flip a bit of what is durable; below an unsynced write it is seen only when that is lost.

        Args:
            offset: which byte.
            bit: which of its eight.
        """
        for (start, _, before, _), _ in self._past():
            if start <= offset < start + len(before):
                # One object for `before` in all copies of the past: a copy must not rot with the original.
                self._replace_before(offset - start, bit, before)
                return
        self.content[offset] ^= 1 << bit

    def _replace_before(self, place: int, bit: int, before: bytes | bytearray) -> None:
        rotten = bytearray(before)
        rotten[place] ^= 1 << bit

        def replaced(operation: Operation) -> Operation:
            offset, data, there, size = operation
            return (offset, data, rotten, size) if there is before else operation

        self.unsynced = [replaced(operation) for operation in self.unsynced]
        self._doubtful = [(replaced(operation), certain) for operation, certain in self._doubtful]

    def _past(self) -> chain[tuple[Operation, bool]]:
        return chain(self._doubtful, ((operation, False) for operation in self.unsynced))

    def _undone(self) -> bytearray:
        image = bytearray(self.content)
        for offset, _, before, size in reversed([operation for operation, _ in self._past()]):
            del image[size:]
            image[offset : offset + len(before)] = before
        return image


def _do(image: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del image[offset:]
        return
    image += bytes(max(0, offset - len(image)))
    image[offset : offset + len(data)] = data


def _cut_write(
    image: bytearray, offset: int, data: bytes, draw: Draw, tally: _Tally, *, whole_sectors: bool
) -> None:
    end = offset + len(data)
    start = offset
    while start < end:
        sector = start - start % SECTOR_SIZE_BYTES
        stop = min(sector + SECTOR_SIZE_BYTES, end)
        fate = FATES[below(draw, len(FATES))]
        tally.counts[fate] += 1
        piece = data[start - offset : stop - offset]
        if fate == KEPT:
            _do(image, start, piece)
        elif fate == TORN:
            # At least one byte: of a sector that is only lost there are enough.
            _do(image, start, piece[: 1 + below(draw, len(piece))])
        elif fate == GARBLED:
            # A drive that promises nothing loses the whole sector, as far as the file has one there.
            first = sector if whole_sectors else start
            last = max(stop, min(sector + SECTOR_SIZE_BYTES, len(image))) if whole_sectors else stop
            _do(image, first, rubbish(draw, last - first))
        start = stop


class Medium:
    """The files of a disk by name.

    Attributes:
        files: what everybody sees now.
    """

    __slots__ = ("_unsynced", "files")

    def __init__(self, files: dict[str, StoredFile] | None = None) -> None:
        self.files = files or {}
        # For each name that was made or deleted since: what it has led to, the durable one first.
        self._unsynced: dict[str, list[StoredFile | None]] = {}

    def make(self, name: str) -> StoredFile:
        """Make a file, which a power cut may undo until it is synced.

        Args:
            name: a name that leads to nothing.

        Returns:
            The empty file.
        """
        self._unsynced.setdefault(name, [None]).append(made := StoredFile())
        self.files[name] = made
        return made

    def delete(self, name: str) -> None:
        """Delete a file, which a power cut may undo until its directory is synced.

        Args:
            name: a name that leads to a file.
        """
        self._unsynced.setdefault(name, [self.files.pop(name)]).append(None)
        self.files.pop(name, None)

    def renew(self, name: str) -> None:
        """Put a durable copy in the place of a file, as writing one, syncing it and renaming it do.

        Args:
            name: a name that leads to a file.
        """
        self.files[name] = StoredFile(self.files[name].content)
        self._unsynced.pop(name, None)

    def sync_file(self, name: str, stored: StoredFile, *, is_log: bool) -> None:
        """Make a file durable, and its name with it.

        Args:
            name: under which it was opened.
            stored: the file.
            is_log: whether it is a journal or a write-ahead log, with whose first fsync SQLite's own file
                systems sync the directory: so a deletion before it is durable as well.
        """
        stored.sync()
        if name in self._unsynced and self.files.get(name) is stored:
            if is_log:
                self.sync_directory(name)
            else:
                del self._unsynced[name]

    def sync_directory(self, name: str) -> None:
        """Make durable what names in one directory lead to.

        Args:
            name: a name in the directory.
        """
        directory = name.rpartition("/")[0]
        self._unsynced = {
            other: past for other, past in self._unsynced.items() if other.rpartition("/")[0] != directory
        }

    def copy(self) -> Medium:
        """Copy everything: what the next process finds when one has crashed."""
        past = chain.from_iterable(self._unsynced.values())
        twins = {id(one): one.copy() for one in chain(self.files.values(), past) if one is not None}
        twin = Medium({name: twins[id(one)] for name, one in self.files.items()})
        twin._unsynced = {
            name: [one if one is None else twins[id(one)] for one in past]
            for name, past in self._unsynced.items()
        }
        return twin

    def after_cut(self, draw: Draw, *, whole_sectors: bool) -> tuple[Medium, CutReport]:
        """Tell what a power cut leaves.

        Args:
            draw: decides the fates.
            whole_sectors: as for a file.

        Returns:
            What is on the disk then, durably, and the counts.
        """
        tally = _Tally()
        left = {}
        for name in sorted({**self.files, **self._unsynced}):
            past = self._unsynced.get(name) or [self.files[name]]
            reached = below(draw, len(past)) if len(past) > 1 else 0
            tally.counts[4] += len(past) - 1 - reached
            if (stored := past[reached]) is not None:
                left[name] = StoredFile(stored.after_cut(draw, tally, whole_sectors=whole_sectors))
        return Medium(left), tally.report()

    def durable(self) -> dict[str, StoredFile]:
        """Tell which files a power cut would surely leave, by name, sorted."""
        found = {name: past[0] for name, past in self._unsynced.items()}
        there = {**self.files, **found}
        return {name: stored for name, stored in sorted(there.items()) if stored is not None}

    def size_bytes(self) -> int:
        """Tell how much room the files take."""
        return sum(len(stored.content) for stored in self.files.values())

    def digest(self) -> bytes:
        """Digest everything: what is seen now and what is durable."""
        digest = blake2b(digest_size=16)
        for name, stored in sorted(self.files.items()):
            _feed(digest, name, stored.content)
        for name, stored in self.durable().items():
            _feed(digest, name, stored.durable())
        return digest.digest()


def _feed(digest: blake2b, name: str, content: bytearray) -> None:
    encoded = name.encode()
    digest.update(len(encoded).to_bytes(8, "big") + len(content).to_bytes(8, "big") + encoded)
    digest.update(content)
