"""Branches and deletion through handles: nothing is copied, lost, or begun anew by accident."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from faulty import UNAVAILABLE, FaultyStore
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import (
    ConflictError,
    EventKind,
    EventsPrunedError,
    InvalidValueError,
    RuntimeClosedError,
    SequenceGapError,
    UsageError,
    WorkflowExistsError,
    WorkflowNotFoundError,
    open_runtime,
    workflow,
)
from treadle.kernel import InlineKernel
from treadle.log import decode_branched


@workflow.define
async def sleeper() -> None:
    await workflow.sleep(1e6)


async def filled(runtime, name, count):
    handle = runtime.workflow(name)
    for number in range(count):
        await handle.append("custom", b"%d" % number)
    return handle


async def payloads(handle):
    return [event.payload async for event in handle.read()]


async def test_a_branch_reads_as_one_log_and_both_sides_go_on(opened):
    async with opened() as runtime:
        parent = await filled(runtime, "p", 4)
        branch = await parent.branch(at=2, to="b")
        await branch.append("custom", b"own")
        await parent.append("custom", b"4")

        events = await branch.read().list()
        assert [event.seq for event in events] == [1, 2, 3, 4]
        assert [event.kind for event in events][2] is EventKind.BRANCHED
        assert [event.payload for event in events][3] == b"own"
        assert await payloads(parent) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_branch_of_a_plain_log_asks_nothing_but_its_append(kernel):
    """One unit, however long the history, and wherever in it; no question before it."""
    store = FaultyStore(kernel)
    async with open_runtime(store, kernel=kernel) as runtime:
        parent = await filled(runtime, "p", 9)
        store.groups.clear()
        store.read_error = UNAVAILABLE
        for at in (9, 4, 1):
            await parent.branch(at=at, to=f"b{at}")
        store.read_error = None

        assert [len(group) for group in store.groups] == [1, 1, 1]
        assert [len(await runtime.workflow(f"b{at}").read().list()) for at in (9, 4, 1)] == [10, 5, 2]


async def test_a_branch_shares_what_stands_before_it_in_its_own_group(kernel):
    """The event it is branched at may be on its way yet; it is there when the branch's turn comes."""
    store = FaultyStore(kernel)
    async with open_runtime(store, kernel=kernel) as runtime:
        parent, other = await filled(runtime, "p", 1), await filled(runtime, "o", 1)
        async with trio.open_nursery() as nursery:
            store.commits.close()
            for begin in (
                partial(other.append, "custom", b"in the group before"),
                partial(parent.append, "custom", b"last"),
                partial(parent.branch, at=2, to="b"),
            ):
                nursery.start_soon(begin)
                await trio.testing.wait_all_tasks_blocked()
            store.commits.open()

        assert [len(group) for group in store.groups[-2:]] == [1, 2]
        assert (await payloads(runtime.workflow("b")))[:2] == [b"0", b"last"]


async def test_the_first_event_of_a_branch_says_where_it_comes_from(opened):
    async with opened() as runtime:
        parent = await filled(runtime, "p", 3)
        digest = (await runtime.store.audit("p"))[1].digest
        seeds = set()
        for name in ("b", "c"):
            branch = await parent.branch(at=2, to=name)
            told = decode_branched((await branch.event_at(3)).payload)
            seeds.add(told.seed)

            assert (told.parent, told.at, told.digest) == ("p", 2, digest.hex())

        assert len(seeds) == 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 3)), max_size=6))
def test_any_tree_of_branches_reads_as_copies_would(wishes):
    """A branch of a branch of a branch, at any event: what a list that was copied would hold."""
    import trio  # noqa: PLC0415

    async def run():
        async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
            model = {"0": [b"0", b"1", b"2"]}
            await filled(runtime, "0", 3)
            for parent, age, appended in wishes:
                source = str(parent % len(model))
                at = max(1, len(model[source]) - age)
                branch = await runtime.workflow(source).branch(at=at, to=str(len(model)))
                copied = [*model[source][:at], None]
                for number in range(appended):
                    await branch.append("custom", b"%d" % number)
                    copied.append(b"%d" % number)
                model[branch.workflow_id] = copied
            for name, expected in model.items():
                events = await runtime.workflow(name).read().list()
                found = [None if e.kind is EventKind.BRANCHED else e.payload for e in events]
                assert (found, [e.seq for e in events]) == (expected, list(range(1, len(expected) + 1)))

    trio.run(run)


async def test_a_parent_that_is_deleted_leaves_its_branch_whole(opened):
    async with opened() as runtime:
        parent = await filled(runtime, "p", 3)
        branch = await parent.branch(at=2, to="b")
        await parent.delete()

        assert (await payloads(branch))[:2] == [b"0", b"1"]
        assert [name async for name in runtime.workflow_ids()] == ["b"]
        with pytest.raises(EventsPrunedError):
            await payloads(parent)


async def test_a_deleted_id_never_begins_again_at_one(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "p", 3)
        await handle.delete()
        with pytest.raises(EventsPrunedError):
            await handle.append("custom", b"again", seq=1)

        assert (await handle.append("custom", b"new")).event.seq == 4
        with pytest.raises(WorkflowExistsError):
            await (await filled(runtime, "q", 1)).branch(at=1, to="p")


@pytest.mark.parametrize(
    ("at", "to", "kind", "words"),
    [
        (0, "b", InvalidValueError, "a seq is an int from 1"),
        (True, "b", InvalidValueError, "a seq is an int from 1"),
        (4, "b", SequenceGapError, "there is no event 4 to branch at; give one from 2 to 3"),
        (1, "b", EventsPrunedError, "seq 1 lies below the first kept seq 2 and cannot be branched at"),
        (2, "used", WorkflowExistsError, "workflow id 'used' is in use"),
        (2, "p", UsageError, "cannot be a branch of itself"),
        (2, "", InvalidValueError, "at least one character"),
    ],
)
async def test_a_branch_that_cannot_be_is_refused_and_changes_nothing(opened, at, to, kind, words):
    from treadle.stores import Cut, Unit  # noqa: PLC0415

    async with opened() as runtime:
        parent = await filled(runtime, "p", 3)
        await filled(runtime, "used", 1)
        [head] = await runtime.store.heads(["p"])
        await runtime.store.append([Unit(cuts=(Cut("p", head.next_seq, head.digest, 2),))])
        before = await runtime.store.feed()
        with pytest.raises(kind, match=words):
            await parent.branch(at=at, to=to)

        assert await runtime.store.feed() == before


async def test_a_log_without_events_has_nothing_to_branch_or_delete(opened):
    async with opened() as runtime:
        with pytest.raises(SequenceGapError, match="has no events: there is nothing to branch"):
            await runtime.workflow("p").branch(at=1, to="b")
        with pytest.raises(WorkflowNotFoundError, match="nothing to delete"):
            await runtime.workflow("p").delete()


async def test_a_durable_workflow_is_not_deleted_as_a_plain_log(tmp_path):
    async with open_runtime(tmp_path / "s.db", workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, id="s")
        with pytest.raises(UsageError, match="durable workflow"):
            await handle.delete()


async def test_a_closed_runtime_branches_nothing(opened):
    async with opened() as runtime:
        parent = await filled(runtime, "p", 1)
    with pytest.raises(RuntimeClosedError):
        await parent.branch(at=1, to="b")


async def test_a_log_that_has_moved_on_is_not_deleted(opened, store, monkeypatch):
    async with opened() as runtime:
        handle = await filled(runtime, "p", 1)
        stale = await store.heads(["p"])
        await handle.append("custom", b"1")

        async def heads(_names):
            return stale

        monkeypatch.setattr(store, "heads", heads)
        with pytest.raises(ConflictError, match="now stands at 3"):
            await handle.delete()
        monkeypatch.undo()

        assert await payloads(handle) == [b"0", b"1"]
