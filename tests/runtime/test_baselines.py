"""Baselines: a log whose beginning was removed gives the same states to the folds that were kept."""

from __future__ import annotations

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import ORDER, SEEN, TOTAL, counted, cut, cut_of, filled, note

from treadle import (
    ConflictError,
    EventKind,
    EventsPrunedError,
    Fold,
    InvalidValueError,
    UsageError,
    WorkflowNotFoundError,
    open_runtime,
    workflow,
)
from treadle.kernel import InlineKernel
from treadle.payloads import Compression, Encryption, KeyRing
from treadle.stores.memory import MemoryStore


@workflow.define
async def sleeper() -> None:
    await workflow.sleep(1e6)


async def test_replay_begins_at_the_baseline_when_what_came_before_is_gone(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 20)
        written = await handle.baseline(SEEN, TOTAL, ORDER)
        assert [event.seq for event in written.events] == [21, 22, 23]
        assert {event.kind for event in written.events} == {EventKind.BASELINE}
        await filled(runtime, "o", 4)
        whole = [await handle.replay(fold) for fold in (SEEN, TOTAL, ORDER)]
        await cut(runtime.store, "o", 21)

        assert [await handle.replay(fold) for fold in (SEEN, TOTAL, ORDER)] == whole
        calls = []
        await handle.replay(counted(calls))
        assert calls == [24, 25, 26, 27]
        with pytest.raises(EventsPrunedError):
            await handle.replay(lambda state, _: state, 0)
        with pytest.raises(EventsPrunedError):
            await handle.read().list()


async def test_a_baseline_holds_what_a_snapshot_has_led_to(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.snapshot(SEEN)
        await filled(runtime, "o", 2)
        await handle.baseline(SEEN)
        await cut(runtime.store, "o", 8)

        assert [seq for seq, _ in await handle.replay(SEEN)] == [1, 2, 3, 4, 5, 6, 7]
        await handle.baseline(SEEN)
        assert await handle.next_seq() == 9, "the same baseline was written twice"


async def test_a_fold_that_cannot_read_the_baseline_raises(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 3)
        await handle.baseline(SEEN)
        await cut(runtime.store, "o", 4)

        with pytest.raises(EventsPrunedError, match="kept for these folds: 'seen'") as caught:
            await handle.replay(TOTAL)
        assert caught.value.first_kept_seq == 4
        with pytest.raises(EventsPrunedError, match="upgrade"):
            await handle.replay(attrs.evolve(SEEN, version=2))
        with pytest.raises(EventsPrunedError, match="nothing of what is asked for"):
            await handle.replay(SEEN, to_seq=2)


async def test_a_later_version_reads_a_baseline_through_its_upgrade(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 3)
        await handle.baseline(SEEN)
        await cut(runtime.store, "o", 4)
        await filled(runtime, "o", 1)
        newer = Fold(
            "seen", 2, int, lambda count, _: count + 1, upgrade=lambda version, old: len(old) + version
        )

        assert await handle.replay(newer) == 3 + 1 + 1


async def test_a_baseline_for_no_fold_of_the_log_is_refused(opened):
    async with opened() as runtime:
        handle = runtime.workflow("o")
        with pytest.raises(WorkflowNotFoundError, match="nothing a baseline could hold"):
            await handle.baseline(SEEN)
        await filled(runtime, "o", 2)
        for folds in ((), (SEEN, SEEN), (SEEN, attrs.evolve(TOTAL, name="seen")), (len,)):
            with pytest.raises(InvalidValueError):
                await handle.baseline(*folds)
        with pytest.raises(InvalidValueError, match="come back"):
            await handle.baseline(SEEN, Fold("pair", 1, lambda: (1,), lambda pair, _: pair))
        assert await handle.next_seq() == 3


async def test_a_durable_workflow_makes_its_baselines_itself(kernel):
    async with open_runtime("memory:", kernel=kernel, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, id="w")
        with pytest.raises(UsageError, match="continue_as_new"):
            await handle.baseline(SEEN)


async def test_what_others_append_meanwhile_is_in_the_baseline(opened, store):
    """It is decided again on what is there, and gives up when others are always faster."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 3)
        store.before_write.append(lambda: store.write_foreign("o", b"theirs"))
        written = await handle.baseline(SEEN)
        assert written.seq == 5
        await cut(store, "o", 5)
        assert (await handle.replay(SEEN))[-1] == [4, "theirs"]

    async with opened(readmissions_max=2) as runtime:
        handle = await filled(runtime, "p", 1)
        store.before_write.extend([lambda: store.write_foreign("p", b"theirs")] * 3)
        with pytest.raises(ConflictError, match="p"):
            await handle.baseline(SEEN)
        assert await handle.next_seq() == 5


async def test_a_log_deleted_while_it_is_folded_gets_no_baseline(opened, monkeypatch):
    """It stands where it stood, and what was deleted would be back in the state. The store itself tells."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 3)
        commit, deletions = runtime._supervisor.commit_unit, []

        async def deleted_before(proposal, unit):
            if not deletions:
                deletions.append(unit)
                await handle.delete()
            return await commit(proposal, unit)

        monkeypatch.setattr(runtime._supervisor, "commit_unit", deleted_before)
        with pytest.raises(WorkflowNotFoundError):
            await handle.baseline(SEEN)
        assert await handle.next_seq() == 4


async def test_a_baseline_goes_through_the_codecs(kernel):
    store = MemoryStore(kernel)
    async with open_runtime(store, kernel=kernel, codecs=[Compression()]) as runtime:
        handle = await filled(runtime, "o", 300)
        event = (await handle.baseline(SEEN)).event
        assert b"seen" not in event.payload
        await cut(store, "o", 301)

        assert len(await handle.replay(SEEN)) == 300


async def test_a_branch_begins_at_a_baseline_that_was_encrypted_for_another_log(kernel):
    """Its own payloads are bound to its id, the shared ones to the ids they were written under."""
    keys = KeyRing({"k": bytes(range(64))}, current="k")
    async with open_runtime(MemoryStore(kernel), kernel=kernel, codecs=[Encryption(keys)]) as runtime:
        handle = await filled(runtime, "o", 3)
        await handle.baseline(SEEN)
        await handle.prune()
        branch = await (await handle.branch(at=4, to="b")).branch(at=5, to="c")
        await branch.append("custom", b"own")

        assert [seq for seq, _ in await branch.replay(SEEN)] == [1, 2, 3, 5, 6, 7]


async def test_a_baseline_of_somebody_elses_making_is_none_of_ours(opened):
    """Anybody may append the kind: what it holds is not ours, and nothing begins there."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 3)
        await handle.append("baseline", b"{}")
        assert len(await handle.replay(SEEN)) == 3
        await cut(runtime.store, "o", 4)
        with pytest.raises(EventsPrunedError, match="none"):
            await handle.replay(SEEN)


async def test_a_log_cut_while_it_is_replayed_is_replayed_from_its_baseline(opened, store):
    """A reader that has begun at seq 1 begins anew where the log begins now."""
    async with opened(page_events=2) as runtime:
        handle = await filled(runtime, "o", 6)
        await handle.baseline(SEEN)
        calls = []
        fold = counted(calls)

        async def replay():
            assert [seq for seq, _ in await handle.replay(fold)] == [1, 2, 3, 4, 5, 6]

        store.reads.close()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replay)
            await trio.testing.wait_all_tasks_blocked()
            store.reads.let_through()  # the head
            await trio.testing.wait_all_tasks_blocked()
            (head,) = await MemoryStore.heads(store, ["o"])
            await MemoryStore.append(store, [cut_of(head, 7)])
            store.reads.open()
        assert calls == []


async def test_replay_all_takes_no_half_of_a_log_for_the_whole(opened):
    """A fold begins at the baseline; a function is refused that log alone, unless it wants what is left."""
    async with opened(page_events=4) as runtime:
        whole = {}
        for name, count in (("a", 3), ("b", 20), ("c", 5)):
            handle = await filled(runtime, name, count)
            await handle.baseline(SEEN)
            await filled(runtime, name, 2)
            whole[name] = await handle.replay(SEEN)
        await cut(runtime.store, "b", 21)

        assert {one.workflow_id: one.state async for one in runtime.replay_all(SEEN)} == whole

        states, refused = {}, []
        replay = runtime.replay_all(note, list)
        while len(states) + len(refused) < 3:
            try:
                replayed = await anext(replay)
                states[replayed.workflow_id] = replayed.state
            except EventsPrunedError as error:
                refused.append((error.workflow_id, error.first_kept_seq))
        assert (sorted(states), refused) == (["a", "c"], [("b", 21)])

        left = {
            one.workflow_id: one.events async for one in runtime.replay_all(note, list, from_first_kept=True)
        }
        assert left == {"a": 6, "b": 3, "c": 8}
        with pytest.raises(InvalidValueError, match="first state"):
            runtime.replay_all(SEEN, list)
        with pytest.raises(EventsPrunedError):
            [one async for one in runtime.replay_all(TOTAL)]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["", "base", "cut", "snap"])), max_size=10))
def test_a_log_cut_at_baselines_gives_the_states_of_the_whole_log(steps):
    """Wherever baselines stand, however often the log is cut at them: the fold cannot tell."""

    async def run():
        async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
            handle, other = await filled(runtime, "o", 1), await filled(runtime, "copy", 1)
            bases = []
            for count, step in steps:
                for log in ("o", "copy"):
                    await filled(runtime, log, count)
                if step == "base":
                    written = await handle.baseline(SEEN, TOTAL)
                    bases.append(written.events[0].seq)
                    if not written.repeated:
                        await other.append("baseline", b"")
                        await other.append("baseline", b"")
                elif step == "cut" and bases:
                    await cut(runtime.store, "o", bases[-1])
                elif step == "snap":
                    await handle.snapshot(SEEN)
                for fold in (SEEN, TOTAL):
                    assert await handle.replay(fold) == await other.replay(fold)

    trio.run(run)
