"""From a path to open connections: every check that a file must pass, in order, before it is used."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

import apsw

from treadle.errors import StoreFormatError, StoreFullError, StoreReadOnlyError, StoreUnavailableError
from treadle.stores.contract import StoreOptions
from treadle.stores.sqlite import files, schema
from treadle.stores.sqlite.faults import READ_ERRORS, translated
from treadle.stores.sqlite.poison import POSITION_MAX, Health, marker_path, poisoned_error, read_marker
from treadle.stores.sqlite.readers import Readers
from treadle.stores.sqlite.writer import Writer, close_quietly, settle_log


class Opened(NamedTuple):
    """What an open store is made of; `readers` is None when the writer reads as well."""

    path: str
    health: Health
    writer: Writer | None
    readers: Readers | None
    identity: files.Identity | None


def open_file(options: StoreOptions) -> Opened:
    """Open, or make, the store of a real file.

    Args:
        options: as the caller gave them.

    Returns:
        The parts of the open store.

    Raises:
        StoreError: the file cannot be used; nothing of it was changed.
    """
    schema.check_sqlite_version(apsw.sqlite_lib_version())
    path = os.path.realpath(options.location)
    try:
        # Nobody else in this process may open the file between the look at it and the connection to it.
        with files.OPENING:
            return _open_path(path, options)
    except (*READ_ERRORS, OSError) as error:
        raise translated(error, path) from error


def _open_path(path: str, options: StoreOptions) -> Opened:
    health = _check_marker(path, options)
    if not os.path.lexists(path):
        _make(path, options)
    files.check_path(path)
    files.check_content(path)
    files.check_wal(path)
    identity = files.identity_of(path)
    if identity is None:
        raise StoreUnavailableError(f"{path}: it has just been removed; try again")
    alone = not files.is_held(path)
    files.register(identity)
    try:
        if options.read_only:
            return _for_reading(path, identity, health, alone=alone)
        return _for_writing(path, identity, health)
    except BaseException:
        files.unregister(identity)
        raise


def _check_marker(path: str, options: StoreOptions) -> Health:
    health = Health(path)
    if health.marked():
        told = str(read_marker(path).get("reason", f"{marker_path(path)} cannot be read"))
        if not options.ignore_poison:
            raise poisoned_error(path, told)
        # For `verify`, which has to see everything; it still takes nothing.
        health.reason = told
    return health


def _make(path: str, options: StoreOptions) -> None:
    if options.read_only or not options.create:
        raise StoreUnavailableError(
            f"{path}: there is no such store; check the path, or make one by opening it for writing with"
            " create=True"
        )
    files.create_file(path)


def _for_reading(path: str, identity: files.Identity, health: Health, *, alone: bool) -> Opened:
    readers = Readers(path, leave_no_trace=alone)
    version = readers.ask(_identify, path)
    if version < schema.SCHEMA_VERSION:
        raise StoreFormatError(
            f"{path}: an older store (schema version {version}, this treadle's is {schema.SCHEMA_VERSION});"
            " open it once for writing (open_runtime(), or treadle log append), which brings it up to date"
        )
    return Opened(path, health, None, readers, identity)


def _identify(connection: apsw.Connection, path: str) -> int:
    version = int(connection.pragma("user_version"))
    schema.check_identity(connection.pragma("application_id"), version, path)
    if version == schema.SCHEMA_VERSION:
        schema.check_tables(connection, path)
    return version


def _for_writing(path: str, identity: files.Identity, health: Health) -> Opened:
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        # Until the file is known to be ours, closing it must not change it.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(schema.BUSY_MILLISECONDS)
        _check_writable(connection, path)
        _identify(connection, path)
        schema.configure_writer(connection)
        schema.migrate(connection, path)
        schema.check_tables(connection, path)
        _touch(connection)
        _settle(connection, path, health)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(health.poisoned))
        writer = Writer(connection, path, health, files.Guard(path))
        return Opened(path, health, writer, Readers(path), identity)
    except apsw.CantOpenError as error:
        connection.close()
        raise StoreReadOnlyError(
            f"{path}: its directory cannot be written ({error}), and a store keeps its log there;"
            " change the permissions, or open it with read_only=True"
        ) from error
    except BaseException:
        connection.close()
        raise


def _check_writable(connection: apsw.Connection, path: str) -> None:
    # SQLite opens a file it may not write for reading only, without a word.
    if connection.readonly("main"):
        raise StoreReadOnlyError(
            f"{path}: the file cannot be written; change its permissions, or open it with read_only=True"
        )


def _touch(connection: apsw.Connection) -> None:
    # Makes SQLite open its log now, so that the guard knows which file it is.
    connection.execute("BEGIN IMMEDIATE; ROLLBACK")


def _settle(connection: apsw.Connection, path: str, health: Health) -> None:
    """Make durable what was recovered, before anybody is told of it."""
    if health.poisoned:
        return
    # A full disk has no room for a copy; synced, the log is as durable as any, and reads go on.
    with suppress(StoreFullError):
        settle_log(connection, path)
    try:
        files.sync_wal(path)
    except OSError as error:
        # After a failed fsync the system may show pages that it will never write.
        health.poison(f"{error} while it synced the WAL that it has found", POSITION_MAX)
        raise health.error() from error


def open_on_vfs(location: str, vfs: str) -> Opened:
    """Open, or make, a store on another file system of SQLite's (a simulated disk).

    Such a file system has no shared memory and no names to watch: the file stays locked, one connection
    reads and writes, and nothing is looked at beside it.

    Args:
        location: the file's name there.
        vfs: the file system's name.

    Returns:
        The parts of the open store.

    Raises:
        StoreError: the file cannot be used.
    """
    schema.check_sqlite_version(apsw.sqlite_lib_version())
    try:
        connection = apsw.Connection(location, vfs=vfs)
    except apsw.Error as error:
        raise translated(error, location) from error
    try:
        # Before anything is read: without shared memory a WAL can be read only by who holds the lock.
        connection.pragma("locking_mode", "EXCLUSIVE")
        new = schema.is_new(connection)
        if new:
            connection.pragma("auto_vacuum", "INCREMENTAL")
        schema.configure_writer(connection)
        if new:
            schema.create_schema(connection)
        schema.migrate(connection, location)
        schema.check_tables(connection, location)
        settle_log(connection, location)
        health = Health(None)
        return Opened(location, health, Writer(connection, location, health, None), None, None)
    except apsw.Error as error:
        errno_now = connection.system_errno
        close_quietly(connection)
        raise translated(error, location, errno_now) from error
    except BaseException:
        close_quietly(connection)
        raise
