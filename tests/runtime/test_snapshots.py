"""Snapshots are a cache: they make replay short, and never another one."""

from __future__ import annotations

import logging

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import ORDER, SEEN, TOTAL, Order, counted, cut, filled

from treadle import (
    EventsPrunedError,
    Fold,
    InvalidValueError,
    WorkflowNotFoundError,
    open_runtime,
)
from treadle.kernel import InlineKernel
from treadle.payloads import Compression
from treadle.runtime.snapshots import SNAPSHOTS, snapshot_key
from treadle.stores.memory import MemoryStore


@pytest.fixture
def warned(caplog):
    """The warnings about snapshots so far."""
    caplog.set_level(logging.WARNING, "treadle.runtime")
    return lambda: [record.getMessage() for record in caplog.records if "snapshot" in record.getMessage()]


async def test_replay_from_a_snapshot_reads_only_what_follows(opened, warned):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 50)
        assert await handle.snapshot(SEEN) == 50
        await filled(runtime, "o", 3, first=50)
        calls = []
        state = await handle.replay(counted(calls))

        assert calls == [51, 52, 53]
        assert state == [[seq, str(seq - 1)] for seq in range(1, 54)]
        assert warned() == []


async def test_a_state_of_a_class_comes_back_as_that_class(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        before = await handle.replay(ORDER)
        await handle.snapshot(ORDER)
        after = await handle.replay(ORDER)

        assert isinstance(after, Order)
        assert after == before


async def test_a_state_that_would_come_back_as_something_else_is_refused(opened):
    """JSON has no tuples and no keys that are numbers: a cache that changes them would be seen one day."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 2)
        for initial in (lambda: (1, 2), lambda: {1: "one"}, lambda: {"a": (1,)}, object, lambda: {1}):
            fold = Fold("odd", 1, initial, lambda state, _: state)
            with pytest.raises(InvalidValueError):
                await handle.snapshot(fold)

        assert await runtime.store.records(SNAPSHOTS) == []


async def test_encode_and_decode_of_the_folds_own_are_used(opened):
    fold = Fold(
        "pair", 1, lambda: (0, 0), lambda pair, event: (pair[0] + 1, event.seq),
        encode=lambda pair: b"%d %d" % pair, decode=lambda data: tuple(map(int, data.split())),
    )  # fmt: skip
    async with opened() as runtime:
        handle = await filled(runtime, "o", 4)
        await handle.snapshot(fold)

        assert await handle.replay(fold) == (4, 4)


async def broken(runtime, what):
    key = snapshot_key("o", "seen")
    stored = await runtime.store.record(SNAPSHOTS, key)
    await runtime.set_record(SNAPSHOTS, key, what(stored))


@pytest.mark.parametrize(
    "what",
    [
        lambda stored: stored[:-1],
        lambda stored: stored[:40] + bytes([stored[40] ^ 1]) + stored[41:],
        lambda _: b"",
        lambda _: b"x" * 100,
    ],
)
async def test_a_damaged_snapshot_is_passed_over_with_a_warning(opened, warned, what):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.snapshot(SEEN)
        await broken(runtime, what)

        assert len(await handle.replay(SEEN)) == 5
        assert len(warned()) == 1


async def test_a_snapshot_of_another_version_is_passed_over_and_replaced(opened, warned):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.snapshot(SEEN)
        newer = attrs.evolve(SEEN, version=2, apply=lambda seen, event: [*seen, event.seq])

        assert await handle.replay(newer) == [1, 2, 3, 4, 5]
        assert "version 1" in warned()[0]

        await handle.snapshot(newer)
        told = len(warned())
        assert await handle.replay(newer) == [1, 2, 3, 4, 5]
        assert len(warned()) == told


async def test_a_snapshot_beyond_the_head_is_passed_over(opened, kernel, warned):
    """A backup was restored: the log is shorter than what was kept of it, and then goes on another way."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 9)
        await handle.snapshot(SEEN)
        kept = await runtime.store.record(SNAPSHOTS, snapshot_key("o", "seen"))
    async with open_runtime("memory:", kernel=kernel) as restored:
        handle = await filled(restored, "o", 3)
        await restored.set_record(SNAPSHOTS, snapshot_key("o", "seen"), kept)

        assert len(await handle.replay(SEEN)) == 3
        assert "backup" in warned()[0]

        await filled(restored, "o", 20, first=100)
        assert [seq for seq, _ in await handle.replay(SEEN)] == list(range(1, 24))
        assert "another history" in warned()[1]


async def test_what_was_at_a_seq_is_not_told_by_a_later_snapshot(opened, warned):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 10)
        await handle.snapshot(SEEN)

        assert [seq for seq, _ in await handle.replay(SEEN, to_seq=4)] == [1, 2, 3, 4]
        assert warned() == []


async def test_a_fold_leaves_snapshots_by_itself(opened):
    """After as many replayed events as its policy says, and no sooner."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 9)
        calls = []
        fold = attrs.evolve(counted(calls), snapshot_every=10)
        await handle.replay(fold)
        await handle.replay(fold)
        assert len(calls) == 18

        await filled(runtime, "o", 1)
        await handle.replay(fold)
        calls.clear()
        await handle.replay(fold)
        assert calls == []


async def test_a_replay_that_cannot_leave_a_snapshot_is_a_replay_all_the_same(opened, store, warned):
    from faulty import FULL  # noqa: PLC0415

    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        store.fail_next(FULL)

        assert len(await handle.replay(attrs.evolve(SEEN, snapshot_every=1))) == 5
        assert "no snapshot" in warned()[0]


async def test_a_snapshot_goes_through_the_codecs(kernel):
    store = MemoryStore(kernel)
    async with open_runtime(store, kernel=kernel, codecs=[Compression()]) as runtime:
        handle = await filled(runtime, "o", 300)
        await handle.snapshot(SEEN)
        stored = await store.record(SNAPSHOTS, snapshot_key("o", "seen"))

        assert b"seen" not in stored
        assert len(await handle.replay(SEEN)) == 300


async def test_a_snapshot_of_the_shared_part_serves_a_branch_and_no_other_does(opened, warned):
    async with opened() as runtime:
        parent = await filled(runtime, "p", 10)
        await parent.snapshot(SEEN)
        calls = []
        early = await parent.branch(at=6, to="early")
        await early.replay(counted(calls))
        assert calls == list(range(1, 8))

        calls.clear()
        late = await parent.branch(at=10, to="late")
        deeper = await late.branch(at=11, to="deeper")
        assert len(await deeper.replay(counted(calls))) == 12
        assert calls == [11, 12]
        assert warned() == []


async def test_a_deleted_log_has_no_snapshot_left(opened):
    """Nothing of it can be read, through no back door either."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.snapshot(SEEN)
        await handle.snapshot(TOTAL)
        await (await filled(runtime, "other", 1)).snapshot(TOTAL)
        await handle.delete()

        with pytest.raises(EventsPrunedError):
            await handle.replay(SEEN)
        assert len(await runtime.store.records(SNAPSHOTS)) == 1


async def test_a_snapshot_does_not_stand_for_events_that_were_cut(opened, warned):
    """It never allows pruning: what it holds alone is not believed to be the log."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.snapshot(SEEN)
        await filled(runtime, "o", 5)
        await cut(runtime.store, "o", 8)

        with pytest.raises(EventsPrunedError, match="begins at seq 8"):
            await handle.replay(SEEN)
        assert "before the first that is kept" in warned()[0]


async def test_what_cannot_be_kept_is_refused(opened):
    async with opened() as runtime:
        handle = runtime.workflow("o")
        with pytest.raises(WorkflowNotFoundError, match="no events"):
            await handle.snapshot(SEEN)
        with pytest.raises(InvalidValueError, match="no name"):
            await handle.snapshot(lambda state, _: state)
        await filled(runtime, "o", 1)
        for options in ({"state": 0}, {"from_seq": 2}):
            with pytest.raises(InvalidValueError, match="leave state"):
                await handle.replay(SEEN, **options)
        with pytest.raises(InvalidValueError, match="from a state"):
            await handle.replay(lambda state, _: state)
        with pytest.raises(InvalidValueError, match="at most"):
            await handle.snapshot(Fold("big", 1, str, lambda text, _: text + "x" * 3_000_000))


async def spoil(runtime, place):
    """Flip a bit of each snapshot."""
    for record in await runtime.store.records(SNAPSHOTS):
        spoilt = bytearray(record.value)
        spoilt[place % len(spoilt)] ^= 4
        await runtime.set_record(SNAPSHOTS, record.key, bytes(spoilt))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4)),
        st.tuples(st.just("snapshot"), st.integers(1, 3)),
        st.tuples(st.just("branch"), st.integers(0, 6)),
        st.tuples(st.just("spoil"), st.integers(0, 60)),
        st.tuples(st.just("baseline"), st.integers(1, 3)),
    ),
    max_size=12,
)


@settings(max_examples=20, deadline=None)
@given(STEPS, st.integers(1, 3), st.integers(0, 40))
def test_replay_with_snapshots_is_replay_without(steps, version, to_seq):
    """For any log and branch, any points, any versions of the fold, and any damage to what was kept."""
    replay_both_ways(steps, version, to_seq)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(STEPS, st.integers(1, 3), st.integers(0, 40))
def test_many_replays_with_snapshots_are_replays_without(steps, version, to_seq):
    """The same, for as long as it takes."""
    replay_both_ways(steps, version, to_seq)


def replay_both_ways(steps, version, to_seq):

    def folded(number):
        return Fold(
            "seen", number, list, lambda seen, event: [*seen, [number, event.seq, event.payload.hex()]]
        )

    def plainly(seen, event):
        return seen if event.kind.name == "BASELINE" else folded(version).apply(seen, event)

    async def run():
        async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
            handle = await filled(runtime, "0", 1)
            logs = [handle]
            for step, number in steps:
                if step == "append":
                    await filled(runtime, handle.workflow_id, number)
                elif step == "snapshot":
                    await handle.snapshot(folded(number))
                elif step == "baseline":
                    await handle.baseline(folded(number))
                elif step == "branch":
                    at = max(1, await handle.stream_len() - number)
                    handle = await handle.branch(at=at, to=str(len(logs)))
                    logs.append(handle)
                else:
                    await spoil(runtime, number)
            for log in logs:
                last = to_seq or None
                assert await log.replay(folded(version), to_seq=last) == await log.replay(
                    plainly, [], to_seq=last
                )

    trio.run(run)
