"""Tokens: a batch that carries one is answered exactly as it would be without."""

from __future__ import annotations

from treadle.errors import ConflictError, FencedError, SequenceGapError
from treadle.events import WorkflowId, workflow_id
from treadle.stores import Head, Record, Store, Unit
from treadle.testing.batches import LogWriter
from treadle.testing.expecting import (
    expect,
    expect_refused,
    expect_repeated,
    expect_written,
    payloads_of,
    write,
)
from treadle.testing.store_factory import StoreFactory

_A, _B = workflow_id("a"), workflow_id("b")


async def _head(store: Store, name: WorkflowId) -> Head:
    return (await store.heads([name]))[0]


async def fresh_token_is_accepted(factory: StoreFactory) -> None:
    """A batch with the token of the head it was decided on is written, on a new log and on an old one."""
    async with factory.open() as store:
        for payload in (b"1", b"2"):
            head = await _head(store, _A)
            await write(store, Unit((LogWriter.at(head).batch(payload, token=head.token),)))
        expect([b"1", b"2"], await payloads_of(store, "a"), "the log")


async def token_from_an_outcome_is_accepted(factory: StoreFactory) -> None:
    """Over many calls a writer goes on with the token of its last outcome, or its own where there is none."""
    async with factory.open() as store:
        head = await _head(store, _A)
        log, token = LogWriter.at(head), head.token
        for number in range(10):
            outcomes = await store.append([Unit((log.batch(b"%d" % number, token=token),))])
            tokens = expect_written(outcomes[0]).tokens
            token = token if tokens is None else tokens[0]
        expect(10, len(await store.read(_A)), "the number of events")


async def pipelined_batches_share_a_token(factory: StoreFactory) -> None:
    """Batches decided on each other before any was stored all carry the one token there is."""
    async with factory.open() as store:
        heads = await store.heads([_A, _B])
        a, b = (LogWriter.at(head) for head in heads)
        units = [
            Unit((log.batch(b"%d" % number, token=head.token),))
            for number in range(5)
            for log, head in ((a, heads[0]), (b, heads[1]))
        ]
        for outcome in await store.append(units):
            expect_written(outcome)
        expect([b"0", b"1", b"2", b"3", b"4"], await payloads_of(store, "b"), "the log")


async def stale_token_does_not_make_a_stale_batch_right(factory: StoreFactory) -> None:
    """Somebody else has written since: the batch is refused, by seq and by digest."""
    async with factory.open() as store:
        head = await _head(store, _A)
        late, late_pair = LogWriter.at(head), LogWriter.at(head)
        await write(store, Unit((LogWriter.fresh("a").batch(b"faster"),)))
        expect_refused(
            (await store.append([Unit((late.batch(b"late", token=head.token),))]))[0], ConflictError
        )
        expect_refused(
            (await store.append([Unit((late_pair.batch(b"late", b"r", token=head.token),))]))[0],
            ConflictError,
        )
        expect([b"faster"], await payloads_of(store, "a"), "the log")


async def stale_token_does_not_harm_a_right_batch(factory: StoreFactory) -> None:
    """Other logs were written since: the batch still fits and is written."""
    async with factory.open() as store:
        head = await _head(store, _A)
        await write(store, Unit((LogWriter.fresh("b").batch(b"1"),)))
        await write(store, Unit((LogWriter.at(head).batch(b"1", token=head.token),)))
        expect([b"1"], await payloads_of(store, "a"), "the log")


async def token_used_up_by_its_own_batch_is_stale(factory: StoreFactory) -> None:
    """A second batch decided on the same head is refused although its token was good once."""
    async with factory.open() as store:
        head = await _head(store, _A)
        one = LogWriter.at(head).batch(b"one", token=head.token)
        two = LogWriter.at(head).batch(b"two", token=head.token)
        await write(store, Unit((one,)))
        expect_refused((await store.append([Unit((two,))]))[0], ConflictError)
        repeated = expect_repeated((await store.append([Unit((one,))]))[0])
        expect((one.events,), repeated.events, "the stored events")


async def two_batches_on_one_head_in_a_call_are_one(factory: StoreFactory) -> None:
    """In one call, with one good token, only the first of two rivals is written."""
    async with factory.open() as store:
        head = await _head(store, _A)
        one = LogWriter.at(head).batch(b"one", token=head.token)
        two = LogWriter.at(head).batch(b"two", token=head.token)
        outcomes = await store.append([Unit((one,)), Unit((two,)), Unit((one,))])
        expect_written(outcomes[0])
        expect_refused(outcomes[1], ConflictError)
        expect_repeated(outcomes[2])
        expect([b"one"], await payloads_of(store, "a"), "the log")


async def token_does_not_carry_over_a_refusal(factory: StoreFactory) -> None:
    """A refused batch's successors carry a token that was good, and are refused with it."""
    async with factory.open() as store:
        head, other = await store.heads([_A, _B])
        log = LogWriter.at(head)
        key_taken = LogWriter.at(other)
        await write(store, Unit((key_taken.batch(b"1", keys=(b"key",)),)))
        head = await _head(store, _A)
        bad = log.batch(b"1", b"2", keys=(b"k", b"k"), token=head.token)
        outcomes = await store.append([Unit((bad,)), Unit((log.batch(b"3", token=head.token),))])
        expect_refused(outcomes[0], ConflictError)
        expect_refused(outcomes[1], SequenceGapError)
        expect_refused(
            (await store.append([Unit((log.batch(b"4", token=head.token),))]))[0], SequenceGapError
        )
        expect([], await payloads_of(store, "a"), "the log")


async def token_does_not_hide_another_history(factory: StoreFactory) -> None:
    """A rival was faster: the slower pipeline is refused whole, also where its seqs would fit."""
    async with factory.open() as store:
        for together in (True, False):
            head = await _head(store, _A)
            faster, slower = LogWriter.at(head), LogWriter.at(head)
            units = [Unit((faster.batch(b"faster", token=head.token),))]
            units += [Unit((slower.batch(b"slower", token=head.token),)) for _ in range(3)]
            if together:
                outcomes = await store.append(units)
            else:
                outcomes = [(await store.append([unit]))[0] for unit in units]
            expect_written(outcomes[0])
            expect_refused(outcomes[1], ConflictError)
            expect_refused(outcomes[2], ConflictError)
            expect_refused(outcomes[3], SequenceGapError)
        expect([b"faster", b"faster"], await payloads_of(store, "a"), "the log")


async def token_after_a_refusal_still_serves_a_right_batch(factory: StoreFactory) -> None:
    """After a refusal a batch on the true head is written, with the old token or a new one."""
    async with factory.open() as store:
        head = await _head(store, _A)
        wrong = LogWriter.at(head).batch(b"x", token=head.token)._replace(digest_before=bytes(16), token=None)
        log = LogWriter.at(head)
        right = log.batch(b"1", token=head.token)
        outcomes = await store.append(
            [Unit((wrong,)), Unit((right,)), Unit((log.batch(b"2", token=head.token),))]
        )
        expect_refused(outcomes[0], ConflictError)
        expect_written(outcomes[1])
        expect_written(outcomes[2])
        expect([b"1", b"2"], await payloads_of(store, "a"), "the log")


async def no_token_is_enough(factory: StoreFactory) -> None:
    """Batches with and without tokens mix: the head is compared when nobody vouches for it."""
    async with factory.open() as store:
        head = await _head(store, _A)
        log = LogWriter.at(head)
        units = [Unit((log.batch(b"%d" % n, token=head.token if n % 2 else None),)) for n in range(6)]
        for outcome in await store.append(units):
            expect_written(outcome)
        expect(6, len(await store.read(_A)), "the number of events")


async def token_outlives_other_work(factory: StoreFactory) -> None:
    """Records, messages, epochs and housekeeping between a head and its batch change no answer."""
    async with factory.open() as store:
        head = await _head(store, _A)
        await write(store, Unit(records=(Record("s", b"k", b"v"),)))
        await store.raise_epoch()
        await store.maintain()
        await write(store, Unit((LogWriter.at(head).batch(b"1", token=head.token),)))
        late = LogWriter.at(head).batch(b"2", token=head.token)
        expect_refused((await store.append([Unit((late,))]))[0], ConflictError)


async def good_token_does_not_outrank_the_epoch(factory: StoreFactory) -> None:
    """A runner that was overtaken is refused, however fresh the head it has decided on."""
    async with factory.open() as store:
        older = await store.raise_epoch()
        head = await _head(store, _A)
        log = LogWriter.at(head)
        first, second = (log.batch(payload, token=head.token) for payload in (b"1", b"2"))
        await write(store, Unit((first,), epoch=older))
        newer = await store.raise_epoch()
        fresh = await _head(store, _A)
        late = second._replace(token=fresh.token)
        expect_refused((await store.append([Unit((late,), epoch=older)]))[0], FencedError)
        await write(store, Unit((late,), epoch=newer))


async def token_of_another_opening_is_no_token(factory: StoreFactory) -> None:
    """A token kept over a close and an opening changes no answer either."""
    async with factory.open() as store:
        head = await _head(store, _A)
    async with factory.open() as store:
        await write(store, Unit((LogWriter.fresh("a").batch(b"1"),)))
        late = LogWriter.at(head).batch(b"2", token=head.token)
        expect_refused((await store.append([Unit((late,))]))[0], ConflictError)
