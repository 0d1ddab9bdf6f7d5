"""Where a log's events lie when not all of them are rows of its own, from its first seq on.

A branch's shared events lie among the rows of other logs; a log that was cut has none below its first kept
seq, whether or not its rows were removed yet. All other logs have no row in `beginnings`, and a store
without any such row is asked only that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw
import attrs

from treadle.events import WorkflowId

_IS_USED: Final = "SELECT EXISTS (SELECT 1 FROM beginnings)"
_EXTENT: Final = """
SELECT b.workflow, b.first_kept_seq, b.digest_before, b.shared_seq, b.hidden
FROM workflows AS w JOIN beginnings AS b ON b.workflow = w.key WHERE w.id = ?
"""
_RANGES: Final = "SELECT from_seq, to_seq, source FROM ranges WHERE workflow = ? ORDER BY to_seq"
_SHARERS: Final = """
SELECT DISTINCT w.id FROM ranges AS r JOIN workflows AS w ON w.key = r.workflow
WHERE r.source = (SELECT key FROM workflows WHERE id = ?) AND r.from_seq < ? AND w.id > ?
ORDER BY w.id LIMIT ?
"""
# What was cut or deleted, and what nobody was meant to see; a row in `beginnings` alone says neither.
SHOWN_IN_FEED: Final = """NOT EXISTS (
    SELECT 1 FROM beginnings AS b
    WHERE b.workflow = e.workflow AND (e.seq < b.first_kept_seq OR (b.hidden = 1 AND NOT ?))
)"""
SHOWN_IN_LISTS: Final = """EXISTS (
    SELECT 1 FROM events WHERE workflow = w.key AND position <= ? AND seq >= coalesce(
        (SELECT first_kept_seq FROM beginnings WHERE workflow = w.key), 1)
) AND (? OR NOT EXISTS (SELECT 1 FROM beginnings WHERE workflow = w.key AND hidden = 1))"""
CUT_EVENTS: Final = """
SELECT count(*) FROM beginnings AS b JOIN events AS e ON e.workflow = b.workflow
WHERE e.seq < b.first_kept_seq AND e.position <= ?
"""


@attrs.frozen(slots=True)
class Extent:
    """A log's own rows, and the stretches that lie elsewhere.

    Attributes:
        key: the log's number in the file.
        first_kept_seq: the oldest seq that is shown.
        digest_before: the digest before that.
        shared_seq: the last seq that was shared when the log began; 0 for none.
        hidden: whether listings leave it out.
        ranges: of what it shares: first seq, last seq, number of the log in whose rows they lie.
    """

    key: int
    first_kept_seq: int
    digest_before: bytes
    shared_seq: int
    hidden: bool
    ranges: tuple[tuple[int, int, int], ...]

    def stretches(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """Tell where a stretch of the log lies.

        Args:
            first: its first seq.
            last: its last seq.

        Returns:
            Number of a log, first and last seq among its rows; in the order of their seqs.
        """
        first = max(first, self.first_kept_seq)
        found = [
            (source, max(first, begin), min(last, end))
            for begin, end, source in self.ranges
            if begin <= last and end >= first
        ]
        if last > self.shared_seq:
            found.append((self.key, max(first, self.shared_seq + 1), last))
        return found


def are_used(connection: apsw.Connection) -> bool:
    """Tell whether the store has any log whose rows are not simply all its own.

    Args:
        connection: through which to read.

    Returns:
        Whether `extent` can find one.
    """
    return bool(connection.execute(_IS_USED).get)


def extent(connection: apsw.Connection, workflow_id: WorkflowId) -> Extent | None:
    """Look a log's extent up.

    Args:
        connection: through which to read, at the instant of the read that will use it.
        workflow_id: the log.

    Returns:
        The extent; None for a log all of whose rows, if there are any, are its own.
    """
    row: tuple[Any, ...] | None = connection.execute(_EXTENT, (workflow_id,)).fetchone()
    return None if row is None else _extent(connection, row)


def _extent(connection: apsw.Connection, row: tuple[Any, ...]) -> Extent:
    key, first_kept_seq, digest_before, shared_seq, hidden = row
    ranges = tuple(connection.execute(_RANGES, (key,))) if shared_seq else ()
    return Extent(key, first_kept_seq, digest_before, shared_seq, bool(hidden), ranges)


def sharers(
    connection: apsw.Connection, workflow_id: WorkflowId, below_seq: int, after: str, limit: int
) -> Sequence[WorkflowId]:
    """Name logs that share events which lie in one.

    Args:
        connection: through which to read.
        workflow_id: the log in whose rows they lie.
        below_seq: only if they begin below this seq.
        after: continue after this id.
        limit: the most ids.

    Returns:
        The ids, in the order of their bytes.
    """
    rows = connection.execute(_SHARERS, (workflow_id, below_seq, after, limit))
    return [WorkflowId(name) for (name,) in rows]
