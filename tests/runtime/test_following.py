"""Following: history, then live, without a gap or a repeat, from this process and from others."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import pytest
import trio
from asking import start
from faulty import POISONED, UNAVAILABLE, UNKNOWN, FaultyStore, Gate
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from treadle import NewEvent, RuntimeConfig, open_runtime
from treadle.errors import (
    InvalidValueError,
    RuntimeClosedError,
    StorePoisonedError,
    StoreUnavailableError,
)
from treadle.kernel import InlineKernel


async def take(follower, count: int) -> list[int]:
    return [(await anext(follower)).seq for _ in range(count)]


async def test_history_then_live(opened):
    async with opened(page_events=2) as runtime:
        handle = runtime.workflow("a")
        await handle.extend([NewEvent("custom") for _ in range(5)])
        follower = handle.follow(2)
        assert await take(follower, 4) == [2, 3, 4, 5]
        async with trio.open_nursery() as nursery:
            call = start(nursery, take, follower, 2)
            await wait_all_tasks_blocked()
            assert not call.done
            await handle.append("custom")
            await handle.append("custom")
        assert call.result == [6, 7]


async def test_following_a_log_that_does_not_exist_yet_or_from_beyond_its_end(opened):
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        first, third = (start(nursery, take, handle.follow(seq), 1) for seq in (1, 3))
        await wait_all_tasks_blocked()
        for _ in range(3):
            await handle.append("custom")

    assert first.result == [1]
    assert third.result == [3]


async def test_what_is_in_flight_is_not_followed(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        call = start(nursery, take, handle.follow(), 1)
        store.commits.close()
        start(nursery, handle.append, "custom")
        await wait_all_tasks_blocked()
        assert not call.done
        store.commits.open()

    assert call.result == [1]


async def test_a_commit_between_a_followers_read_and_its_wait_is_not_missed(opened, store, kernel):
    """The read has found nothing and is still on its way back when the event becomes durable."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        way_back, read = Gate(kernel), store.read

        async def slow_read(*args, **options):
            found = await read(*args, **options)
            await way_back.enter()
            return found

        store.read = slow_read
        way_back.close()
        call = start(nursery, take, handle.follow(), 1)
        await wait_all_tasks_blocked()
        await handle.append("custom")
        way_back.open()
        await wait_all_tasks_blocked()
        assert call.result == [1]


async def test_only_the_followers_of_a_log_that_grew_are_woken(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        begun = [start(nursery, take, runtime.workflow(name).follow(), 1) for name in "ab"]
        await wait_all_tasks_blocked()
        store.reads.close()
        runtime._changes.committed("a")
        await wait_all_tasks_blocked()
        assert store.reads.waiting == 1
        store.reads.open()
        await runtime.workflow("a").append("custom")
        await runtime.workflow("b").append("custom")

    assert [call.result for call in begun] == [[1], [1]]


@given(
    page_events=st.integers(1, 3),
    history=st.integers(0, 4),
    pauses=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    from_seq=st.integers(1, 4),
    impatience=st.integers(0, 6),
)
def test_no_gap_and_no_repeat_at_the_seam(page_events, history, pauses, from_seq, impatience):
    """Appends at every distance from the follower's read, the follower cancelled now and then."""
    seen: list[int] = []
    scopes: list[trio.CancelScope] = []
    last = history + len(pauses)

    async def main() -> None:
        config = RuntimeConfig(page_events=page_events)
        async with open_runtime("memory:", kernel=InlineKernel(), config=config) as runtime:
            handle = runtime.workflow("a")
            for _ in range(history):
                await handle.append("custom")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write_with_pauses, handle, pauses)
                if from_seq <= last:
                    nursery.start_soon(follow_until, handle.follow(from_seq), last, seen, scopes)
                    nursery.start_soon(cancel_now_and_then, scopes, impatience)
            assert runtime._changes._interests == {}

    trio.run(main, clock=MockClock(autojump_threshold=0))

    assert seen == list(range(from_seq, last + 1))


async def pause(steps: int) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()


async def write_with_pauses(handle, pauses: list[int]) -> None:
    for steps in pauses:
        await pause(steps)
        await handle.append("custom")


async def follow_until(follower, last: int, seen: list[int], scopes: list[trio.CancelScope]) -> None:
    while not seen or seen[-1] < last:
        with trio.CancelScope() as scope:
            scopes.append(scope)
            seen.append((await anext(follower)).seq)


async def cancel_now_and_then(scopes: list[trio.CancelScope], impatience: int) -> None:
    for _ in range(20 if impatience else 0):
        await pause(impatience)
        if scopes:
            scopes[-1].cancel()


async def test_leaving_early_leaves_nothing_behind(opened):
    """Broken out of, cancelled while waiting, or dropped: nobody is listening any more."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom")
        async for event in handle.follow():
            assert event.seq == 1
            break
        calls = [start(nursery, take, handle.follow(), 2) for _ in range(3)]
        await wait_all_tasks_blocked()
        assert runtime._changes.anybody
        for call in calls:
            call.scope.cancel()
        await wait_all_tasks_blocked()

        assert runtime._changes._interests == {}
        assert not runtime._changes.anybody


@pytest.mark.parametrize("page_events", [1, 2, 5])
async def test_tasks_that_share_a_follower_are_given_each_event_once(opened, page_events):
    """In history and live, however many come at once."""
    taken: list[int] = []

    async def take_all(follower) -> None:
        async for event in follower:
            taken.append(event.seq)
            await trio.lowlevel.checkpoint()

    async with opened(page_events=page_events) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.extend([NewEvent("custom")] * 5)
        follower = handle.follow()
        for _ in range(3):
            nursery.start_soon(take_all, follower)
        await wait_all_tasks_blocked()
        await handle.append("custom")
        await handle.extend([NewEvent("custom")] * 4)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert taken == list(range(1, 11))


async def test_cancellation_loses_no_event(opened, store):
    """Cancelled while it reads the page; the next call gives the event that one would have given."""
    async with opened(page_events=1) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.extend([NewEvent("custom") for _ in range(3)])
        follower = handle.follow()
        assert await take(follower, 1) == [1]
        store.reads.close()
        call = start(nursery, take, follower, 1)
        await wait_all_tasks_blocked()
        call.scope.cancel()
        await wait_all_tasks_blocked()
        store.reads.open()
        assert await take(follower, 2) == [2, 3]


async def test_commits_of_other_processes_arrive_by_polling(kernel, autojump_clock):
    """Within poll_seconds, and only while somebody follows is the store asked."""
    store = FaultyStore(kernel, shared=True)
    asked = []
    change_counter = store.change_counter

    async def counted() -> int:
        asked.append(trio.current_time())
        return await change_counter()

    store.change_counter = counted
    config = RuntimeConfig(poll_seconds=2)
    async with open_runtime(store, kernel=kernel, config=config) as runtime, trio.open_nursery() as nursery:
        await trio.sleep(10)
        assert asked == []
        follower = runtime.workflow("a").follow()
        call = start(nursery, take, follower, 1)
        await trio.sleep(5)
        store.write_foreign("a", b"foreign")
        await wait_all_tasks_blocked()
        assert not call.done
        await trio.sleep(1.5)
        assert call.result == [1]
        await trio.sleep(10)
        asked.clear()
        await trio.sleep(20)
        assert asked == []

        call = start(nursery, take, follower, 1)
        await trio.sleep(3)
        store.write_foreign("a", b"foreign")
        await trio.sleep(2.5)
        assert call.result == [2]


async def test_a_store_nobody_else_writes_to_is_not_polled(opened, store, autojump_clock):
    async with opened() as runtime, trio.open_nursery() as nursery:
        store.read_error = None
        call = start(nursery, take, runtime.workflow("a").follow(), 1)
        await wait_all_tasks_blocked()
        assert runtime._changes._poller is None
        await trio.sleep(100)
        await runtime.workflow("a").append("custom")
        await wait_all_tasks_blocked()
        assert call.result == [1]


async def test_runtimes_over_one_open_store_hear_of_each_others_commits(store, opened):
    """Also when nobody else can write to the store, so that nobody polls it; one that closes ends its own."""
    async with trio.open_nursery() as nursery, opened() as one:
        async with opened() as two:
            calls = [start(nursery, take, runtime.workflow("a").follow(), 2) for runtime in (one, two)]
            kept = start(nursery, take, one.workflow("a").follow(), 3)
            ended = start(nursery, take, two.workflow("a").follow(), 3)
            await wait_all_tasks_blocked()
            for runtime in (one, two):
                await runtime.workflow("a").append("custom")
                await wait_all_tasks_blocked()

            assert [call.result for call in calls] == [[1, 2], [1, 2]]

        await wait_all_tasks_blocked()
        assert isinstance(ended.error, RuntimeClosedError)
        assert not kept.done
        await one.workflow("a").append("custom")
        await wait_all_tasks_blocked()
        assert kept.result == [1, 2, 3]


async def test_a_poll_that_fails_in_passing_ends_nothing_for_good(kernel, autojump_clock):
    """Followers hear of a busy store as readers do, and may ask again."""
    store = FaultyStore(kernel, shared=True)
    async with open_runtime(store, kernel=kernel) as runtime, trio.open_nursery() as nursery:
        follower = runtime.workflow("a").follow()
        call = start(nursery, take, follower, 1)
        await wait_all_tasks_blocked()
        store.read_error = UNAVAILABLE
        await trio.sleep(1)
        assert isinstance(call.error, StoreUnavailableError)
        store.read_error = None
        call = start(nursery, take, follower, 1)
        await wait_all_tasks_blocked()
        store.write_foreign("a", b"foreign")
        await trio.sleep(1)
        assert call.result == [1]


async def test_poison_ends_followers_with_the_same_error(opened, store):
    """Those who wait now, and those who come."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        calls = [start(nursery, take, handle.follow(), 1) for _ in range(2)]
        await wait_all_tasks_blocked()
        store.fail_next(POISONED)
        with pytest.raises(StorePoisonedError):
            await handle.append("custom")
        await wait_all_tasks_blocked()

        assert [type(call.error) for call in calls] == [StorePoisonedError] * 2
        assert calls[0].error is not calls[1].error
        with pytest.raises(StorePoisonedError):
            await anext(handle.follow())
        assert runtime._changes._interests == {}


async def test_poison_seen_by_the_poll_ends_followers(kernel, autojump_clock):
    store = FaultyStore(kernel, shared=True)
    async with open_runtime(store, kernel=kernel) as runtime, trio.open_nursery() as nursery:
        call = start(nursery, take, runtime.workflow("a").follow(), 1)
        await wait_all_tasks_blocked()

        async def poisoned() -> int:
            raise POISONED

        store.change_counter = poisoned
        await trio.sleep(1)
        assert isinstance(call.error, StorePoisonedError)


@pytest.mark.parametrize("written", [False, True])
async def test_an_unknown_outcome_ends_no_follower(opened, store, written):
    """If the event is there after all, followers see it at once; if not, they go on waiting."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        call = start(nursery, take, handle.follow(), 1)
        await wait_all_tasks_blocked()
        store.fail_next(UNKNOWN, written=written)
        with pytest.raises(type(UNKNOWN)):
            await handle.append("custom")
        await wait_all_tasks_blocked()
        assert call.done is written
        await handle.append("custom")

    assert call.result == [1]


def test_a_bound_that_is_no_seq_is_refused():
    async def main() -> None:
        async with open_runtime("memory:") as runtime:
            for bound in (0, -1, True, 1.0, "1", 2**63):
                with pytest.raises(InvalidValueError):
                    runtime.workflow("a").follow(bound)

    trio.run(main)
