"""A consistent copy of a store that is in use."""

# Plain strings, as SQLite speaks them; a Path made for each look would cost more than the look.
# ruff: noqa: PTH104, PTH108, PTH120
from __future__ import annotations

import os
import secrets
from contextlib import suppress

import apsw

from treadle.errors import StoreUnavailableError, UsageError
from treadle.stores.sqlite.files import WAL_SUFFIX
from treadle.stores.sqlite.poison import sync_directory


def _vacuum_into(connection: apsw.Connection, draft: str) -> None:
    # The pragma takes the copy for a write; the connection itself is open for reading only.
    connection.pragma("query_only", 0)
    try:
        connection.execute("VACUUM INTO ?", (draft,))
    finally:
        connection.pragma("query_only", 1)


def copy_to(connection: apsw.Connection, path: str, source: str) -> None:
    """Copy a store as it is at this instant.

    The copy is written under another name, made durable, and linked into place, so that under the path
    asked for there is a whole copy or nothing. Copying the files by hand would miss the WAL.

    Args:
        connection: a reader.
        path: a file that does not exist yet.
        source: the store, for messages.

    Raises:
        UsageError: the file exists, or the log of one that is gone.
        StoreUnavailableError: the copy cannot be written there.
    """
    path = os.path.realpath(path)
    check_target(path)
    draft = f"{path}.new-{secrets.token_hex(4)}"
    try:
        _vacuum_into(connection, draft)
        publish(draft, path)
    except OSError as error:
        raise StoreUnavailableError(f"{path}: cannot be written: {error.strerror}") from error
    except apsw.Error as error:
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            raise
        raise StoreUnavailableError(f"{path}: {source} cannot be copied there: {error}") from error
    finally:
        with suppress(OSError):
            os.unlink(draft)
    sync_directory(os.path.dirname(path))


def check_target(path: str) -> None:
    """See that nothing lies where a new store is to be.

    Args:
        path: links resolved.

    Raises:
        UsageError: the file exists, or the log of one that is gone.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path}: there is something already; this overwrites nothing, give a new path")
    if os.path.lexists(log := path + WAL_SUFFIX):
        raise UsageError(
            f"{path}: the log of another store lies there, {log}; move it away, or give a new path"
        )


def publish(draft: str, path: str) -> None:
    """Make a finished file durable and give it its name.

    Args:
        draft: the file; the caller removes the name.
        path: where it is to be.

    Raises:
        UsageError: somebody has just made something there.
        OSError: it cannot be synced or named.
    """
    descriptor = os.open(draft, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, path)
    except FileExistsError:
        raise UsageError(f"{path}: somebody has just made it; give a new path") from None
    except OSError:
        # A file system without links.
        os.rename(draft, path)
