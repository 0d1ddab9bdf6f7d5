"""One group: the units of one transaction, decided and written in order.

Most groups are made of units of one batch each whose token still tells exactly where its log stands;
those are only collected into rows and inserted many at a time. Everything else is judged by the rules
all stores share, over a view of the database in the middle of the transaction.

Why a token can be believed: it remembers what this store itself has last written or read of its log, and
its generation is the store's current one only as long as no other connection has committed and no write
has failed. A second token for the same log may lag behind; then either its seq does not fit the batch,
and the log is looked up, or both are behind, and the unique index refuses the row. So whatever a caller
makes of tokens, a row is written only at the end of its log.

No token tells of keys. Those of batches that were believed are asked for all together, before their rows
are written: no index can refuse a known one, since an event that was cut keeps its key for branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

import apsw

from treadle.errors import UsageError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.stores.contract import WRITTEN, Batch, Head, HeadFacts, Outcome, Refused, Unit, Written
from treadle.stores.judging import check_graft, check_unit, finished, judge_unit
from treadle.stores.lifetimes import Cut, Graft
from treadle.stores.sqlite import extents, lifetimes, reading
from treadle.stores.sqlite.poison import POSITION_MAX
from treadle.stores.sqlite.sums import checksum

ROWS_PER_STATEMENT_MAX: Final = 512
"""Rows of one INSERT. Each statement lets go of the interpreter's lock once, and getting it back from a
busy Trio thread is what a commit mostly waits for; more rows would outgrow apsw's statement cache."""
STATEMENT_SIZE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Payload of one INSERT, so that memory beside the events themselves stays bounded."""

_NOTHING_ELSE: Final = list(Unit())[6:]
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


def _asks_for_keys() -> dict[int, str]:
    # A look at an index for each; only where one is found, another at whether its log shows the event yet.
    statement = """
    WITH asked (workflow, key) AS (VALUES %s)
    SELECT 1 FROM asked CROSS JOIN events AS e ON e.workflow = asked.workflow AND e.key = asked.key
    WHERE NOT EXISTS (SELECT 1 FROM beginnings WHERE workflow = e.workflow AND first_kept_seq > e.seq)
    """
    return {size: statement % ",".join(["(?,?)"] * size) for size in _INSERT_KEYED}


_KNOWN_KEYS: Final = _asks_for_keys()
_DIGEST: Final = "SELECT digest FROM events WHERE workflow = ? AND seq = ?"
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
    else writes. Of a log that shares events it also says that: their keys lie among another log's rows,
    where no index tells that one is known.
    """

    __slots__ = ("digest", "generation", "key", "next_seq", "shares", "workflow_id")

    def __init__(self, generation: Generation, head: Head, key: int | None) -> None:
        self.generation = generation
        self.workflow_id = head.workflow_id
        self.key = key
        self.next_seq = head.next_seq
        self.digest = head.digest
        self.shares = head.shared_seq > 0


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
        self._keys_unasked = False
        self._payload_size_bytes = 0
        # Of every log the careful way has met: its head as it was read, its token as it is now.
        self._careful = False
        self._heads: dict[WorkflowId, Head] = {}
        self._tokens: dict[WorkflowId, Token] = {}
        self._exact: dict[WorkflowId, Token] = {}
        self._units: Sequence[Unit | Batch | Graft] = ()
        self.position_written: int | None = None

    def write(self, units: Sequence[Unit | Batch | Graft]) -> list[Outcome]:
        """Decide every unit, in order, and write those that are taken.

        Args:
            units: the group.

        Returns:
            One outcome for each.

        Raises:
            UsageError: a unit is wrong by itself; the transaction must be rolled back.
            apsw.ConstraintError: a token was behind its log, or a key is known; roll back, and try again with
                no token believed.
        """
        self._units = units
        outcomes: list[Outcome] = [WRITTEN] * len(units)
        taken = self._take_plain_ones(units)
        for place, unit in enumerate(units[taken:], taken):
            if isinstance(unit, Graft) or not self._take_plain(unit):
                outcomes[place] = self._decide(unit)
        self._flush()
        return outcomes

    # -- the fast way --

    def _take_plain_ones(self, units: Sequence[Unit | Batch | Graft]) -> int:
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
            or (token.shares and batch.keys is not None)
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
        batches, guards, put, taken, records, epoch, *rest = unit
        if guards or put or taken or records or (epoch is not None and epoch < self.epoch()):
            return None
        if rest != _NOTHING_ELSE:
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
        self._keys_unasked = self._keys_unasked or keys is not None
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
        if self._keys_unasked:
            self._ask_for_keys(rows)
        if self._keyed:
            self._insert(_INSERT_KEYED, rows, _KEYED, most)
        else:
            # Binding a NULL for each row costs more than cutting the column out.
            del rows[_PLAIN::_KEYED]
            self._insert(_INSERT_PLAIN, rows, _PLAIN, most)
        # Asked now: a row of another table that follows would answer with a number of its own.
        self.position_written = self._connection.last_insert_rowid()
        self._rows, self._keyed, self._keys_unasked, self._payload_size_bytes = [], False, False, 0

    def _ask_for_keys(self, rows: list[Any]) -> None:
        keys = zip(rows[::_KEYED], rows[_PLAIN::_KEYED], strict=True)
        pairs = [pair for pair in keys if pair[1] is not None]
        asked = list(chain.from_iterable(pairs))
        parts = _in_parts(_KNOWN_KEYS, asked, 2, ROWS_PER_STATEMENT_MAX)
        if len(set(pairs)) < len(pairs) or any(self._execute(*part).get for part in parts):
            raise apsw.ConstraintError("a key is known; each unit has to be judged")

    def _insert(self, statements: dict[int, str], values: list[Any], width: int, rows_max: int) -> None:
        execute = self._execute
        for statement, part in _in_parts(statements, values, width, rows_max):
            execute(statement, part)

    # -- the careful way --

    def _decide(self, given: Unit | Batch | Graft) -> Outcome:
        if isinstance(given, Graft):
            check_graft(given)
        else:
            check_unit(given)
        if not self._careful:
            self._careful = True
            self._look_up()
        self._exact = {}
        try:
            unit = finished(given, self)
        except UsageError as error:
            return Refused(error)
        # No token tells where a log begins.
        looked_up = {guard.workflow_id for guard in unit.guards if guard.first_kept_seq is not None}
        self._exact = {
            batch.workflow_id: batch.token
            for batch in unit.batches
            if isinstance(batch.token, Token)
            and self._tells(batch.token, batch)
            and batch.workflow_id not in looked_up
        }
        outcome = judge_unit(unit, self)
        if not isinstance(outcome, Written) and self._exact:
            # Nobody is refused, and no repeat answered, on what a token tells.
            self._exact = {}
            outcome = judge_unit(unit, self)
        if not isinstance(outcome, Written):
            return outcome
        self._begin(unit)
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
        for unit in self._units:
            if isinstance(unit, Graft):
                wanted.update((unit.parent, unit.workflow_id))
                continue
            wanted.update(guard.workflow_id for guard in unit.guards)
            wanted.update(branch.parent for branch in unit.branches)
            wanted.update(cut.workflow_id for cut in unit.cuts)
        self._learn(list(wanted))

    def _learn(self, workflow_ids: Sequence[WorkflowId]) -> None:
        self._flush()
        for head, key in reading.heads(self._connection, workflow_ids, POSITION_MAX):
            self._heads[head.workflow_id] = head
            self._tokens[head.workflow_id] = Token(self._generation, head, key)

    def _begin(self, unit: Unit | Batch) -> None:
        for begun in unit.begun:
            first, before = begun.first_seq, begun.digest_before
            key = self._key_for(begun.workflow_id)
            extent = extents.Extent(key, first, before, 0, hidden=False, ranges=())
            lifetimes.begin(self._connection, begun.workflow_id, extent)
            self._move(Head(begun.workflow_id, first, before, first, before))
        for branch in unit.branches:
            parent = self.head(branch.parent)
            key, parent_key = self._key_for(branch.workflow_id), self._key_for(branch.parent)
            extent = lifetimes.branch_extent(self._connection, branch, key, parent, parent_key)
            lifetimes.begin(self._connection, branch.workflow_id, extent)
            first, before = parent.first_kept_seq, parent.digest_before
            self._move(
                Head(branch.workflow_id, branch.at + 1, branch.digest, first, before, shared_seq=branch.at)
            )

    def _key_for(self, workflow_id: WorkflowId) -> int:
        # A token that was believed for this log says where it stood before it began.
        self._exact.pop(workflow_id, None)
        if workflow_id not in self._tokens:
            self._learn([workflow_id])
        token = self._tokens[workflow_id]
        return token.key or self._new_key(token)

    def _move(self, head: Head) -> None:
        self._heads[head.workflow_id] = head
        token = self._tokens[head.workflow_id]
        token.next_seq, token.digest, token.shares = head.next_seq, head.digest, head.shared_seq > 0

    def _cut(self, cut: Cut) -> None:
        head = self.head(cut.workflow_id)
        if cut.first_kept_seq <= head.first_kept_seq:
            return
        self._flush()
        before = head.digest if cut.is_whole else self.digest_at(cut.workflow_id, cut.first_kept_seq - 1)
        if before is None:
            raise reading.missing(cut.workflow_id, cut.first_kept_seq - 1)
        lifetimes.cut(self._connection, cut, self._key_for(cut.workflow_id), before)
        self._heads[cut.workflow_id] = head._replace(
            first_kept_seq=cut.first_kept_seq,
            digest_before=before,
            facts=None if cut.is_whole else head.facts,
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
        for cut in unit.cuts:
            self._cut(cut)

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

    def record(self, namespace: str, key: bytes) -> bytes | None:
        """Look a record up; see `View.record`."""
        return reading.record(self._connection, namespace, key)

    def digest_at(self, workflow_id: WorkflowId, seq: int) -> bytes | None:
        """Tell an event's digest; see `View.digest_at`."""
        head = self.head(workflow_id)
        if not head.first_kept_seq <= seq < head.next_seq:
            return None
        if seq == head.next_seq - 1:
            return head.digest
        self._flush()
        key = None if head.shared_seq else self._tokens[workflow_id].key
        if key is None:
            return reading.digest_at(self._connection, workflow_id, seq)
        digest: bytes | None = self._execute(_DIGEST, (key, seq)).get
        return digest

    def sharers(self, workflow_id: WorkflowId, below_seq: int, limit: int) -> Sequence[WorkflowId]:
        """Name branches; see `View.sharers`."""
        self._flush()
        return extents.sharers(self._connection, workflow_id, below_seq, "", limit)

    def position(self) -> int:
        """Tell the newest position; see `View.position`."""
        self._flush()
        return reading.position(self._connection)


def _in_parts(
    statements: dict[int, str], values: list[Any], width: int, rows_max: int
) -> Iterator[tuple[str, list[Any]]]:
    """Cut rows into parts for which there are statements."""
    start, end, size = 0, len(values), rows_max
    while start < end:
        while size * width > end - start:
            size >>= 1
        stop = start + size * width
        yield statements[size], values if size * width == end else values[start:stop]
        start = stop
