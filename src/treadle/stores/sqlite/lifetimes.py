"""Writing how logs begin, and how their beginnings go."""

from __future__ import annotations

from typing import Final

import apsw

from treadle.stores.contract import Head
from treadle.stores.lifetimes import Branch, Cut
from treadle.stores.sqlite import extents, reclaiming
from treadle.stores.sqlite.sums import beginning_sum, checksum

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
    for from_seq, to_seq, source in found.ranges:
        row = (found.key, to_seq, from_seq, source)
        connection.execute(_SHARE, (*row, checksum(*row)))


def branch_extent(
    connection: apsw.Connection, branch: Branch, key: int, parent: Head, parent_key: int
) -> extents.Extent:
    """Tell where a new branch's events lie: its parent's stretches, cut off behind the last shared seq.

    Args:
        connection: inside a transaction.
        branch: the branch.
        key: its number in the file.
        parent: where its parent stands.
        parent_key: that one's number in the file.

    Returns:
        The extent.
    """
    first, before = parent.first_kept_seq, parent.digest_before
    stretches = [(parent_key, first, branch.at)]
    if parent.shared_seq and (there := extents.extent(connection, branch.parent)):
        stretches = there.stretches(1, branch.at)
    ranges = tuple((begin, end, source) for source, begin, end in stretches)
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
    if there is not None and there.ranges:
        reclaiming.look_again(connection, key)
        connection.execute(_UNSHARE, (key,))
    # Rows of its own below are removed by and by; that there may be none costs one look.
    found = extents.Extent(key, first, digest_before, shared_seq, hidden, kept)
    begin(connection, wanted.workflow_id, found, reclaimed=False)
    if wanted.is_whole:
        connection.execute(_FORGET_FACTS, (key,))
