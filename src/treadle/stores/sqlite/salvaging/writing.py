"""The new file: everything sound, under the positions and numbers that it had."""

# ruff: noqa: S608 - the statements are put together from this page's own words
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import apsw
import attrs

from treadle.events import KEY_SIZE_BYTES_MAX, SEQ_MAX, WorkflowId, workflow_id
from treadle.stores.contract import AuditRow, HeadFacts
from treadle.stores.sqlite import lifetimes, reading, schema
from treadle.stores.sqlite.salvaging.planning import Placed, Plan
from treadle.stores.sqlite.salvaging.staging import fetched
from treadle.stores.sqlite.sums import checksum, epoch_sum

FactsOf: TypeAlias = Callable[[Iterable[AuditRow], HeadFacts | None], HeadFacts | None]
"""Tells the head facts of a log by the events of its run, and by those that were kept, if they were."""

_PAGE_EVENTS: Final = 2_000
_GOES: Final = """
CREATE TABLE goes (stretch INTEGER PRIMARY KEY, log INTEGER, first_seq INTEGER, last_seq INTEGER)
"""
_EVENTS: Final = """
INSERT INTO main.events (position, workflow, seq, timestamp, kind, payload, digest, key)
SELECT k.position, g.log, e.seq, e.timestamp, e.kind, e.payload, e.digest, iif({key_is_sound}, e.key, NULL)
FROM stage.kept AS k JOIN stage.goes AS g ON g.stretch = k.stretch
JOIN stage.events AS e ON e.rowid = k.staged
WHERE e.seq BETWEEN g.first_seq AND g.last_seq ORDER BY k.position
""".format(
    # No digest covers a key, but an index holds it as well: where the two differ, neither is believed.
    key_is_sound=f"length(e.key) BETWEEN 1 AND {KEY_SIZE_BYTES_MAX} AND NOT EXISTS ("
    "SELECT 1 FROM stage.keyed AS i"
    " WHERE i.position = e.position AND i.workflow = e.workflow AND i.key != e.key)"
)
_SAME_POSITION: Final = """
SELECT staged FROM kept AS k
WHERE EXISTS (SELECT 1 FROM kept WHERE position = k.position AND staged < k.staged)
"""
_KEYS_LOST: Final = """
SELECT count(*) FROM stage.kept AS k JOIN stage.events AS e ON e.rowid = k.staged
JOIN stage.goes AS g ON g.stretch = k.stretch
WHERE e.key IS NOT NULL AND e.seq BETWEEN g.first_seq AND g.last_seq
AND (SELECT key FROM main.events WHERE position = k.position) IS NULL
"""
_UNSHARED: Final = """
DELETE FROM events WHERE workflow = ? AND seq < ? AND NOT EXISTS (
    SELECT 1 FROM ranges WHERE source = events.workflow AND events.seq BETWEEN from_seq AND to_seq
)
"""
_HEADS: Final = (
    "SELECT status, run_start_seq, wake_up_ns, name, details, checksum FROM heads WHERE workflow = ?"
)
# An entry of the index of what is to be reclaimed looks the same; only logs with a beginning have one.
_HAD_FACTS: Final = """
SELECT 1 FROM had_facts AS h
WHERE workflow = ? AND NOT EXISTS (SELECT 1 FROM beginnings WHERE workflow = h.workflow) LIMIT 1
"""
_PUT_HEAD: Final = """
INSERT INTO heads (workflow, status, run_start_seq, wake_up_ns, name, details, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_MESSAGES: Final = "SELECT * FROM mailbox ORDER BY arrival"
_MAILED: Final = "SELECT 1 FROM mailed WHERE workflow_id = ? AND message_id = ? AND arrival = ?"
_PUT_MESSAGE: Final = "INSERT OR IGNORE INTO mailbox VALUES (?, ?, ?, ?, ?, ?, ?)"
_PUT_RECORD: Final = "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?)"
_SEQUENCE_GAP_MAX: Final = 1 << 32


@attrs.define(slots=True)
class Counts:
    """What went into the new file, and what of it was lost, beside events.

    Attributes:
        events: how many events.
        keys_lost: how many idempotency keys.
        facts_lost: logs of durable workflows without their head facts: they are read, and not run.
        messages: how many messages, taken ones included.
        messages_lost: how many.
        records: how many records.
        records_lost: how many.
        epoch_is_lost: whether nothing says how often a runner took over.
    """

    events: int = 0
    keys_lost: int = 0
    facts_lost: list[str] = attrs.Factory(list)
    messages: int = 0
    messages_lost: int = 0
    records: int = 0
    records_lost: int = 0
    epoch_is_lost: bool = False


class Writer:
    """Writes one new file.

    Args:
        connection: on the new file, with its schema.
        stage: on the staging database.
        stage_path: its file.
    """

    def __init__(self, connection: apsw.Connection, stage: apsw.Connection, stage_path: str) -> None:
        self.counts = Counts()
        self._new = connection
        self._stage = stage
        self._stage_path = stage_path

    def write(self, plan: Plan, facts_of: FactsOf) -> None:
        """Write everything.

        Args:
            plan: where each stretch goes.
            facts_of: tells head facts by a log's events.
        """
        self._settle_positions()
        self._stage.execute(_GOES)
        self._stage.execute("BEGIN")
        self._stage.executemany("INSERT INTO goes VALUES (?, ?, ?, ?)", _goes(plan))
        self._stage.execute("COMMIT")
        self._new.execute("ATTACH ? AS stage", (self._stage_path,))
        self._new.execute("BEGIN IMMEDIATE")
        for placed in plan.placed:
            self._new.execute("INSERT INTO workflows VALUES (?, ?)", (placed.key, placed.name))
            if placed.extent is not None:
                lifetimes.begin(self._new, placed.name, placed.extent, reclaimed=placed.reclaimed)
        self._new.execute(_EVENTS)
        self.counts.keys_lost = int(self._new.execute(_KEYS_LOST).get)
        for placed in plan.placed:
            if placed.extent is not None and not placed.reclaimed:
                self._new.execute(_UNSHARED, (placed.key, placed.extent.first_kept_seq))
        self.counts.events = int(self._new.execute("SELECT count(*) FROM events").get)
        self._messages()
        self._records()
        self._settings()
        self._new.execute("COMMIT")
        self._new.execute("BEGIN IMMEDIATE")
        for placed in plan.placed:
            if placed.is_main and placed.stretch is not None:
                self._facts(placed, facts_of)
        self._new.execute("COMMIT")
        self._new.execute("DETACH stage")

    def _settle_positions(self) -> None:
        # Two events at one position: one of the two was damaged, and its index lost. It gets a new one.
        for (staged,) in fetched(self._stage, _SAME_POSITION):
            newest = self._stage.execute("SELECT max(position) FROM kept").get
            self._stage.execute("UPDATE kept SET position = ? WHERE staged = ?", (newest + 1, staged))

    def _facts(self, placed: Placed, facts_of: FactsOf) -> None:
        kept = None
        for row in fetched(self._stage, _HEADS, (placed.of.key,)):
            if row[-1] == checksum(placed.of.key, *row[:-1]) and type(row[0]) is int:
                kept = HeadFacts(*row[:-1])
        had = self._stage.execute(_HAD_FACTS, (placed.of.key,)).get
        if kept is None and not had:
            return
        # The facts are those of the last event: without it they would be another log's.
        ends = placed.stretch is not None and not any(
            lost[1] > placed.stretch.last for lost in placed.of.lost
        )
        first = kept.run_start_seq if kept is not None else 1
        facts = facts_of(self._rows(workflow_id(placed.name), first), kept) if ends else None
        if facts is None:
            self.counts.facts_lost.append(placed.name)
            return
        told = (placed.key, *facts)
        self._new.execute(_PUT_HEAD, (*told, checksum(*told)))

    def _rows(self, name: WorkflowId, first: int) -> Iterator[AuditRow]:
        after = max(first - 1, 0)
        while rows := _page(self._new, name, after):
            yield from rows
            after = rows[-1].seq

    def _messages(self) -> None:
        taken: set[tuple[Any, Any]] = set()
        waiting: dict[tuple[Any, Any], tuple[Any, ...]] = {}
        for row in fetched(self._stage, _MESSAGES):
            arrival, to, message_id, kind, payload, was_taken, stored = row
            if was_taken == 1 and self._stage.execute(_MAILED, (to, message_id, arrival)).get:
                taken.add((to, message_id))
                self._new.execute(_PUT_MESSAGE, row)
            elif was_taken == 0 and stored == checksum(to, message_id, kind, payload):
                waiting[to, message_id] = row
        # One that was taken stays taken, whatever older page still shows it waiting.
        for name, row in waiting.items():
            if name not in taken:
                self._new.execute(_PUT_MESSAGE, row)
        known = set(fetched(self._stage, "SELECT DISTINCT workflow_id, message_id FROM mailed"))
        self.counts.messages = int(self._new.execute("SELECT count(*) FROM mailbox").get)
        self.counts.messages_lost = len(known - taken - waiting.keys())

    def _records(self) -> None:
        for namespace, key, value, stored in fetched(self._stage, "SELECT * FROM records"):
            if stored == checksum(namespace, key, value):
                self._new.execute(_PUT_RECORD, (namespace, key, value, stored))
            else:
                self.counts.records_lost += 1
        self.counts.records = int(self._new.execute("SELECT count(*) FROM records").get)

    def _settings(self) -> None:
        rows = fetched(self._stage, "SELECT name, value FROM settings")
        sums = {value for name, value in rows if name == "epoch_sum"}
        epochs = [value for name, value in rows if name == "epoch" and type(value) is int and value >= 0]
        sound = [epoch for epoch in epochs if epoch_sum(epoch) in sums or (not sums and epoch == 0)]
        self.counts.epoch_is_lost = not sound
        if epoch := max(sound, default=0):
            for name, value in (("epoch", epoch), ("epoch_sum", epoch_sum(epoch))):
                self._new.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))
        for table, column in (("events", "position"), ("mailbox", "arrival")):
            newest = int(self._new.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").get)
            told = [int(value) for name, value in rows if name == f"last {table}" and type(value) is int]
            fitting = [value for value in told if newest <= value <= newest + _SEQUENCE_GAP_MAX]
            last = max(fitting, default=newest)
            self._new.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            self._new.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, last))


def _goes(plan: Plan) -> Iterator[tuple[int, int, int, int]]:
    firsts = {
        placed.key: placed.extent.first_kept_seq
        for placed in plan.placed
        if placed.extent is not None and placed.reclaimed
    }
    for stretch, key in plan.keys.items():
        yield stretch, key, firsts.get(key, 0), plan.ends.get(stretch, SEQ_MAX)


def _page(connection: apsw.Connection, name: WorkflowId, after: int) -> Sequence[AuditRow]:
    # Inside the writing transaction, where `reading.audit` would begin one of its own.
    rows = reading.raw_rows(connection, name, after, _PAGE_EVENTS, reading.INTEGER_MAX)
    return [AuditRow(*row) for row in rows]


def make_file(draft: str) -> apsw.Connection:
    """Make the new file, written without a journal: a draft that is not finished is thrown away.

    Args:
        draft: where.

    Returns:
        A connection to it.
    """
    connection = apsw.Connection(draft)
    connection.pragma("fullfsync", 1)
    schema.create_schema(connection)
    connection.pragma("journal_mode", "OFF")
    connection.pragma("synchronous", "OFF")
    return connection
