"""Heads of cold actors: fetched together, each waiter answered, errors as own copies."""

from __future__ import annotations

import trio
from asking import start
from faulty import UNAVAILABLE
from trio.testing import wait_all_tasks_blocked

from treadle.errors import InternalError, RuntimeClosedError, StoreUnavailableError


async def test_many_cold_actors_share_a_hop(opened, store):
    """Those who come while a hop is under way share the next one."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        store.reads.close()
        start(nursery, runtime.workflow("first").append, "custom")
        await wait_all_tasks_blocked()
        calls = [start(nursery, runtime.workflow(number).append, "custom") for number in range(300)]
        await wait_all_tasks_blocked()
        store.reads.open()

    assert all(call.result is not None for call in calls)
    assert [len(ids) for ids in store.heads_calls] == [1, 300]


async def test_several_callers_of_one_cold_actor_are_all_answered(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        store.reads.close()
        calls = []
        for _ in range(4):
            calls.append(start(nursery, runtime.workflow("a").append, "custom"))
            await wait_all_tasks_blocked()
        store.reads.open()

    assert sorted(call.result.seq for call in calls) == [1, 2, 3, 4]


async def test_a_cancelled_waiter_wrote_nothing_and_stops_nobody(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        store.reads.close()
        under_way, kept = (start(nursery, runtime.workflow(name).append, "custom") for name in "ab")
        await wait_all_tasks_blocked()
        waiting = start(nursery, runtime.workflow("c").append, "custom")
        also_waiting = start(nursery, runtime.workflow("c").append, "custom", b"kept")
        await wait_all_tasks_blocked()
        under_way.scope.cancel()
        waiting.scope.cancel()
        await wait_all_tasks_blocked()
        assert under_way.cancelled
        assert waiting.cancelled
        store.reads.open()

    assert kept.result.seq == also_waiting.result.seq == 1
    assert store.stored("a") == []
    assert store.payloads("c") == [b"kept"]


async def test_a_store_error_reaches_every_waiter_as_its_own_copy_and_the_next_try_works(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        store.reads.close()
        calls = [start(nursery, runtime.workflow(name).append, "custom") for name in "aab"]
        await wait_all_tasks_blocked()
        store.read_error = UNAVAILABLE
        store.reads.open()
        await wait_all_tasks_blocked()

        assert [type(call.error) for call in calls] == [StoreUnavailableError] * 3
        assert len({id(call.error) for call in calls} | {id(UNAVAILABLE)}) == 4

        store.read_error = None
        assert (await runtime.workflow("a").append("custom")).seq == 1


async def test_a_store_bug_while_loading_is_told_and_survived(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        store.read_error = ZeroDivisionError("a bug")
        call = start(nursery, runtime.workflow("a").append, "custom")
        await wait_all_tasks_blocked()
        store.read_error = None

        assert isinstance(call.error, InternalError)
        assert isinstance(call.error.__cause__, ZeroDivisionError)
        assert (await runtime.workflow("a").append("custom")).seq == 1


async def test_closing_answers_all_who_wait_for_a_head_that_never_comes(opened, store):
    """Also two for one log, of whom the second waits for the next hop."""
    async with trio.open_nursery() as nursery:
        async with opened() as runtime:
            store.reads.close()
            calls = []
            for name in "aab":
                calls.append(start(nursery, runtime.workflow(name).append, "custom"))
                await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()

        assert [type(call.error) for call in calls] == [RuntimeClosedError] * 3
        nursery.cancel_scope.cancel()
    assert store.groups == []
