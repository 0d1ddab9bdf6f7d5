"""What is written beside the kept states of a projection harms no state that a checkpoint names."""

# ruff: noqa: ARG001  # the virtual clock is asked for, not used

import json

import pytest
import trio
from projection_samples import append, checkpoint_of, count_each, kept_up, opened

from treadle import open_runtime
from treadle.kernel import InlineKernel
from treadle.log import HORIZON_KEY, HORIZON_SPACE
from treadle.projections import Projection, Projections
from treadle.projections.claiming import CLAIMS, Claim
from treadle.projections.removing import remove
from treadle.projections.shelf import Shelf

LOGS = ["a", "b", "a", "c"]


class Interrupted(BaseException):
    """The process has ended here."""


class Interrupting:
    """A host through which something happens before each unit, or the process ends."""

    def __init__(self, host, before):
        self.store, self.kernel, self.converter, self.codecs = (
            host.store,
            host.kernel,
            host.converter,
            host.codecs,
        )
        self._host, self._before, self._units = host, before, 0

    async def commit(self, units):
        self._units += 1
        await self._before(self._units)
        return await self._host.commit(units)


def shelf_of(host):
    return Shelf(host.store, host.converter, host.codecs)


async def is_same(store):
    (verdict,) = await Projections(count_each()).verify(store=store)
    return verdict.same


@pytest.mark.parametrize("met", range(1, 6))
async def test_of_two_rebuilds_at_once_neither_touches_what_the_other_has_put(store, autojump_clock, met):
    """The second begins, and ends, before the first one's unit; from then on all states are whole, always."""
    async with kept_up(store, Projections(count_each()), *LOGS) as runtime:
        await trio.sleep(5)
        seen = []

        async def before(unit):
            if unit == met:
                await Projections(count_each()).rebuild("each", host=runtime.host())
            seen.append(await is_same(store))

        await Projections(count_each()).rebuild("each", host=Interrupting(runtime.host(), before))

        assert all(seen)
        assert await is_same(store)


@pytest.mark.parametrize("last", range(1, 6))
async def test_what_a_killed_rebuild_has_left_is_cleared_by_the_next(store, autojump_clock, last):
    async def before(unit):
        if unit == last:
            raise Interrupted

    async with kept_up(store, Projections(count_each()), *LOGS) as runtime:
        await trio.sleep(5)
        with pytest.raises(Interrupted):
            await Projections(count_each()).rebuild("each", host=Interrupting(runtime.host(), before))
        assert await is_same(store)

        await Projections(count_each()).rebuild("each", host=runtime.host())

        assert json.loads(await store.record(CLAIMS, b"each"))["left"] == []
        generation = json.loads(await checkpoint_of(store, "each"))["generation"]
        for other in {1, 2, 3} - {generation}:
            assert await store.records(f"treadle:projection:each:{other}") == []
        assert await is_same(store)


@pytest.mark.parametrize("last", [3, 4])
async def test_one_begun_anew_after_a_deletion_that_was_killed_finds_no_old_state(
    store, autojump_clock, last
):
    async def before(unit):
        if unit == last:
            raise Interrupted

    async with kept_up(store, Projections(count_each()), *LOGS):
        pass
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        host = Interrupting(runtime.host(), before)
        with pytest.raises(Interrupted):
            await remove(host, shelf_of(host), "each")

    def other_key(event):
        return f"other {event.workflow_id}"

    anew = Projection("each", int, lambda state, _: state + 1, key=other_key)
    for _ in range(2):
        async with opened(store, views := Projections(anew)) as runtime:
            await append(runtime, "a")
            await views.caught_up()

    assert (await views.verify(store=store))[0].same
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        await views.rebuild("each", host=runtime.host())
    assert (await views.verify(store=store))[0].same


async def test_one_that_is_deleted_while_it_is_kept_up_begins_anew(store, autojump_clock):
    """It stands by first, because somebody else has written; but nobody keeps it up then."""
    views = Projections(count_each(), standby_seconds=3)
    async with kept_up(store, views, *LOGS) as runtime:
        await trio.sleep(5)
        assert await remove(runtime.host(), shelf_of(runtime.host()), "each")
        await append(runtime, "a")
        await trio.sleep(2)
        assert views.statistics()[0].status == "standby"
        await trio.sleep(10)

        assert views.statistics()[0].status == "following"
        assert views.state("each", "a") == 3
    assert await is_same(store)


async def test_no_projections_name_makes_its_states_anothers_baseline(store, autojump_clock):
    """A baseline is cleared before it is taken: under the same name, the states of another would go."""
    first = Projection("x", int, lambda state, _: state + 1, key=lambda event: event.workflow_id)
    names = ["x:baseline", "x:baseline:3", "x:3", "x:baseline@3", "x:baseline@3:baseline"]
    others = [Projection(name, int, first.apply, key=first.key) for name in names]
    async with kept_up(store, Projections(first, *others), "a", "b", "a") as runtime:
        for other in others:
            for _ in range(2):
                await Projections(other).rebuild(other.name, host=runtime.host())
        await trio.sleep(5)
        await runtime.set_record(HORIZON_SPACE, HORIZON_KEY, b"2")
        await append(runtime, "a")
        await trio.sleep(60)
        await runtime.set_record(HORIZON_SPACE, HORIZON_KEY, b"4")
        await append(runtime, "a")
        await trio.sleep(60)

    verdicts = await Projections(first, *others).verify(store=store)
    assert all(verdict.same and verdict.from_position for verdict in verdicts)
    assert all(verdict.keys == 2 for verdict in verdicts)


async def test_a_baseline_that_is_overtaken_leaves_the_other_ones_alone(store, autojump_clock):
    """Its claim is gone as soon as somebody else begins to write beside the states."""
    async with kept_up(store, Projections(count_each()), *LOGS) as runtime:
        host = runtime.host()
        space = "treadle:projection:each:2"
        slow = await Claim.take(host, shelf_of(host), "each", space)
        await Projections(count_each()).rebuild("each", host=host)

        with pytest.raises(Exception, match="record"):
            await slow.clear(space)
        assert not await slow.is_held()
        assert len(await store.records(space)) == 3


async def test_a_claim_that_cannot_be_read_is_replaced(store, autojump_clock):
    async with kept_up(store, Projections(count_each()), *LOGS) as runtime:
        await runtime.set_record(CLAIMS, b"each", b"\x00 nothing of ours")
        await Projections(count_each()).rebuild("each", host=runtime.host())
    assert await is_same(store)
