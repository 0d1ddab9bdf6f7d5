"""Which events are what was written: proved one after the other by the digests of those before them.

An event is sound when its stored digest is the one that follows from some digest before it and from what
it holds. The digest before may stand in an event that is damaged otherwise, in what is kept of a log's
beginning, in the event at which a branch parted, or be that of the log's id. Chance does not make 16 bytes
fit.

A *stretch* is a run of sound events each of which continues the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import apsw
import attrs

from treadle.errors import InvalidValueError
from treadle.events import KIND_BY_NUMBER, SEQ_MAX, EventKind, workflow_id
from treadle.log import DIGEST_SIZE_BYTES, decode_branched, next_digest, root_digest
from treadle.stores.sqlite.salvaging.staging import fetched
from treadle.stores.sqlite.sums import checksum, fits_beginning, fits_name

LOST_GAP_MAX: Final = 100_000
"""A seq that lies further behind the last one is taken for a damaged number, not for so many lost events."""
_KEPT: Final = """
CREATE TABLE kept (staged INTEGER PRIMARY KEY, stretch INTEGER, position INTEGER);
CREATE INDEX kept_by_stretch ON kept (stretch);
CREATE INDEX kept_by_position ON kept (position);
"""
_ROWS: Final = """
SELECT workflow, seq, rowid, position, timestamp, kind, payload, digest FROM events
WHERE workflow = ? AND seq BETWEEN 1 AND ? ORDER BY seq, rowid
"""
_LOGS: Final = """
SELECT workflow FROM names UNION SELECT workflow FROM events UNION SELECT workflow FROM beginnings
ORDER BY workflow
"""
_BEGINNINGS: Final = "SELECT * FROM beginnings WHERE workflow = ?"
_RANGES: Final = "SELECT * FROM ranges WHERE workflow = ? ORDER BY to_seq"
_PLACED: Final = "SELECT position FROM placed WHERE workflow = ? AND seq = ?"
# What an index says of an event that was found is said better by the event: its entry may be the damaged one.
_PLACED_SEQS: Final = """
SELECT DISTINCT seq FROM placed AS p WHERE workflow = ? AND seq BETWEEN 1 AND ?
AND NOT EXISTS (SELECT 1 FROM ranges WHERE source = p.workflow AND workflow = p.seq AND to_seq = p.position)
AND NOT EXISTS (SELECT 1 FROM events WHERE position = p.position AND workflow = p.workflow)
ORDER BY seq
"""
_KIND_OF: Final = """
SELECT e.kind FROM kept AS k JOIN events AS e ON e.rowid = k.staged WHERE k.stretch = ? AND e.seq = ?
"""
_DIGESTS_AT: Final = "SELECT digest FROM events WHERE workflow = ? AND seq = ?"


@attrs.frozen(slots=True)
class Beginning:
    """What a sound row tells of where a log begins; see `treadle.stores.sqlite.extents.Extent`."""

    first_kept_seq: int
    digest_before: bytes
    shared_seq: int
    hidden: bool
    ranges: tuple[tuple[int, int, int], ...]
    stored_sum: bytes


@attrs.define(slots=True)
class Stretch:
    """Sound events in a row.

    Attributes:
        number: its name among all stretches.
        first: the first seq.
        last: the last seq.
        digest_before: the digest before the first.
        digest: the digest of the last.
    """

    number: int
    first: int
    last: int
    digest_before: bytes
    digest: bytes


@attrs.define(slots=True)
class Log:
    """What was found of a log.

    Attributes:
        key: its number in the file.
        name: its id; None when that is lost.
        beginning: where it begins, when a row says so.
        stretches: its sound events, in order of their seqs.
        lost: first and last seq of what is known to have been there and is not sound.
    """

    key: int
    name: str | None
    beginning: Beginning | None
    stretches: list[Stretch] = attrs.Factory(list)
    lost: list[tuple[int, int]] = attrs.Factory(list)

    @property
    def is_deleted(self) -> bool:
        """Whether its beginning lies behind all that is known of it."""
        first = 0 if self.beginning is None else self.beginning.first_kept_seq
        return first > 1 and not any(span[1] >= first for span in self.lost) and not self._reaches(first)

    def _reaches(self, seq: int) -> bool:
        return any(stretch.last >= seq for stretch in self.stretches)


def find_logs(connection: apsw.Connection) -> Iterator[Log]:
    """Prove the events of all logs; those that are sound are noted in the table `kept`.

    Args:
        connection: on the staging database, inside a transaction.

    Yields:
        The logs.
    """
    connection.execute(_KEPT)
    numbers = iter(range(1, SEQ_MAX))
    keys = [key for (key,) in fetched(connection, _LOGS) if type(key) is int]
    for key in keys:
        beginning = _beginning(connection, key)
        names = _names(connection, key)
        log = Log(key, None, beginning)
        _prove(connection, log, names, lambda: next(numbers))
        log.name = _decided_name(log, names)
        yield log


# -- names and beginnings -------------------------------------------------------------------------------


def _names(connection: apsw.Connection, key: int) -> list[str]:
    """Tell the ids that a log may have; the table's comes first, and twice counts as once."""
    rows = fetched(connection, "SELECT id FROM names WHERE workflow = ? ORDER BY from_index", (key,))
    found: list[str] = []
    for (name,) in rows:
        with suppress(InvalidValueError):
            found.append(workflow_id(name))
    return list(dict.fromkeys(found))


def _decided_name(log: Log, names: list[str]) -> str | None:
    first = log.stretches[0] if log.stretches else None
    if first is not None and first.first == 1 and len(names) > 1:
        proved = [name for name in names if root_digest(workflow_id(name)) == first.digest_before]
        return proved[0] if proved else None
    if log.beginning is not None:
        names = [name for name in names if fits_name(log.beginning.stored_sum, name)]
    # Two that differ and nothing to tell which is right: a log under a name that was never given is worse.
    return names[0] if len(names) == 1 else None


def _beginning(connection: apsw.Connection, key: int) -> Beginning | None:
    for row in fetched(connection, _BEGINNINGS, (key,)):
        _, first, before, shared, hidden, _, stored = row
        if fits_beginning(stored, key, first, before, shared, hidden):
            return Beginning(first, before, shared, bool(hidden), _ranges(connection, key), stored)
    return None


def _ranges(connection: apsw.Connection, key: int) -> tuple[tuple[int, int, int], ...]:
    found = {}
    for _, to_seq, from_seq, source, stored in fetched(connection, _RANGES, (key,)):
        if stored == checksum(key, to_seq, from_seq, source):
            found[to_seq] = (from_seq, to_seq, source)
    return tuple(found.values())


# -- the chain ------------------------------------------------------------------------------------------


def _prove(connection: apsw.Connection, log: Log, names: list[str], number: Callable[[], int]) -> None:
    before = _digests_before(connection, log, names)
    current: Stretch | None = None
    position = 0
    known: list[int] = []
    previous_seq, previous_digests = 0, [root_digest(workflow_id(name)) for name in names]
    for seq, group in groupby(_unique(connection.execute(_ROWS, (log.key, SEQ_MAX))), key=itemgetter(1)):
        candidates = list(group)
        known.append(seq)
        if current is not None and current.last != seq - 1:
            current = None
        told = before.get(seq, []) + (previous_digests if seq == previous_seq + 1 else [])
        found = _sound(candidates, current.digest if current else None, told)
        if found is None:
            current = None
        else:
            row, digest_before = found
            if current is None or current.digest != digest_before:
                current = Stretch(number(), seq, seq, digest_before, row[7])
                log.stretches.append(current)
            current.last, current.digest = seq, row[7]
            position = _position(connection, row, position if current.first < seq else 0)
            connection.execute("INSERT INTO kept VALUES (?, ?, ?)", (row[2], current.number, position))
        previous_seq, previous_digests = seq, [row[7] for row in candidates if _is_digest(row[7])]
    log.lost = _lost(connection, log, known)


def _digests_before(connection: apsw.Connection, log: Log, names: list[str]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {1: [root_digest(workflow_id(name)) for name in names]}
    if (beginning := log.beginning) is not None:
        found.setdefault(beginning.first_kept_seq, []).append(beginning.digest_before)
        if beginning.ranges:
            source = beginning.ranges[-1][2]
            rows = fetched(connection, _DIGESTS_AT, (source, beginning.shared_seq))
            found.setdefault(beginning.shared_seq + 1, []).extend(row for (row,) in rows if _is_digest(row))
    return found


def _unique(rows: apsw.Cursor) -> Iterator[tuple[Any, ...]]:
    seen: set[tuple[Any, ...]] = set()
    seq = None
    for row in rows:
        if row[1] != seq:
            seen, seq = set(), row[1]
        if row[4:] not in seen:
            seen.add(row[4:])
            yield row


def _sound(
    candidates: list[tuple[Any, ...]], current: bytes | None, told: list[bytes]
) -> tuple[tuple[Any, ...], bytes] | None:
    """Find the event that continues a digest: best the stretch's, else any that may stand before it."""
    for digest in dict.fromkeys([*([current] if current else []), *told]):
        for row in candidates:
            if _follows(digest, row):
                return row, digest
    for row in candidates:
        if row[5] == EventKind.BRANCHED and (digest_there := _branched_digest(row)) is not None:
            return row, digest_there
    return None


def _branched_digest(row: tuple[Any, ...]) -> bytes | None:
    """Tell the digest from which a branch goes on, as its first event says it."""
    with suppress(InvalidValueError, ValueError, TypeError):
        digest = bytes.fromhex(decode_branched(row[6]).digest)
        if _is_digest(digest) and _follows(digest, row):
            return digest
    return None


def _follows(digest: bytes, row: tuple[Any, ...]) -> bool:
    _, seq, _, _, timestamp, kind, payload, stored = row
    if kind not in KIND_BY_NUMBER:
        return False
    return bool(next_digest(digest, seq, timestamp, KIND_BY_NUMBER[kind], payload) == stored)


def _is_digest(value: object) -> bool:
    return type(value) is bytes and len(value) == DIGEST_SIZE_BYTES


def _position(connection: apsw.Connection, row: tuple[Any, ...], above: int) -> int:
    """Tell an event's place in the commit order: no digest covers it, but an index holds it as well."""
    told = [position for (position,) in fetched(connection, _PLACED, (row[0], row[1]))]
    position = int(row[3])
    if position > above and (position in told or not told):
        return position
    return next(
        (int(place) for place in told if type(place) is int and place > above), max(position, above + 1)
    )


def _lost(connection: apsw.Connection, log: Log, known: list[int]) -> list[tuple[int, int]]:
    known_seqs = sorted({*known, *(seq for (seq,) in connection.execute(_PLACED_SEQS, (log.key, SEQ_MAX)))})
    beginning = log.beginning
    reach = 0 if beginning is None else max(beginning.first_kept_seq - 1, beginning.shared_seq)
    if beginning is None and log.stretches and _is_branchs_first(connection, log):
        reach = log.stretches[0].first - 1
    first = reach + 1
    for seq in known_seqs:
        if reach < seq <= reach + LOST_GAP_MAX:
            reach = seq
    lost, place = [], first
    for stretch in log.stretches:
        if stretch.last < first:
            continue
        if stretch.first > place:
            lost.append((place, stretch.first - 1))
        place = stretch.last + 1
    if place <= reach:
        lost.append((place, reach))
    return lost


def _is_branchs_first(connection: apsw.Connection, log: Log) -> bool:
    row = connection.execute(_KIND_OF, (log.stretches[0].number, log.stretches[0].first)).fetchone()
    return row is not None and row[0] == EventKind.BRANCHED
