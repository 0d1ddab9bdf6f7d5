"""What a store's file tells about itself, also one of an older version, which is not brought up to date."""

# Plain strings, as SQLite speaks them; a Path made for each look would cost more than the look.
# ruff: noqa: PTH110
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw
import attrs

from treadle.errors import StoreUnavailableError
from treadle.stores.sqlite import files, schema
from treadle.stores.sqlite.readers import Readers
from treadle.stores.sqlite.reading import one_instant

LIFETIMES_SINCE: Final = 3
"""The schema version from which on there are branches, cuts and hidden logs."""
# What `Store.reclaim` would remove: rows that their own log no longer shows, except those between the first
# and the last that some branch shares.
_UNRECLAIMED: Final = """
SELECT count(*) FROM beginnings AS b JOIN events AS e ON e.workflow = b.workflow
LEFT JOIN (SELECT source, min(from_seq) AS first, max(to_seq) AS last FROM ranges GROUP BY source) AS r
ON r.source = b.workflow
WHERE b.reclaimed = 0 AND e.seq < b.first_kept_seq
AND (r.source IS NULL OR e.seq < r.first OR e.seq > r.last)
"""
_DELETED: Final = """
SELECT count(*) FROM beginnings AS b
WHERE NOT EXISTS (SELECT 1 FROM events WHERE workflow = b.workflow AND seq >= b.first_kept_seq)
"""


@attrs.frozen(slots=True)
class FileFacts:
    """What is in a store's file, at one instant.

    Attributes:
        path: the file, links resolved.
        schema_version: which version of the schema it has.
        size_bytes: how large the file is.
        wal_size_bytes: how large the write-ahead log beside it is.
        page_size_bytes: how large its pages are.
        pages: how many pages it has, the log's included.
        pages_free: how many of them hold nothing.
        logs: how many logs it knows, deleted and hidden ones included.
        logs_deleted: of how many only the place is kept.
        logs_hidden: how many are left out of lists.
        branches: how many share events with another.
        events: how many rows of events there are.
        events_unreclaimed: how many of them no log shows any more, and are yet to be removed.
        position: the highest position that was ever given to an event.
        messages_waiting: how many messages wait in the mailbox.
        records: how many records there are.
        epoch: how often a runner has taken over.
    """

    path: str
    schema_version: int
    size_bytes: int
    wal_size_bytes: int
    page_size_bytes: int
    pages: int
    pages_free: int
    logs: int
    logs_deleted: int
    logs_hidden: int
    branches: int
    events: int
    events_unreclaimed: int
    position: int
    messages_waiting: int
    records: int
    epoch: int


def inspect_file(path: str) -> FileFacts:
    """Look at a store's file, of whatever version; nothing is changed.

    Args:
        path: the file.

    Returns:
        What is in it.

    Raises:
        StoreError: it is not there, none of ours, of a newer version, or cannot be read.
    """
    with looking(path) as readers:
        return readers.ask(_facts, os.path.realpath(path))


def schema_version(path: str) -> int:
    """Tell the version of a store's schema; nothing is changed.

    Args:
        path: the file.

    Returns:
        The version.

    Raises:
        StoreError: it is not there, none of ours, of a newer version, or cannot be read.
    """
    with looking(path) as readers:
        return readers.ask(_version, os.path.realpath(path))


@contextmanager
def looking(path: str) -> Iterator[Readers]:
    """Lend connections to a store's file of whatever version, after the checks that opening makes.

    Args:
        path: the file.

    Yields:
        The connections.

    Raises:
        StoreError: it is not there, none of ours, or damaged where opening sees it.
    """
    path = os.path.realpath(path)
    with files.OPENING:
        if not os.path.exists(path):
            raise StoreUnavailableError(f"{path}: there is no such store; check the path")
        files.check_path(path)
        files.check_content(path)
        files.check_wal(path)
        identity = files.identity_of(path)
        if identity is None:
            raise StoreUnavailableError(f"{path}: it has just been removed; try again")
        alone = not files.is_held(path)
        files.register(identity)
    readers = Readers(path, leave_no_trace=alone)
    try:
        yield readers
    finally:
        readers.close()
        files.unregister(identity)


def _version(connection: apsw.Connection, path: str) -> int:
    version = int(connection.pragma("user_version"))
    schema.check_identity(connection.pragma("application_id"), version, path)
    return version


def _facts(connection: apsw.Connection, path: str) -> FileFacts:
    def count(statement: str) -> int:
        return int(connection.execute(statement).get)

    with one_instant(connection):
        version = _version(connection, path)
        lifetimes = version >= LIFETIMES_SINCE
        return FileFacts(
            path=path,
            schema_version=version,
            size_bytes=files.size_bytes(path),
            wal_size_bytes=files.size_bytes(path + files.WAL_SUFFIX),
            page_size_bytes=count("PRAGMA page_size"),
            pages=count("PRAGMA page_count"),
            pages_free=count("PRAGMA freelist_count"),
            logs=count("SELECT count(*) FROM workflows"),
            logs_deleted=count(_DELETED) if lifetimes else 0,
            logs_hidden=count("SELECT count(*) FROM beginnings WHERE hidden = 1") if lifetimes else 0,
            branches=count("SELECT count(DISTINCT workflow) FROM ranges") if lifetimes else 0,
            events=count("SELECT count(*) FROM events"),
            events_unreclaimed=count(_UNRECLAIMED) if lifetimes else 0,
            position=count("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'"),
            messages_waiting=count("SELECT count(*) FROM mailbox WHERE taken = 0"),
            records=count("SELECT count(*) FROM records"),
            epoch=count("SELECT value FROM settings WHERE name = 'epoch'"),
        )
