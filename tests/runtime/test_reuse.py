"""A log whose id was deleted and used again is whole: nothing that came before the deletion belongs to it."""

import pytest
from keeping import SEEN, cut, filled, note

from treadle import EventKind, EventsPrunedError, WorkflowEvent
from treadle.runtime import reuse
from treadle.stores import Branch, Unit
from treadle.testing.batches import chained


async def used_again(runtime, name="o", deletions=1):
    """Fill a log, delete it, and fill it again: two events each time."""
    for number in range(deletions + 1):
        if number:
            await runtime.workflow(name).delete()
        handle = await filled(runtime, name, 2, first=10 * number)
    return handle


async def states_of(runtime, function, *state):
    return {one.workflow_id: one.state async for one in runtime.replay_all(function, *state)}


async def test_it_is_folded_from_its_first_state(opened):
    async with opened() as runtime:
        handle = await used_again(runtime)

        assert [[3, "10"], [4, "11"]] == await handle.replay(SEEN)
        assert [[3, "10"]] == await handle.replay(SEEN, to_seq=3)
        assert {"o": [[3, "10"], [4, "11"]]} == await states_of(runtime, SEEN)
        assert {"o": [(3, "10"), (4, "11")]} == await states_of(runtime, note, list)


async def test_it_gets_snapshots_and_baselines_as_any_other(opened):
    async with opened() as runtime:
        handle = await used_again(runtime)
        assert 4 == await handle.snapshot(SEEN)
        await handle.baseline(SEEN)
        await cut(runtime.store, "o", 5)

        assert [[3, "10"], [4, "11"]] == await handle.replay(SEEN)
        with pytest.raises(EventsPrunedError):
            await states_of(runtime, note, list)


async def test_a_branch_is_whole_as_well_whatever_becomes_of_its_parent(opened):
    async with opened() as runtime:
        handle = await used_again(runtime)
        branch = await (await handle.branch(at=4, to="b")).branch(at=5, to="c")
        await handle.delete()
        await filled(runtime, "o", 1, first=20)

        assert [[3, "10"], [4, "11"]] == (await branch.replay(SEEN))[:2]
        assert [[5, "20"]] == await handle.replay(SEEN)
        states = await states_of(runtime, note, list)
        assert {"o": 1, "b": 3, "c": 4} == {name: len(state) for name, state in states.items()}


async def test_a_branch_that_names_no_parent_is_refused_as_one_that_was_cut(opened):
    """A store's own branches may begin with any event; whether anything is missing, nobody can tell."""
    async with opened() as runtime:
        await used_again(runtime)
        [row] = await runtime.store.audit("o", 3)
        batch = chained("b", row.digest, [WorkflowEvent(5, 0, EventKind.CUSTOM, b"own")])
        await runtime.store.append([Unit((batch,), branches=(Branch("b", "o", 4, row.digest),))])

        with pytest.raises(EventsPrunedError):
            await states_of(runtime, note, list)
        with pytest.raises(EventsPrunedError):
            await runtime.workflow("b").replay(SEEN)


async def test_only_the_newest_deletions_are_known(opened, monkeypatch):
    monkeypatch.setattr(reuse, "DELETIONS_MAX", 2)
    async with opened() as runtime:
        handle = await used_again(runtime, deletions=3)

        assert b"5 7" == await runtime.store.record(reuse.DELETED, b"o")
        assert [[7, "30"], [8, "31"]] == await handle.replay(SEEN)


async def test_a_baseline_holds_nothing_from_before_a_deletion_that_came_first(opened, monkeypatch):
    """Deleted and used again between the fold and the commit, a log goes on where it was folded to."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 2)
        commit, deletions = runtime._supervisor.commit_unit, []

        async def used_again_before(proposal, unit):
            if not deletions:
                deletions.append(unit)
                await handle.delete()
                await filled(runtime, "o", 1, first=10)
            return await commit(proposal, unit)

        monkeypatch.setattr(runtime._supervisor, "commit_unit", used_again_before)
        await handle.baseline(SEEN)
        await cut(runtime.store, "o", 4)

        assert [[3, "10"]] == await handle.replay(SEEN)
