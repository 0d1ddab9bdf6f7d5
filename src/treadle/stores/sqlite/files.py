"""The files around a store: making one, judging one before SQLite sees it, and watching one that is open.

POSIX locks belong to a process, and closing *any* descriptor of a file drops them all. So a file that this
process has open through SQLite is never opened by other means here: the registry on this page knows
which those are, and everything below that reads a file asks it first.
"""

# Plain strings, as SQLite speaks them; a Path made for each look would cost more than the look.
# ruff: noqa: PTH104, PTH108, PTH110, PTH112, PTH116, PTH120, PTH123
from __future__ import annotations

import fcntl
import os
import secrets
import stat
import struct
import sys
import threading
from contextlib import suppress
from typing import BinaryIO, Final, NamedTuple

import apsw

from treadle.errors import (
    CorruptStoreError,
    StoreFormatError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from treadle.stores.sqlite.faults import RESTORE
from treadle.stores.sqlite.poison import marker_path, sync_directory
from treadle.stores.sqlite.schema import check_identity, create_schema
from treadle.stores.sqlite.wal import hidden_pages, scan_wal

WAL_SUFFIX: Final = "-wal"
SHARED_MEMORY_SUFFIX: Final = "-shm"
_HEADER_SIZE_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\0"
# The byte of the -shm on which every connection holds a shared lock as long as it is open (os_unix.c).
_DEAD_MAN_SWITCH: Final = 128

Identity = tuple[int, int]
"""Device and inode: which file it is, whatever it is called."""

OPENING: Final = threading.RLock()
"""Held while a file is judged and opened: between the two nobody else in this process may open it."""
_open_files: dict[Identity, int] = {}


def register(identity: Identity) -> None:
    """Note that a connection to a file lives in this process.

    Args:
        identity: the file.
    """
    with OPENING:
        _open_files[identity] = _open_files.get(identity, 0) + 1


def unregister(identity: Identity) -> None:
    """Note that a store has closed its connections to a file.

    Args:
        identity: the file.
    """
    with OPENING:
        _open_files[identity] -= 1
        if not _open_files[identity]:
            del _open_files[identity]


def is_open_here(identity: Identity) -> bool:
    """Tell whether this process has connections to a file."""
    with OPENING:
        return identity in _open_files


def identity_of(path: str) -> Identity | None:
    """Tell which file a path leads to now.

    Args:
        path: any path.

    Returns:
        Device and inode, or None when there is nothing.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Header(NamedTuple):
    """What the first page of an SQLite file tells."""

    page_size_bytes: int
    pages: int
    application_id: int
    version: int
    has_used_wal: bool


def create_file(path: str) -> None:
    """Make an empty store under a path, whole or not at all.

    It is made under another name and linked into place, so that a crash in the middle leaves nothing
    under the path, and the slower of two processes finds the file of the faster.

    Args:
        path: where; links resolved.

    Raises:
        StoreUnavailableError: the directory does not exist, or another store's log lies there.
        StoreReadOnlyError: the directory cannot be written.
        OSError: as the system tells.
        apsw.Error: as SQLite tells; no room, for one.
    """
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise StoreUnavailableError(f"{path}: there is no directory {directory}; make it first")
    if size_bytes(path + WAL_SUFFIX) and not os.path.lexists(path):
        # SQLite would play it into the new file.
        raise StoreUnavailableError(
            f"{path}: a write-ahead log of another store lies there: {path}{WAL_SUFFIX}; move it away, or put"
            " its store back"
        )
    draft = f"{path}.new-{secrets.token_hex(4)}"
    try:
        connection = apsw.Connection(draft)
        try:
            connection.pragma("fullfsync", 1)
            create_schema(connection)
            connection.pragma("journal_mode", "WAL")
        finally:
            connection.close()
        _link(draft, path)
    except (apsw.CantOpenError, apsw.ReadOnlyError, PermissionError) as error:
        if isinstance(error, apsw.CantOpenError) and _may_write(directory):
            # A name too long, no descriptor left.
            raise
        raise StoreReadOnlyError(
            f"{path}: {directory} cannot be written ({error}); check its permissions"
        ) from error
    finally:
        for leftover in (draft, draft + "-journal", draft + WAL_SUFFIX, draft + SHARED_MEMORY_SUFFIX):
            with suppress(OSError):
                os.unlink(leftover)
    sync_directory(directory)


def _may_write(directory: str) -> bool:
    # By default the system answers for the user who started the process, not for the one it runs as.
    effective = os.access in os.supports_effective_ids
    return os.access(directory, os.W_OK | os.X_OK, effective_ids=effective)


def _link(draft: str, path: str) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except PermissionError:
        raise
    except OSError:
        # A file system without links. Should another process be faster by a hair, it loses its file,
        # and notices by the inode before it answers anybody.
        if not os.path.exists(path):
            os.rename(draft, path)


def check_path(path: str) -> None:
    """Refuse what SQLite would answer with a riddle.

    Args:
        path: something that exists.

    Raises:
        StoreFormatError: a directory, a pipe, a device.
        StoreUnavailableError: a file with two names.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise StoreFormatError(f"{path}: a directory; give the path of a file inside it")
    if not stat.S_ISREG(mode):
        raise StoreFormatError(f"{path}: not a regular file; give another path")
    if (names := _count_names(path)) > 1:
        raise StoreUnavailableError(
            f"{path}: the file has {names} names (hard links), and SQLite would keep a write-ahead log of its"
            " own under each, which loses commits; remove the other names"
        )


def _count_names(path: str) -> int:
    found = os.stat(path)
    if found.st_nlink == 1:
        return 1
    # The name under which a store or a backup was made lives a moment longer, or for ever after a crash.
    # Nobody opens it.
    directory, name = os.path.split(path)
    with os.scandir(directory) as entries:
        drafts = [entry for entry in entries if entry.name.startswith(f"{name}.new-")]
    names = found.st_nlink - sum(entry.inode() == found.st_ino for entry in drafts)
    return min(names, os.stat(path).st_nlink)


def check_content(path: str) -> None:
    """Judge a file by its first page, if no connection of this process would suffer.

    Args:
        path: a regular file.

    Raises:
        StoreFormatError: empty, not SQLite, foreign, or of a newer version.
        CorruptStoreError: cut short.
        StoreUnavailableError: it cannot be read, or another store's log lies there.
    """
    identity = identity_of(path)
    if identity is None or is_open_here(identity):
        return
    # Asked before the first page is read: another process may make the file's first log meanwhile.
    wal_is_empty = not size_bytes(path + WAL_SUFFIX)
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER_SIZE_BYTES)
            there_bytes = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise StoreUnavailableError(f"{path}: cannot be read: {error.strerror}; check its rights") from error
    told = _parse_header(header, path)
    check_identity(told.application_id, told.version, path)
    if not wal_is_empty and not told.has_used_wal:
        # A backup in the place of a store. SQLite would play the old commits into it, and ruin it.
        raise StoreUnavailableError(
            f"{path}: the write-ahead log that lies beside it, {path}{WAL_SUFFIX}, is another store's: this"
            f" file, a backup, never had one; move that log and {path}{SHARED_MEMORY_SUFFIX} away"
        )
    # A WAL may hold the missing pages: a checkpoint that was cut off leaves a short file and a whole WAL.
    if wal_is_empty and there_bytes < told.pages * told.page_size_bytes:
        raise CorruptStoreError(
            f"{path}: cut short: its header promises {told.pages * told.page_size_bytes} bytes,"
            f" there are {there_bytes}; {RESTORE}"
        )


def _parse_header(header: bytes, path: str) -> Header:
    if not header:
        raise StoreFormatError(
            f"{path}: an empty file, which treadle never makes: a store was cut off, or something else made"
            " it; delete it to let treadle make a new store"
        )
    if not header.startswith(_MAGIC[: len(header)]):
        raise StoreFormatError(f"{path}: not an SQLite database; give another path")
    if len(header) < _HEADER_SIZE_BYTES:
        raise CorruptStoreError(
            f"{path}: cut short: an SQLite header has {_HEADER_SIZE_BYTES} bytes, there are {len(header)};"
            f" {RESTORE}"
        )
    (page_size_bytes,) = struct.unpack_from(">H", header, 16)
    (pages,) = struct.unpack_from(">I", header, 28)
    (version,) = struct.unpack_from(">I", header, 60)
    (application_id,) = struct.unpack_from(">I", header, 68)
    page_size_bytes = 65_536 if page_size_bytes == 1 else page_size_bytes
    # Bytes 18 and 19, the versions of the format: written as 2 before a file's first log is made.
    return Header(page_size_bytes, pages, application_id, version, has_used_wal=header[18:20] != b"\1\1")


def check_wal(path: str) -> None:
    """Refuse a store whose write-ahead log is damaged in a way SQLite would not tell.

    Only for a file that nobody holds: a living writer may be in the middle of a frame.

    Args:
        path: the store's file.

    Raises:
        CorruptStoreError: a bad frame with a whole later commit behind it, or a bad header with one that
            the store's file lacks.
    """
    if not size_bytes(path + WAL_SUFFIX) or is_held(path):
        return
    complaints = set()
    # Twice, should the first find something: a process that opened the file meanwhile may have begun the
    # log anew while it was being read, and an alarm must never be false.
    for _ in range(2):
        complaint = _wal_complaint(path)
        if complaint is None or is_held(path):
            return
        complaints.add(complaint)
    if len(complaints) == 1:
        raise CorruptStoreError(
            f"{path}{WAL_SUFFIX}: {complaint}; nothing was opened or changed: restore a backup, or move this"
            " file away to give up everything not yet checkpointed; for a backup move it away, too, and the"
            " -shm beside it"
        )


def sync_wal(path: str) -> None:
    """Make durable what SQLite has found in the write-ahead log on opening it.

    A process that is killed between writing a commit and its fsync leaves it to the next one's recovery,
    which believes what it reads: from then on a repeat of that commit is answered and readers are shown it.
    A power cut could still lose it, because SQLite does not sync a log that it recovers.

    Args:
        path: the store's file, of which a connection has read something, so that nothing is recovered later.

    Raises:
        OSError: it could not be synced; nothing in the log can be trusted.
    """
    try:
        descriptor = os.open(path + WAL_SUFFIX, os.O_RDONLY)
    except FileNotFoundError:
        return
    # SQLite keeps its locks on the store's file and the -shm; closing another descriptor of this one frees
    # none of them.
    try:
        if os.fstat(descriptor).st_size:
            sync_fully(descriptor)
    finally:
        os.close(descriptor)


def sync_fully(descriptor: int) -> None:
    """Sync a file as the store's own connections do.

    Args:
        descriptor: of the file.

    Raises:
        OSError: it could not be synced.
    """
    # On macOS a plain fsync stops at the drive's cache.
    if sys.platform == "darwin":  # pragma: no cover - the other system's way
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def _wal_complaint(path: str) -> str | None:
    try:
        with open(path + WAL_SUFFIX, "rb") as wal:
            report = scan_wal(wal)
            if not report.header_sound and _hides_commits(path, wal):
                return (
                    "its header (bytes 0 to 31) is damaged, and whole commits lie behind it that the store's"
                    " file lacks; SQLite would drop them silently"
                )
    except FileNotFoundError:
        return None
    if report.bad_frame is None:
        return None
    return (
        f"frame {report.bad_frame} (byte {report.bad_offset}) is damaged, and whole commits lie behind it;"
        f" SQLite would drop them silently and keep {report.commits_sound}"
    )


def _hides_commits(path: str, wal: BinaryIO) -> bool:
    with open(path, "rb") as file:
        size_bytes = _parse_header(file.read(_HEADER_SIZE_BYTES), path).page_size_bytes
        for page, place in hidden_pages(wal, size_bytes).items():
            wal.seek(place)
            file.seek((page - 1) * size_bytes)
            if file.read(size_bytes) != wal.read(size_bytes):
                return True
    return False


def is_held(path: str) -> bool:
    """Tell whether any process has the store open.

    Args:
        path: the store's file, not open in this process unless the registry says so.

    Returns:
        Whether somebody does; False when there is no shared memory, because then nobody can.
    """
    identity = identity_of(path)
    if identity is not None and is_open_here(identity):
        return True
    try:
        descriptor = os.open(path + SHARED_MEMORY_SUFFIX, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return _is_locked(descriptor, _DEAD_MAN_SWITCH)
    finally:
        # Drops no lock of ours: the registry has just said that this process holds none on it.
        os.close(descriptor)


def _is_locked(descriptor: int, byte: int) -> bool:
    # struct flock. Asking, not taking: a lock taken for a moment would make another opener fail.
    if sys.platform == "darwin":
        layout, fields = "@qqihh", (byte, 1, 0, fcntl.F_WRLCK, 0)
        place = 3
    else:
        layout, fields = "@hhqqi", (fcntl.F_WRLCK, 0, byte, 1, 0)
        place = 0
    answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(layout, *fields))
    return bool(struct.unpack(layout, answer)[place] != fcntl.F_UNLCK)


def size_bytes(path: str) -> int:
    """Tell how large a file is; 0 when there is none.

    Args:
        path: the file.

    Returns:
        Its size.
    """
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def is_locked_in_memory(path: str, byte: int) -> bool:
    """Tell whether another process holds a lock on a byte of a store's shared memory.

    Args:
        path: the store's file, not open in this process unless the registry says so.
        byte: which lock.

    Returns:
        Whether somebody does; False also when this process has the store open and must not look.
    """
    identity = identity_of(path)
    if identity is not None and is_open_here(identity):
        return False
    try:
        descriptor = os.open(path + SHARED_MEMORY_SUFFIX, os.O_RDONLY)
    except OSError:
        return False
    try:
        return _is_locked(descriptor, byte)
    finally:
        os.close(descriptor)


def size_on_disk(path: str) -> int | None:
    """Tell how much a store takes.

    Args:
        path: its file.

    Returns:
        Bytes of the file and its WAL, or None when there is no file.
    """
    if not os.path.exists(path):
        return None
    return size_bytes(path) + size_bytes(path + WAL_SUFFIX)


class Guard:
    """Sees that a store's files are still the ones that were opened.

    Writes to a file that was deleted or replaced vanish without an error; so after every commit, and
    before anybody is answered, the names are held against the inodes.

    Args:
        path: the store's file, open.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._wal = path + WAL_SUFFIX
        self._marker = marker_path(path)
        self._file_identity = identity_of(path)
        self._wal_identity = identity_of(self._wal)

    def complaint(self) -> str | None:
        """Tell what has become of the files.

        Returns:
            A sentence without its stop, or None when all is well.
        """
        if identity_of(self._path) != self._file_identity:
            return f"{self._path} was deleted or replaced while it was open"
        if identity_of(self._wal) != self._wal_identity:
            return f"{self._wal} was deleted or replaced while it was open"
        return None
