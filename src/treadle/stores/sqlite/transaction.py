"""One group: the units of one transaction, decided and written in order.

Most groups are made of units of one batch each whose token still tells exactly where its log stands;
those are only collected into rows and inserted many at a time. Everything else is judged by the rules
all stores share, over a view of the database in the middle of the transaction.

Why a token can be believed: it remembers what this store itself has last written or read of its log, and
its generation is the store's current one only as long as no other connection has committed and no write
has failed. A second token for the same log may lag behind; then either its seq does not fit the batch,
and the log is looked up, or both are behind, and the unique index refuses the row. So whatever a caller
makes of tokens, a row is written only at the end of its log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from treadle.events import WorkflowEvent, WorkflowId
from treadle.stores.contract import WRITTEN, Batch, Head, HeadFacts, Outcome, Unit, Written
from treadle.stores.judging import check_unit, judge_unit
from treadle.stores.sqlite import reading
from treadle.stores.sqlite.poison import POSITION_MAX
from treadle.stores.sqlite.sums import checksum

ROWS_PER_STATEMENT_MAX: Final = 512
"""Rows of one INSERT. Each statement lets go of the interpreter's lock once, and getting it back from a
busy Trio thread is what a commit mostly waits for; more rows would outgrow apsw's statement cache."""
STATEMENT_SIZE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Payload of one INSERT, so that memory beside the events themselves stays bounded."""

_PLAIN: Final = 6
_KEYED: Final = 7


def _inserts(table: str, columns: str) -> dict[int, str]:
    # OR FAIL: on an error the whole group is rolled back anyway, and a statement that had to undo only
    # itself would first copy each page it touches (measured: twice the time for random workflows).
    row = f"({','.join('?' * (columns.count(',') + 1))})"
    head = f"INSERT OR FAIL INTO {table} ({columns}) VALUES "  # noqa: S608 - this page's own names
    sizes = [1 << bits for bits in range(ROWS_PER_STATEMENT_MAX.bit_length())]
    return {size: head + ",".join([row] * size) for size in sizes}


_INSERT_PLAIN: Final = _inserts("events", "workflow,seq,timestamp,kind,payload,digest")
_INSERT_KEYED: Final = _inserts("events", "workflow,seq,timestamp,kind,payload,digest,key")
_INSERT_WORKFLOWS: Final = _inserts("workflows", "key,id")
_SET_FACTS: Final = """
INSERT INTO heads (workflow, status, run_start_seq, wake_up_ns, name, details, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (workflow) DO UPDATE SET status = excluded.status, run_start_seq = excluded.run_start_seq,
wake_up_ns = excluded.wake_up_ns, name = excluded.name, details = excluded.details,
checksum = excluded.checksum
"""
_PUT_MESSAGE: Final = """
INSERT INTO mailbox (workflow_id, message_id, kind, payload, checksum) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (workflow_id, message_id) DO NOTHING
"""
_TAKE_MESSAGE: Final = """
UPDATE mailbox SET taken = 1, payload = x'' WHERE workflow_id = ? AND message_id = ?
"""
_MESSAGE_WAITS: Final = "SELECT 1 FROM mailbox WHERE workflow_id = ? AND message_id = ? AND taken = 0"


class Generation:
    """A stretch of time in which nobody else has written and nothing has failed: compared by identity."""

    __slots__ = ("epoch", "key_max")

    def __init__(self) -> None:
        self.epoch: int | None = None
        self.key_max: int | None = None


class Token:
    """Where a log stands, as far as this store has written or read it itself.

    Moved along by each commit that builds on it, so that one object serves a log for as long as nobody
    else writes.
    """

    __slots__ = ("digest", "generation", "key", "next_seq", "workflow_id")

    def __init__(
        self, generation: Generation, workflow_id: WorkflowId, key: int | None, next_seq: int, digest: bytes
    ) -> None:
        self.generation = generation
        self.workflow_id = workflow_id
        self.key = key
        self.next_seq = next_seq
        self.digest = digest


class Transaction:
    """Decides and writes the units of one group; the caller begins and commits.

    Args:
        connection: inside a transaction that holds the write lock.
        generation: the store's current one; tokens of any other are not believed.
    """

    def __init__(self, connection: apsw.Connection, generation: Generation) -> None:
        self._execute = connection.cursor().execute
        self._connection = connection
        self._generation = generation
        self._workflows: list[Any] = []
        self._rows: list[Any] = []
        self._keyed = False
        self._payload_size_bytes = 0
        # Of every log the careful way has met: its head as it was read, its token as it is now.
        self._careful = False
        self._heads: dict[WorkflowId, Head] = {}
        self._tokens: dict[WorkflowId, Token] = {}
        self._exact: dict[WorkflowId, Token] = {}
        self._units: Sequence[Unit | Batch] = ()
        self.position_written: int | None = None

    def write(self, units: Sequence[Unit | Batch]) -> list[Outcome]:
        """Decide every unit, in order, and write those that are taken.

        Args:
            units: the group.

        Returns:
            One outcome for each.

        Raises:
            UsageError: a unit is wrong by itself; the transaction must be rolled back.
            apsw.ConstraintError: a token was behind its log; roll back, and try again with none believed.
        """
        self._units = units
        outcomes: list[Outcome] = [WRITTEN] * len(units)
        taken = self._take_plain_ones(units)
        for place, unit in enumerate(units[taken:], taken):
            if not self._take_plain(unit):
                outcomes[place] = self._decide(unit)
        self._flush()
        return outcomes

    # -- the fast way --

    def _take_plain_ones(self, units: Sequence[Unit | Batch]) -> int:
        """Take plain appends of one event each until something else comes; tell how many.

        One loop without a call for each row: a group under load is made of nothing else.
        """
        generation, rows, size_bytes = self._generation, self._rows, 0
        count = 0
        for unit in units:
            if type(unit) is not Batch:
                break
            workflow_id, digest_before, events, digests, keys, facts, token = unit
            if (
                type(token) is not Token
                or token.generation is not generation
                or facts is not None
                or keys is not None
                or token.digest != digest_before
                or token.workflow_id != workflow_id
                or len(events) != 1
                or len(digests) != 1
            ):
                break
            event = events[0]
            seq = token.next_seq
            if event.seq != seq:
                break
            payload = event.payload
            size_bytes += len(payload)
            rows += (
                token.key or self._new_key(token),
                seq,
                event.timestamp,
                event.kind,
                payload,
                digests[0],
                None,
            )
            token.next_seq = seq + 1
            token.digest = digests[0]
            count += 1
        self._payload_size_bytes += size_bytes
        return count

    def _take_plain(self, unit: Unit | Batch) -> bool:
        batch = unit if type(unit) is Batch else self._alone(unit)
        if batch is None:
            return False
        token = batch.token
        if (
            type(token) is not Token
            or token.generation is not self._generation
            or token.digest != batch.digest_before
            or token.workflow_id != batch.workflow_id
        ):
            return False
        if self._careful and self._tokens.setdefault(batch.workflow_id, token) is not token:
            return False
        if not self._take_batch(batch, token):
            return False
        if batch.facts is not None:
            self._set_facts(token.key, batch.facts)
        return True

    def _alone(self, unit: object) -> Batch | None:
        """The batch of a unit that holds nothing else: what a runner sends for almost every turn."""
        if type(unit) is not Unit or len(unit.batches) != 1:
            return None
        batches, guards, put, taken, records, epoch, restated = unit
        if guards or put or taken or records or restated or (epoch is not None and epoch < self.epoch()):
            return None
        return batches[0]

    def _take_batch(self, batch: Batch, token: Token) -> bool:
        events, digests, keys = batch.events, batch.digests, batch.keys
        count = len(events)
        if not count or count != len(digests) or (keys is not None and len(keys) != count):
            return False
        seq = token.next_seq
        for event in events:
            if event.seq != seq:
                return False
            seq += 1
        self._collect(batch, token)
        return True

    def _collect(self, batch: Batch, token: Token) -> None:
        """Add a batch that fits to the rows to come, and move the token behind it."""
        key = token.key or self._new_key(token)
        rows = self._rows
        size_bytes = 0
        marks: Sequence[bytes | None]
        if batch.keys is None:
            marks = (None,) * len(batch.events)
        else:
            marks = batch.keys
            self._keyed = True
        for event, digest, mark in zip(batch.events, batch.digests, marks, strict=True):
            payload = event.payload
            size_bytes += len(payload)
            rows += (key, event.seq, event.timestamp, event.kind, payload, digest, mark)
        self._payload_size_bytes += size_bytes
        token.next_seq = batch.events[-1].seq + 1
        token.digest = batch.digests[-1]

    def _new_key(self, token: Token) -> int:
        generation = self._generation
        if generation.key_max is None:
            generation.key_max = self._execute("SELECT coalesce(max(key), 0) FROM workflows").get
        generation.key_max += 1
        token.key = generation.key_max
        self._workflows += (token.key, token.workflow_id)
        return token.key

    def _flush(self) -> None:
        if self._workflows:
            self._insert(_INSERT_WORKFLOWS, self._workflows, 2, ROWS_PER_STATEMENT_MAX)
            self._workflows = []
        if not self._rows:
            return
        rows, count = self._rows, len(self._rows) // _KEYED
        most = ROWS_PER_STATEMENT_MAX
        while most > 1 and self._payload_size_bytes * most > STATEMENT_SIZE_BYTES_MAX * count:
            most >>= 1
        if self._keyed:
            self._insert(_INSERT_KEYED, rows, _KEYED, most)
        else:
            # Binding a NULL for each row costs more than cutting the column out.
            del rows[_PLAIN::_KEYED]
            self._insert(_INSERT_PLAIN, rows, _PLAIN, most)
        # Asked now: a row of another table that follows would answer with a number of its own.
        self.position_written = self._connection.last_insert_rowid()
        self._rows, self._keyed, self._payload_size_bytes = [], False, 0

    def _insert(self, statements: dict[int, str], values: list[Any], width: int, rows_max: int) -> None:
        execute = self._execute
        start, end, size = 0, len(values), rows_max
        while start < end:
            while size * width > end - start:
                size >>= 1
            stop = start + size * width
            execute(statements[size], values if size * width == end else values[start:stop])
            start = stop

    # -- the careful way --

    def _decide(self, unit: Unit | Batch) -> Outcome:
        check_unit(unit)
        if not self._careful:
            self._careful = True
            self._look_up()
        self._exact = {
            batch.workflow_id: batch.token
            for batch in unit.batches
            if isinstance(batch.token, Token) and self._tells(batch.token, batch)
        }
        outcome = judge_unit(unit, self)
        if not isinstance(outcome, Written) and self._exact:
            # Nobody is refused, and no repeat answered, on what a token tells.
            self._exact = {}
            outcome = judge_unit(unit, self)
        if not isinstance(outcome, Written):
            return outcome
        tokens = tuple(self._apply_batch(batch) for batch in unit.batches)
        self._apply_rest(unit)
        if all(token is batch.token for token, batch in zip(tokens, unit.batches, strict=True)):
            return WRITTEN
        return Written(tokens)

    def _tells(self, token: Token, batch: Batch) -> bool:
        """Tell whether a token is good and says of its log exactly what the batch expects.

        Only then is it used: a token that lags may well fail a row, but must never refuse one.
        """
        return (
            token.generation is self._generation
            and token.workflow_id == batch.workflow_id
            and token.next_seq == batch.events[0].seq
            and token.digest == batch.digest_before
        )

    def _look_up(self) -> None:
        """Read where all logs of the group stand that no token tells: one statement instead of many."""
        wanted = {
            batch.workflow_id
            for unit in self._units
            for batch in unit.batches
            if not (isinstance(batch.token, Token) and batch.token.generation is self._generation)
        }
        self._learn(list(wanted))

    def _learn(self, workflow_ids: Sequence[WorkflowId]) -> None:
        self._flush()
        for head, key in reading.heads(self._connection, workflow_ids, POSITION_MAX):
            self._heads[head.workflow_id] = head
            self._tokens[head.workflow_id] = Token(
                self._generation, head.workflow_id, key, head.next_seq, head.digest
            )

    def _apply_batch(self, batch: Batch) -> Token:
        workflow_id = batch.workflow_id
        token = self._exact.get(workflow_id) or self._tokens[workflow_id]
        self._tokens[workflow_id] = token
        self._collect(batch, token)
        if batch.facts is not None:
            self._set_facts(token.key, batch.facts)
        return token

    def _set_facts(self, key: int | None, facts: HeadFacts) -> None:
        self._execute(_SET_FACTS, (key, *facts, checksum(key, *facts)))

    def _apply_rest(self, unit: Unit | Batch) -> None:
        execute = self._execute
        for message in unit.messages_put:
            execute(_PUT_MESSAGE, (*message, checksum(*message)))
        for taken in unit.messages_taken:
            execute(_TAKE_MESSAGE, taken)
        for namespace, key, value in unit.records:
            if value is None:
                execute("DELETE FROM records WHERE namespace = ? AND key = ?", (namespace, key))
            else:
                row = (namespace, key, value, checksum(namespace, key, value))
                execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", row)
        for workflow_id, _, _, facts in unit.restated:
            self._set_facts(self._tokens[workflow_id].key, facts)

    # -- what `judging` asks --

    def head(self, workflow_id: WorkflowId) -> Head:
        """Tell where a log stands; see `View.head`."""
        token = self._exact.get(workflow_id)
        if token is not None:
            return Head(workflow_id, token.next_seq, token.digest)
        if workflow_id not in self._heads:
            self._learn([workflow_id])
        token = self._tokens[workflow_id]
        return self._heads[workflow_id]._replace(next_seq=token.next_seq, digest=token.digest)

    def stored(self, workflow_id: WorkflowId, from_seq: int, to_seq: int) -> Sequence[WorkflowEvent]:
        """Read a stretch of a log; see `View.stored`."""
        self._flush()
        return reading.stretch(self._connection, workflow_id, from_seq, to_seq, POSITION_MAX)

    def keyed(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        """Find a keyed event; see `View.keyed`."""
        self._flush()
        return reading.find_key(self._connection, workflow_id, key, POSITION_MAX)

    def message_waits(self, workflow_id: WorkflowId, message_id: bytes) -> bool:
        """Look into the mailbox; see `View.message_waits`."""
        return self._execute(_MESSAGE_WAITS, (workflow_id, message_id)).fetchone() is not None

    def epoch(self) -> int:
        """Tell the newest epoch; see `View.epoch`."""
        if self._generation.epoch is None:
            self._generation.epoch = reading.epoch(self._connection)
        return self._generation.epoch
