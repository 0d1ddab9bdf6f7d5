"""Read-only connections: a few, opened when first needed, each used by one thread at a time.

They never checkpoint and hold no transaction between two questions, so they slow a writer down only for
the length of a page.
"""

# Plain strings, as SQLite speaks them; a Path made for each look would cost more than the look.
# ruff: noqa: PTH110, PTH116
from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import quote

import apsw

from treadle.stores.sqlite.faults import translated
from treadle.stores.sqlite.files import WAL_SUFFIX, sync_wal
from treadle.stores.sqlite.schema import BUSY_MILLISECONDS

T = TypeVar("T")

READERS_MAX: Final = 4
"""Reads at once: more threads than cores only fight for the interpreter's lock."""
_TRIES_MAX: Final = 3
_GONE: Final = (-1, -1, -1)


class Readers:
    """Lends connections to reading threads.

    Args:
        path: the store's file.
        leave_no_trace: open the file as unchanging while it has no WAL, so that not even the -shm that
            every other reader makes appears beside it.
    """

    def __init__(self, path: str, *, leave_no_trace: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._free: list[apsw.Connection] = []
        self._leave_no_trace = leave_no_trace
        self._free_stamp: tuple[int, int, int] | None = None

    def ask(self, question: Callable[..., T], *args: Any) -> T:
        """Put a question to a connection; runs in the caller's thread.

        Args:
            question: one of `reading`, whose first argument is the connection.
            *args: its other arguments.

        Returns:
            The answer.

        Raises:
            StoreError: the store could not be read.
        """
        for _ in range(_TRIES_MAX):
            stamp = self.stamp()
            try:
                connection = self._take(stamp)
            except (apsw.Error, OSError) as error:
                raise translated(error, self._path) from error
            still = False
            try:
                answer = question(connection, *args)
                still = stamp == self.stamp()
                if still:
                    return answer
            except apsw.Error as error:
                still = stamp == self.stamp()
                if still:
                    raise translated(error, self._path, connection.system_errno) from error
            except UnicodeDecodeError as error:
                # The statement is still at its row: closing the connection ends what it holds open.
                raise translated(error, self._path) from error
            finally:
                self._give(connection, stamp if still else _GONE)
            # Somebody has begun to write: a file read as unchanging has to be read again.
            self._leave_no_trace = False
            self.close()
        raise AssertionError("read again and again")  # pragma: no cover

    def close(self) -> None:
        """Close all connections that are not lent out."""
        with self._lock:
            free, self._free = self._free, []
        for connection in free:
            connection.close()

    def _take(self, stamp: tuple[int, int, int] | None) -> apsw.Connection:
        if stamp != self._free_stamp:
            # What was read as unchanging has changed, and the old connections would never see it.
            self.close()
            self._free_stamp = stamp
        with self._lock:
            if self._free:
                return self._free.pop()
        return open_reader(self._path, unchanging=stamp is not None)

    def _give(self, connection: apsw.Connection, stamp: tuple[int, int, int] | None) -> None:
        with self._lock:
            if stamp == self._free_stamp:
                self._free.append(connection)
                return
        connection.close()

    def stamp(self) -> tuple[int, int, int] | None:
        """Tell one state of an unchanging file from another.

        Returns:
            Inode, size and time of change; None when the file is not read as unchanging, or there is a
            WAL, so that somebody may write.
        """
        if not self._leave_no_trace or os.path.exists(self._path + WAL_SUFFIX):
            return None
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def open_reader(path: str, *, unchanging: bool = False) -> apsw.Connection:
    """Open a connection that cannot write.

    Args:
        path: the store's file.
        unchanging: take no locks and make no files.

    Returns:
        The connection.

    Raises:
        apsw.Error: it cannot be opened.
        OSError: what was found in its log could not be made durable, and so must not be shown.
    """
    flags = apsw.SQLITE_OPEN_READONLY
    if unchanging:
        name = f"file:{quote(path)}?immutable=1"
        connection = apsw.Connection(name, flags=flags | apsw.SQLITE_OPEN_URI)
    else:
        connection = apsw.Connection(path, flags=flags)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.pragma("query_only", 1)
    if not unchanging:
        connection.pragma("user_version")  # reads, and so recovers the log when nobody else has
        sync_wal(path)
    return connection
