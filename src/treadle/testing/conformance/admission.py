"""Compare-and-append: the admission table row by row, on the seq and on the digest."""

from __future__ import annotations

from typing import Any

from treadle.errors import BatchError, ConflictError, SequenceGapError, StaleSequenceError, UsageError
from treadle.events import WorkflowEvent
from treadle.stores import Batch, Unit
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


async def batch_at_the_next_seq_is_appended(factory: StoreFactory) -> None:
    """A batch that starts where the log ends is written, and the head moves behind it."""
    async with factory.open() as store:
        log = LogWriter.fresh("a")
        await write(store, Unit((log.batch(b"1", b"2"),)))
        await write(store, Unit((log.batch(b"3"),)))
        head = (await store.heads([log.workflow_id]))[0]
        expect([b"1", b"2", b"3"], await payloads_of(store, "a"), "the log")
        expect((4, log.digest), (head.next_seq, head.digest), "the head")


async def batch_above_the_next_seq_is_a_gap(factory: StoreFactory) -> None:
    """A batch that starts above the next seq is refused with the seq that was expected."""
    async with factory.open() as store:
        log = LogWriter.fresh("a")
        await write(store, Unit((log.batch(b"1"),)))
        log.batch(b"lost")
        error = expect_refused((await store.append([Unit((log.batch(b"3"),))]))[0], SequenceGapError)
        expect(("a", 2), (error.workflow_id, error.next_seq), "the error's facts")
        expect([b"1"], await payloads_of(store, "a"), "the log")


async def first_batch_above_one_is_a_gap(factory: StoreFactory) -> None:
    """A log without events takes seq 1 and nothing else."""
    async with factory.open() as store:
        log = LogWriter.fresh("a")
        log.batch(b"lost")
        error = expect_refused((await store.append([Unit((log.batch(b"2"),))]))[0], SequenceGapError)
        expect(1, error.next_seq, "the expected seq")
        expect([], await store.list_workflows(), "the workflows with events")


async def repeat_of_the_last_batch_writes_nothing(factory: StoreFactory) -> None:
    """The last batch offered again is recognised and answered with the stored events."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(b"1", b"2")
        await write(store, Unit((batch,)))
        repeated = expect_repeated((await store.append([Unit((batch,))]))[0])
        expect((batch.events,), repeated.events, "the stored events")
        expect([b"1", b"2"], await payloads_of(store, "a"), "the log")


async def repeat_of_any_older_stretch_writes_nothing(factory: StoreFactory) -> None:
    """A stretch is recognised wherever it lies and however it was cut when it was written."""
    async with factory.open() as store:
        log = LogWriter.fresh("a")
        first, second = log.batch(b"1", b"2", b"3"), log.batch(b"4", b"5")
        await write(store, Unit((first,)), Unit((second,)))
        across = chained(log.workflow_id, first.digests[1], (first.events[2], second.events[0]))
        repeated = expect_repeated((await store.append([Unit((across,))]))[0])
        expect((across.events,), repeated.events, "the stored events")
        expect(5, len(await store.feed()), "the events in the feed")


async def another_event_at_a_stored_seq_conflicts(factory: StoreFactory) -> None:
    """An event that differs from the stored one is refused, telling the first such seq and both sides."""
    async with factory.open() as store:
        stored = LogWriter.fresh("a").batch(b"1", b"2", b"3")
        await write(store, Unit((stored,)))
        offered = LogWriter.fresh("a").batch(b"1", b"other", b"other")
        error = expect_refused((await store.append([Unit((offered,))]))[0], ConflictError)
        expect((2, 4), (error.seq, error.next_seq), "the first seq that differs, and the next one")
        expect((stored.events[1], offered.events[1]), (error.stored, error.offered), "both sides")


async def every_field_of_an_event_is_compared(factory: StoreFactory) -> None:
    """Another timestamp, kind or payload each makes another event."""
    async with factory.open() as store:
        log = LogWriter.fresh("a")
        root = log.digest
        await write(store, Unit((log.batch(b"1", timestamps=(5,)),)))
        for other in (
            WorkflowEvent(1, 6, "custom", b"1"),
            WorkflowEvent(1, 5, "timer_fired", b"1"),
            WorkflowEvent(1, 5, "custom", b"2"),
        ):
            unit = Unit((chained(log.workflow_id, root, (other,)),))
            expect(1, expect_refused((await store.append([unit]))[0], ConflictError).seq, "the seq")


async def batch_across_the_end_is_stale(factory: StoreFactory) -> None:
    """A batch that begins in the stored part and runs past it is refused even when that part is equal."""
    async with factory.open() as store:
        log = LogWriter.fresh("a")
        await write(store, Unit((log.batch(b"1", b"2"),)))
        longer = LogWriter.fresh("a").batch(b"1", b"2", b"3")
        error = expect_refused((await store.append([Unit((longer,))]))[0], StaleSequenceError)
        expect(3, error.next_seq, "the next seq")
        expect([b"1", b"2"], await payloads_of(store, "a"), "the log")


async def batch_across_the_end_that_differs_conflicts(factory: StoreFactory) -> None:
    """A difference in the stored part is a conflict, not staleness: reading on would not help."""
    async with factory.open() as store:
        await write(store, Unit((LogWriter.fresh("a").batch(b"1", b"2"),)))
        longer = LogWriter.fresh("a").batch(b"1", b"x", b"3")
        error = expect_refused((await store.append([Unit((longer,))]))[0], ConflictError)
        expect(2, error.seq, "the first seq that differs")


async def batch_decided_on_another_history_conflicts(factory: StoreFactory) -> None:
    """The right seq on the wrong digest is refused: the event was decided on another history."""
    async with factory.open() as store:
        await write(store, Unit((LogWriter.fresh("a").batch(b"1"),)))
        elsewhere = LogWriter.fresh("a")
        elsewhere.batch(b"another 1")
        error = expect_refused((await store.append([Unit((elsewhere.batch(b"2"),))]))[0], ConflictError)
        expect((2, 2), (error.seq, error.next_seq), "the seq")
        expect([b"1"], await payloads_of(store, "a"), "the log")


async def first_batch_with_another_logs_digest_conflicts(factory: StoreFactory) -> None:
    """Even seq 1 carries a digest, the id's, so a batch cannot reach the wrong log."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(b"1")._replace(workflow_id=LogWriter.fresh("b").workflow_id)
        expect_refused((await store.append([Unit((batch,))]))[0], ConflictError)
        expect([], await store.list_workflows(), "the workflows with events")


async def batch_wrong_by_itself_fails_the_call(factory: StoreFactory) -> None:
    """An empty batch, or one with a gap or a repeat inside, is the caller's mistake: nothing is written."""
    async with factory.open() as store:
        good = LogWriter.fresh("good").batch(b"1")
        whole = LogWriter.fresh("a").batch(b"1", b"2", b"3")
        first, second, third = whole.events
        for events in ((), (first, third), (first, first), (second, first)):
            bad = Batch(whole.workflow_id, whole.digest_before, events, whole.digests[: len(events)])
            units = [Unit((good,)), Unit((bad,))]
            await expect_raises(BatchError, store.append(units), "append")
        expect([], await store.feed(), "the feed")


async def what_is_no_unit_fails_the_call(factory: StoreFactory) -> None:
    """A value of another type, wherever it stands, is the caller's mistake: nothing is written."""
    async with factory.open() as store:
        good = LogWriter.fresh("good").batch(b"1")
        (head,) = await store.heads([LogWriter.fresh("a").workflow_id])
        nothing: Any = None
        rows: Any = ((1, 2),)
        bad = LogWriter.fresh("a").batch(b"1")._replace(events=rows, token=head.token)
        values: list[Any] = [nothing, 7, "unit", bad, rows, Unit((bad,)), Unit((nothing,)), Unit(nothing)]
        for value in values:
            await expect_raises(UsageError, store.append([good, value]), f"append of {value!r}")
        lists: list[Any] = [nothing, 7, good, Unit((good,))]
        for units in lists:
            await expect_raises(UsageError, store.append(units), f"append of {units!r} without a list")
        expect([], await store.feed(), "the feed")
        await write(store, Unit((good,)))


async def batch_with_the_wrong_number_of_digests_fails_the_call(factory: StoreFactory) -> None:
    """Each event has its digest, and its key when there are keys."""
    async with factory.open() as store:
        batch = LogWriter.fresh("a").batch(b"1", b"2")
        for bad in (batch._replace(digests=batch.digests[:1]), batch._replace(keys=(b"k",))):
            await expect_raises(UsageError, store.append([Unit((bad,))]), "append")
        expect([], await store.feed(), "the feed")


async def two_workflows_with_the_same_seqs_never_meet(factory: StoreFactory) -> None:
    """Many logs hold the same seqs with their own events, written in turn."""
    async with factory.open() as store:
        logs = [LogWriter.fresh(number) for number in range(25)]
        for round_number in range(4):
            await write(
                store, *(Unit((log.batch(f"{log.workflow_id}/{round_number}".encode()),)) for log in logs)
            )
        for log in logs:
            expected = [f"{log.workflow_id}/{round_number}".encode() for round_number in range(4)]
            expect(expected, await payloads_of(store, log.workflow_id), f"log {log.workflow_id}")


async def refused_batch_refuses_later_ones_of_its_log(factory: StoreFactory) -> None:
    """What was decided on a refused batch is refused in the same call; other logs go on."""
    async with factory.open() as store:
        other = LogWriter.fresh("b")
        await write(store, Unit((LogWriter.fresh("a").batch(b"1"),)))
        late = LogWriter.fresh("a")
        units = [Unit((late.batch(b"not 1"),)), Unit((late.batch(b"2"),)), Unit((other.batch(b"1"),))]
        units += [Unit((late.batch(b"3"),)), Unit((other.batch(b"2"),))]
        outcomes = await store.append(units)
        for place in (0, 1):
            expect_refused(outcomes[place], ConflictError)
        expect_refused(outcomes[3], SequenceGapError)
        expect([b"1"], await payloads_of(store, "a"), "the log of the refused batch")
        expect([b"1", b"2"], await payloads_of(store, "b"), "the other log")


async def units_of_one_call_build_on_each_other(factory: StoreFactory) -> None:
    """Each unit sees those before it, so a pipeline of batches for one log is written at once."""
    async with factory.open() as store:
        log = LogWriter.fresh("a")
        await write(store, *(Unit((log.batch(str(number).encode()),)) for number in range(50)))
        expect([str(number).encode() for number in range(50)], await payloads_of(store, "a"), "the log")


async def payloads_of_any_bytes_come_back_the_same(factory: StoreFactory) -> None:
    """Empty, zero bytes, all bytes and large ones; the extreme timestamps too."""
    async with factory.open() as store:
        payloads = (b"", b"\0", bytes(range(256)), b"\xff" * 70_000, b"'; --")
        times = (-(2**63), 2**63 - 1, 0, -1, 1)
        batch = LogWriter.fresh("a").batch(*payloads, timestamps=times)
        await write(store, Unit((batch,)))
        expect(list(batch.events), await store.read(batch.workflow_id), "the log")
