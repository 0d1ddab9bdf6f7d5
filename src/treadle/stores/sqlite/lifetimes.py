"""Writing how logs begin and how their beginnings go, and removing what no log shows any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from treadle.stores.contract import Head
from treadle.stores.lifetimes import Branch, Cut
from treadle.stores.sqlite import extents
from treadle.stores.sqlite.sums import beginning_sum, checksum

VACUUM_PAGES_PER_EVENT: Final = 1
"""Pages given back in a step for each event that it may remove: an event is mostly smaller than a page, so
the free ones never pile up."""

_BEGIN: Final = """
INSERT INTO beginnings (workflow, first_kept_seq, digest_before, shared_seq, hidden, reclaimed, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (workflow) DO UPDATE SET first_kept_seq = excluded.first_kept_seq,
digest_before = excluded.digest_before, shared_seq = excluded.shared_seq, hidden = excluded.hidden,
reclaimed = excluded.reclaimed, checksum = excluded.checksum
"""
_SHARE: Final = "INSERT INTO ranges (workflow, to_seq, from_seq, source, checksum) VALUES (?, ?, ?, ?, ?)"
_UNSHARE: Final = "DELETE FROM ranges WHERE workflow = ?"
_FORGET_FACTS: Final = "DELETE FROM heads WHERE workflow = ?"
_UNRECLAIMED: Final = "SELECT workflow, first_kept_seq FROM beginnings WHERE reclaimed = 0"
_SHARED_OF: Final = "SELECT min(from_seq), max(to_seq) FROM ranges WHERE source = ?"
_REMOVE: Final = """
DELETE FROM events WHERE position IN (
    SELECT position FROM events WHERE workflow = ? AND seq >= ? AND seq < ? LIMIT ?
)
"""
_FORGET_KEY: Final = "UPDATE events SET key = NULL WHERE workflow = ? AND key = ? AND seq < ?"
_RECLAIMED: Final = "UPDATE beginnings SET reclaimed = 1 WHERE workflow = ?"
_HOLED: Final = """
SELECT position, workflow, seq, timestamp, kind, payload, digest, key FROM events
WHERE position > ? ORDER BY position LIMIT ?
"""
_TAKE_OUT: Final = "DELETE FROM events WHERE position > ? AND position <= ?"
_PUT_BACK: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def begin(connection: apsw.Connection, name: str, found: extents.Extent, *, reclaimed: bool = True) -> None:
    """Write where a log begins.

    Args:
        connection: inside a transaction.
        name: the log's id.
        found: what is to be true of it; its ranges are written as well.
        reclaimed: whether no row of its own lies below.
    """
    fields = (found.key, found.first_kept_seq, found.digest_before, found.shared_seq, int(found.hidden))
    connection.execute(_BEGIN, (*fields, int(reclaimed), beginning_sum(name, *fields)))
    connection.execute(_UNSHARE, (found.key,))
    for from_seq, to_seq, source in found.ranges:
        row = (found.key, to_seq, from_seq, source)
        connection.execute(_SHARE, (*row, checksum(*row)))


def branch_extent(connection: apsw.Connection, branch: Branch, key: int, parent: Head) -> extents.Extent:
    """Tell where a new branch's events lie: its parent's stretches, cut off behind the last shared seq.

    Args:
        connection: inside a transaction.
        branch: the branch.
        key: its number in the file.
        parent: where its parent stands.

    Returns:
        The extent.
    """
    there = extents.extent(connection, branch.parent)
    if there is None:
        parent_key = connection.execute("SELECT key FROM workflows WHERE id = ?", (branch.parent,)).get
        stretches = [(parent_key, 1, branch.at)]
    else:
        stretches = there.stretches(1, branch.at)
    ranges = tuple((begin, end, source) for source, begin, end in stretches)
    first, before = parent.first_kept_seq, parent.digest_before
    return extents.Extent(key, first, before, branch.at, branch.hidden, ranges)


def cut(connection: apsw.Connection, wanted: Cut, key: int, digest_before: bytes) -> None:
    """Move a log's beginning.

    Args:
        connection: inside a transaction.
        wanted: the cut, judged to be right.
        key: the log's number in the file.
        digest_before: the digest before the first seq that is kept.
    """
    there = extents.extent(connection, wanted.workflow_id)
    first = wanted.first_kept_seq
    shared_seq = there.shared_seq if there is not None and there.shared_seq >= first else 0
    ranges = there.ranges if there is not None and shared_seq else ()
    kept = tuple((max(start, first), end, source) for start, end, source in ranges if end >= first)
    # What is appended behind a tombstone one day is seen: nobody could tell why it should not be.
    hidden = there is not None and there.hidden and not wanted.is_whole
    # Rows of its own below are removed by and by; that there may be none costs one look.
    found = extents.Extent(key, first, digest_before, shared_seq, hidden, kept)
    begin(connection, wanted.workflow_id, found, reclaimed=False)
    if wanted.is_whole:
        connection.execute(_FORGET_FACTS, (key,))


def forget_keys(
    connection: apsw.Connection, key: int | None, first_kept_seq: int, keys: Sequence[bytes | None]
) -> None:
    """Take keys from events that were cut and lie there yet, for events that come: a log knows a key once.

    Args:
        connection: inside a transaction.
        key: the log's number in the file.
        first_kept_seq: the first seq that it shows.
        keys: the keys of its next events, as far as they have any.
    """
    for mark in keys:
        if mark is not None:
            connection.execute(_FORGET_KEY, (key, mark, first_kept_seq))


def reclaim(connection: apsw.Connection, events_max: int) -> int:
    """Remove events that no log shows any more; see `Store.reclaim`.

    Args:
        connection: inside a transaction.
        events_max: the most events to remove.

    Returns:
        How many were removed.
    """
    removed = 0
    logs: list[tuple[Any, ...]] = connection.execute(_UNRECLAIMED).fetchall()
    for key, first_kept_seq in logs:
        removed += _reclaim_log(connection, key, first_kept_seq, events_max - removed)
        if removed >= events_max:
            break
    if pages := connection.execute("PRAGMA freelist_count").get:
        give_back = min(pages, max(events_max * VACUUM_PAGES_PER_EVENT, 1))
        connection.execute(f"PRAGMA incremental_vacuum({give_back})").fetchall()
    return removed


def _reclaim_log(connection: apsw.Connection, key: int, first_kept_seq: int, events_max: int) -> int:
    needed: tuple[Any, ...] = connection.execute(_SHARED_OF, (key,)).fetchall()[0]
    needed_from, needed_to = needed
    # Between the first and the last seq that some branch shares everything stays: the gaps are rare.
    stretches = (
        [(0, first_kept_seq)]
        if needed_from is None
        else [(0, min(needed_from, first_kept_seq)), (needed_to + 1, first_kept_seq)]
    )
    removed = 0
    for begin_seq, end_seq in stretches:
        if removed < events_max:
            connection.execute(_REMOVE, (key, begin_seq, end_seq, events_max - removed))
            removed += connection.changes()
    if removed < events_max and needed_from is None:
        connection.execute(_RECLAIMED, (key,))
    return removed


def compact(connection: apsw.Connection, after_position: int, events_max: int) -> int | None:
    """Write a stretch of events anew, so that their pages are full again; see `Store.compact`.

    Args:
        connection: inside a transaction.
        after_position: continue after this position.
        events_max: how many events to write.

    Returns:
        The position to continue after, or None at the end.
    """
    rows: list[tuple[Any, ...]] = connection.execute(_HOLED, (after_position, events_max)).fetchall()
    if not rows:
        return None
    last = rows[-1][0]
    # Taken out together and put back in order: a page that is emptied is freed, and the rows that come back
    # fill the ones before it.
    connection.execute(_TAKE_OUT, (after_position, last))
    connection.executemany(_PUT_BACK, rows)
    pages = connection.execute("PRAGMA freelist_count").get
    connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
    return int(last) if len(rows) == events_max else None
