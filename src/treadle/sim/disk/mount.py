"""What SQLite calls: one process's view of a simulated disk.

A view is severed when its process crashes, while SQLite goes on calling until the tasks of that process have
ended. The disk has then been copied for the next process, and the dead one keeps what it had: it reads as
before, and whatever it writes it writes there, where nobody else will ever look.
"""

# SQLite's own names for what a file system must offer.
# ruff: noqa: N802
from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, cast

import apsw

from treadle.errors import InvalidValueError
from treadle.sim.disk.faults import Problem
from treadle.sim.disk.medium import SECTOR_SIZE_BYTES, Medium, StoredFile, below
from treadle.sim.disk.sqlite_chance import seed_sqlite

if TYPE_CHECKING:
    from treadle.sim.disk.simulated import SimulatedDisk

_EIO: Final = 5
_ENOSPC: Final = 28
"""Linux's numbers, on every machine: an error reads the same wherever a seed is run again."""
_CODES: Final = {
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "delete": apsw.SQLITE_IOERR_DELETE,
}
_LOGS: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
_SHARED, _RESERVED, _PENDING, _EXCLUSIVE = range(1, 5)
"""SQLite's levels of a lock."""


def _io_error(message: str, code: int) -> apsw.IOError:
    error = apsw.IOError(message)
    error.extendedresult = code  # type: ignore[attr-defined]  # where apsw looks for it; its stubs do not know
    return error


class Mount(apsw.VFS):
    """One process's view of a disk, registered as a file system of SQLite's.

    Args:
        disk: the disk.
        name: under which SQLite finds it; unique in the process.
        medium: what is on the disk.

    Attributes:
        name: as given.
        medium: as given.
        severed: whether the process is dead, and nothing done here has an effect on the disk any more.
        open_files: what is open through it.
    """

    def __init__(self, disk: SimulatedDisk, name: str, medium: Medium) -> None:
        self.disk = disk
        self.name = name
        self.medium = medium
        self.severed = False
        self.open_files: list[OpenFile] = []
        self._scratch_files = 0
        self._errno = 0
        super().__init__(name, "")

    # -- called for every operation that is more than counted --

    def attend(self, operation: str, file: str) -> None:
        """Let the disk's owner decide about an operation before it happens.

        Args:
            operation: which.
            file: on which file.

        Raises:
            apsw.Error: it shall fail.
        """
        if self.disk.fault is not None and (problem := self.disk.fault(operation, file)) is not None:
            self.fail(operation, problem)

    def settle(self, operation: str, file: str, size_bytes: int) -> None:
        """Tell the disk's owner of an operation that has happened, and see whether the power goes.

        Args:
            operation: which.
            file: on which file.
            size_bytes: of how much.

        Raises:
            PowerCutError: this was the last one.
        """
        disk = self.disk
        # The owner may have severed this process before the operation, or in the report of it.
        if not self.severed and disk.report is not None:
            disk.report(operation, file, size_bytes)
        if not self.severed and disk.cut_at is not None and disk.operations >= disk.cut_at:
            disk._lose_power()

    def fail(self, operation: str, problem: Problem) -> NoReturn:
        """Fail an operation as a real file system does.

        Args:
            operation: which.
            problem: how.

        Raises:
            apsw.Error: always.
            InvalidValueError: `problem` is none.
        """
        if problem not in list(Problem):
            raise InvalidValueError(
                f"a disk's fault answers None, {' or '.join(map(str, Problem))}: got {problem!r}"
            )
        if problem == Problem.FULL and operation == "write":
            self._errno = _ENOSPC
            raise apsw.FullError("no room on the simulated disk")
        self._errno = _EIO
        if operation not in _CODES:
            raise apsw.CantOpenError(f"simulated I/O error in {operation}")
        raise _io_error(f"simulated I/O error in {operation}", _CODES[operation])

    # -- what SQLite calls --

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        """Open a file, or make it."""
        asked = flags[0]
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        disk = self.disk
        if not self.severed:
            disk._opens += 1
            if disk._attentive:
                self.attend("open", path or "")
                self.settle("open", path or "", 0)
        flags[1] = asked
        if path is None or asked & apsw.SQLITE_OPEN_DELETEONCLOSE:
            self._scratch_files += 1
            scratch = f"scratch-{self._scratch_files}"
            return cast("apsw.VFSFile", OpenFile(self, scratch, StoredFile(scratch=True), asked))
        if asked & apsw.SQLITE_OPEN_MAIN_DB and not self.severed:
            seed_sqlite(disk.draw)
        return cast("apsw.VFSFile", OpenFile(self, path, self._found_or_made(path, asked), asked))

    def _found_or_made(self, path: str, flags: int) -> StoredFile:
        stored = self.medium.files.get(path)
        if stored is not None and not flags & apsw.SQLITE_OPEN_EXCLUSIVE:
            return stored
        if stored is not None or not flags & apsw.SQLITE_OPEN_CREATE:
            raise apsw.CantOpenError(f"{path}: {'already' if stored else 'not'} on the simulated disk")
        return self.medium.make(path)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001 - SQLite's own signature
        """Delete a file."""
        disk, watched = self.disk, self.disk._attentive and not self.severed
        if not self.severed:
            disk.operations += 1
            disk._deletions += 1
        if watched:
            self.attend("delete", filename)
        if filename not in self.medium.files:
            raise _io_error(f"{filename}: not on the simulated disk", apsw.SQLITE_IOERR_DELETE_NOENT)
        self.medium.delete(filename)
        if syncdir and not disk.lying:
            self.medium.sync_directory(filename)
        if watched:
            self.settle("delete", filename, 0)

    def xAccess(self, pathname: str, flags: int) -> bool:
        """Tell whether there is a file."""
        del flags
        return pathname in self.medium.files

    def xFullPathname(self, name: str) -> str:
        """Take every name as it is."""
        return name

    def xGetLastError(self) -> tuple[int, str | None]:
        """Tell the number of the last error that was simulated."""
        return self._errno, None

    def xSleep(self, microseconds: int) -> int:
        """Wait for nobody: who holds a lock is in this process, and waits for this call to end."""
        return microseconds


def _forbids(held: int, wanted: int) -> bool:
    """Tell whether a lock that one connection holds keeps another from what it wants."""
    if wanted == _EXCLUSIVE:
        return held >= _SHARED
    return held >= (_PENDING if wanted == _SHARED else _RESERVED)


class OpenFile:
    """One open file; what SQLite calls most, so nothing here does more than it must.

    Args:
        mount: through which it was opened.
        name: its name.
        stored: its content.
        flags: how SQLite opened it.
    """

    __slots__ = ("_disk", "_is_log", "_level", "_mount", "_name", "_stored")

    def __init__(self, mount: Mount, name: str, stored: StoredFile, flags: int) -> None:
        self._mount = mount
        self._disk = mount.disk
        self._name = name
        self._stored = stored
        self._is_log = bool(flags & _LOGS)
        self._level = 0
        mount.open_files.append(self)

    def xRead(self, amount: int, offset: int) -> bytearray:
        """Read; short at the end of the file."""
        mount, disk = self._mount, self._disk
        if not mount.severed:
            disk._reads += 1
            disk._read_bytes += amount
            if disk._attentive:
                mount.attend("read", self._name)
                mount.settle("read", self._name, amount)
        return self._stored.content[offset : offset + amount]

    def xWrite(self, data: bytes, offset: int) -> None:
        """Write into the cache of the system."""
        if not self._mount.severed:
            disk = self._disk
            disk.operations += 1
            disk._writes += 1
            disk._written_bytes += len(data)
            if disk._attentive:
                self._write_attentively(data, offset)
                return
        self._stored.write(data, offset)

    def _write_attentively(self, data: bytes, offset: int) -> None:
        mount = self._mount
        try:
            mount.attend("write", self._name)
            self._check_room(offset + len(data))
        except apsw.Error:
            # Of a write that fails a first part may be there, in whole sectors, but never all: a system that
            # has taken everything says so.
            if sectors := below(self._disk.draw, -(-len(data) // SECTOR_SIZE_BYTES)):
                self._stored.write(data[: sectors * SECTOR_SIZE_BYTES], offset)
            raise
        self._stored.write(data, offset)
        mount.settle("write", self._name, len(data))

    def _check_room(self, end: int) -> None:
        room, size = self._disk.room_bytes, len(self._stored.content)
        if room is not None and end > size and self._mount.medium.size_bytes() + end - size > room:
            self._mount.fail("write", Problem.FULL)

    def xTruncate(self, newsize: int) -> None:
        """Cut the file off."""
        mount, disk = self._mount, self._disk
        watched = disk._attentive and not mount.severed
        if not mount.severed:
            disk.operations += 1
            disk._truncations += 1
        if watched:
            mount.attend("truncate", self._name)
        self._stored.truncate(newsize)
        if watched:
            mount.settle("truncate", self._name, newsize)

    def xSync(self, flags: int) -> None:
        """Make the file durable, unless the disk lies."""
        del flags
        mount, disk = self._mount, self._disk
        watched = disk._attentive and not mount.severed
        if not mount.severed:
            disk.operations += 1
            disk._syncs += 1
        if watched:
            self._attend_sync()
        if not disk.lying:
            mount.medium.sync_file(self._name, self._stored, is_log=self._is_log)
        if watched:
            mount.settle("sync", self._name, 0)

    def _attend_sync(self) -> None:
        try:
            self._mount.attend("sync", self._name)
        except apsw.Error:
            self._stored.fail_to_sync()
            raise

    def xFileSize(self) -> int:
        """Tell the size."""
        return len(self._stored.content)

    def xLock(self, level: int) -> None:
        """Lock against the other connections of this process, by SQLite's rules."""
        if level > self._level and any(_forbids(other, level) for other in self._others()):
            if level == _EXCLUSIVE:
                self._level = max(self._level, _PENDING)
            raise apsw.BusyError(f"{self._name}: another connection holds it locked")
        self._level = max(self._level, level)

    def xUnlock(self, level: int) -> None:
        """Lower the lock."""
        self._level = min(self._level, level)

    def xCheckReservedLock(self) -> bool:
        """Tell whether anybody means to write."""
        return any(level >= _RESERVED for level in [self._level, *self._others()])

    def _others(self) -> list[int]:
        return [
            file._level
            for file in self._mount.open_files
            if file._stored is self._stored and file is not self
        ]

    def xClose(self) -> None:
        """Close."""
        if self in self._mount.open_files:
            self._mount.open_files.remove(self)

    def xFileControl(self, op: int, ptr: int) -> bool:
        """Know no extras."""
        del op, ptr
        return False

    def xSectorSize(self) -> int:
        """Tell what is written as one."""
        return SECTOR_SIZE_BYTES

    def xDeviceCharacteristics(self) -> int:
        """Promise that a write endangers nothing beside it, as SQLite's own file systems do, or nothing."""
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE if self._disk.powersafe_overwrite else 0
