"""What a store's file looks like inside, and how an older one becomes a newer one.

Events lie in one table in commit order, so that an append touches the end of the file and not a random
page for each log; `events_by_log` finds a log's rows in order and holds the promise that no seq is there
twice. `events_by_key` finds a keyed event and forbids nothing: an event that was cut, and that branches
share, keeps its key when that comes again. There is no index on event time: it would cost a random page for
every append, to serve queries that can as well scan one workflow's rows. A log's head is derived from its
newest row; the `heads` table has a row only for logs whose writer handed over facts, because a row updated
with every append would double the bytes written.

A log that began as a branch or in the middle, or that has lost its beginning, has a row in `beginnings`;
`ranges` names for each stretch that a branch shares the log in whose rows it lies, ancestors of ancestors
included, so that no read follows a chain. Stores without such logs pay one look at an empty table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import apsw

from treadle.errors import CorruptStoreError, StoreFormatError, StoreUnavailableError
from treadle.stores.sqlite.faults import RESTORE

APPLICATION_ID: Final = 0x54524C45
"""'TRLE', in the file's header: tells our files from everybody else's."""
SCHEMA_VERSION: Final = 4
"""Kept as the file's `user_version`. A new event kind raises it, so that an older treadle refuses. The next
one is 7: two bits away from this, so that `log salvage` can tell a newer file from a flipped bit."""
BUSY_MILLISECONDS: Final = 5_000
"""How long to wait for another process's transaction: many times the longest of ours."""
CACHE_SIZE_KIBIBYTES: Final = 2_048
"""The writer's pages in memory. The operating system keeps the rest of the file at hand: at 100,000 random
workflows 64 MiB here gained nothing measurable, and what the store takes is then not the workflows'."""

_LIFETIMES: Final = """CREATE TABLE beginnings (
    workflow INTEGER PRIMARY KEY,
    first_kept_seq INTEGER NOT NULL,
    digest_before BLOB NOT NULL,
    shared_seq INTEGER NOT NULL,
    hidden INTEGER NOT NULL,
    reclaimed INTEGER NOT NULL,
    checksum BLOB NOT NULL
) STRICT;
CREATE INDEX beginnings_unreclaimed ON beginnings (workflow) WHERE reclaimed = 0;
CREATE TABLE ranges (
    workflow INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    source INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (workflow, to_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX ranges_by_source ON ranges (source);
"""
# Not unique: an event that was cut keeps its key, which branches may know it by, when the key comes again.
_KEYS: Final = "CREATE INDEX events_by_key ON events (workflow, key) WHERE key IS NOT NULL;\n"
SCHEMA: Final = f"""
CREATE TABLE workflows (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    payload BLOB NOT NULL,
    digest BLOB NOT NULL,
    key BLOB
) STRICT;
CREATE UNIQUE INDEX events_by_log ON events (workflow, seq);
{_KEYS}CREATE TABLE heads (
    workflow INTEGER PRIMARY KEY,
    first_kept_seq INTEGER NOT NULL DEFAULT 1,
    digest_before BLOB,
    status INTEGER,
    run_start_seq INTEGER,
    wake_up_ns INTEGER,
    name TEXT,
    details BLOB,
    checksum BLOB
) STRICT;
CREATE INDEX heads_by_status ON heads (status) WHERE status IS NOT NULL;
CREATE INDEX heads_by_wake_up ON heads (wake_up_ns) WHERE wake_up_ns IS NOT NULL;
CREATE TABLE mailbox (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id TEXT NOT NULL,
    message_id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    payload BLOB NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0,
    checksum BLOB NOT NULL,
    UNIQUE (workflow_id, message_id)
) STRICT;
CREATE INDEX mailbox_waiting ON mailbox (workflow_id, arrival) WHERE taken = 0;
CREATE TABLE records (
    namespace TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
{_LIFETIMES}CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO settings VALUES ('epoch', 0);
"""  # noqa: S608 - put together from this page's own words

TABLES: Final = frozenset(
    {"workflows", "events", "heads", "mailbox", "records", "settings", "beginnings", "ranges"}
)
INDICES: Final = frozenset(
    {
        "events_by_log",
        "events_by_key",
        "heads_by_status",
        "heads_by_wake_up",
        "mailbox_waiting",
        "beginnings_unreclaimed",
        "ranges_by_source",
    }
)

Migration = str | Callable[[apsw.Connection], None]

MIGRATIONS: Final[dict[int, Migration]] = {
    1: "",  # the kinds of durable workflows: no table changed, but an older treadle cannot read them
    2: _LIFETIMES,  # branches, logs that begin in the middle, and logs that have lost their beginning
    3: "DROP INDEX events_by_key;\n" + _KEYS,  # a key may come again where a branch knows its old event
}
"""From version -> what makes it the next one: SQL, or a function on the connection.

What a migration leaves must be defined in the very words of `SCHEMA`, with which `verify` compares it. Each
runs in one transaction together with the new version number, so a crash leaves the old version whole.
Version 1 is the first, so nothing leads to it.
"""


def configure_writer(connection: apsw.Connection) -> None:
    """Set what every writing connection needs before its first transaction.

    Args:
        connection: freshly opened.
    """
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    # fullfsync: on macOS a plain fsync stops at the drive's cache; elsewhere these two do nothing.
    for name, value in (
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        ("fullfsync", 1),
        ("checkpoint_fullfsync", 1),
        # SQLite swallows the I/O errors of its own checkpoints; ours are made between groups, and seen.
        ("wal_autocheckpoint", 0),
        ("cache_size", -CACHE_SIZE_KIBIBYTES),
    ):
        connection.pragma(name, value)


def create_schema(connection: apsw.Connection) -> None:
    """Make an empty database a store, in one transaction.

    Args:
        connection: on a database without tables, not yet in WAL mode unless it has no file to rename.
    """
    # Must be there before the first page, so that compaction can give pages back later.
    connection.pragma("auto_vacuum", "INCREMENTAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(SCHEMA)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", SCHEMA_VERSION)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def is_new(connection: apsw.Connection) -> bool:
    """Tell whether a database is still without anything in it.

    Args:
        connection: on the database.

    Returns:
        Whether it has no tables and no marks of anybody's.
    """
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    return not (tables or connection.pragma("application_id") or connection.pragma("user_version"))


def check_identity(application_id: int, version: int, path: str) -> None:
    """Refuse a database that is not ours, or of a newer treadle.

    Args:
        application_id: its mark.
        version: its schema version.
        path: for the message.

    Raises:
        StoreFormatError: foreign, or newer.
    """
    if application_id != APPLICATION_ID:
        raise StoreFormatError(
            f"{path}: an SQLite database, but not a treadle store (application id {application_id:#x},"
            f" expected {APPLICATION_ID:#x}); give another path"
        )
    if version > SCHEMA_VERSION:
        raise StoreFormatError(
            f"{path}: made by a newer treadle: the file has schema version {version}, this treadle knows"
            f" up to {SCHEMA_VERSION}; upgrade treadle"
        )
    if version < 1:
        raise StoreFormatError(f"{path}: schema version {version} was never written by a treadle; {RESTORE}")


def check_tables(connection: apsw.Connection, path: str) -> None:
    """Refuse a store that lacks tables or indices of its version.

    Args:
        connection: on the store, at the current version.
        path: for the message.

    Raises:
        CorruptStoreError: something is missing.
    """
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    if missing := sorted((TABLES | INDICES) - there):
        raise CorruptStoreError(
            f"{path}: a treadle store without its {', '.join(missing)}; somebody changed it from outside:"
            f" {RESTORE}"
        )


def migrate(connection: apsw.Connection, path: str) -> None:
    """Bring an older store to the current version, one version at a time.

    Args:
        connection: a writing connection.
        path: for messages.

    Raises:
        StoreFormatError: foreign or newer, or no way leads from its version.
    """
    while (version := connection.pragma("user_version")) != SCHEMA_VERSION:
        check_identity(connection.pragma("application_id"), version, path)
        if version not in MIGRATIONS:
            raise StoreFormatError(
                f"{path}: no migration leads from schema version {version} to {SCHEMA_VERSION};"
                " open it with the treadle in between first"
            )
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Asked again: another process may have migrated while this one waited for the lock.
            if connection.pragma("user_version") == version:
                step = MIGRATIONS[version]
                connection.execute(step) if isinstance(step, str) else step(connection)
                connection.pragma("user_version", version + 1)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


_FIRST_SOUND: Final = (3, 51, 3)
_BACKPORTS: Final = {(3, 44): 6, (3, 50): 7}


def check_sqlite_version(version: str) -> None:
    """Refuse SQLite libraries that can lose a commit when the WAL is reset.

    Args:
        version: as the library tells it, for example ``"3.51.3"``.

    Raises:
        StoreUnavailableError: the library has the bug, or its version cannot be read.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+).*", version)
    numbers = tuple(int(part) for part in found.groups()) if found else (0, 0, 0)
    backport = _BACKPORTS.get(numbers[:2])  # type: ignore[arg-type]
    if numbers >= _FIRST_SOUND or (backport is not None and numbers[2] >= backport):
        return
    raise StoreUnavailableError(
        f"SQLite {version} has the WAL-reset bug (3.7.0 to 3.51.2), which can lose committed transactions"
        " when a checkpoint and a writer meet; expected 3.51.3 or newer, 3.50.7 or 3.44.6:"
        " upgrade apsw (pip install -U apsw)"
    )
