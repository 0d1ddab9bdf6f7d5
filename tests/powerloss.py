"""A simulated disk under SQLite: power cuts, I/O errors, full disks and lies, all from a seed.

The faults it may make, and why each must be survived:

- *A power cut* keeps, loses or garbles each 512-byte sector of a write that was not yet synced, one by
  one, because that is what a drive's cache does. What was synced stays.
- *EIO* from a write or an fsync: a failing drive, a cable, a network file system.
- *ENOSPC* from a write: a full disk, which may have room again later.
- *A lying fsync* says yes and does nothing: consumer drives do. No store survives it, and the tests use
  it to show that they would notice.

A disk is not a directory: nothing here looks at real files. It offers no shared memory, so SQLite has to
lock it exclusively.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import apsw

SECTOR_SIZE_BYTES = 512
KEPT, GARBLED = 0.5, 0.05
"""The chances of an unsynced sector: to be on the disk at all, and to be rubbish there."""


class PowerCutError(BaseException):
    """The power has gone; not an Exception, so that nothing under test handles it."""


class Disk(apsw.VFS):
    """A file system of SQLite's, registered under its name for as long as it lives.

    Args:
        name: unique in the process.
        fault: asked before each write, sync and truncation, with the operation's and the file's name;
            answers with the errno that it shall fail with, or 0.

    Attributes:
        operations: how many operations have changed the disk.
        cut_at: the operation at which the power goes, or None.
        lying: whether syncs only pretend.
    """

    def __init__(self, name: str, fault: Callable[[str, str], str] | None = None) -> None:
        self.name = name
        self.fault = fault
        self.now: dict[str, bytearray] = {}
        self.durable: dict[str, bytes] = {}
        self.pending: dict[str, list[tuple[str, int, bytes]]] = {}
        self.operations = 0
        self.cut_at: int | None = None
        self.lying = False
        super().__init__(name, "")

    def step(self, operation: str, file: str) -> None:
        """Let one operation happen, or something else."""
        self.operations += 1
        if self.cut_at is not None and self.operations >= self.cut_at:
            raise PowerCutError
        problem = self.fault(operation, file) if self.fault else ""
        if problem == "full":
            raise apsw.FullError("no room on the simulated disk")
        if problem:
            error = apsw.IOError(f"simulated I/O error in {operation}")
            error.extendedresult = getattr(apsw, f"SQLITE_IOERR_{problem.upper()}")
            raise error

    def cut_power(self, seed: random.Random) -> None:
        """Leave on the disk what a cut at this instant would."""
        after = {}
        for name in list(self.now):
            content = bytearray(self.durable.get(name, b""))
            for operation, offset, data in self.pending.get(name, []):
                if operation == "truncate":
                    if seed.random() < KEPT:
                        del content[offset:]
                else:
                    self._keep_sectors(content, offset, data, seed)
            if name in self.durable or self.pending.get(name):
                after[name] = content
        self.restore({name: bytes(content) for name, content in after.items()})

    @staticmethod
    def _keep_sectors(content: bytearray, offset: int, data: bytes, seed: random.Random) -> None:
        for start in range(0, len(data), SECTOR_SIZE_BYTES):
            chance = seed.random()
            if chance >= KEPT:
                continue
            sector = data[start : start + SECTOR_SIZE_BYTES]
            if chance < GARBLED:
                sector = seed.randbytes(len(sector))
            place = offset + start
            content.extend(bytes(max(0, place + len(sector) - len(content))))
            content[place : place + len(sector)] = sector

    def restore(self, files: dict[str, bytes]) -> None:
        """Put files on the disk as if they had always been there."""
        self.now = {name: bytearray(content) for name, content in files.items()}
        self.durable = dict(files)
        self.pending = {}
        self.cut_at = None

    # -- what SQLite calls --

    def xOpen(self, name, flags):  # noqa: N802
        text = name.filename() if isinstance(name, apsw.URIFilename) else name or f"temporary-{id(object())}"
        return _File(self, text, flags)

    def xDelete(self, filename, syncdir):  # noqa: N802
        self.step("delete", filename)
        self.now.pop(filename, None)
        self.pending.pop(filename, None)
        if syncdir and not self.lying:
            self.durable.pop(filename, None)

    def xAccess(self, pathname, flags):  # noqa: N802
        del flags
        return pathname in self.now

    def xFullPathname(self, name):  # noqa: N802
        return name


class _File:
    """One open file of the disk."""

    def __init__(self, disk: Disk, name: str, flags: list[int]) -> None:
        self._disk = disk
        self._name = name
        disk.now.setdefault(name, bytearray())
        disk.pending.setdefault(name, [])
        flags[1] = flags[0]

    def xRead(self, amount, offset):  # noqa: N802
        return bytes(self._disk.now[self._name][offset : offset + amount])

    def xWrite(self, data, offset):  # noqa: N802
        disk = self._disk
        disk.step("write", self._name)
        content = disk.now[self._name]
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data
        disk.pending[self._name].append(("write", offset, bytes(data)))

    def xTruncate(self, newsize):  # noqa: N802
        self._disk.step("truncate", self._name)
        del self._disk.now[self._name][newsize:]
        self._disk.pending[self._name].append(("truncate", newsize, b""))

    def xSync(self, flags):  # noqa: N802
        del flags
        self._disk.step("sync", self._name)
        if not self._disk.lying:
            self._disk.durable[self._name] = bytes(self._disk.now[self._name])
            self._disk.pending[self._name].clear()

    def xFileSize(self):  # noqa: N802
        return len(self._disk.now[self._name])

    def xLock(self, level):  # noqa: N802
        del level

    def xUnlock(self, level):  # noqa: N802
        del level

    def xCheckReservedLock(self):  # noqa: N802
        return False

    def xClose(self):  # noqa: N802
        pass

    def xFileControl(self, operation, pointer):  # noqa: N802
        del operation, pointer
        return False

    def xSectorSize(self):  # noqa: N802
        return SECTOR_SIZE_BYTES

    def xDeviceCharacteristics(self):  # noqa: N802
        return 0
