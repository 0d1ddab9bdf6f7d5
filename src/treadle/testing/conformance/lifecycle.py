"""Opening, closing, cancelling, and what is still there afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable

import trio

from treadle.errors import FencedError, StoreError, UsageError
from treadle.events import workflow_id
from treadle.stores import HeadFacts, Message, Outcome, Record, Store, Taken, Unit
from treadle.testing.batches import LogWriter
from treadle.testing.expecting import expect, expect_raises, expect_refused, expect_repeated, write
from treadle.testing.store_factory import StoreFactory

_A, _B = workflow_id("a"), workflow_id("b")


async def closed_store_refuses(factory: StoreFactory) -> None:
    """After closing every call raises a store error, and closing again does nothing."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(b"1")
        await store.aclose()
        await store.aclose()
        calls: tuple[tuple[str, Awaitable[object]], ...] = (
            ("append", store.append([Unit((batch,))])),
            ("heads", store.heads([_A])),
            ("read", store.read(_A)),
            ("feed", store.feed()),
            ("list_workflows", store.list_workflows()),
            ("raise_epoch", store.raise_epoch()),
        )
        for what, call in calls:
            await expect_raises(StoreError, call, what)


async def cancelled_append_is_all_or_nothing(factory: StoreFactory) -> None:
    """A caller cancelled before the call has written nothing; the log is whole either way and goes on."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(b"1", b"2", b"3")
        unit = Unit((batch, LogWriter.fresh("b").batch(b"1")), records=(Record("s", b"k", b"v"),))
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.append([unit])
        there = len(await store.read(_A))
        expect(True, there in (0, 3), f"all or nothing ({there} of 3 events)")
        expect(there == 3, bool(await store.read(_B)), "the other log's being written")
        expect(there == 3, await store.record("s", b"k") is not None, "the record's being written")
        if there == 0:
            await write(store, unit)
        else:
            expect_repeated((await store.append([unit]))[0])


async def append_cancelled_on_its_way_is_all_or_nothing(factory: StoreFactory) -> None:
    """However far a call has come when its caller is cancelled, what it answered is what is there."""
    async with factory.open() as store:
        log = LogWriter.fresh("a")
        for delay in range(6):
            outcomes: list[Outcome] = []
            batch = log.batch(b"%d" % delay, b"second")
            scope = trio.CancelScope()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_append_within, scope, store, Unit((batch,)), outcomes)
                for _ in range(delay):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
            there = len(await store.read(log.workflow_id, batch.events[0].seq))
            expect(True, there in ((2,) if outcomes else (0, 2)), f"all or nothing ({there} of 2 events)")
            if there == 0:
                await write(store, Unit((batch,)))


async def _append_within(scope: trio.CancelScope, store: Store, unit: Unit, outcomes: list[Outcome]) -> None:
    with scope:
        outcomes += await store.append([unit])


async def calls_at_the_same_time_do_not_mix(factory: StoreFactory) -> None:
    """Many tasks write and read at once, each its own log: each finds what it wrote, whole units only."""
    async with factory.open() as store:

        async def use(name: str) -> None:
            log = LogWriter.fresh(name)
            for number in range(5):
                await write(store, Unit((log.batch(b"%d" % number, name.encode()),)))
                events = await store.read(log.workflow_id)
                expect(2 * number + 2, len(events), f"the events of {name}")
                expect(log.digest, (await store.heads([log.workflow_id]))[0].digest, f"the digest of {name}")

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(use, f"w{number}")
        feed = await store.feed()
        expect(80, len(feed), "the events in the feed")
        pairs = [
            (first.workflow_id, second.workflow_id)
            for first, second in zip(feed[::2], feed[1::2], strict=True)
        ]
        expect([], [pair for pair in pairs if pair[0] != pair[1]], "the units torn apart in the feed")


async def backup_never_overwrites(factory: StoreFactory) -> None:
    """A file that exists is refused and left as it is."""
    async with factory.open() as store:
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"mine")
            file.flush()
            await expect_raises(UsageError, store.backup(file.name), "backup")
            expect(b"mine", await trio.Path(file.name).read_bytes(), "the file")


async def every_read_is_a_checkpoint(factory: StoreFactory) -> None:
    """A cancelled reader is told so, and the store goes on."""
    async with factory.open() as store:
        for call in (lambda: store.read(_A), lambda: store.heads([_A]), store.feed, store.list_workflows):
            with trio.CancelScope() as scope:
                scope.cancel()
                await call()
            expect(True, scope.cancelled_caught, "the reader's being cancelled")
        expect([], await store.read(_A), "a later read")


async def _use(store: Store) -> LogWriter:
    a = LogWriter.fresh("a")
    await write(
        store,
        Unit(
            (a.batch(b"1", b"2", keys=(b"key", None), facts=HeadFacts(4, 2, 99, "order", b"d")),),
            messages_put=(Message(_A, b"taken", 1, b"x"), Message(_A, b"waits", 2, b"y")),
            records=(Record("s", b"k", b"v"),),
        ),
        Unit((LogWriter.fresh("b").batch(b"1"),), messages_taken=(Taken(_A, b"taken"),)),
    )
    return a


async def opening_again_finds_everything(factory: StoreFactory) -> None:
    """A durable store keeps logs, heads, keys, facts, mailbox, records, positions and the epoch."""
    if not factory.durable:
        return
    async with factory.open() as store:
        expect(True, store.durable, "the store's calling itself durable")
        await _use(store)
        epoch = await store.raise_epoch()
        heads = [head._replace(token=None) for head in await store.heads([_A, _B])]
        before = (
            heads,
            await store.read(_A),
            await store.feed(),
            await store.audit(_A),
            await store.find_key(_A, b"key"),
            await store.messages(_A),
            await store.records("s"),
            await store.list_workflows(status=4),
        )
    async with factory.open() as store:
        after = (
            [head._replace(token=None) for head in await store.heads([_A, _B])],
            await store.read(_A),
            await store.feed(),
            await store.audit(_A),
            await store.find_key(_A, b"key"),
            await store.messages(_A),
            await store.records("s"),
            await store.list_workflows(status=4),
        )
        expect(before, after, "what was found")
        expect([], await store.check_structure(), "the damage")
        expect(True, await store.raise_epoch() > epoch, "the epoch's rising")


async def opening_again_continues(factory: StoreFactory) -> None:
    """Logs go on at their next seq, repeats are recognised, and positions go on rising."""
    if not factory.durable:
        return
    async with factory.open() as store:
        a = await _use(store)
        newest = (await store.feed())[-1].position
    async with factory.open() as store:
        again = LogWriter.fresh("a").batch(b"1", b"2")
        expect(
            (again.events,), expect_repeated((await store.append([Unit((again,))]))[0]).events, "the repeat"
        )
        await write(store, Unit(messages_put=(Message(_A, b"taken", 1, b"x"),)))
        expect([b"waits"], [row.message_id for row in await store.messages(_A)], "the mailbox")
        await write(store, Unit((a.batch(b"3"),)))
        rows = await store.feed(newest)
        expect([(_A, 3)], [(row.workflow_id, row.event.seq) for row in rows], "the feed behind the old end")


async def opening_again_keeps_fences(factory: StoreFactory) -> None:
    """An epoch from before the opening is still older than one from before it."""
    if not factory.durable:
        return
    async with factory.open() as store:
        older = await store.raise_epoch()
        await store.raise_epoch()
    async with factory.open() as store:
        unit = Unit((LogWriter.fresh("a").batch(b"1"),), epoch=older)
        outcome = (await store.append([unit]))[0]
        expect_refused(outcome, FencedError)


async def store_that_is_not_durable_opens_empty(factory: StoreFactory) -> None:
    """A store that does not keep anything does not seem to."""
    if factory.durable:
        return
    async with factory.open() as store:
        expect(False, store.durable, "the store's calling itself durable")
        await _use(store)
    async with factory.open() as store:
        expect([], await store.list_workflows(), "the workflows of a new opening")
