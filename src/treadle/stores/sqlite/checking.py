"""What lies outside the digest chains, checked: pages, indices, and rows that belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import apsw

from treadle.stores.contract import Damage
from treadle.stores.sqlite.faults import READ_ERRORS
from treadle.stores.sqlite.schema import SCHEMA
from treadle.stores.sqlite.sums import checksum, epoch_sum, fits_beginning, fits_name

_PROBLEMS_MAX: Final = 100
"""Of each kind; a file with more of them is not repaired line by line."""
_ROW: Final = re.compile(r"row (\d+)")
_EVENT: Final = """
SELECT w.id, e.seq FROM events AS e NOT INDEXED LEFT JOIN workflows AS w ON w.key = e.workflow
WHERE e.position = ?
"""
_ORPHANS: Final = """
SELECT e.workflow, min(e.seq), count(*) FROM events AS e
WHERE NOT EXISTS (SELECT 1 FROM workflows WHERE key = e.workflow) GROUP BY e.workflow LIMIT ?
"""
_NAMES: Final = "SELECT key, CAST(id AS BLOB) FROM workflows"
_EMPTY: Final = """
SELECT w.id FROM workflows AS w
WHERE NOT EXISTS (SELECT 1 FROM events WHERE workflow = w.key)
AND NOT EXISTS (SELECT 1 FROM beginnings WHERE workflow = w.key) LIMIT ?
"""
_LOST_HEADS: Final = """
SELECT h.workflow, w.id FROM heads AS h LEFT JOIN workflows AS w ON w.key = h.workflow
WHERE w.key IS NULL OR NOT EXISTS (SELECT 1 FROM events WHERE workflow = h.workflow) LIMIT ?
"""
_BELOW_KEPT: Final = """
SELECT w.id, min(e.seq), b.first_kept_seq FROM beginnings AS b
JOIN workflows AS w ON w.key = b.workflow JOIN events AS e ON e.workflow = b.workflow
WHERE e.seq < b.first_kept_seq AND b.reclaimed = 1 GROUP BY w.id LIMIT ?
"""
_LOST_BEGINNINGS: Final = """
SELECT b.workflow FROM beginnings AS b WHERE NOT EXISTS (SELECT 1 FROM workflows WHERE key = b.workflow)
UNION
SELECT r.workflow FROM ranges AS r WHERE NOT EXISTS (
    SELECT 1 FROM beginnings WHERE workflow = r.workflow AND shared_seq >= r.to_seq
) LIMIT ?
"""
# Every seq of what a branch shares has a row in the log it is said to lie in, and the next range goes on.
_LOST_RANGES: Final = """
SELECT w.id, r.from_seq FROM ranges AS r JOIN workflows AS w ON w.key = r.workflow
WHERE r.from_seq > r.to_seq OR r.to_seq - r.from_seq + 1 != (
    SELECT count(*) FROM events WHERE workflow = r.source AND seq BETWEEN r.from_seq AND r.to_seq
) OR r.from_seq != coalesce(
    (SELECT max(to_seq) + 1 FROM ranges WHERE workflow = r.workflow AND to_seq < r.to_seq),
    (SELECT first_kept_seq FROM beginnings WHERE workflow = r.workflow)
) LIMIT ?
"""
_BEGINNINGS: Final = """
SELECT w.id, b.first_kept_seq, b.checksum,
    b.workflow, b.first_kept_seq, b.digest_before, b.shared_seq, b.hidden
FROM beginnings AS b LEFT JOIN workflows AS w ON w.key = b.workflow
"""
_RANGES: Final = """
SELECT w.id, r.from_seq, r.checksum, r.workflow, r.to_seq, r.from_seq, r.source
FROM ranges AS r LEFT JOIN workflows AS w ON w.key = r.workflow
"""
_KEYS: Final = """
SELECT w.id, e.seq FROM events AS e NOT INDEXED LEFT JOIN workflows AS w ON w.key = e.workflow
WHERE e.key IS NOT NULL AND NOT (typeof(e.key) = 'blob' AND length(e.key) BETWEEN 1 AND 64
    AND EXISTS (
        SELECT 1 FROM events INDEXED BY events_by_key
        WHERE workflow = e.workflow AND key = e.key AND position = e.position
    )) LIMIT ?
"""
# A key names one event of all that a log shows. Two of its own rows lie beside each other in the index.
_KEYS_TWICE: Final = """
SELECT w.id, max(e.seq) FROM (
    SELECT workflow, key FROM events INDEXED BY events_by_key WHERE key IS NOT NULL
    GROUP BY workflow, key HAVING count(*) > 1
) AS twice
JOIN events AS e ON e.workflow = twice.workflow AND e.key = twice.key
LEFT JOIN workflows AS w ON w.key = e.workflow
WHERE NOT EXISTS (SELECT 1 FROM beginnings WHERE workflow = e.workflow AND first_kept_seq > e.seq)
GROUP BY e.workflow, e.key HAVING count(*) > 1 LIMIT ?
"""
# A branch's own rows are held against what it shares. So is a shared stretch of a log that has itself lost
# some of what lies below; every other one is held against that as its own log's.
_KEYS_SHARED: Final = """
WITH uppers AS (
    SELECT workflow, workflow AS source, shared_seq + 1 AS from_seq, 9223372036854775807 AS to_seq
    FROM beginnings WHERE shared_seq > 0
    UNION ALL
    SELECT workflow, source, from_seq, to_seq FROM ranges AS r WHERE coalesce(
        (SELECT from_seq FROM ranges WHERE workflow = r.source ORDER BY to_seq LIMIT 1), 9223372036854775807
    ) > (SELECT from_seq FROM ranges WHERE workflow = r.workflow ORDER BY to_seq LIMIT 1)
)
SELECT DISTINCT w.id, e.seq FROM uppers AS u
CROSS JOIN events AS e INDEXED BY events_by_key
    ON e.workflow = u.source AND e.key IS NOT NULL AND e.seq BETWEEN u.from_seq AND u.to_seq
CROSS JOIN ranges AS r ON r.workflow = u.workflow AND r.to_seq < u.from_seq
CROSS JOIN events AS o INDEXED BY events_by_key
    ON o.workflow = r.source AND o.key = e.key AND o.seq BETWEEN r.from_seq AND r.to_seq
LEFT JOIN workflows AS w ON w.key = u.workflow LIMIT ?
"""
_FACTS: Final = """
SELECT w.id, h.run_start_seq, h.checksum,
    h.workflow, h.status, h.run_start_seq, h.wake_up_ns, h.name, h.details
FROM heads AS h LEFT JOIN workflows AS w ON w.key = h.workflow WHERE h.status IS NOT NULL
"""
# A message that was taken has given up its content; what is left of it is covered by an index.
_MESSAGES: Final = """
SELECT workflow_id, NULL, checksum, workflow_id, message_id, kind, payload FROM mailbox WHERE taken = 0
"""
_RECORDS: Final = "SELECT NULL, NULL, checksum, namespace, key, value FROM records"
_DEFINITIONS: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
_SEQUENCES: Final = """
SELECT 'events', (SELECT max(position) FROM events), (SELECT seq FROM sqlite_sequence WHERE name = 'events')
UNION ALL
SELECT 'mailbox', (SELECT max(arrival) FROM mailbox),
    (SELECT seq FROM sqlite_sequence WHERE name = 'mailbox')
"""
_SUMMED: Final = (
    ("head facts", _FACTS),
    ("shared range", _RANGES),
    ("message", _MESSAGES),
    ("record", _RECORDS),
)
_SETTINGS: Final = "SELECT name, value FROM settings"


def check_structure(connection: apsw.Connection) -> list[Damage]:
    """Check all that lies outside the logs' digest chains; see `Store.check_structure`.

    Args:
        connection: a reader; the checks see one instant each.

    Returns:
        What is damaged.
    """
    found = list(_check_pages(connection))
    for check in _CHECKS:
        try:
            found.extend(check(connection))
        except (apsw.CorruptError, apsw.SQLError, UnicodeDecodeError) as error:
            damage = Damage(f"a table cannot be read to its end: {error}")
            if damage not in found:
                found.append(damage)
    return found


def _check_pages(connection: apsw.Connection) -> Iterator[Damage]:
    try:
        lines = [text for (text,) in connection.execute(f"PRAGMA integrity_check({_PROBLEMS_MAX})")]
    except apsw.CorruptError as error:
        lines = [str(error)]
    for line in lines:
        if line == "ok":
            continue
        workflow_id, seq = _place(connection, line)
        yield Damage(f"SQLite finds: {line}", workflow_id, seq)


def _place(connection: apsw.Connection, line: str) -> tuple[str | None, int | None]:
    """Find the event that a line of SQLite's names by its row."""
    row = _ROW.search(line)
    if row is None or "events" not in line:
        return None, None
    try:
        found = connection.execute(_EVENT, (int(row[1]),)).fetchone()
    except READ_ERRORS:
        return None, None
    return found or (None, None)


def _check_names(connection: apsw.Connection) -> Iterator[Damage]:
    for key, name in connection.execute(_NAMES):
        try:
            name.decode()
        except (AttributeError, UnicodeDecodeError) as error:
            yield Damage(f"the name of workflow number {key} is no text: {error}", None, None)


def _check_events(connection: apsw.Connection) -> Iterator[Damage]:
    for key, seq, count in connection.execute(_ORPHANS, (_PROBLEMS_MAX,)):
        yield Damage(f"{count} events belong to workflow number {key}, which has no name", None, seq)
    for (name,) in connection.execute(_EMPTY, (_PROBLEMS_MAX,)):
        yield Damage("the workflow is known, but has no events", name, 1)


def _check_heads(connection: apsw.Connection) -> Iterator[Damage]:
    for key, name in connection.execute(_LOST_HEADS, (_PROBLEMS_MAX,)):
        what = "has no name" if name is None else "has no events"
        yield Damage(f"a head is kept for workflow number {key}, which {what}", name, 1)
    for (key,) in connection.execute(_LOST_BEGINNINGS, (_PROBLEMS_MAX,)):
        yield Damage(f"a beginning is kept for workflow number {key}, which does not fit any log")
    for name, seq in connection.execute(_LOST_RANGES, (_PROBLEMS_MAX,)):
        yield Damage("events that the branch shares are not where it says", name, seq)
    for name, seq, first_kept_seq in connection.execute(_BELOW_KEPT, (_PROBLEMS_MAX,)):
        yield Damage(f"an event lies below the first kept seq {first_kept_seq}", name, seq)


def _check_keys(connection: apsw.Connection) -> Iterator[Damage]:
    for name, seq in connection.execute(_KEYS, (_PROBLEMS_MAX,)):
        yield Damage("the event's idempotency key does not lead back to it", name, seq)
    for statement in (_KEYS_TWICE, _KEYS_SHARED):
        for name, seq in connection.execute(statement, (_PROBLEMS_MAX,)):
            yield Damage("the event's idempotency key is that of another event of the log", name, seq)


def _check_sums(connection: apsw.Connection) -> Iterator[Damage]:
    for what, statement in _SUMMED:
        for name, seq, stored, *fields in connection.execute(statement):
            if stored != checksum(*fields):
                shown = ", ".join(repr(field)[:40] for field in fields[:2])
                yield Damage(
                    f"the checksum of the {what} ({shown}) is not that of what was written", name, seq
                )


def _check_beginnings(connection: apsw.Connection) -> Iterator[Damage]:
    for name, seq, stored, *fields in connection.execute(_BEGINNINGS):
        if not fits_beginning(stored, *fields):
            yield Damage(
                f"the checksum of the beginning ({fields[0]}, {fields[1]}) is not that of what was written",
                name,
                seq,
            )
        elif isinstance(name, str) and not fits_name(stored, name):
            yield Damage("the workflow's id is not the one that was written", name, seq)


def _check_settings(connection: apsw.Connection) -> Iterator[Damage]:
    rows: Any = connection.execute(_SETTINGS).fetchall()
    settings = dict[Any, Any](rows)
    epoch = settings.get("epoch")
    if type(epoch) is not int or epoch < 0:
        yield Damage(f"the runner's epoch is {epoch!r}, expected a number from 0 on")
    # A store whose epoch was last raised by an earlier treadle has no sum of it yet.
    elif settings.get("epoch_sum", epoch_sum(epoch)) != epoch_sum(epoch):
        yield Damage(f"the checksum of the runner's epoch ({epoch}) is not that of what was written")


def _check_definitions(connection: apsw.Connection) -> Iterator[Damage]:
    # SQLite believes whatever text it can parse; with one letter changed an index may leave rows out.
    there = {tuple(row) for row in connection.execute(_DEFINITIONS)}
    pattern = apsw.Connection(":memory:")
    pattern.execute(SCHEMA)
    for kind, name, *rest in pattern.execute(_DEFINITIONS).fetchall():
        if (kind, name, *rest) not in there:
            yield Damage(f"the definition of the {kind} {name} is not the one that was written")
    pattern.close()


def _check_sequences(connection: apsw.Connection) -> Iterator[Damage]:
    for table, newest, told in connection.execute(_SEQUENCES):
        if newest is not None and (type(told) is not int or told < newest):
            yield Damage(f"the rows of {table} reach number {newest}, but only {told!r} were ever given out")


_CHECKS: Final = (
    _check_definitions,
    _check_names,
    _check_events,
    _check_heads,
    _check_keys,
    _check_sums,
    _check_beginnings,
    _check_settings,
    _check_sequences,
)
