"""SQLite's errors in treadle's words.

The literal table at the end of this page's theory: what happened -> whose fault, and is it written?

===========================================  =====================================================
busy, locked, a race between openers         `StoreUnavailableError`: try again
ENOSPC or EDQUOT from a write                `StoreFullError`: refused, the store goes on
the file or its directory cannot be written  `StoreReadOnlyError`
an I/O error while only reading              `StoreUnavailableError`: the disk failed to read
any other I/O error while writing            poison (`is_poison`)
a page that is no page, text that is none    `CorruptStoreError`
not SQLite                                   `StoreFormatError`
===========================================  =====================================================
"""

from __future__ import annotations

import errno
import os
from typing import Final

import apsw

from treadle.errors import (
    CorruptStoreError,
    InternalError,
    StoreError,
    StoreFormatError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)

RESTORE: Final = "restore a backup, without the -wal and -shm that lie beside the store now"
"""The advice for a damaged store: SQLite would play an old log into the restored file."""
READ_ERRORS: Final = (apsw.Error, UnicodeDecodeError)
"""What a question to SQLite may raise; text with a flipped bit may be no UTF-8 any more."""
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# Errors met before anything is written: they fail the call, not the store.
_HARMLESS_IO: Final = frozenset(
    {
        apsw.SQLITE_IOERR_READ,
        apsw.SQLITE_IOERR_SHORT_READ,
        apsw.SQLITE_IOERR_ACCESS,
        apsw.SQLITE_IOERR_FSTAT,
        apsw.SQLITE_IOERR_LOCK,
        apsw.SQLITE_IOERR_RDLOCK,
        apsw.SQLITE_IOERR_SHMOPEN,
        apsw.SQLITE_IOERR_SHMLOCK,
        apsw.SQLITE_IOERR_NOMEM,
        apsw.SQLITE_IOERR_CORRUPTFS,
    }
)


def is_full(error: BaseException, errno_now: int) -> bool:
    """Tell whether a write found no room.

    SQLite knows ENOSPC as "full" and EDQUOT only as a failed write. An fsync that says ENOSPC is neither:
    what it could not write is already lost from the cache.

    Args:
        error: what SQLite raised.
        errno_now: the connection's `system_errno`.

    Returns:
        Whether the write is refused and the store goes on.
    """
    if isinstance(error, apsw.FullError):
        return True
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    return (
        isinstance(error, apsw.IOError) and _code(error) == apsw.SQLITE_IOERR_WRITE and errno_now in NO_ROOM
    )


def _code(error: apsw.Error) -> int:
    return int(getattr(error, "extendedresult", 0))


def is_poison(error: BaseException, *, committing: bool) -> bool:
    """Tell whether an error makes every later answer of the disk doubtful.

    Args:
        error: what SQLite raised in a writing transaction or a checkpoint.
        committing: whether the commit itself had begun.

    Returns:
        Whether the store must stop.
    """
    if not isinstance(error, apsw.IOError):
        return False
    return committing or _code(error) not in _HARMLESS_IO


def translated(error: BaseException, where: str, errno_now: int = 0) -> StoreError | InternalError:
    """Word an error of SQLite, except for a poisonous one.

    Args:
        error: what was raised.
        where: the store, for the message.
        errno_now: the connection's `system_errno`.

    Returns:
        The error to raise from it.
    """
    if is_full(error, errno_now):
        return StoreFullError(
            f"{where}: no room left on the disk; nothing was written: free some space, then send it again"
        )
    if isinstance(error, apsw.BusyError | apsw.LockedError | apsw.ProtocolError):
        return StoreUnavailableError(
            f"{where}: busy: another process has kept it locked ({error}); nothing was written: try again"
        )
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError):
        return StoreReadOnlyError(
            f"{where}: cannot be written ({error}); check its permissions and its directory's,"
            " or open it read-only"
        )
    return _translated_damage(error, where, errno_now)


def _translated_damage(error: BaseException, where: str, errno_now: int) -> StoreError | InternalError:
    if isinstance(error, apsw.NotADBError):
        return StoreFormatError(f"{where}: not an SQLite database ({error}); give another path")
    if isinstance(error, apsw.CorruptError | UnicodeDecodeError):
        return CorruptStoreError(
            f"{where}: damaged ({error}); run treadle log verify to see what is lost, and {RESTORE}"
        )
    if isinstance(error, OSError):
        return StoreUnavailableError(
            f"{where}: cannot be reached: {error.strerror or error}; check the disk and the path"
        )
    if isinstance(error, apsw.IOError | apsw.CantOpenError):
        cause = os.strerror(errno_now) if errno_now else str(error)
        return StoreUnavailableError(f"{where}: cannot be reached: {cause}; check the disk and the path")
    if isinstance(error, apsw.SQLError):
        # Our statements are fixed, so one that no longer compiles met tables that are not ours.
        return CorruptStoreError(f"{where}: its tables were changed from outside ({error}); {RESTORE}")
    return InternalError(
        f"{where}: unexpected {type(error).__name__}: {error}; this is a bug of treadle, please report it"
    )
