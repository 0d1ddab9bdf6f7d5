"""Branches, logs that begin in the middle, cuts, hidden logs, and the guard of a listing."""

from __future__ import annotations

from treadle.errors import (
    ConflictError,
    EventsPrunedError,
    EventsSharedError,
    SequenceGapError,
    UsageError,
)
from treadle.events import EventKind, WorkflowEvent, WorkflowId, workflow_id
from treadle.log import root_digest
from treadle.stores import (
    Batch,
    Begun,
    Branch,
    Cut,
    Graft,
    Guard,
    HeadFacts,
    Refused,
    Seam,
    Store,
    Unit,
    Written,
)
from treadle.testing.batches import LogWriter, chained
from treadle.testing.expecting import (
    expect,
    expect_raises,
    expect_refused,
    expect_repeated,
    payloads_of,
    write,
)
from treadle.testing.store_factory import StoreFactory

_P, _B, _C, _D = (workflow_id(name) for name in ("parent", "branch", "branch of it", "another"))


async def _filled(store: Store, count: int = 5, log: WorkflowId = _P) -> LogWriter:
    writer = LogWriter.fresh(log)
    names = [b"%d" % seq for seq in range(1, count + 1)]
    await write(store, Unit((writer.batch(*names, keys=tuple(b"key-" + name for name in names)),)))
    return writer


async def _branch_unit(
    store: Store, to: WorkflowId, parent: WorkflowId, at: int, *, hidden: bool = False
) -> Unit:
    rows = await store.audit(parent, at - 1, limit=1)
    digest = rows[0].digest if rows else bytes(16)
    event = WorkflowEvent(at + 1, at, EventKind.BRANCHED, b"branched")
    return Unit((chained(to, digest, [event]),), branches=(Branch(to, parent, at, digest, hidden),))


async def _cut_unit(store: Store, log: WorkflowId, first_kept_seq: int | None = None) -> Unit:
    [head] = await store.heads([log])
    first = head.next_seq if first_kept_seq is None else first_kept_seq
    return Unit(cuts=(Cut(log, head.next_seq, head.digest, first),))


async def _reclaimed(store: Store) -> None:
    while await store.reclaim(events_max=2):
        pass


async def branch_reads_as_one_log(factory: StoreFactory) -> None:
    """Shared and own events are one log to every read, and the chain goes on from the parent's digest."""
    async with factory.open() as store:
        await _filled(store)
        await write(store, await _branch_unit(store, _B, _P, 3))
        [head] = await store.heads([_B])
        await write(store, Unit((LogWriter.at(head).batch(b"own"),)))
        expect([b"1", b"2", b"3", b"branched", b"own"], await payloads_of(store, _B), "the branch")
        expect([3, 4], [e.seq for e in await store.read(_B, 3, 4)], "a stretch over the seam")
        expect([2, 3], [e.seq for e in await store.read(_B, 2, limit=2)], "a page before the seam")
        expect([1, 2, 3, 4, 5], [row.seq for row in await store.audit(_B)], "the rows")
        [page] = await store.read_many([_B])
        expect(5, len(page.events), "the events of read_many")
        times = [event.timestamp for event in await store.read(_B)]
        expect(times, [e.timestamp for e in await store.between(_B, -(2**62), None)], "by time")
        expect(3, head.shared_seq, "the last shared seq")
        expect(root_digest(_P), head.digest_before, "the digest before the first event")


async def graft_is_finished_in_its_turn(factory: StoreFactory) -> None:
    """It sees what the units before it have written, and what comes of it is decided as any other unit."""
    async with factory.open() as store:
        parent = await _filled(store)
        seen: list[Seam] = []
        await write(store, Unit((parent.batch(b"6"),)), _graft(_B, _P, 6, seen), _graft(_C, _P, 2, seen))
        expect(parent.digest, seen[0].digest, "the digest of an event of the same call")
        expect([b"1", b"2", b"3", b"4", b"5", b"6", b"grafted"], await payloads_of(store, _B), "the branch")
        expect([b"1", b"2", b"grafted"], await payloads_of(store, _C), "one further down")
        rows = await store.audit(_C, 1)
        expect(chained(_C, rows[0].digest, await store.read(_C, 3)).digests[0], rows[1].digest, "its digest")
        await write(store, _graft(_D, _C, 2, seen))
        expect((rows[0].digest, None, 2), tuple(seen[-1]), "the seam of a branch of a branch")


async def graft_is_told_what_is_not_there(factory: StoreFactory) -> None:
    """No event, an id in use, facts, a unit that is none: one graft is refused, those beside it are not."""
    async with factory.open() as store:
        parent = await _filled(store)
        seen: list[Seam] = []
        units = [_graft(_B, _P, 6, seen), _graft(_C, _P, 5, seen), _graft(_C, _P, 4, seen)]
        gap, taken, again = await store.append(units)
        expect(None, seen[0].digest, "the digest of an event that is not there")
        expect_refused(gap, SequenceGapError)
        expect(True, isinstance(taken, Written), "whether the one between was written")
        expect_refused(again, ConflictError)
        await write(store, Unit((parent.batch(b"6", facts=HeadFacts(1, 1, None, "n")),)))
        before = await store.position()
        no_unit, no_change = Unit((Batch(_D, bytes(16), (), ()),)), Unit()
        wrong, nothing = await store.append(
            [_graft(_D, _P, 3, seen, no_unit), _graft(_D, _P, 3, seen, no_change)]
        )
        expect(True, isinstance(wrong, Refused), "whether a unit that is none was refused")
        expect(True, isinstance(nothing, Written), "whether an empty one was taken")
        expect(HeadFacts(1, 1, None, "n"), seen[-1].facts, "the facts of the parent")
        expect(before, await store.position(), "the position")
        expect(1, (await store.heads([_D]))[0].next_seq, "the next seq of what has not begun")
        await expect_raises(UsageError, store.append([_graft(_D, _P, 0, seen)]), "a graft at seq 0")


def _graft(to: WorkflowId, parent: WorkflowId, at: int, seen: list[Seam], makes: Unit | None = None) -> Graft:
    event = WorkflowEvent(at + 1, at, EventKind.BRANCHED, b"grafted")

    def finish(seam: Seam) -> Unit:
        seen.append(seam)
        digest = seam.digest or bytes(16)
        branch = Unit((chained(to, digest, [event]),), branches=(Branch(to, parent, at, digest),))
        return branch if makes is None else makes

    return Graft(to, parent, at, finish)


async def branch_knows_shared_keys_whoever_asks(factory: StoreFactory) -> None:
    """A token does not vouch for a key: the event that carries it may lie in the parent."""
    async with factory.open() as store:
        await _filled(store)
        await write(store, await _branch_unit(store, _B, _P, 3))
        [head] = await store.heads([_B])
        batch = LogWriter.at(head).batch(b"other", keys=(b"key-2",), token=head.token)
        [outcome] = await store.append([batch])
        [[event]] = expect_repeated(outcome).events
        expect(2, event.seq, "the seq of the event with the key")
        batch = LogWriter.at(head).batch(b"one", b"two", keys=(None, b"key-3"), token=head.token)
        [outcome] = await store.append([batch])
        expect_refused(outcome, ConflictError)
        expect(4, len(await payloads_of(store, _B)), "events of the branch")


async def key_is_free_again_once_cut(factory: StoreFactory) -> None:
    """Whether its event was removed yet or not."""
    async with factory.open() as store:
        await _filled(store)
        await write(store, await _cut_unit(store, _P, 4))
        for key, has_token in ((b"key-1", True), (b"key-2", False)):
            [head] = await store.heads([_P])
            token = head.token if has_token else None
            await write(store, Unit((LogWriter.at(head).batch(b"again", keys=(key,), token=token),)))
            found = await store.find_key(_P, key)
            expect(b"again", found and found.payload, "the event with the key")
        await _reclaimed(store)
        kept = [event.payload for event in await store.read(_P, 4)]
        expect([b"4", b"5", b"again", b"again"], kept, "what is kept")


async def key_of_a_deleted_parent_comes_again(factory: StoreFactory) -> None:
    """Its id takes the key anew, as often as it is deleted; each branch knows the event that it shares."""
    async with factory.open() as store:
        await _filled(store)
        await write(store, await _branch_unit(store, _B, _P, 3))
        for payload, has_token, branch in ((b"again", True, _C), (b"once more", False, _D)):
            await write(store, await _cut_unit(store, _P))
            [head] = await store.heads([_P])
            token = head.token if has_token else None
            one, two = (LogWriter.at(head).batch(it, keys=(b"key-2",), token=token) for it in (payload, b"x"))
            outcomes = await store.append([Unit((one,)), Unit((two,))])
            expect((one.events,), expect_repeated(outcomes[1]).events, "the event of the second sender")
            await write(store, await _branch_unit(store, branch, _P, head.next_seq))
            await _reclaimed(store)
            for log, known in ((_P, payload), (branch, payload), (_B, b"2"), (_C, b"again")):
                found = await store.find_key(log, b"key-2")
                expect(known, found and found.payload, f"the event with the key in {log!r}")
        [head] = await store.heads([_B])
        for token in (head.token, None):
            again = LogWriter.at(head).batch(b"x", keys=(b"key-2",), token=token)
            [[event]] = expect_repeated((await store.append([Unit((again,))]))[0]).events
            expect(2, event.seq, "the seq of the event with the key")
        expect([], await store.check_structure(), "the damage")


async def branch_and_parent_go_on_independently(factory: StoreFactory) -> None:
    """What is appended to one is not seen in the other, and the feed carries each event once."""
    async with factory.open() as store:
        parent = await _filled(store)
        await write(store, await _branch_unit(store, _B, _P, 2))
        [head] = await store.heads([_B])
        await write(store, Unit((parent.batch(b"6"),)), Unit((LogWriter.at(head).batch(b"own"),)))
        expect([b"1", b"2", b"branched", b"own"], await payloads_of(store, _B), "the branch")
        expect([b"1", b"2", b"3", b"4", b"5", b"6"], await payloads_of(store, _P), "the parent")
        fed = [(row.workflow_id, row.event.seq) for row in await store.feed()]
        expect(
            [*((_P, seq) for seq in range(1, 6)), (_B, 3), (_P, 6), (_B, 4)], fed, "the feed"
        )  # shared events are the parent's


async def branch_of_a_branch_names_the_logs_its_events_lie_in(factory: StoreFactory) -> None:
    """A branch below another's seam shares with the parent alone; above it, with both."""
    async with factory.open() as store:
        await _filled(store)
        await write(store, await _branch_unit(store, _B, _P, 3))
        await write(store, await _branch_unit(store, _C, _B, 2), await _branch_unit(store, _D, _B, 4))
        expect([b"1", b"2", b"branched"], await payloads_of(store, _C), "the lower branch")
        expect([b"1", b"2", b"3", b"branched", b"branched"], await payloads_of(store, _D), "the upper one")
        expect(sorted([_B, _C, _D]), await store.branches_of(_P), "the branches of the parent")
        expect([_D], await store.branches_of(_B), "the branches of the branch")
        expect([_B, _C], await store.branches_of(_P, after=_D), "a page of them")


async def shared_keys_are_known_in_a_branch(factory: StoreFactory) -> None:
    """A key names one event of the log, shared or own; the parent's later ones are not the branch's."""
    async with factory.open() as store:
        await _filled(store)
        await write(store, await _branch_unit(store, _B, _P, 3))
        [head] = await store.heads([_B])
        shared, later = (LogWriter.at(head).batch(b"x", keys=(key,)) for key in (b"key-2", b"key-4"))
        repeated = expect_repeated((await store.append([Unit((shared,))]))[0])
        expect(2, repeated.events[0][0].seq, "the seq of the shared event")
        expect(None, await store.find_key(_B, b"key-4"), "a key behind the seam")
        await write(store, Unit((later,)))


async def branch_sent_again_is_recognised(factory: StoreFactory) -> None:
    """The same unit twice writes once; another branch onto the same id is refused."""
    async with factory.open() as store:
        await _filled(store)
        unit = await _branch_unit(store, _B, _P, 3)
        await write(store, unit)
        expect_repeated((await store.append([unit]))[0])
        expect_refused((await store.append([await _branch_unit(store, _B, _P, 2)]))[0], ConflictError)
        expect_refused((await store.append([await _branch_unit(store, _P, _B, 2)]))[0], ConflictError)


async def branch_where_there_is_nothing_is_refused(factory: StoreFactory) -> None:
    """Past the end, of a log without events, on another history, below what is kept or needed."""
    async with factory.open() as store:
        await _filled(store)
        await write(store, await _cut_unit(store, _P, 3))
        for at, kind in ((6, SequenceGapError), (2, EventsPrunedError)):
            unit = await _branch_unit(store, _B, _P, at)
            expect_refused((await store.append([unit]))[0], kind)
        unit = await _branch_unit(store, _B, _P, 4)
        needy = unit._replace(branches=(unit.branches[0]._replace(needs_seq=2),))
        expect_refused((await store.append([needy]))[0], EventsPrunedError)
        expect_refused((await store.append([await _branch_unit(store, _B, _C, 1)]))[0], SequenceGapError)
        event = WorkflowEvent(5, 0, EventKind.BRANCHED, b"")
        other = Unit((chained(_B, bytes(16), [event]),), branches=(Branch(_B, _P, 4, bytes(16)),))
        expect_refused((await store.append([other]))[0], ConflictError)
        expect(1, (await store.heads([_B]))[0].next_seq, "where the branch stands")
        expect([_P], await store.list_workflows(), "the workflows")


async def lifetimes_that_cannot_be_right_fail_the_call(factory: StoreFactory) -> None:
    """Its own parent, without a batch, at seq 0, or kept from behind its end: whatever the store holds."""
    async with factory.open() as store:
        await _filled(store)
        unit = await _branch_unit(store, _B, _P, 3)
        [head] = await store.heads([_P])
        for wrong in (
            unit._replace(batches=()),
            unit._replace(branches=(unit.branches[0]._replace(at=0),)),
            unit._replace(branches=(unit.branches[0]._replace(parent=_B),)),
            unit._replace(branches=(unit.branches[0]._replace(digest=bytes(16)),)),
            Unit(cuts=(Cut(_P, head.next_seq, head.digest, head.next_seq + 1),)),
            Unit(cuts=(Cut(_P, head.next_seq, head.digest, 2),) * 2),
        ):
            await expect_raises(UsageError, store.append([wrong]), f"append {wrong}")
        expect(5, len(await store.feed()), "the events in the feed")


async def cut_takes_the_beginning_away(factory: StoreFactory) -> None:
    """Reads below raise, reads from there on go on, and the chain begins with the digest before."""
    async with factory.open() as store:
        await _filled(store)
        before = (await store.audit(_P))[2].digest
        await write(store, await _cut_unit(store, _P, 4))
        for reclaims in (False, True):
            if reclaims:
                await _reclaimed(store)
            [head] = await store.heads([_P])
            expect((4, before, 6), (head.first_kept_seq, head.digest_before, head.next_seq), "the head")
            error = await expect_raises(EventsPrunedError, store.read(_P, 3), "read")
            expect(4, error.first_kept_seq, "the first kept seq of the error")
            expect([4, 5], [event.seq for event in await store.read(_P, 4)], "what is kept")
            expect([4, 5], [row.event.seq for row in await store.feed()], "the feed")
            expect([4, 5], [event.seq for event in await store.between(_P, -(2**62), None)], "by time")
            expect(None, await store.find_key(_P, b"key-2"), "a key that went with its event")
            [page] = await store.read_many([_P])
            expect([4, 5], [event.seq for event in page.events], "read_many")
            expect(2, (await store.statistics()).events, "the events counted")
        expect([], await store.check_structure(), "the damage")


async def cut_on_another_head_is_refused(factory: StoreFactory) -> None:
    """What was decided on a log is not done to the log that has moved on; a cut back does nothing."""
    async with factory.open() as store:
        writer = await _filled(store)
        stale = await _cut_unit(store, _P, 3)
        await write(store, Unit((writer.batch(b"6"),)))
        expect_refused((await store.append([stale]))[0], ConflictError)
        expect_refused((await store.append([await _cut_unit(store, _D)]))[0], ConflictError)
        await write(store, await _cut_unit(store, _P, 4), await _cut_unit(store, _P, 2))
        expect(4, (await store.heads([_P]))[0].first_kept_seq, "the first kept seq")


async def guard_sees_what_was_cut(factory: StoreFactory) -> None:
    """A log that was cut or deleted stands where it stood; a guard may say as well where it begins."""
    async with factory.open() as store:
        await _filled(store)
        other, [before] = LogWriter.fresh(_D), await store.heads([_P])
        guard = Guard(_P, before.next_seq, before.digest, before.first_kept_seq)
        await write(store, Unit((other.batch(b"1"),), (guard,)))
        for first in (3, before.next_seq):
            await write(store, await _cut_unit(store, _P, first))
            [head, another] = await store.heads([_P, _D])
            for token in (before.token, head.token, None):
                own = LogWriter.at(head).batch(b"6", token=token)
                for batch in (own, LogWriter.at(another).batch(b"2")):
                    expect_refused((await store.append([Unit((batch,), (guard,))]))[0], ConflictError)
            guard = guard._replace(first_kept_seq=first)
            for holds in (guard, guard._replace(first_kept_seq=None)):
                await write(store, Unit((other.batch(b"2"),), (holds,)))
        unit = Unit((LogWriter.at(head).batch(b"6"),), (guard,))
        await write(store, unit)
        expect_repeated((await store.append([unit]))[0])


async def deleted_log_keeps_its_place(factory: StoreFactory) -> None:
    """Nothing of it can be read or listed, and what is appended goes on behind its last event."""
    async with factory.open() as store:
        writer = LogWriter.fresh(_P)
        await write(store, Unit((writer.batch(b"1", b"2", facts=HeadFacts(1, 1, 5, "n")),)))
        await write(store, await _cut_unit(store, _P))
        await _reclaimed(store)
        [head] = await store.heads([_P])
        expect((3, writer.digest, None), (head.next_seq, head.digest, head.facts), "the head")
        expect([], await store.list_workflows(), "the workflows")
        expect(0, await store.count_workflows(), "their number")
        expect([], await store.due(10), "what is due")
        again = LogWriter.fresh(_P).batch(b"1")
        expect_refused((await store.append([Unit((again,))]))[0], EventsPrunedError)
        position = (await store.statistics()).position
        await write(store, Unit((writer.batch(b"3"),)))
        [row] = await store.feed()
        expect((3, True), (row.event.seq, row.position > position), "the event after, and its position")
        expect([_P], await store.list_workflows(), "the workflows then")


async def parent_is_deleted_and_its_branches_stay_whole(factory: StoreFactory) -> None:
    """What a branch shares stays until no branch needs it, however often room is given back."""
    async with factory.open() as store:
        await _filled(store)
        await write(store, await _branch_unit(store, _B, _P, 3))
        await write(store, await _branch_unit(store, _C, _B, 4))
        await write(store, await _cut_unit(store, _P), await _cut_unit(store, _B))
        await _reclaimed(store)
        expect([b"1", b"2", b"3", b"branched", b"branched"], await payloads_of(store, _C), "what is left")
        expect([_C], [row.workflow_id for row in await store.feed()], "the logs in the feed")
        expect(1, (await store.statistics()).events, "the events counted")
        await write(store, await _cut_unit(store, _C))
        await _reclaimed(store)
        expect([], await store.check_structure(), "the damage")
        expect([], await store.feed(), "the feed")


async def cut_of_what_a_branch_shares_is_refused(factory: StoreFactory) -> None:
    """The error names the branch; once that is gone, or itself cut, the cut goes through."""
    async with factory.open() as store:
        await _filled(store)
        await write(store, await _branch_unit(store, _B, _P, 3))
        unit = await _cut_unit(store, _P, 2)
        error = expect_refused((await store.append([unit]))[0], EventsSharedError)
        expect((_B,), error.branches, "the branches of the error")
        await write(store, await _cut_unit(store, _B, 3))
        await write(store, unit)
        expect_refused((await store.append([await _cut_unit(store, _P, 4)]))[0], EventsSharedError)
        await _reclaimed(store)
        expect([b"3", b"branched"], [e.payload for e in await store.read(_B, 3)], "the branch")
        expect([], await store.check_structure(), "the damage")


async def log_begins_in_the_middle(factory: StoreFactory) -> None:
    """A log whose first events are somewhere else begins at any seq, on any digest; once."""
    async with factory.open() as store:
        writer = LogWriter(_P, 41, b"d" * 16)
        unit = Unit((writer.batch(b"41", b"42"),), begun=(Begun(_P, 41, b"d" * 16),))
        await write(store, unit)
        [head] = await store.heads([_P])
        expect((43, 41, b"d" * 16), (head.next_seq, head.first_kept_seq, head.digest_before), "the head")
        await expect_raises(EventsPrunedError, store.read(_P), "read")
        expect_repeated((await store.append([unit]))[0])
        other = LogWriter(_P, 7, b"e" * 16)
        again = Unit((other.batch(b"7"),), begun=(Begun(_P, 7, b"e" * 16),))
        expect_refused((await store.append([again]))[0], ConflictError)


async def hidden_log_is_seen_by_who_asks(factory: StoreFactory) -> None:
    """Left out of listings, counts and the feed; read by its id as any other."""
    async with factory.open() as store:
        await _filled(store)
        await write(store, await _branch_unit(store, _B, _P, 3, hidden=True))
        expect([_P], await store.list_workflows(), "the list")
        expect([_B, _P], await store.list_workflows(hidden=True), "the whole list")
        expect((1, 2), (await store.count_workflows(), await store.count_workflows(hidden=True)), "counts")
        expect((5, 6), (len(await store.feed()), len(await store.feed(hidden=True))), "the feed")
        expect(4, len(await store.read(_B)), "the events read by id")
        await write(store, await _cut_unit(store, _B))
        (head,) = await store.heads([_B])
        await write(store, Unit((LogWriter(_B, head.next_seq, head.digest).batch(b"5"),)))
        expect([_B, _P], await store.list_workflows(), "the list, once it was deleted and goes on")


async def guard_of_the_position_holds_while_nobody_writes(factory: StoreFactory) -> None:
    """Whoever has decided on a listing is refused when anybody has appended since, to whatever log."""
    async with factory.open() as store:
        writer = await _filled(store)
        position = (await store.statistics()).position
        one, two = (Unit((LogWriter.fresh(log).batch(b"1"),), position=position) for log in (_B, _C))
        await write(store, one)
        expect_refused((await store.append([two]))[0], ConflictError)
        await write(store, Unit((writer.batch(b"6"),)))


async def compacting_changes_nothing_that_is_read(factory: StoreFactory) -> None:
    """Events keep seqs, positions and digests, whatever holes were between them."""
    async with factory.open() as store:
        for log in (_P, _B, _C):
            await _filled(store, 20, log)
        await write(store, await _cut_unit(store, _B), await _cut_unit(store, _P, 10))
        await _reclaimed(store)
        before = (await store.feed(), await store.audit(_C))
        after: int | None = 0
        while after is not None:
            after = await store.compact(after, events_max=7)
        expect(before, (await store.feed(), await store.audit(_C)), "what is read")
        expect([], await store.check_structure(), "the damage")
