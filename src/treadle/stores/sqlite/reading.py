"""Every question a store is asked, as one statement each, over any connection.

Each is answered whole before it returns: no statement stays open between calls, so that a slow reader
never keeps the write-ahead log from being begun anew. `cut` is the highest position that may be shown;
in a healthy store it cuts nothing.
"""

# ruff: noqa: S608 - the statements are put together from this page's own constants; values are bound
from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, overload

import apsw

from treadle.errors import CorruptStoreError
from treadle.events import TIMESTAMP_MAX, TIMESTAMP_MIN, WorkflowEvent, WorkflowId, events_from_rows
from treadle.log import root_digest
from treadle.stores.births import pruned
from treadle.stores.contract import (
    AuditRow,
    FeedEvent,
    Head,
    HeadFacts,
    LogPage,
    Message,
    Record,
)
from treadle.stores.sqlite import extents
from treadle.stores.sqlite.faults import RESTORE

INTEGER_MAX: Final = 2**63 - 1

# None for a log whose rows are not simply all its own: then the statement finds nothing, and the log is
# looked up. Every other log, which is most of them, is read in one statement, and so of one instant.
_PLAIN_KEY_OF: Final = """(
    SELECT key FROM workflows AS w
    WHERE id = ? AND NOT EXISTS (SELECT 1 FROM beginnings WHERE workflow = w.key)
)"""
_HEADS: Final = """
SELECT wanted.value, w.key, e.seq, e.digest, b.first_kept_seq, b.digest_before, b.shared_seq,
    h.status, h.run_start_seq, h.wake_up_ns, h.name, h.details
FROM json_each(?) AS wanted
LEFT JOIN workflows AS w ON w.id = wanted.value
LEFT JOIN heads AS h ON h.workflow = w.key
LEFT JOIN beginnings AS b ON b.workflow = w.key
LEFT JOIN events AS e ON e.position = (
    SELECT position FROM events WHERE workflow = w.key AND position <= ? ORDER BY seq DESC LIMIT 1
)
ORDER BY wanted.key
"""
_READ: Final = f"""
SELECT seq, timestamp, kind, payload FROM events
WHERE workflow = {_PLAIN_KEY_OF} AND seq >= ? AND seq <= ? AND position <= ? ORDER BY seq LIMIT ?
"""
_READ_PART: Final = """
SELECT seq, timestamp, kind, payload FROM events
WHERE workflow = ? AND seq >= ? AND seq <= ? AND position <= ? ORDER BY seq LIMIT ?
"""
_BETWEEN: Final = f"""
SELECT seq, timestamp, kind, payload FROM events
WHERE workflow = {_PLAIN_KEY_OF} AND seq > ? AND timestamp >= ? AND timestamp <= ? AND position <= ?
ORDER BY seq LIMIT ?
"""
_BETWEEN_PART: Final = """
SELECT seq, timestamp, kind, payload FROM events
WHERE workflow = ? AND seq >= ? AND seq <= ? AND timestamp >= ? AND timestamp <= ? AND position <= ?
ORDER BY seq LIMIT ?
"""
_FIND_KEY: Final = f"""
SELECT seq, timestamp, kind, payload FROM events
WHERE workflow = {_PLAIN_KEY_OF} AND key = ? AND position <= ?
"""
_FIND_KEY_PART: Final = """
SELECT seq, timestamp, kind, payload FROM events
WHERE workflow = ? AND key = ? AND seq >= ? AND seq <= ? AND position <= ?
"""
_FEED: Final = """
SELECT e.position, w.id, e.seq, e.timestamp, e.kind, e.payload
FROM events AS e JOIN workflows AS w ON w.key = e.workflow
WHERE e.position > ? AND e.position <= ? ORDER BY e.position LIMIT ?
"""
_FEED_SHOWN: Final = _FEED.replace(" ORDER", f" AND {extents.SHOWN_IN_FEED} ORDER")
_AUDIT: Final = f"""
SELECT position, seq, timestamp, kind, payload, digest, key FROM events
WHERE workflow = {_PLAIN_KEY_OF} AND seq > ? AND position <= ? ORDER BY seq LIMIT ?
"""
_AUDIT_PART: Final = """
SELECT position, seq, timestamp, kind, payload, digest, key FROM events
WHERE workflow = ? AND seq >= ? AND seq <= ? AND position <= ? ORDER BY seq LIMIT ?
"""
# The range on the time alone is what the index serves; the ids of one time are told apart afterwards.
_DUE: Final = """
SELECT h.wake_up_ns, w.id FROM heads AS h JOIN workflows AS w ON w.key = h.workflow
WHERE h.wake_up_ns IS NOT NULL AND h.wake_up_ns <= ? AND h.wake_up_ns >= ?
AND (h.wake_up_ns > ? OR w.id > ?) ORDER BY h.wake_up_ns, w.id LIMIT ?
"""
_MESSAGES: Final = """
SELECT workflow_id, message_id, kind, payload FROM mailbox
WHERE workflow_id = ? AND taken = 0 ORDER BY arrival LIMIT ?
"""
_WITH_MESSAGES: Final = """
SELECT DISTINCT workflow_id FROM mailbox WHERE taken = 0 AND workflow_id > ? ORDER BY workflow_id LIMIT ?
"""
_RECORDS: Final = """
SELECT namespace, key, value FROM records WHERE namespace = ? AND key > ? ORDER BY key LIMIT ?
"""
_COUNTS: Final = "SELECT count(*) FROM events WHERE position <= ?"
# Not the newest row's: that one may have been removed, and its position is never used again.
_POSITION: Final = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
_HAS_EVENTS: Final = "EXISTS (SELECT 1 FROM events WHERE workflow = w.key AND position <= ?)"


def heads(
    connection: apsw.Connection, workflow_ids: Sequence[WorkflowId], cut: int
) -> list[tuple[Head, int | None]]:
    """Tell where logs stand.

    Args:
        connection: through which to read.
        workflow_ids: the logs.
        cut: the highest position to show.

    Returns:
        For each log its head, without a token, and its key in the file or None.
    """
    wanted = json.dumps(workflow_ids)
    rows = connection.execute(_HEADS, (wanted, cut))
    return [_head(workflow_id, row) for workflow_id, row in zip(workflow_ids, rows, strict=True)]


def _head(workflow_id: WorkflowId, row: tuple[Any, ...]) -> tuple[Head, int | None]:
    # The caller's own id, not the row's: heads outlive their question, and a million copies of names cost.
    _, key, seq, digest, first_kept_seq, digest_before, shared_seq, *facts = row
    root = root_digest(workflow_id)
    told = None if facts[0] is None else HeadFacts(*facts)
    if first_kept_seq is not None:
        if seq is None or seq < first_kept_seq:
            # Deleted: whatever rows lie there yet are some branch's, or nobody's.
            seq, digest = first_kept_seq - 1, digest_before
        return Head(
            workflow_id, seq + 1, digest, first_kept_seq, digest_before, told, shared_seq=shared_seq
        ), key
    if seq is None:
        return Head(workflow_id, 1, root, 1, root), key
    return Head(workflow_id, seq + 1, digest, 1, root, told), key


def stretch(
    connection: apsw.Connection, workflow_id: WorkflowId, from_seq: int, to_seq: int, cut: int
) -> list[WorkflowEvent]:
    """Read a stretch of a log, believing its head.

    Args:
        connection: through which to read.
        workflow_id: the log.
        from_seq: the first seq.
        to_seq: the last seq.
        cut: the highest position to show.

    Returns:
        The events, in order.
    """
    rows = _rows(connection, workflow_id, from_seq, to_seq, to_seq - from_seq + 1, cut)
    return _events(rows, workflow_id, from_seq)


def _rows(
    connection: apsw.Connection, workflow_id: WorkflowId, first: int, last: int, limit: int, cut: int
) -> list[tuple[Any, ...]]:
    """Read rows of a log, wherever they lie; the caller sees to it that all is of one instant."""
    rows: list[tuple[Any, ...]] = connection.execute(_READ, (workflow_id, first, last, cut, limit)).fetchall()
    if not rows and (found := extents.extent(connection, workflow_id)):
        return _rows_of(connection, found, first, last, limit, cut)
    return rows


def _rows_of(
    connection: apsw.Connection, found: extents.Extent, first: int, last: int, limit: int, cut: int
) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for source, begin, end in found.stretches(first, last):
        if len(rows) < limit:
            rows += connection.execute(_READ_PART, (source, begin, end, cut, limit - len(rows)))
    return rows


def read(
    connection: apsw.Connection,
    workflow_id: WorkflowId,
    from_seq: int,
    to_seq: int | None,
    limit: int,
    cut: int,
) -> list[WorkflowEvent]:
    """Read a page by seq; see `Store.read`.

    Args:
        connection: through which to read.
        workflow_id: the log.
        from_seq: the first seq.
        to_seq: the last seq, or None.
        limit: the most events.
        cut: the highest position to show.

    Returns:
        The page.

    Raises:
        EventsPrunedError: `from_seq` lies below the first kept seq.
        CorruptStoreError: a row is no event, or one is missing.
    """
    last = INTEGER_MAX if to_seq is None else min(to_seq, INTEGER_MAX)
    first = max(1, min(from_seq, INTEGER_MAX))
    events = _events(connection.execute(_READ, (workflow_id, first, last, cut, limit)), workflow_id, None)
    if events and events[0].seq == first:
        return events
    with one_instant(connection):
        events = _events(_rows(connection, workflow_id, first, last, limit, cut), workflow_id, None)
        if not events or events[0].seq != first:
            _check_kept(connection, workflow_id, first, cut)
            if events:
                raise missing(workflow_id, first)
        return events


def _check_kept(connection: apsw.Connection, workflow_id: WorkflowId, from_seq: int, cut: int) -> None:
    # Asked only when the page does not begin where it should: an unpruned log pays nothing.
    [(head, _)] = heads(connection, [workflow_id], cut)
    if from_seq < head.first_kept_seq:
        raise pruned(head, from_seq)


class RowEvents(Sequence[WorkflowEvent]):
    """One log's events, each made when it is looked at.

    Whoever folds many logs looks at each event once, and it may go at once: thousands of events alive
    together are walked over by the garbage collector, which took a third of the whole replay.

    Args:
        rows: seq, timestamp, number of the kind and payload of each, in order.
        workflow_id: the log.

    Raises:
        CorruptStoreError: a row is missing.
    """

    __slots__ = ("_rows", "_workflow_id")

    def __init__(self, rows: list[tuple[Any, ...]], workflow_id: WorkflowId) -> None:
        self._rows = rows
        self._workflow_id = workflow_id
        if rows and not _follow_each_other(rows):
            # Read whole, so that whichever is wrong, a row or what lies between two, is named.
            _events(rows, workflow_id, None)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[WorkflowEvent]:
        return events_from_rows(self._rows, partial(_no_event, self._workflow_id))

    @overload
    def __getitem__(self, index: int) -> WorkflowEvent: ...

    @overload
    def __getitem__(self, index: slice) -> list[WorkflowEvent]: ...

    def __getitem__(self, index: int | slice) -> WorkflowEvent | list[WorkflowEvent]:
        if isinstance(index, slice):
            return _decoded(self._rows[index], self._workflow_id)
        [event] = _decoded([self._rows[index]], self._workflow_id)
        return event

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list's

    def __repr__(self) -> str:
        return repr(list(self))


def _follow_each_other(rows: list[tuple[Any, ...]]) -> bool:
    first, last = rows[0][0], rows[-1][0]
    return type(first) is int and type(last) is int and last - first + 1 == len(rows)


def read_many(
    connection: apsw.Connection, workflow_ids: Sequence[WorkflowId], events_max: int, cut: int
) -> list[LogPage]:
    """Read many logs; see `Store.read_many`.

    One statement for each log: a join over many of them saves a tenth of the time for the shortest logs
    and reads too far for all others, because it cannot know where the page is full.

    Args:
        connection: through which to read.
        workflow_ids: the logs.
        events_max: about how many events.
        cut: the highest position to show.

    Returns:
        The pages.

    Raises:
        CorruptStoreError: a row is no event, or one is missing.
    """
    with one_instant(connection):
        return _pages(connection, workflow_ids, events_max, cut)


def _pages(
    connection: apsw.Connection, workflow_ids: Sequence[WorkflowId], events_max: int, cut: int
) -> list[LogPage]:
    execute = connection.cursor().execute
    pages: list[LogPage] = []
    room = events_max
    for workflow_id in workflow_ids:
        if room <= 0 and pages:
            break
        most = max(room, 1)
        # One more than there is room for tells whether the page is the log's last.
        rows = execute(_READ, (workflow_id, 1, INTEGER_MAX, cut, most + 1)).fetchall()
        if not rows and (found := extents.extent(connection, workflow_id)):
            rows = _rows_of(connection, found, 1, INTEGER_MAX, most + 1, cut)
        complete = len(rows) <= most
        if not complete:
            rows.pop()
        pages.append(LogPage(workflow_id, RowEvents(rows, workflow_id), complete))
        room -= len(rows)
    return pages


def between(
    connection: apsw.Connection,
    workflow_id: WorkflowId,
    since: int,
    until: int | None,
    after_seq: int,
    limit: int,
    cut: int,
) -> list[WorkflowEvent]:
    """Read a page by event time; see `Store.between`.

    Args:
        connection: through which to read.
        workflow_id: the log.
        since: the earliest time, inclusive.
        until: the latest time, exclusive; None for no end.
        after_seq: continue after this seq.
        limit: the most events.
        cut: the highest position to show.

    Returns:
        The page.

    Raises:
        CorruptStoreError: a row is no event, or they are not in their order.
    """
    last = TIMESTAMP_MAX if until is None else until - 1
    if since > TIMESTAMP_MAX or last < TIMESTAMP_MIN:
        return []
    bounds = (max(since, TIMESTAMP_MIN), min(last, TIMESTAMP_MAX))
    after = min(after_seq, INTEGER_MAX)
    rows: list[tuple[Any, ...]] = connection.execute(
        _BETWEEN, (workflow_id, after, *bounds, cut, limit)
    ).fetchall()
    if not rows:
        with one_instant(connection):
            rows = _rows_between(connection, workflow_id, after, bounds, limit, cut)
    events = _decoded(rows, workflow_id)
    _check_rising((event.seq for event in events), after, f"the seqs of workflow {workflow_id!r}")
    return events


def _rows_between(
    connection: apsw.Connection,
    workflow_id: WorkflowId,
    after: int,
    bounds: tuple[int, int],
    limit: int,
    cut: int,
) -> list[tuple[Any, ...]]:
    """Read rows of a log whose rows are not all its own; none of any other."""
    rows: list[tuple[Any, ...]] = []
    found = extents.extent(connection, workflow_id)
    for source, begin, end in (
        () if found is None else found.stretches(min(after, INTEGER_MAX - 1) + 1, INTEGER_MAX)
    ):
        if len(rows) < limit:
            part = (source, begin, end, *bounds, cut, limit - len(rows))
            rows += connection.execute(_BETWEEN_PART, part)
    return rows


def find_key(
    connection: apsw.Connection, workflow_id: WorkflowId, key: bytes, cut: int
) -> WorkflowEvent | None:
    """Find the event that carries a key; see `Store.find_key`.

    Args:
        connection: through which to read.
        workflow_id: the log.
        key: the key.
        cut: the highest position to show.

    Returns:
        The event, or None.
    """
    rows: list[tuple[Any, ...]] = connection.execute(_FIND_KEY, (workflow_id, key, cut)).fetchall()
    if not rows and (there := extents.extent(connection, workflow_id)):
        rows = [
            row
            for source, begin, end in there.stretches(1, INTEGER_MAX)
            for row in connection.execute(_FIND_KEY_PART, (source, key, begin, end, cut))
        ]
    found = _decoded(rows, workflow_id)
    return found[0] if found else None


def missing(workflow_id: WorkflowId, seq: int) -> CorruptStoreError:
    """Word that an event is not where it must be.

    Args:
        workflow_id: the log.
        seq: which event.

    Returns:
        The error.
    """
    return CorruptStoreError(
        f"workflow {workflow_id!r}: the event with seq {seq} is missing from the store;"
        f" run treadle log verify, and {RESTORE}",
        workflow_id=workflow_id,
        seq=seq,
    )


def _events(
    rows: Iterable[tuple[Any, ...]], workflow_id: WorkflowId, first_seq: int | None
) -> list[WorkflowEvent]:
    """Turn rows of one log into events, and see that none is missing between them."""
    events = _decoded(rows, workflow_id)
    if not events:
        return events
    first = events[0].seq if first_seq is None else first_seq
    if events[0].seq != first or events[-1].seq - first + 1 != len(events):
        lost = next(seq for seq, event in enumerate(events, first) if event.seq != seq)
        raise missing(workflow_id, lost)
    return events


def _decoded(rows: Iterable[tuple[Any, ...]], workflow_id: WorkflowId) -> list[WorkflowEvent]:
    return list(events_from_rows(rows, partial(_no_event, workflow_id)))


def _no_event(workflow_id: WorkflowId, row: tuple[Any, ...]) -> CorruptStoreError:
    seq, timestamp, kind, payload = row
    return CorruptStoreError(
        f"workflow {workflow_id!r}: what is stored at seq {seq!r} is no event (kind {kind!r}, timestamp"
        f" {type(timestamp).__name__}, payload {type(payload).__name__}); run treadle log verify,"
        f" and {RESTORE}",
        workflow_id=workflow_id,
        seq=seq if type(seq) is int else None,
    )


def list_workflows(
    connection: apsw.Connection,
    prefix: str,
    after: str | None,
    status: int | None,
    hidden: bool,  # noqa: FBT001 - the bindings of one statement, in its order
    limit: int,
    cut: int,
) -> list[WorkflowId]:
    """List workflows; see `Store.list_workflows`.

    Args:
        connection: through which to read.
        prefix: only ids that begin so.
        after: continue after this id.
        status: only those with this status, or None.
        hidden: hidden ones as well.
        limit: the most ids.
        cut: the highest position to show.

    Returns:
        The ids.

    Raises:
        CorruptStoreError: they are not in their order.
    """
    where, bindings = _in_range(prefix, after)
    shown, shows = _shown_in_lists(connection, hidden, cut)
    if status is None:
        query = f"SELECT id FROM workflows AS w WHERE {where} AND {shown} ORDER BY id LIMIT ?"
    else:
        query = (
            "SELECT id FROM heads AS h JOIN workflows AS w ON w.key = h.workflow"
            f" WHERE {where} AND h.status = ? AND {shown} ORDER BY id LIMIT ?"
        )
        bindings.append(status)
    return _names_of(connection.execute(query, (*bindings, *shows, limit)), after, "the workflows' names")


def _shown_in_lists(
    connection: apsw.Connection,
    hidden: bool,  # noqa: FBT001 - as above
    cut: int,
) -> tuple[str, tuple[object, ...]]:
    # Asked in a statement of its own: a list may as well be of the instant before.
    return (extents.SHOWN_IN_LISTS, (cut, hidden)) if extents.are_used(connection) else (_HAS_EVENTS, (cut,))


def _check_rising(found: Iterable[Any], after: Any, what: str) -> None:
    """Refuse a page that does not lead on, as a damaged index may give it."""
    # Whoever asks for one page after the other would be given the same ones for ever.
    for value in found:
        if after is not None and not after < value:
            raise _disordered(what, value, after)
        after = value


def _disordered(what: str, value: object, after: object) -> CorruptStoreError:
    return CorruptStoreError(
        f"{what} are not in their order: {value!r} was found behind {after!r}, so an index is damaged;"
        f" run treadle log verify, and {RESTORE}"
    )


def _names_of(rows: Iterable[tuple[Any, ...]], after: str | None, what: str) -> list[WorkflowId]:
    names: list[WorkflowId] = []
    for (name,) in rows:
        if type(name) is not str:
            raise _disordered(what, name, names[-1] if names else after)
        names.append(WorkflowId(name))
    _check_rising(names, after, what)
    return names


def count_workflows(
    connection: apsw.Connection,
    prefix: str,
    hidden: bool,  # noqa: FBT001 - as above
    cut: int,
) -> int:
    """Count workflows; see `Store.count_workflows`.

    Args:
        connection: through which to read.
        prefix: only ids that begin so.
        hidden: hidden ones as well.
        cut: the highest position to show.

    Returns:
        How many.
    """
    where, bindings = _in_range(prefix, None)
    query = f"SELECT count(*) FROM workflows AS w WHERE {where}"
    shown, shows = _shown_in_lists(connection, hidden, cut)
    if cut != INTEGER_MAX or len(shows) > 1:
        query, bindings = f"{query} AND {shown}", [*bindings, *shows]
    return int(connection.execute(query, bindings).get)


def _in_range(prefix: str, after: str | None) -> tuple[str, list[Any]]:
    """Turn a prefix into a range of the index: text compares by its UTF-8 bytes."""
    conditions, bindings = ["1"], list[Any]()
    if after is not None and after >= prefix:
        conditions.append("id > ?")
        bindings.append(after)
    elif prefix:
        conditions.append("id >= ?")
        bindings.append(prefix)
    if (end := text_after(prefix)) is not None:
        conditions.append("id < ?")
        bindings.append(end)
    return " AND ".join(conditions), bindings


def text_after(prefix: str) -> str | None:
    """Tell the least text above every text that begins with a prefix.

    Args:
        prefix: any text.

    Returns:
        The text, or None when there is none above.
    """
    # Order of code points is order of UTF-8 bytes; surrogates have no bytes and are stepped over.
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)


def due(
    connection: apsw.Connection,
    until_ns: int,
    after: tuple[int, WorkflowId] | None,
    limit: int,
    cut: int,
) -> list[tuple[Head, int | None]]:
    """List due logs; see `Store.due`.

    Args:
        connection: through which to read.
        until_ns: the latest wake-up time.
        after: continue after this wake-up time and id.
        limit: the most heads.
        cut: the highest position to show.

    Returns:
        Heads and keys, as `heads`.

    Raises:
        CorruptStoreError: the wake-up times are not in their order.
    """
    until = max(min(until_ns, TIMESTAMP_MAX), TIMESTAMP_MIN)
    since, name_before = after or (TIMESTAMP_MIN, "")
    bindings = (until, since, since, name_before, limit)
    with one_instant(connection):
        rows = list(connection.execute(_DUE, bindings))
        if any(type(name) is not str for _, name in rows):
            raise _disordered("the wake-up times", rows, after)
        found = heads(connection, [name for _, name in rows], cut)
    _check_rising(rows, after, "the wake-up times")
    # Whoever goes on behind the last head goes by its facts, not by the index that led to it. A log without
    # facts is one whose events may not be shown.
    told = [(head.facts.wake_up_ns, head.workflow_id) if head.facts else None for head, _ in found]
    if any(there is not None and there != row for there, row in zip(told, rows, strict=True)):
        raise _disordered("the wake-up times", told, after)
    return [place for place in found if place[0].facts is not None]


@contextmanager
def one_instant(connection: apsw.Connection) -> Iterator[None]:
    """Let several statements see the same state of the store.

    Args:
        connection: through which they are asked; no transaction is under way in it.

    Yields:
        While the state stays what it is.

    Raises:
        apsw.Error: whatever a statement fails with.
    """
    connection.execute("BEGIN")
    try:
        yield
    finally:
        # After an I/O error SQLite has ended the transaction by itself, and a second end would hide that
        # error behind one which looks like tables that somebody has changed.
        if connection.in_transaction:
            connection.execute("COMMIT")


def feed(
    connection: apsw.Connection,
    after_position: int,
    hidden: bool,  # noqa: FBT001 - as above
    limit: int,
    cut: int,
) -> list[FeedEvent]:
    """Read in commit order; see `Store.feed`.

    Args:
        connection: through which to read.
        after_position: continue after this position.
        hidden: events of hidden logs as well.
        limit: the most events.
        cut: the highest position to show.

    Returns:
        The page.

    Raises:
        CorruptStoreError: a row is no event, or they are not in their order.
    """
    found: list[FeedEvent] = []
    bounds = (min(after_position, INTEGER_MAX), cut)
    with one_instant(connection):
        special = extents.are_used(connection)
        rows: list[tuple[Any, ...]] = connection.execute(
            *((_FEED_SHOWN, (*bounds, hidden, limit)) if special else (_FEED, (*bounds, limit)))
        ).fetchall()
    for position, name, *row in rows:
        [event] = _decoded((tuple(row),), name)
        found.append(FeedEvent(position, name, event))
    _check_rising((told.position for told in found), after_position, "the positions")
    return found


def audit(
    connection: apsw.Connection, workflow_id: WorkflowId, after_seq: int, limit: int, cut: int
) -> list[AuditRow]:
    """Read raw rows; see `Store.audit`.

    Args:
        connection: through which to read.
        workflow_id: the log.
        after_seq: continue after this seq.
        limit: the most rows.
        cut: the highest position to show.

    Returns:
        The rows.
    """
    after = min(after_seq, INTEGER_MAX - 1)
    rows: list[tuple[Any, ...]] = connection.execute(_AUDIT, (workflow_id, after, cut, limit)).fetchall()
    if not rows:
        with one_instant(connection):
            rows = raw_rows(connection, workflow_id, after_seq, limit, cut)
    return [AuditRow(*row) for row in rows]


def raw_rows(
    connection: apsw.Connection, workflow_id: WorkflowId, after_seq: int, limit: int, cut: int
) -> list[tuple[Any, ...]]:
    """Read raw rows inside a transaction; see `Store.audit`.

    Args:
        connection: inside a transaction.
        workflow_id: the log.
        after_seq: continue after this seq.
        limit: the most rows.
        cut: the highest position to show.

    Returns:
        The rows, in the order of the fields of an `AuditRow`.
    """
    after = min(after_seq, INTEGER_MAX - 1)
    rows: list[tuple[Any, ...]] = connection.execute(_AUDIT, (workflow_id, after, cut, limit)).fetchall()
    found = None if rows else extents.extent(connection, workflow_id)
    for source, begin, end in () if found is None else found.stretches(after + 1, INTEGER_MAX):
        if len(rows) < limit:
            rows += connection.execute(_AUDIT_PART, (source, begin, end, cut, limit - len(rows)))
    return rows


def digest_at(connection: apsw.Connection, workflow_id: WorkflowId, seq: int) -> bytes | None:
    """Tell the digest of an event that a log keeps.

    Args:
        connection: inside a transaction.
        workflow_id: the log.
        seq: which event.

    Returns:
        The digest, or None when the log has no such event.
    """
    found = extents.extent(connection, workflow_id)
    rows: list[tuple[Any, ...]] = []
    if found is None:
        rows += connection.execute(_AUDIT, (workflow_id, seq - 1, INTEGER_MAX, 1))
    else:
        for source, begin, end in found.stretches(seq, seq):
            rows += connection.execute(_AUDIT_PART, (source, begin, end, INTEGER_MAX, 1))
    row = AuditRow(*rows[0]) if rows else None
    return row.digest if row is not None and row.seq == seq else None


def branches_of(
    connection: apsw.Connection, workflow_id: WorkflowId, after: str | None, limit: int
) -> list[WorkflowId]:
    """List the logs that share events of one; see `Store.branches_of`."""
    return list(extents.sharers(connection, workflow_id, INTEGER_MAX, after or "", limit))


def messages(connection: apsw.Connection, workflow_id: WorkflowId, limit: int) -> list[Message]:
    """Read waiting messages; see `Store.messages`."""
    return [Message(*row) for row in connection.execute(_MESSAGES, (workflow_id, limit))]


def workflows_with_messages(connection: apsw.Connection, after: str | None, limit: int) -> list[WorkflowId]:
    """List non-empty mailboxes; see `Store.workflows_with_messages`."""
    rows = connection.execute(_WITH_MESSAGES, (after or "", limit))
    return _names_of(rows, after, "the names of workflows with messages")


def record(connection: apsw.Connection, namespace: str, key: bytes) -> bytes | None:
    """Look a record up; see `Store.record`."""
    found = connection.execute("SELECT value FROM records WHERE namespace = ? AND key = ?", (namespace, key))
    value: bytes | None = found.get
    return value


def records(connection: apsw.Connection, namespace: str, after: bytes | None, limit: int) -> list[Record]:
    """List records; see `Store.records`."""
    query = _RECORDS.replace("key > ?", "key >= ?") if after is None else _RECORDS
    found = [Record(*row) for row in connection.execute(query, (namespace, after or b"", limit))]
    what = f"the records of {namespace!r}"
    if any(type(record.key) is not bytes for record in found):
        raise _disordered(what, found, after)
    _check_rising((record.key for record in found), after, what)
    return found


def epoch(connection: apsw.Connection) -> int:
    """Tell the newest runner's epoch."""
    return int(connection.execute("SELECT value FROM settings WHERE name = 'epoch'").get)


def position(connection: apsw.Connection) -> int:
    """Tell the highest position that was ever given to an event, 0 for none."""
    return int(connection.execute(_POSITION).get)


def position_shown(connection: apsw.Connection, cut: int) -> int:
    """Tell the highest position that may be shown; see `Store.position`."""
    return min(position(connection), cut)


def counts(connection: apsw.Connection, cut: int) -> tuple[int, int, int]:
    """Count workflows and events, and tell the newest position shown.

    Args:
        connection: through which to read.
        cut: the highest position to show.

    Returns:
        Workflows, events, position: as they were at one instant.
    """
    with one_instant(connection):
        events = connection.execute(_COUNTS, (cut,)).get
        gone = connection.execute(extents.CUT_EVENTS, (cut,)).get if extents.are_used(connection) else 0
        workflows = count_workflows(connection, "", True, cut)
        return workflows, events - gone, position_shown(connection, cut)
