"""Transactions: all or nothing, on what is there, and decided again when somebody else came first."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from treadle import (
    BatchError,
    ConflictError,
    EventKind,
    EventsPrunedError,
    InvalidValueError,
    RuntimeClosedError,
    UsageError,
    open_runtime,
    workflow,
)
from treadle.kernel import InlineKernel
from treadle.stores import Cut, Unit
from treadle.testing.batches import LogWriter


@pytest.fixture(autouse=True)
def clock(autojump_clock):
    """Attempts wait a little between them; nobody here really does."""
    return autojump_clock


@workflow.define
async def taker() -> str:
    return await workflow.signals("given").receive()


async def payloads(runtime, name):
    return [event.payload async for event in runtime.workflow(name).read()]


async def balance(tx, name):
    return await tx.replay(name, lambda total, event: total + int(event.payload), 0)


def moving(source, target, amount):
    async def decide(tx):
        if await balance(tx, source) < amount:
            return False
        await tx.append(source, "custom", b"%d" % -amount)
        await tx.append(target, "custom", b"%d" % amount)
        return True

    return decide


async def test_what_is_appended_is_there_together_and_what_decide_returns_is_returned(opened):
    async with opened() as runtime:
        await runtime.workflow("a").append("custom", b"10")

        assert await runtime.transact(moving("a", "b", 7)) is True
        assert await runtime.transact(moving("a", "b", 7)) is False
        assert (await payloads(runtime, "a"), await payloads(runtime, "b")) == ([b"10", b"-7"], [b"7"])


async def test_a_transaction_sees_what_it_appends_behind_what_is_there(opened):
    async def decide(tx):
        first = await tx.append("a", "custom", b"2", timestamp=5)
        second = await tx.append("a", "timer_fired")
        return first, second, await tx.read("a"), await tx.read("a", 2, 2), await tx.next_seq("a")

    async with opened() as runtime:
        await runtime.workflow("a").append("custom", b"1")
        first, second, everything, stretch, next_seq = await runtime.transact(decide)

        assert (first.seq, first.timestamp, second.kind) == (2, 5, EventKind.TIMER_FIRED)
        assert everything == await runtime.workflow("a").read().list()
        assert (stretch, next_seq) == ([first], 4)


class Raced:
    """A decision that waits, once it has read, until somebody has written."""

    def __init__(self, decide, times=1):
        self.decide, self.left = decide, times
        self.attempts = 0
        self.read, self.go_on = trio.Event(), trio.Event()

    async def __call__(self, tx):
        self.attempts += 1
        await tx.next_seq("a")
        if self.left:
            self.left -= 1
            self.read.set()
            await self.go_on.wait()
        return await self.decide(tx)


async def copy_length(tx):
    await tx.append("b", "custom", b"%d" % await tx.next_seq("a"))


async def race(runtime, raced, write, **options):
    """Let another task write between reading and writing of the first attempt; give the result."""
    results = []

    async def transact():
        results.append(await runtime.transact(raced, **options))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(transact)
        await raced.read.wait()
        await write()
        raced.go_on.set()
    return results[0]


@pytest.mark.parametrize("appends_to", ["a", "b"], ids=["the log itself", "another log"])
async def test_a_decision_is_made_again_when_a_log_was_deleted_behind_it(opened, appends_to):
    """A deleted log stands where it stood: only where it begins tells."""
    async with opened() as runtime:
        await runtime.workflow("a").append("custom", b"10")
        seen = []

        async def decide(tx):
            seen.append(await tx.next_seq("a") - await first_kept_seq(tx))
            if len(seen) == 1:
                await delete_by_others(runtime, "a")
            await tx.append(appends_to, "custom", b"%d" % seen[-1])

        async def first_kept_seq(tx):
            try:
                return (await tx.read("a"))[0].seq
            except (IndexError, EventsPrunedError):
                return await tx.next_seq("a")

        await runtime.transact(decide)
        assert seen == [1, 0]
        assert (
            await runtime.workflow(appends_to).read(await runtime.workflow(appends_to).next_seq() - 1).list()
        )[0].payload == b"0"


async def delete_by_others(runtime, name):
    (head,) = await runtime.store.heads([name])
    await runtime.store.append([Unit(cuts=(Cut(name, head.next_seq, head.digest, head.next_seq),))])


async def test_a_decision_is_made_again_when_another_writer_came_first(opened):
    raced = Raced(copy_length)
    async with opened() as runtime:
        await race(runtime, raced, lambda: runtime.workflow("a").append("custom", b"x"))

        assert raced.attempts == 2
        assert await payloads(runtime, "b") == [b"2"]


async def test_an_append_to_a_log_it_does_not_read_does_not_disturb_it(opened):
    raced = Raced(copy_length)
    async with opened() as runtime:
        await race(runtime, raced, lambda: runtime.workflow("c").append("custom", b"x"))

        assert raced.attempts == 1


async def test_a_conflict_that_stays_is_told_with_what_is_there(opened):
    async with opened() as runtime:
        with pytest.RaisesGroup(pytest.RaisesExc(ConflictError, match="read at seq 1, it now stands at 2")):
            await race(
                runtime,
                Raced(copy_length),
                lambda: runtime.workflow("a").append("custom", b"x"),
                attempts_max=1,
            )

        assert await payloads(runtime, "b") == []


async def test_what_decide_raises_about_a_torn_view_is_no_answer(opened):
    """It has read one log before a transfer and the other one behind it: money seems to be missing."""

    async def check(tx):
        if await balance(tx, "a") + await balance(tx, "b") != 10:
            raise RuntimeError("money is missing")
        return "all there"

    raced = Raced(check)

    async with opened() as runtime:
        await runtime.workflow("a").append("custom", b"10")

        assert await race(runtime, raced, lambda: runtime.transact(moving("a", "b", 7))) == "all there"
        assert raced.attempts == 2


async def test_what_decide_raises_about_what_is_there_leaves_as_itself_and_writes_nothing(opened):
    async def decide(tx):
        await tx.append("a", "custom")
        raise RuntimeError("no")

    async with opened() as runtime:
        with pytest.raises(RuntimeError, match=r"^no$"):
            await runtime.transact(decide)

        assert await runtime.workflow("a").stream_len() == 0


async def test_write_skew_is_impossible(opened):
    """Two doctors are on call; each may leave while the other one stays. Never do both leave."""

    def leaves(doctor, other, both_have_looked):
        async def decide(tx):
            on_call = {name: not await tx.read(name) for name in (doctor, other)}
            both_have_looked.append(doctor)
            await wait_all_tasks_blocked()
            if on_call[other]:
                await tx.append(doctor, "custom", b"left")

        return decide

    async with opened() as runtime:
        looked = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.transact, leaves("alice", "bob", looked))
            nursery.start_soon(runtime.transact, leaves("bob", "alice", looked))

        assert set(looked[:2]) == {"alice", "bob"}
        left = [await runtime.workflow(name).stream_len() for name in ("alice", "bob")]
        assert sorted(left) == [0, 1]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from("abc")), max_size=8)
)
def test_transactions_at_once_come_to_what_some_order_of_them_comes_to(wishes):
    """Each appends to one log the lengths of two others: only a serial order explains all of them."""
    results = []

    async def run():
        async with open_runtime("memory:", kernel=InlineKernel()) as runtime, trio.open_nursery() as nursery:
            for wish in wishes:
                nursery.start_soon(one, runtime, *wish)

    async def one(runtime, target, first, second):
        async def decide(tx):
            lengths = [await tx.next_seq(name) - 1 for name in (first, second)]
            await trio.lowlevel.checkpoint()
            return lengths, await tx.append(target, "custom")

        lengths, event = await runtime.transact(decide, attempts_max=100)
        results.append((target, event.seq, first, second, lengths))

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    assert has_serial_order(results)


def has_serial_order(results):
    """Place one after the other, each where it has seen exactly what was there."""
    left, lengths = list(results), dict.fromkeys("abc", 0)
    while left:
        fits = [
            one
            for one in left
            if one[1] == lengths[one[0]] + 1 and [lengths[one[2]], lengths[one[3]]] == one[4]
        ]
        # Whichever fits may go first: what it writes can only spoil those that have seen less.
        blocked = [
            one for one in fits if not any(one[0] in (o[2], o[3], o[0]) and o is not one for o in fits)
        ] or fits
        if not blocked:
            return False
        left.remove(blocked[0])
        lengths[blocked[0][0]] += 1
    return True


class Listing:
    """Lists first, then waits as its race says, and counts what was listed."""

    def __init__(self, raced):
        self.raced = raced
        self.read, self.go_on = raced.read, raced.go_on

    async def __call__(self, tx):
        names = await tx.list("order-")
        await self.raced(tx)
        await tx.append("count", "custom", b"%d" % len(names))


async def test_a_listing_holds_while_nobody_appends_anywhere(opened):
    async def nothing(_tx):
        await trio.lowlevel.checkpoint()

    async with opened() as runtime:
        listing = Listing(Raced(nothing))
        await race(runtime, listing, lambda: runtime.workflow("order-1").append("custom"))

        assert await payloads(runtime, "count") == [b"1"]


async def test_an_actor_goes_on_behind_what_a_transaction_has_written(opened):
    async with opened() as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"1")
        await runtime.transact(moving("b", "a", -3))

        assert (await handle.append("custom", b"2")).event.seq == 3


async def test_followers_hear_of_a_transaction(opened):
    async with opened() as runtime, trio.open_nursery() as nursery:
        heard = []

        async def follow():
            async for event in runtime.workflow("b").follow():
                heard.append(event.payload)
                return

        nursery.start_soon(follow)
        await wait_all_tasks_blocked()
        await runtime.transact(copy_length)

    assert heard == [b"1"]


async def test_a_key_makes_a_transaction_repeatable_and_a_taken_one_is_told_at_once(opened):
    attempts = []

    def keyed(*names):
        async def decide(tx):
            attempts.append(names)
            for name in names:
                await tx.append(name, "custom", b"x", key=b"once")

        return decide

    async with opened() as runtime:
        await runtime.transact(keyed("a"))
        await runtime.transact(keyed("a"))
        with pytest.raises(ConflictError, match="key b'once' is taken"):
            await runtime.transact(keyed("a", "b"))

        assert len(attempts) == 3
        assert [await runtime.workflow(name).stream_len() for name in ("a", "b")] == [1, 0]


async def test_a_signal_is_sent_with_what_is_appended_or_not_at_all(tmp_path):
    def deciding(fails):
        async def decide(tx):
            await tx.append("ledger", "custom", b"x")
            await tx.signal("t", "given", "money")
            if fails:
                raise RuntimeError("no")

        return decide

    async with open_runtime(tmp_path / "s.db", workflows=[taker]) as runtime:
        handle = await runtime.start(taker, id="t")
        with pytest.raises(RuntimeError):
            await runtime.transact(deciding(True))
        assert (await handle.describe()).status == "running"
        await runtime.transact(deciding(False))

        assert await handle.result() == "money"
        assert await runtime.workflow("ledger").stream_len() == 1


async def test_a_durable_workflow_is_not_appended_to(tmp_path):
    async def decide(tx):
        await tx.append("t", "custom")

    async with open_runtime(tmp_path / "s.db", workflows=[taker]) as runtime:
        await runtime.start(taker, id="t")
        with pytest.raises(UsageError, match=r"is a durable workflow: .* send it a signal"):
            await runtime.transact(decide)


@pytest.mark.parametrize(
    "call",
    [
        lambda runtime: runtime.workflow("a").append("custom"),
        lambda runtime: runtime.workflow("a").extend([]),
        lambda runtime: runtime.workflow("a").read().list(),
        lambda runtime: runtime.workflow("a").between(0).list(),
        lambda runtime: runtime.workflow("a").stream_len(),
        lambda runtime: runtime.workflow("a").digest(),
        lambda runtime: runtime.workflow("a").event_at(1),
        lambda runtime: runtime.transact(copy_length),
        lambda runtime: anext(runtime.workflow("a").follow()),
        lambda runtime: anext(runtime.replay_all(copy_length, list)),
        lambda runtime: anext(runtime.workflow_ids()),
        lambda runtime: runtime.diff("a", "b").parting(),
        lambda runtime: runtime.set_record("n", b"k", b"v"),
        lambda runtime: runtime.start("order", id="o"),
        lambda runtime: runtime.workflow("o").signal("go"),
        lambda runtime: runtime.workflow("o").query("how"),
        lambda runtime: runtime.workflow("o").update("so"),
        lambda runtime: runtime.workflow("o").cancel(),
        lambda runtime: runtime.workflow("o").terminate(),
        lambda runtime: runtime.workflow("o").resume(),
        lambda runtime: runtime.workflow("o").reset(at=1),
        lambda runtime: runtime.workflow("o").what_if(),
        lambda runtime: runtime.workflow("o").result(),
        lambda runtime: runtime.workflow("o").describe(),
        lambda runtime: runtime.workflow("o").stack(),
        lambda runtime: runtime.workflow("o").status(),
    ],
)
async def test_what_goes_round_the_transaction_is_refused(opened, call):
    async def decide(_tx):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: call(runtime))  # a task that is started there is part of it

    async with opened() as runtime:
        with pytest.RaisesGroup(pytest.RaisesExc(UsageError, match="goes round its transaction")):
            await runtime.transact(decide)
        await runtime.workflow("a").append("custom")


async def test_a_task_that_outlives_its_attempt_goes_round_nothing(opened):
    """Starting it there was an effect, and no good idea; but what it does then is no part of a decision."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        over, deciding = trio.Event(), trio.Event()

        async def later():
            await over.wait()
            await deciding.wait()
            await runtime.workflow("a").append("custom")
            assert await runtime.workflow("a").stream_len() == 1

        async def starts(_tx):
            nursery.start_soon(later)

        async def waits(tx):
            deciding.set()
            await trio.testing.wait_all_tasks_blocked()
            return await tx.next_seq("b")

        await runtime.transact(starts)
        over.set()
        assert await runtime.transact(waits) == 1


async def test_a_transaction_is_good_for_its_own_attempt_alone(opened):
    kept = []

    async def decide(tx):
        kept.append(tx)

    async with opened() as runtime:
        await runtime.transact(decide)
        with pytest.raises(UsageError, match="an attempt that is over"):
            await kept[0].read("a")


@pytest.mark.parametrize("wrong", [None, 7, lambda _tx: 3])
async def test_a_decision_that_is_none_is_told(opened, wrong):
    async with opened() as runtime:
        with pytest.raises(InvalidValueError, match="decide is an async function"):
            await runtime.transact(wrong)


@pytest.mark.parametrize("attempts", [0, -1, 101, True, 1.5])
async def test_an_impossible_number_of_attempts_is_told(opened, attempts):
    async with opened() as runtime:
        with pytest.raises(InvalidValueError, match="attempts_max is an int from 1 to 100"):
            await runtime.transact(copy_length, attempts_max=attempts)


class Waits(InlineKernel):
    """Notes how long anybody waits, always as long as may be."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def random(self):
        return 1.0

    async def sleep(self, seconds):
        self.waits.append(seconds)
        await super().sleep(seconds)


async def test_who_has_lost_waits_up_to_twice_as_long_each_time_and_never_very_long():
    """Or fifty callers over the same two logs would come back together, and all but one give up."""
    kernel = Waits()

    async def lose(tx):
        [head] = await runtime.store.heads(["a"])
        await tx.next_seq("a")
        await tx.append("b", "custom")
        await runtime.store.append([LogWriter.at(head).batch(b"first")])

    async with open_runtime("memory:", kernel=kernel) as runtime:
        kernel.waits.clear()
        with pytest.raises(ConflictError):
            await runtime.transact(lose, attempts_max=10)

    waits = [seconds for seconds in kernel.waits if seconds < 1]
    assert [0.002, 0.004, 0.008] == waits[:3]
    assert 9 == len(waits)
    assert [0.25, 0.25] == waits[-2:]


async def test_a_batch_too_long_is_told_before_anything_is_written(opened):
    async def decide(tx):
        for _ in range(4):
            await tx.append("a", "custom")

    async with opened(batch_events_max=3) as runtime:
        with pytest.raises(BatchError, match="at most 3 events"):
            await runtime.transact(decide)


async def test_what_is_pruned_is_told(opened):
    async def decide(tx):
        return await tx.read("a")

    async with opened() as runtime:
        await runtime.workflow("a").append("custom")
        await cut_all(runtime.store, "a")
        with pytest.raises(EventsPrunedError):
            await runtime.transact(decide)


async def cut_all(store, name):
    [head] = await store.heads([name])
    await store.append([Unit(cuts=(Cut(head.workflow_id, head.next_seq, head.digest, head.next_seq),))])


async def test_a_closed_runtime_takes_no_transaction(opened):
    async with opened() as runtime:
        pass
    with pytest.raises(RuntimeClosedError):
        await runtime.transact(copy_length)


async def test_a_cancelled_transaction_is_written_whole_or_not_at_all(opened):
    async with opened() as runtime:
        with trio.CancelScope() as scope:

            async def decide(tx):
                await tx.append("a", "custom")
                await tx.append("b", "custom")
                scope.cancel()

            await runtime.transact(decide)
        lengths = {await runtime.workflow(name).stream_len() for name in ("a", "b")}

        assert len(lengths) == 1
