"""Idempotency keys: unique within their log, and answered with the event they wrote."""

from __future__ import annotations

from treadle.errors import ConflictError
from treadle.events import workflow_id
from treadle.stores import Unit
from treadle.testing.batches import LogWriter
from treadle.testing.expecting import expect, expect_refused, expect_repeated, payloads_of, write
from treadle.testing.store_factory import StoreFactory

_A, _B = workflow_id("a"), workflow_id("b")


async def known_key_answers_with_its_event(factory: StoreFactory) -> None:
    """A single event with a known key is answered with the stored one, whatever else was offered."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        keyed = a.batch(b"1", keys=(b"key",))
        await write(store, Unit((keyed,)), Unit((a.batch(b"2"),)))
        for again in (a.batch(b"other", keys=(b"key",)), keyed):
            repeated = expect_repeated((await store.append([Unit((again,))]))[0])
            expect((keyed.events,), repeated.events, "the stored event")
        expect([b"1", b"2"], await payloads_of(store, "a"), "the log")


async def known_key_is_seen_within_a_call(factory: StoreFactory) -> None:
    """Two senders of one key in one call: one event."""
    async with factory.open() as store:
        first = LogWriter.fresh("a").batch(b"1", keys=(b"key",))
        second = LogWriter.fresh("a").batch(b"2", keys=(b"key",))
        outcomes = await store.append([Unit((first,)), Unit((second,))])
        expect((first.events,), expect_repeated(outcomes[1]).events, "the stored event")
        expect([b"1"], await payloads_of(store, "a"), "the log")


async def known_key_in_a_larger_unit_conflicts(factory: StoreFactory) -> None:
    """In a batch of several events, or a unit of several logs, a known key refuses."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        await write(store, Unit((a.batch(b"1", keys=(b"key",)),)))
        several = a.batch(b"2", b"3", keys=(None, b"key"))
        error = expect_refused((await store.append([Unit((several,))]))[0], ConflictError)
        expect(3, error.seq, "the seq of the event with the known key")
        single = several._replace(events=several.events[:1], digests=several.digests[:1], keys=(b"key",))
        unit = Unit((single, LogWriter.fresh("b").batch(b"1")))
        expect_refused((await store.append([unit]))[0], ConflictError)
        expect([], await payloads_of(store, "b"), "the other log")


async def key_twice_in_a_batch_conflicts(factory: StoreFactory) -> None:
    """A key names one event, in one batch too."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(b"1", b"2", keys=(b"key", b"key"))
        expect_refused((await store.append([Unit((batch,))]))[0], ConflictError)
        expect([], await payloads_of(store, "a"), "the log")


async def key_belongs_to_its_log(factory: StoreFactory) -> None:
    """The same key in two logs names two events."""
    async with factory.open() as store:
        one = LogWriter.fresh("a").batch(b"1", keys=(b"key",))
        two = LogWriter.fresh("b").batch(b"2", keys=(b"key",))
        await write(store, Unit((one, two)))
        expect(one.events[0], await store.find_key(_A, b"key"), "the key in a")
        expect(two.events[0], await store.find_key(_B, b"key"), "the key in b")


async def keys_are_found(factory: StoreFactory) -> None:
    """A key leads to its event among others without one; an unknown key to nothing."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(b"1", b"2", b"3", keys=(None, b"\0key", b"k" * 64))
        await write(store, Unit((batch,)))
        expect(batch.events[1], await store.find_key(_A, b"\0key"), "the first key")
        expect(batch.events[2], await store.find_key(_A, b"k" * 64), "the longest key")
        expect(None, await store.find_key(_A, b"key"), "an unknown key")
        expect(None, await store.find_key(_B, b"\0key"), "a key of an unknown log")


async def key_of_a_refused_batch_stays_free(factory: StoreFactory) -> None:
    """What was not written has taken no key."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        wrong = a.batch(b"1", keys=(b"key",))._replace(digest_before=bytes(16))
        expect_refused((await store.append([Unit((wrong,))]))[0], ConflictError)
        expect(None, await store.find_key(_A, b"key"), "the key")
        await write(store, Unit((LogWriter.fresh("a").batch(b"1", keys=(b"key",)),)))
