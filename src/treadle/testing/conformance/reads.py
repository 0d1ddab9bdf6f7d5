"""Reading one log: by seq, by event time, many at once, in pages."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from treadle.errors import InvalidValueError
from treadle.events import workflow_id
from treadle.log import root_digest
from treadle.stores import Head, Unit
from treadle.testing.batches import LogWriter
from treadle.testing.expecting import expect, write
from treadle.testing.store_factory import StoreFactory

_A, _B = workflow_id("a"), workflow_id("b")


async def unknown_workflows_read_as_empty_logs(factory: StoreFactory) -> None:
    """A log without events has next seq 1, the digest of its id, and nothing to read."""
    async with factory.open() as store:
        head = (await store.heads([_A]))[0]
        expect(Head(_A, 1, root_digest(_A), 1, root_digest(_A)), head._replace(token=None), "the head")
        expect([], await store.read(_A), "read")
        expect([], await store.between(_A, 0, 9), "between")
        expect([], await store.audit(_A), "audit")
        expect([], await store.messages(_A), "messages")
        expect([(_A, [], True)], [tuple(page) for page in await store.read_many([_A])], "read_many")


async def heads_come_in_the_order_asked(factory: StoreFactory) -> None:
    """One head for each id, unknown and repeated ones too; none for none."""
    async with factory.open() as store:
        a, b = LogWriter.fresh("a"), LogWriter.fresh("b")
        await write(store, Unit((a.batch(b"1"), b.batch(b"1", b"2"))))
        ids = [_B, workflow_id("unknown"), _A, _B]
        heads = await store.heads(ids)
        expect(ids, [head.workflow_id for head in heads], "the ids")
        expect([3, 1, 2, 3], [head.next_seq for head in heads], "the next seqs")
        expect(
            [b.digest, root_digest(ids[1]), a.digest, b.digest], [head.digest for head in heads], "digests"
        )
        expect(
            [(1, root_digest(name)) for name in ids],
            [(head.first_kept_seq, head.digest_before) for head in heads],
            "where the logs begin",
        )
        expect([], await store.heads([]), "no heads")


async def many_heads_are_told_at_once(factory: StoreFactory) -> None:
    """A thousand and more ids in one call."""
    async with factory.open() as store:
        await write(store, *(Unit((LogWriter.fresh(number).batch(b""),)) for number in range(0, 2_500, 2)))
        heads = await store.heads([workflow_id(number) for number in range(2_500)])
        expect(
            [2 if number % 2 == 0 else 1 for number in range(2_500)], [h.next_seq for h in heads], "next seqs"
        )


async def reads_keep_their_bounds(factory: StoreFactory) -> None:
    """Both bounds are inclusive, past the end means the end, an empty range is empty."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(*(b"%d" % seq for seq in range(1, 8)))
        await write(store, Unit((batch, LogWriter.fresh("b").batch(b"other"))))
        events = list(batch.events)
        for from_seq in range(1, 10):
            for to_seq in (None, *range(1, 10), 2**63 - 1):
                expected = events[from_seq - 1 : to_seq]
                expect(expected, await store.read(_A, from_seq, to_seq), f"read({from_seq}, {to_seq})")
        expect([], await store.read(_A, 2**63 - 1), "read from the largest seq")


async def reads_come_in_pages(factory: StoreFactory) -> None:
    """Fewer events than the limit come only at the end of what was asked for."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(*(b"%d" % seq for seq in range(1, 8)))
        await write(store, Unit((batch,)))
        events = list(batch.events)
        expect(events[:3], await store.read(_A, limit=3), "the first page")
        expect(events[3:6], await store.read(_A, 4, limit=3), "the second page")
        expect(events[6:], await store.read(_A, 7, limit=3), "the last page")
        expect(events[1:4], await store.read(_A, 2, 4, limit=3), "a page that ends with its range")


async def long_logs_are_read_whole(factory: StoreFactory) -> None:
    """More events than a default page: the pages join without gap or repeat."""
    async with factory.open() as store:
        log = LogWriter.fresh("a")
        batches = [log.batch(*(b"%d" % number for number in range(900))) for _ in range(5)]
        await write(store, *(Unit((batch,)) for batch in batches))
        expected = [event for batch in batches for event in batch.events]
        found = await store.read(_A)
        while page := await store.read(_A, found[-1].seq + 1):
            found += page
        expect(expected, found, "the pages together")


async def many_logs_are_read_in_one_call(factory: StoreFactory) -> None:
    """Pages come in the order asked for, whole while there is room; the rest is for the next call."""
    async with factory.open() as store:
        sizes = {"a": 3, "b": 1, "c": 5, "d": 2}
        batches = {name: LogWriter.fresh(name).batch(*[b"x"] * size) for name, size in sizes.items()}
        await write(store, *(Unit((batch,)) for batch in batches.values()))
        ids = [workflow_id(name) for name in ("d", "unknown", "a", "c", "b")]
        pages = await store.read_many(ids)
        expect(ids, [page.workflow_id for page in pages], "the order")
        expect([2, 0, 3, 5, 1], [len(page.events) for page in pages], "the sizes")
        expect([True] * 5, [page.complete for page in pages], "complete")
        expect(list(batches["c"].events), list(pages[3].events), "one log's events")


async def many_logs_are_read_in_bounded_calls(factory: StoreFactory) -> None:
    """Whatever the bound, going on behind each last page yields every event once."""
    async with factory.open() as store:
        ids = [workflow_id(number) for number in range(6)]
        batches = [
            LogWriter.fresh(name).batch(*[b"x"] * (number * 2)) for number, name in enumerate(ids[1:], 1)
        ]
        await write(store, *(Unit((batch,)) for batch in batches))
        expected = {batch.workflow_id: list(batch.events) for batch in batches} | {ids[0]: []}
        for events_max in (1, 3, 4, 7, 30, 1_000):
            wanted, found = list(ids), {}
            while wanted:
                pages = await store.read_many(wanted, events_max=events_max)
                expect(True, len(pages) >= 1, "at least one page")
                expect([True] * (len(pages) - 1), [page.complete for page in pages[:-1]], "all but the last")
                for page in pages:
                    rest = [] if page.complete else await store.read(page.workflow_id, len(page.events) + 1)
                    expect(False, not page.complete and not rest, "a page called incomplete at the end")
                    found[page.workflow_id] = [*page.events, *rest]
                wanted = wanted[len(pages) :]
            expect(expected, found, f"the logs with at most {events_max} events a call")


async def between_reads_by_event_time(factory: StoreFactory) -> None:
    """The earliest time is inclusive, the latest exclusive or none, the order that of the seqs."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(b"1", b"2", b"3", b"4", timestamps=(10, 20, 20, 30))
        await write(store, Unit((batch,)))
        for since, until, seqs in (
            (10, 31, [1, 2, 3, 4]),
            (10, 30, [1, 2, 3]),
            (11, 20, []),
            (20, 21, [2, 3]),
            (20, 20, []),
            (30, 10, []),
            (-(2**63), 2**63 - 1, [1, 2, 3, 4]),
            (20, None, [2, 3, 4]),
            (31, None, []),
        ):
            found = await store.between(_A, since, until)
            expect(seqs, [event.seq for event in found], f"between({since}, {until})")


async def between_finds_late_events(factory: StoreFactory) -> None:
    """Event times need not rise: a late event is found by its time, in the place of its seq."""
    async with factory.open() as store:
        times = (50, 10, 40, 10, -5, 60, 20, 2**63 - 1, -(2**63))
        batch = LogWriter.fresh("a").batch(*[b"x"] * len(times), timestamps=times)
        await write(store, Unit((batch,)), Unit((LogWriter.fresh("b").batch(b"y", timestamps=(10,)),)))
        for since, until in ((10, 41), (-10, 11), (0, 100), (60, 61), (-(2**63), 0), (10, 2**63 - 1)):
            expected = [event for event in batch.events if since <= event.timestamp < until]
            expect(expected, await store.between(_A, since, until), f"between({since}, {until})")
        # Without an end, also the last event time there is.
        expected = [event for event in batch.events if event.timestamp >= 50]
        expect(expected, await store.between(_A, 50, None), "between(50, None)")
        expect([2**63 - 1], [e.timestamp for e in await store.between(_A, 2**63 - 1, None)], "the last time")


async def between_comes_in_pages(factory: StoreFactory) -> None:
    """A page continues after a seq, late events included."""
    async with factory.open() as store:
        times = tuple((number * 7) % 20 for number in range(20))
        batch = LogWriter.fresh("a").batch(*[b"x"] * 20, timestamps=times)
        await write(store, Unit((batch,)))
        expected = [event for event in batch.events if 3 <= event.timestamp < 15]
        found = await store.between(_A, 3, 15, limit=5)
        expect(expected[:5], found, "the first page")
        while page := await store.between(_A, 3, 15, after_seq=found[-1].seq, limit=5):
            found += page
        expect(expected, found, "the pages together")


async def audit_shows_rows_with_their_digests(factory: StoreFactory) -> None:
    """Every stored field comes back raw, with the digest that was written, in pages."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(b"1", b"2", b"3", b"4", timestamps=(4, 3, 2, 1))
        await write(store, Unit((LogWriter.fresh("b").batch(b"other"),)), Unit((batch,)))
        rows = await store.audit(_A)
        fields = [(row.seq, row.timestamp, row.kind, row.payload, row.digest) for row in rows]
        expected = [
            (event.seq, event.timestamp, event.kind, event.payload, digest)
            for event, digest in zip(batch.events, batch.digests, strict=True)
        ]
        expect(expected, fields, "the rows")
        feed = [event.position for event in await store.feed() if event.workflow_id == _A]
        expect(feed, [row.position for row in rows], "the positions")
        expect(rows[1:3], await store.audit(_A, 1, limit=2), "a page")


async def questions_that_cannot_be_right_are_refused(factory: StoreFactory) -> None:
    """No number that counts nothing and no value of another type is answered, or taken for damage."""
    async with factory.open() as store:
        await write(store, Unit((LogWriter.fresh("a").batch(b"1", b"2"),)))
        wrong: Any
        for wrong in (-1, True, 1.5, "1", b"1"):
            await _expect_no_answer(wrong, store.read(_A, wrong))
            await _expect_no_answer(wrong, store.read(_A, 1, wrong))
            await _expect_no_answer(wrong, store.read(_A, limit=wrong))
            await _expect_no_answer(wrong, store.read_many([_A], events_max=wrong))
            await _expect_no_answer(wrong, store.between(_A, 0, 9, after_seq=wrong))
            await _expect_no_answer(wrong, store.between(_A, 0, 9, limit=wrong))
            await _expect_no_answer(wrong, store.feed(wrong))
            await _expect_no_answer(wrong, store.feed(limit=wrong))
            await _expect_no_answer(wrong, store.audit(_A, wrong))
            await _expect_no_answer(wrong, store.list_workflows(limit=wrong))
            await _expect_no_answer(wrong, store.messages(_A, limit=wrong))
            await _expect_no_answer(wrong, store.workflows_with_messages(limit=wrong))
            await _expect_no_answer(wrong, store.records("s", limit=wrong))
            await _expect_no_answer(wrong, store.due(9, limit=wrong))
        for wrong in (0, None):
            await _expect_no_answer(wrong, store.read(_A, wrong))
        for wrong in (1.5, "1", b"1"):
            await _expect_no_answer(wrong, store.between(_A, wrong, None))
            await _expect_no_answer(wrong, store.between(_A, 0, wrong))
            await _expect_no_answer(wrong, store.due(wrong))
            await _expect_no_answer(wrong, store.due(9, after=wrong))
        for wrong in (7, None, b"a", "\ud800"):
            await _expect_no_answer(wrong, store.heads([_A, wrong]))
            await _expect_no_answer(wrong, store.read(wrong))
            await _expect_no_answer(wrong, store.read_many([wrong]))
            await _expect_no_answer(wrong, store.between(wrong, 0, None))
            await _expect_no_answer(wrong, store.find_key(wrong, b"k"))
            await _expect_no_answer(wrong, store.list_workflows(prefix=wrong))
            await _expect_no_answer(wrong, store.count_workflows(prefix=wrong))
            await _expect_no_answer(wrong, store.messages(wrong))
            await _expect_no_answer(wrong, store.record(wrong, b"k"))
            await _expect_no_answer(wrong, store.records(wrong))
            await _expect_no_answer(wrong, store.audit(wrong))
        for wrong in (7, b"a", "\ud800"):
            await _expect_no_answer(wrong, store.list_workflows(after=wrong))
            await _expect_no_answer(wrong, store.workflows_with_messages(after=wrong))
        for wrong in (7, "k"):
            await _expect_no_answer(wrong, store.find_key(_A, wrong))
            await _expect_no_answer(wrong, store.record("s", wrong))
            await _expect_no_answer(wrong, store.records("s", after=wrong))


async def _expect_no_answer(wrong: object, question: Awaitable[object]) -> None:
    try:
        answer = await question
    except InvalidValueError:
        return
    except Exception as error:
        raise AssertionError(
            f"a question with {wrong!r}: expected InvalidValueError, got {error!r}"
        ) from error
    raise AssertionError(f"a question with {wrong!r}: expected InvalidValueError, got {answer!r}")
