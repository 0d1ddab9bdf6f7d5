"""The rules of `store_machine`: every one is offered to both stores, and every answer compared.

Recipes are plain data drawn beforehand and turned into units against what the stores hold at that moment,
so a failing run shrinks to few and small recipes. Tokens go to the store under test alone: they must
never change an answer, so the reference gets none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import attrs
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from treadle.errors import EventsPrunedError
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.events import workflow_id as make_workflow_id
from treadle.stores import (
    Batch,
    Begun,
    Branch,
    Cut,
    Graft,
    Guard,
    Head,
    HeadFacts,
    Message,
    Outcome,
    Record,
    Refused,
    Restated,
    Seam,
    Store,
    Taken,
    Unit,
)
from treadle.testing.batches import LogWriter, chained
from treadle.testing.expecting import expect
from treadle.testing.store_factory import StoreFactory, UrlFactory
from treadle.testing.store_thread import StoreThread

# Few values, so that repeats, conflicts and known keys are common.
_LOGS = tuple(make_workflow_id(name) for name in ("a", "a%", "b", "\U0010ffff"))
_logs = st.sampled_from(_LOGS)
# Those that begin as branches, now and then on a log that is there already; and all together.
_BORN = tuple(make_workflow_id(name) for name in ("a1", "c", "d", "e"))
_ALL_LOGS = (*_LOGS, *_BORN)
_all_logs = st.sampled_from(_ALL_LOGS)
_payloads = st.sampled_from((b"", b"x", b"y"))
_times = st.sampled_from((0, 1, 1, 2, -1, 2**63 - 1))
_kinds = st.sampled_from((EventKind.CUSTOM, EventKind.TIMER_FIRED))
_some_keys = st.sampled_from((b"k", b"l", b"\0"))
_keys = st.one_of(st.none(), _some_keys)
_message_ids = st.sampled_from((b"1", b"2", b"\xff"))
_some_facts = st.builds(
    HeadFacts,
    st.integers(0, 2),
    st.integers(1, 3),
    st.one_of(st.none(), st.sampled_from((-1, 0, 5))),
    st.sampled_from(("", "n")),
    st.sampled_from((b"", b"\0d")),
)
_facts = st.one_of(st.none(), _some_facts)


@attrs.frozen(slots=True)
class _BatchRecipe:
    """How to make a batch: on which head, how far beside it, of what."""

    log: WorkflowId
    base: str
    age: int
    shift: int
    contents: list[tuple[bytes, int, EventKind, bytes | None]]
    facts: HeadFacts | None
    with_token: bool


_batches = st.builds(
    _BatchRecipe,
    st.one_of(_logs, _all_logs),
    # Two honest bases to one of each other kind, so that logs grow.
    st.sampled_from(("fresh", "fresh", "pipelined", "pipelined", "kept", "stored", "other history")),
    st.integers(0, 8),
    st.sampled_from((0, 0, 0, 0, 1, -1)),
    st.lists(st.tuples(_payloads, _times, _kinds, _keys), min_size=1, max_size=3),
    _facts,
    st.sampled_from((True, True, True, False)),
)
_message_rows = st.builds(Message, _logs, _message_ids, st.integers(0, 2), _payloads)
_record_rows = st.builds(
    Record, st.sampled_from(("s", "t")), st.sampled_from((b"", b"k")), st.one_of(st.none(), _payloads)
)


@attrs.frozen(slots=True)
class _UnitRecipe:
    """How to make a unit."""

    batches: list[_BatchRecipe]
    guards: list[tuple[WorkflowId, int, int | None]]
    put: list[Message]
    taken: list[tuple[WorkflowId, bytes | None]]
    records: list[Record]
    epoch_age: int | None
    restated: list[tuple[WorkflowId, int, HeadFacts]] = attrs.Factory(list)
    expected: list[tuple[Record, bool]] = attrs.Factory(list)


_units = st.builds(
    _UnitRecipe,
    st.lists(_batches, max_size=3, unique_by=lambda recipe: recipe.log),
    st.lists(
        st.tuples(_logs, st.sampled_from((0, 0, 0, 0, 1)), st.sampled_from((None, 0, 0, 1))), max_size=1
    ),
    st.lists(_message_rows, max_size=2),
    st.lists(st.tuples(_logs, st.sampled_from((None, None, None, b"1"))), max_size=1),
    st.lists(_record_rows, max_size=2),
    st.sampled_from((*[None] * 6, 0, 0, 1)),
    st.one_of(
        st.just([]),
        st.lists(st.tuples(_logs, st.sampled_from((0, 0, 0, 0, 1)), _some_facts), min_size=1, max_size=1),
    ),
    # Mostly as the store has it, or nothing with a guard in it would ever be written.
    st.one_of(
        st.just([]), st.lists(st.tuples(_record_rows, st.sampled_from((True, True, False))), max_size=2)
    ),
)
_single = st.builds(
    _UnitRecipe,
    st.lists(_batches, min_size=1, max_size=1),
    *[st.just([])] * 4,
    st.sampled_from((None, None, None, 0, 0, 1)),
)


@attrs.frozen(slots=True)
class _Page:
    """What a read may be bounded by."""

    first: int
    last: int | None
    limit: int
    since: int
    until: int
    after: WorkflowId | None
    status: int
    key: bytes


_pages = st.builds(
    _Page,
    st.integers(1, 9),
    st.one_of(st.none(), st.integers(1, 9)),
    st.integers(1, 6),
    _times,
    _times,
    st.one_of(st.none(), _logs),
    st.integers(0, 2),
    st.sampled_from((b"k", b"l", b"\0")),
)


class StoreRules(RuleBasedStateMachine):
    """Two stores side by side; see `treadle.testing.store_machine`."""

    make_factory: ClassVar[Callable[[], StoreFactory]]

    @initialize()
    def open_both(self) -> None:
        """Begin with two empty stores."""
        self.factory = type(self).make_factory()
        self.subject = StoreThread(self.factory)
        self.reference = StoreThread(UrlFactory("memory:"))
        self.kept: list[Head] = []
        self.epoch = 0
        begun = [Unit((LogWriter.fresh(log).batch(b"x", b"y"),)) for log in _LOGS[:2]]
        self._offer(begun, begun)

    @rule(recipes=st.lists(_single, min_size=1, max_size=4))
    def append_single_batches(self, recipes: list[_UnitRecipe]) -> None:
        """Offer what a committer offers: many units of one batch."""
        self._append(recipes)

    @rule(recipes=st.lists(_units, min_size=1, max_size=3))
    def append_units(self, recipes: list[_UnitRecipe]) -> None:
        """Offer units of everything."""
        self._append(recipes)

    def _append(self, recipes: list[_UnitRecipe]) -> None:
        # One look at the heads for the call, as writers do: later units of a log are pipelined on it.
        heads = {head.workflow_id: head for head in self.subject.call(lambda store: store.heads(_ALL_LOGS))}
        writers: dict[WorkflowId, LogWriter] = {}
        units = [self._unit(recipe, heads, writers) for recipe in recipes]
        note(f"units: {units}")
        plain = [_without_tokens(unit) for unit in units]
        self._offer(units, plain)

    @rule(
        log=_logs,
        order=st.lists(st.tuples(st.booleans(), _keys), min_size=2, max_size=6),
        age=st.none() | st.integers(0, 3),
        together=st.booleans(),
    )
    def race(
        self, log: WorkflowId, order: list[tuple[bool, bytes | None]], age: int | None, *, together: bool
    ) -> None:
        """Let two writers pipeline on one head and its token, in one call or one by one."""
        fresh = self.subject.call(lambda store: store.heads([log]))[0]
        kept = [head for head in self.kept if head.workflow_id == log]
        head = fresh if age is None or not kept else kept[-1 - age % len(kept)]
        writers = {False: LogWriter.at(head), True: LogWriter.at(head)}
        units = [
            Unit((writers[who].batch(b"%d" % who, keys=(key,) if key else None, token=head.token),))
            for who, key in order
        ]
        for call in [units] if together else [[unit] for unit in units]:
            self._offer(call, [_without_tokens(unit) for unit in call])

    def _offer(self, units: Sequence[Unit | Graft], plain: Sequence[Unit | Graft]) -> None:
        ours = self.subject.call(lambda store: store.append(units))
        theirs = self.reference.call(lambda store: store.append(plain))
        expect([_shown(outcome) for outcome in theirs], [_shown(outcome) for outcome in ours], "the outcomes")

    def _unit(
        self, recipe: _UnitRecipe, heads: dict[WorkflowId, Head], writers: dict[WorkflowId, LogWriter]
    ) -> Unit:
        return Unit(
            tuple(self._batch(batch, heads, writers) for batch in recipe.batches),
            tuple(_guard(heads[log], off, begins_off) for log, off, begins_off in recipe.guards),
            tuple(recipe.put),
            tuple(self._taken(log, name) for log, name in recipe.taken),
            tuple(recipe.records),
            None if recipe.epoch_age is None else max(0, self.epoch - recipe.epoch_age),
            tuple(
                Restated(log, heads[log].next_seq + off, heads[log].digest, facts)
                for log, off, facts in recipe.restated
                if log not in {batch.log for batch in recipe.batches}
            ),
            expected=tuple(self._as_read(row) if honest else row for row, honest in recipe.expected),
        )

    def _as_read(self, row: Record) -> Record:
        stored = self.subject.call(lambda store: store.record(row.namespace, row.key))
        return row._replace(value=stored)

    def _batch(
        self, recipe: _BatchRecipe, heads: dict[WorkflowId, Head], writers: dict[WorkflowId, LogWriter]
    ) -> Batch:
        if recipe.base == "stored":
            return self._stored_batch(recipe, heads[recipe.log])
        head = self._base(recipe, heads[recipe.log])
        writer = LogWriter.at(head)
        if recipe.base == "pipelined":
            writer = writers.setdefault(recipe.log, writer)
        before = writer.digest if recipe.base != "other history" else bytes(16)
        seq = max(1, writer.next_seq + recipe.shift)
        events = [
            WorkflowEvent(seq + place, time, kind, payload)
            for place, (payload, time, kind, _) in enumerate(recipe.contents)
        ]
        batch = chained(recipe.log, before, events, keys=_keys_of(recipe), facts=recipe.facts)
        if recipe.base == "pipelined" and recipe.shift == 0:
            writer.next_seq, writer.digest = events[-1].seq + 1, batch.digests[-1]
        honest = recipe.shift == 0 and recipe.base != "other history"
        return batch._replace(token=head.token if honest and recipe.with_token else None)

    def _base(self, recipe: _BatchRecipe, fresh: Head) -> Head:
        kept = [head for head in self.kept if head.workflow_id == recipe.log]
        return kept[-1 - recipe.age % len(kept)] if recipe.base == "kept" and kept else fresh

    def _stored_batch(self, recipe: _BatchRecipe, head: Head) -> Batch:
        events = self.reference.call(lambda store: store.read(recipe.log, head.first_kept_seq))
        if not events:
            return LogWriter.fresh(recipe.log).batch(b"x")
        start = recipe.age % len(events)
        rows = self.reference.call(lambda store: store.audit(recipe.log))
        before = rows[start - 1].digest if start else head.digest_before
        return chained(recipe.log, before, events[start : start + len(recipe.contents)])

    def _taken(self, log: WorkflowId, message_id: bytes | None) -> Taken:
        waiting = self.reference.call(lambda store: store.messages(log))
        return Taken(log, message_id or (waiting[0].message_id if waiting else b"never put"))

    @rule(
        parent=_all_logs,
        to=st.sampled_from((*_BORN, *_BORN, _LOGS[2])),
        age=st.integers(0, 6),
        hidden=st.booleans(),
        honest=st.sampled_from((True, True, True, False)),
        keys=st.one_of(st.none(), st.tuples(_keys)),
    )
    def branch(
        self,
        parent: WorkflowId,
        to: WorkflowId,
        age: int,
        keys: tuple[bytes | None] | None,
        *,
        hidden: bool,
        honest: bool,
    ) -> None:
        """Branch a log at one of its last events, or at one that it does not have."""
        [head] = self.subject.call(lambda store: store.heads([parent]))
        at = max(1, head.next_seq - age)
        rows = self.reference.call(lambda store: store.audit(parent, at - 1, limit=1))
        digest = rows[0].digest if rows and honest else bytes(16)
        event = WorkflowEvent(at + 1, 0, EventKind.BRANCHED, b"")
        batch = chained(to, digest, [event], keys=keys)
        if parent != to:
            unit = Unit((batch,), branches=(Branch(to, parent, at, digest, hidden),))
            self._offer([unit], [unit])

    @rule(
        parent=_all_logs,
        to=st.sampled_from(_BORN),
        ages=st.lists(st.integers(0, 4), min_size=1, max_size=2),
        first=st.booleans(),
    )
    def graft(self, parent: WorkflowId, to: WorkflowId, ages: list[int], *, first: bool) -> None:
        """Let the store finish branches, behind an event of the same call."""
        [head] = self.subject.call(lambda store: store.heads([parent]))
        before = [Unit((LogWriter.at(head).batch(b"x", token=head.token),))] if first else []
        ours, theirs = (
            [Graft(to, parent, at, partial(_grafted, to, parent, at)) for at in ats]
            for ats in [[max(1, head.next_seq + 1 - age) for age in ages]] * 2
        )
        plain = [_without_tokens(unit) for unit in before]
        self._offer([*before, *ours], [*plain, *theirs])
        self._same(lambda store: store.branches_of(parent), "branches_of")

    @rule(to=st.sampled_from(_BORN), first=st.integers(1, 4), batches=st.integers(1, 2))
    def begin_in_the_middle(self, to: WorkflowId, first: int, batches: int) -> None:
        """Begin a log whose first events are somewhere else."""
        writer = LogWriter(to, first, bytes([first]) * 16)
        units = [Unit((writer.batch(b"x"),), begun=(Begun(to, first, bytes([first]) * 16),))]
        units += [Unit((writer.batch(b"y"),)) for _ in range(batches - 1)]
        self._offer(units, units)

    @rule(log=_all_logs, age=st.integers(0, 4), off=st.sampled_from((0, 0, 0, 1)))
    def cut(self, log: WorkflowId, age: int, off: int) -> None:
        """Take the beginning of a log away, or all of it."""
        [head] = self.subject.call(lambda store: store.heads([log]))
        wanted = Cut(log, head.next_seq + off, head.digest, max(1, head.next_seq - age))
        self._offer([Unit(cuts=(wanted,))], [Unit(cuts=(wanted,))])

    @rule(log=_all_logs, born=st.sampled_from(_BORN), key=_some_keys, branches=st.booleans())
    def use_an_id_again(self, log: WorkflowId, born: WorkflowId, key: bytes, *, branches: bool) -> None:
        """Delete a log, perhaps while a branch shares its events, and append a key that it may have had."""
        if branches and log != born:
            self.branch(log, born, 1, None, hidden=False, honest=True)
        self.cut(log, 0, 0)
        [head] = self.subject.call(lambda store: store.heads([log]))
        units = [Unit((LogWriter.at(head).batch(it, keys=(key,), token=head.token),)) for it in (b"x", b"y")]
        self._offer(units, [_without_tokens(unit) for unit in units])
        for name in _ALL_LOGS:
            self._same(lambda store, name=name: store.find_key(name, key), "find_key")

    @rule(log=_all_logs, off=st.sampled_from((0, 0, 1)))
    def guard_the_position(self, log: WorkflowId, off: int) -> None:
        """Append on what was listed, which holds only while nobody else writes."""
        positions = [
            host.call(lambda store: store.statistics()).position for host in (self.subject, self.reference)
        ]
        [head] = self.subject.call(lambda store: store.heads([log]))
        batch = LogWriter.at(head).batch(b"listed")
        ours, theirs = (Unit((batch,), position=position + off) for position in positions)
        self._offer([ours], [theirs])

    @rule(events=st.integers(1, 4), compacts=st.booleans())
    def reclaim(self, events: int, *, compacts: bool) -> None:
        """Remove, for good, what no log shows; nobody must notice."""
        for host in (self.subject, self.reference):
            host.call(lambda store: store.reclaim(events_max=events))
        if compacts:
            self.subject.call(lambda store: _compact(store, events))

    @rule(log=_logs)
    def keep_head(self, log: WorkflowId) -> None:
        """Keep a head and its token, to be used when it may be stale."""
        self.kept += self.subject.call(lambda store: store.heads([log]))

    @rule()
    def raise_epoch(self) -> None:
        """Take over in both."""
        self.epoch = self._same(lambda store: store.raise_epoch(), "the epoch")

    @rule()
    def maintain(self) -> None:
        """Let the store under test do its housekeeping."""
        self.subject.call(lambda store: store.maintain())

    @precondition(lambda self: self.factory.durable)
    @rule()
    def open_again(self) -> None:
        """Close and open; tokens kept from before are stale from now on."""
        self.subject.reopen()

    @rule(log=_all_logs, page=_pages)
    def read_a_log(self, log: WorkflowId, page: _Page) -> None:
        """Read a page of one log by seq and by event time, look a key up, read many logs."""
        first, last, limit = page.first, page.last, page.limit
        self._same(lambda store: _read(store, log, first, last, limit), "read")
        for end in (page.until, None):
            self._same(
                lambda store, until=end: store.between(
                    log, page.since, until, after_seq=first - 1, limit=limit
                ),
                "between",
            )
        self._same(lambda store: store.find_key(log, page.key), "find_key")
        self._same(lambda store: store.read_many([log, *_ALL_LOGS]), "read_many")

    @rule(prefix=st.sampled_from(("", "a", "a%", "\U0010ffff", "z")), page=_pages, hidden=st.booleans())
    def list_everything(self, prefix: str, page: _Page, *, hidden: bool) -> None:
        """List a page of everything that can be listed."""
        after, limit = page.after, page.limit
        self._same(lambda store: store.count_workflows(prefix=prefix, hidden=hidden), "count_workflows")
        for chosen in (None, page.status):
            self._same(
                lambda store, status=chosen: store.list_workflows(
                    prefix=prefix, after=after, status=status, hidden=hidden, limit=limit
                ),
                "list_workflows",
            )
        self._same(
            lambda store: store.workflows_with_messages(after=after, limit=limit), "workflows_with_messages"
        )
        for namespace in ("s", "t"):
            self._same(lambda store, name=namespace: store.records(name, limit=limit), "records")
        for since in (None, (page.until, page.after or _LOGS[0])):
            ours, theirs = self._both(
                lambda store, last=since: store.due(page.since, after=last, limit=limit)
            )
            expect(_heads_shown(theirs), _heads_shown(ours), "due")

    @invariant()
    def same_content(self) -> None:
        """After every step all logs, heads, mailboxes and the feed are the same."""
        ours, theirs = self._both(_content)
        for what, found in theirs.items():
            expect(found, ours[what], what)

    def teardown(self) -> None:
        """Close both, and look at the store's own structure last."""
        if not hasattr(self, "subject"):
            return
        try:
            expect([], self.subject.call(lambda store: store.check_structure()), "the damage")
        finally:
            self.reference.close()
            self.subject.close()

    def _both(self, call: Callable[..., Any]) -> tuple[Any, Any]:
        return self.subject.call(call), self.reference.call(call)

    def _same(self, call: Callable[..., Any], what: str) -> Any:
        ours, theirs = self._both(call)
        expect(theirs, ours, what)
        return ours


async def _content(store: Store) -> dict[str, object]:
    """Tell all that two stores can be compared by, in one hop to the store's thread."""
    feed = await store.feed()
    positions = [row.position for row in feed]
    content = {
        "the heads": _heads_shown(await store.heads(_ALL_LOGS)),
        "the feed": [row[1:] for row in feed],
        "the whole feed": [row[1:] for row in await store.feed(hidden=True)],
        "the counts": (await store.statistics()).events,
        "whether positions rise": positions == sorted(set(positions)),
    }
    for log in _LOGS:
        content[f"the messages of {log!r}"] = await store.messages(log)
    for log in _ALL_LOGS:
        content[f"the audit of {log!r}"] = [row[1:] for row in await store.audit(log)]
    return content


async def _compact(store: Store, events: int) -> None:
    after: int | None = 0
    while after is not None:
        after = await store.compact(after, events_max=events)


async def _read(store: Store, log: WorkflowId, first: int, last: int | None, limit: int) -> object:
    try:
        return await store.read(log, first, last, limit=limit)
    except EventsPrunedError as error:
        return vars(error)


def _guard(head: Head, off: int, begins_off: int | None) -> Guard:
    first = None if begins_off is None else head.first_kept_seq + begins_off
    return Guard(head.workflow_id, head.next_seq + off, head.digest, first)


def _keys_of(recipe: _BatchRecipe) -> tuple[bytes | None, ...] | None:
    keys = tuple(key for *_, key in recipe.contents)
    return keys if any(key is not None for key in keys) else None


def _grafted(to: WorkflowId, parent: WorkflowId, at: int, seam: Seam) -> Unit:
    digest = seam.digest or bytes(16)
    batch = chained(to, digest, [WorkflowEvent(at + 1, seam.shared_seq, EventKind.BRANCHED, b"")])
    return Unit((batch,), branches=(Branch(to, parent, at, digest, seam.facts is not None),))


def _without_tokens(unit: Unit) -> Unit:
    return unit._replace(batches=tuple(batch._replace(token=None) for batch in unit.batches))


def _shown(outcome: Outcome) -> object:
    if isinstance(outcome, Refused):
        facts = {name: value for name, value in vars(outcome.error).items() if not name.startswith("_")}
        return type(outcome.error).__name__, facts
    return type(outcome).__name__, getattr(outcome, "events", None)


def _heads_shown(heads: Sequence[Head]) -> list[Head]:
    return [head._replace(token=None) for head in heads]
