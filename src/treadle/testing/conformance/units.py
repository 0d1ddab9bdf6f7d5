"""Units: batches of several logs, guards, messages, records, facts and epochs, all or nothing together."""

from __future__ import annotations

from treadle.errors import ConflictError, FencedError, RecordChangedError, StaleSequenceError, UsageError
from treadle.events import workflow_id
from treadle.stores import Guard, HeadFacts, Message, Record, Restated, Store, Taken, Unit
from treadle.testing.batches import LogWriter
from treadle.testing.expecting import (
    expect,
    expect_raises,
    expect_refused,
    expect_repeated,
    expect_written,
    payloads_of,
    write,
)
from treadle.testing.store_factory import StoreFactory

_A, _B, _C = workflow_id("a"), workflow_id("b"), workflow_id("c")


async def unit_of_several_logs_is_written_whole(factory: StoreFactory) -> None:
    """Batches, messages, records and facts of one unit all appear together."""
    async with factory.open() as store:
        facts = HeadFacts(3, 1, 77, "order", b"more")
        unit = Unit(
            (LogWriter.fresh("a").batch(b"1", facts=facts), LogWriter.fresh("b").batch(b"1", b"2")),
            messages_put=(Message(_C, b"m", 2, b"hello"),),
            records=(Record("space", b"key", b"value"),),
        )
        await write(store, unit)
        heads = await store.heads([_A, _B])
        expect([2, 3], [head.next_seq for head in heads], "the next seqs")
        expect([facts, None], [head.facts for head in heads], "the head facts")
        expect([Message(_C, b"m", 2, b"hello")], await store.messages(_C), "the mailbox")
        expect(b"value", await store.record("space", b"key"), "the record")


async def _expect_untouched(store: Store) -> None:
    expect([b"1"], await payloads_of(store, "a"), "log a")
    expect([], await payloads_of(store, "b"), "log b")
    expect([Message(_A, b"waiting", 0, b"")], await store.messages(_A), "the mailbox of a")
    expect([], await store.messages(_B), "the mailbox of b")
    expect(None, await store.record("space", b"key"), "the record")
    expect(None, (await store.heads([_A]))[0].facts, "the head facts")
    expect(1, len(await store.feed()), "the events in the feed")


async def refused_unit_leaves_nothing_behind(factory: StoreFactory) -> None:
    """Whatever refuses a unit (a batch, a guard, a message not waiting, a key), none of it is written."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        waiting = Message(_A, b"waiting", 0, b"")
        await write(store, Unit((a.batch(b"1", keys=(b"taken",)),), messages_put=(waiting,)))
        fitting = a.batch(b"2", facts=HeadFacts(1, 1, None, "x"))
        whole = Unit(
            (fitting, LogWriter.fresh("b").batch(b"1")),
            messages_put=(Message(_B, b"m", 0, b""),),
            messages_taken=(Taken(_A, b"waiting"),),
            records=(Record("space", b"key", b"value"),),
        )
        stale = LogWriter.fresh("b")
        stale.batch(b"another history")
        for spoiled in (
            whole._replace(batches=(fitting, stale.batch(b"2"))),
            whole._replace(guards=(Guard(_A, 1, LogWriter.fresh("a").digest),)),
            whole._replace(messages_taken=(Taken(_A, b"waiting"), Taken(_A, b"never put"))),
            whole._replace(batches=(fitting._replace(keys=(b"taken",)), whole.batches[1])),
            whole._replace(epoch=-1),
        ):
            outcome = (await store.append([spoiled]))[0]
            expect("Refused", type(outcome).__name__, f"the outcome of {spoiled}")
            await _expect_untouched(store)
        await write(store, whole)


async def unit_of_repeats_is_repeated(factory: StoreFactory) -> None:
    """When every batch of a unit is there already, the unit was, whatever its guards say by now."""
    async with factory.open() as store:
        one, two = LogWriter.fresh("a").batch(b"1"), LogWriter.fresh("b").batch(b"1", b"2")
        unit = Unit((one, two), guards=(Guard(_A, 1, one.digest_before),))
        await write(store, unit)
        repeated = expect_repeated((await store.append([unit]))[0])
        expect((one.events, two.events), repeated.events, "the stored events")


async def unit_half_there_is_refused(factory: StoreFactory) -> None:
    """One batch there and one new: that unit was never written as one, so it is refused."""
    async with factory.open() as store:
        there, new = LogWriter.fresh("a").batch(b"1"), LogWriter.fresh("b").batch(b"1")
        await write(store, Unit((there,)))
        for batches in ((there, new), (new, there)):
            expect_refused((await store.append([Unit(batches)]))[0], StaleSequenceError)
        expect([], await payloads_of(store, "b"), "the new log")


async def two_batches_of_one_log_in_a_unit_fail_the_call(factory: StoreFactory) -> None:
    """A unit has at most one batch for each log."""
    async with factory.open() as store:
        log = LogWriter.fresh("a")
        unit = Unit((log.batch(b"1"), log.batch(b"2")))
        await expect_raises(UsageError, store.append([unit]), "append")
        expect([], await store.feed(), "the feed")


async def message_taken_twice_in_a_unit_fails_the_call(factory: StoreFactory) -> None:
    """A message can be consumed once, in one unit as over many."""
    async with factory.open() as store:
        await write(store, Unit(messages_put=(Message(_A, b"m", 0, b""),)))
        unit = Unit(messages_taken=(Taken(_A, b"m"), Taken(_A, b"m")))
        await expect_raises(UsageError, store.append([unit]), "append")
        expect(1, len(await store.messages(_A)), "the waiting messages")


async def guard_holds_while_its_log_is_unchanged(factory: StoreFactory) -> None:
    """A log that was only read is compared by seq and digest, a log without events too."""
    async with factory.open() as store:
        a, b = LogWriter.fresh("a"), LogWriter.fresh("b")
        await write(store, Unit((a.batch(b"1"),)))
        guards = (Guard(_A, a.next_seq, a.digest), Guard(_C, 1, LogWriter.fresh("c").digest))
        await write(store, Unit((b.batch(b"1"),), guards=guards))
        await write(store, Unit((a.batch(b"2"),)))
        error = expect_refused(
            (await store.append([Unit((b.batch(b"2"),), guards=guards)]))[0], ConflictError
        )
        expect(("a", 3), (error.workflow_id, error.next_seq), "the guard that failed")


async def guard_compares_the_digest(factory: StoreFactory) -> None:
    """The right seq of another history does not hold."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        await write(store, Unit((a.batch(b"1"),)))
        unit = Unit((LogWriter.fresh("b").batch(b"1"),), guards=(Guard(_A, 2, bytes(16)),))
        expect_refused((await store.append([unit]))[0], ConflictError)


async def guard_sees_units_before_it_in_the_call(factory: StoreFactory) -> None:
    """A guard fails on what the same call has just written."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        guard = Guard(_A, 1, a.digest)
        units = [Unit((a.batch(b"1"),)), Unit((LogWriter.fresh("b").batch(b"1"),), guards=(guard,))]
        outcomes = await store.append(units)
        expect_written(outcomes[0])
        expect_refused(outcomes[1], ConflictError)


async def unit_without_batches_is_written(factory: StoreFactory) -> None:
    """Messages and records need no event."""
    async with factory.open() as store:
        await write(
            store, Unit(messages_put=(Message(_A, b"m", 0, b""),), records=(Record("s", b"k", b"v"),))
        )
        expect(b"v", await store.record("s", b"k"), "the record")
        expect([], await store.list_workflows(), "the workflows with events")


async def head_facts_stay_until_replaced(factory: StoreFactory) -> None:
    """A batch without facts leaves those of the batch before."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        first, second = HeadFacts(1, 1, 5, "one", b"\0\xff"), HeadFacts(2, 2, None, "two")
        await write(store, Unit((a.batch(b"1", facts=first),)), Unit((a.batch(b"2"),)))
        expect(first, (await store.heads([_A]))[0].facts, "the facts after a batch without")
        await write(store, Unit((a.batch(b"3", facts=second),)))
        expect(second, (await store.heads([_A]))[0].facts, "the facts after a batch with others")


async def head_facts_are_restated_while_the_log_is_unchanged(factory: StoreFactory) -> None:
    """Facts change without an event, on the head that was named and on no other; listings see it."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        first, second = HeadFacts(1, 1, 5, "one", b"x"), HeadFacts(6, 1, None, "one", b"held")
        await write(store, Unit((a.batch(b"1", facts=first),)))
        await write(store, Unit(restated=(Restated(_A, a.next_seq, a.digest, second),)))
        (head,) = await store.heads([_A])
        expect((2, a.digest, second), (head.next_seq, head.digest, head.facts), "the head")
        expect([], await store.due(5), "what is due")
        expect([_A], await store.list_workflows(status=6), "the workflows of the new status")
        await write(store, Unit((a.batch(b"2", token=head.token),)))
        for refused in (
            Restated(_A, 2, head.digest, first),
            Restated(_A, 3, head.digest, first),
            Restated(_B, 1, LogWriter.fresh("b").digest, first),
        ):
            error = expect_refused((await store.append([Unit(restated=(refused,))]))[0], ConflictError)
            expect(refused.workflow_id, error.workflow_id, "the log that refused")
        expect(second, (await store.heads([_A]))[0].facts, "the facts after what was refused")
        expect([], await store.check_structure(), "the damage")


async def batch_and_restated_facts_of_one_log_fail_the_call(factory: StoreFactory) -> None:
    """A batch brings its own facts."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        restated = Restated(_A, a.next_seq, a.digest, HeadFacts(1, 1, None, ""))
        await expect_raises(
            UsageError, store.append([Unit((a.batch(b"1"),), restated=(restated,))]), "append"
        )
        expect([], await store.feed(), "the feed")


async def records_are_set_replaced_and_removed(factory: StoreFactory) -> None:
    """A record has the last value it was given; namespaces do not meet."""
    async with factory.open() as store:
        await write(store, Unit(records=(Record("s", b"k", b"1"), Record("t", b"k", b"other"))))
        await write(store, Unit(records=(Record("s", b"k", b"2"), Record("s", b"\0", b""))))
        expect(b"2", await store.record("s", b"k"), "the replaced record")
        expect(b"", await store.record("s", b"\0"), "the empty record")
        await write(store, Unit(records=(Record("s", b"k", None), Record("s", b"unknown", None))))
        expect(None, await store.record("s", b"k"), "the removed record")
        expect(b"other", await store.record("t", b"k"), "the record of the other namespace")


async def records_are_listed_in_pages(factory: StoreFactory) -> None:
    """A namespace's records come in the order of their keys' bytes, page after page."""
    async with factory.open() as store:
        keys = [b"", b"\0", b"a", b"a\0", b"b", b"\x7f", b"\xff", b"\xff\xff"]
        rows = [Record("s", key, b"v" + key) for key in keys]
        await write(store, Unit(records=(*reversed(rows), Record("t", b"c", b""))))
        expect(rows, await store.records("s"), "the whole namespace")
        expect(rows[:3], await store.records("s", limit=3), "the first page")
        expect(rows[3:6], await store.records("s", after=keys[2], limit=3), "the second page")
        expect([], await store.records("unknown"), "an unknown namespace")


async def expected_records_guard_a_unit(factory: StoreFactory) -> None:
    """A unit is taken while the records it has read hold what it read, or are absent, as it says."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        absent, there = Record("s", b"k", None), Record("s", b"k", b"1")
        await write(store, Unit((a.batch(b"1"),), records=(there,), expected=(absent,)))
        whole = Unit((a.batch(b"2"),), records=(Record("s", b"k", b"2"), Record("t", b"k", b"")))
        for wrong in (absent, Record("s", b"k", b"2"), Record("s", b"k", b""), Record("t", b"k", b"1")):
            outcome = (await store.append([whole._replace(expected=(there, wrong))]))[0]
            error = expect_refused(outcome, RecordChangedError)
            expect((wrong.namespace, wrong.key), (error.namespace, error.key), "the record that differs")
            expect([b"1"], await payloads_of(store, "a"), "the log")
            expect(b"1", await store.record("s", b"k"), "the record")
            expect(None, await store.record("t", b"k"), "the record beside it")
        await write(store, whole._replace(expected=(there, Record("t", b"k", None))))
        expect(b"2", await store.record("s", b"k"), "the record")


async def expected_records_see_units_before_them_in_the_call(factory: StoreFactory) -> None:
    """Of two that have read one record, the first one wins, also within one call; a repeat is one still."""
    async with factory.open() as store:
        one, two = LogWriter.fresh("a"), LogWriter.fresh("b")
        read = Record("s", b"k", None)
        first = Unit((one.batch(b"1"),), records=(Record("s", b"k", b"1"),), expected=(read,))
        second = Unit((two.batch(b"1"),), records=(Record("s", b"k", b"2"),), expected=(read,))
        outcomes = await store.append([first, second])
        expect_written(outcomes[0])
        expect_refused(outcomes[1], RecordChangedError)
        expect_repeated((await store.append([first]))[0])
        expect(b"1", await store.record("s", b"k"), "the record")


async def epochs_rise_and_fence_older_ones(factory: StoreFactory) -> None:
    """After a take-over the older runner's units are refused; the newer one's and everyone else's are not."""
    async with factory.open() as store:
        older = await store.raise_epoch()
        a = LogWriter.fresh("a")
        await write(store, Unit((a.batch(b"1"),), epoch=older))
        newer = await store.raise_epoch()
        expect(True, newer > older >= 1, "the epochs' rising")
        refused = (await store.append([Unit((LogWriter.fresh("b").batch(b"1"),), epoch=older)]))[0]
        error = expect_refused(refused, FencedError)
        expect((older, newer), (error.epoch, error.current_epoch), "the error's epochs")
        await write(store, Unit((a.batch(b"2"),), epoch=newer), Unit((a.batch(b"3"),)))
        expect([], await payloads_of(store, "b"), "the fenced log")
