"""Opening, closing, failing: what was accepted is written, what was refused is not, errors leave bare."""
# ruff: noqa: ARG001, PT012  # the virtual clock is asked for, not used; a runtime's block is what raises

from __future__ import annotations

import attrs
import pytest
import trio
from asking import all_ended, custom, start, start_in_order
from faulty import POISONED, FaultyStore
from trio.testing import wait_all_tasks_blocked

from treadle import NewEvent, RuntimeConfig, open_runtime
from treadle.errors import (
    BatchError,
    InternalError,
    InvalidValueError,
    RuntimeClosedError,
    StoreUnavailableError,
    UsageError,
)
from treadle.kernel import InlineKernel, TrioKernel
from treadle.runtime import RetentionStatistics
from treadle.runtime.durable.describing import RunnerStatistics
from treadle.stores import open_store

# -- closing --


async def test_what_was_accepted_is_flushed(opened, store, autojump_clock):
    """In flight, in the open group, in the task's hands, in the inbox: all are written before it ends."""
    async with trio.open_nursery() as nursery:
        async with opened(group_events_max=1, inbox_messages_max=4) as runtime:
            handle = runtime.workflow("a")
            await handle.append("custom", b"first")
            store.commits.close()
            calls = await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(7)])
            nursery.start_soon(_open_later, store, 3)
        assert trio.current_time() == 3
        await wait_all_tasks_blocked()

    assert [call.result.seq for call in calls] == list(range(2, 9))


async def _open_later(store: FaultyStore, seconds: float) -> None:
    await trio.sleep(seconds)
    store.commits.open()


async def test_senders_without_room_are_refused_and_surely_not_written(opened, store, autojump_clock):
    """Closing lets in nobody who had not got past the full inbox."""
    async with trio.open_nursery() as nursery:
        async with opened(group_events_max=1, inbox_messages_max=2) as runtime:
            handle = runtime.workflow("a")
            await handle.append("custom", b"first")
            store.commits.close()
            calls = await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(9)])
            nursery.start_soon(_open_later, store, 3)
        await wait_all_tasks_blocked()

    accepted, refused = calls[:5], calls[5:]  # written, in the group, in hand, two in the inbox; four outside
    assert [call.result.seq for call in accepted] == [2, 3, 4, 5, 6]
    assert [type(call.error) for call in refused] == [RuntimeClosedError] * 4
    assert store.payloads("a") == [b"first", *(b"%d" % n for n in range(5))]


async def test_senders_without_room_are_refused_even_if_all_room_comes_at_once(opened, store):
    """The actor finds them at the full inbox when it drains it, and must not take them either."""
    async with trio.open_nursery() as nursery:
        async with opened(inbox_messages_max=2) as runtime:
            handle = runtime.workflow("a")
            await handle.append("custom", b"first")
            store.reads.close()
            repeat, *calls = await start_in_order(
                nursery,
                (handle.append, *custom(b"first", seq=1)),
                *[(handle.append, *custom(b"%d" % n)) for n in range(5)],
            )
            runtime._supervisor.closing = True  # as closing does first
            store.reads.open()
        await all_ended(calls)

    assert repeat.result.repeated
    assert [call.result and call.result.seq for call in calls] == [2, 3, None, None, None]
    assert [type(call.error) for call in calls[2:]] == [RuntimeClosedError] * 3
    assert store.payloads("a") == [b"first", b"0", b"1"]


async def test_the_deadline_bounds_what_waits_but_the_commit_in_flight_is_awaited(
    opened, store, autojump_clock
):
    """A commit that takes longer than the deadline: awaited, its caller answered; the rest is refused."""
    async with trio.open_nursery() as nursery:
        async with opened(close_timeout_seconds=2, group_events_max=2, inbox_messages_max=3) as runtime:
            handle = runtime.workflow("a")
            await handle.append("custom", b"first")
            store.commits.close()
            calls = await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(8)])
            nursery.start_soon(_open_later, store, 50)
        assert trio.current_time() == 50
        await wait_all_tasks_blocked()

    assert calls[0].result.seq == 2
    assert [type(call.error) for call in calls[1:]] == [RuntimeClosedError] * 7
    assert store.payloads("a") == [b"first", b"0"]


async def test_the_deadline_ends_a_read_that_never_ends(opened, store, autojump_clock):
    """An actor that waits for the store for ever does not hold up closing, and its caller is answered."""
    async with trio.open_nursery() as nursery:
        async with opened(close_timeout_seconds=2) as runtime:
            handle = runtime.workflow("a")
            await handle.append("custom", b"first")
            store.reads.close()
            calls = await start_in_order(
                nursery, (handle.append, *custom(b"x", seq=1)), (handle.append, *custom(b"y"))
            )
            assert runtime.statistics().actors_awake == 1
        assert trio.current_time() == 2
        await wait_all_tasks_blocked()

    assert [type(call.error) for call in calls] == [RuntimeClosedError] * 2
    assert store.payloads("a") == [b"first"]


async def test_records_that_wait_for_room_are_refused_when_the_deadline_passes(opened, store, autojump_clock):
    """Closing wakes whoever waits at a full group, also when that group is never written."""
    async with trio.open_nursery() as nursery:
        async with opened(close_timeout_seconds=2, group_events_max=1) as runtime:
            handle = runtime.workflow("a")
            await handle.append("custom", b"first")
            store.commits.close()
            calls = await start_in_order(
                nursery,
                (handle.append, *custom(b"0")),
                (handle.append, *custom(b"1")),
                (runtime.set_record, "n", b"k", b"v"),
            )
            nursery.start_soon(_open_later, store, 5)
        await all_ended(calls)

    assert [type(call.error) for call in calls[1:]] == [RuntimeClosedError] * 2
    assert await store.record("n", b"k") is None


async def test_a_crashed_actors_inbox_is_answered_when_closing_does_not_wait_for_the_backoff(
    opened, store, autojump_clock
):
    async with trio.open_nursery() as nursery:
        async with opened(close_timeout_seconds=2, backoff_initial_seconds=9) as runtime:
            handle = runtime.workflow("a")
            await handle.append("custom", b"first")
            runtime._supervisor._note_crash(runtime._supervisor.actor("a"), ZeroDivisionError())
            call = start(nursery, handle.append, "custom", b"waits")
            await wait_all_tasks_blocked()
        assert trio.current_time() == 2
        await wait_all_tasks_blocked()

    assert isinstance(call.error, RuntimeClosedError)
    assert store.payloads("a") == [b"first"]


@pytest.mark.parametrize("steps", range(0, 40, 3))
@pytest.mark.parametrize("deadline", [0.001, 10])
async def test_shutdown_in_the_middle_of_a_storm(kernel, autojump_clock, steps, deadline):
    """Everything acknowledged is in the store, once; everything refused as closed is not."""
    store = FaultyStore(kernel)
    config = RuntimeConfig(group_events_max=3, inbox_messages_max=2, close_timeout_seconds=deadline)
    calls = {}
    async with trio.open_nursery() as nursery:
        async with open_runtime(store, kernel=kernel, config=config) as runtime:
            for writer in range(12):
                for place in range(4):
                    payload = b"%d/%d" % (writer, place)
                    handle = runtime.workflow(writer % 3)
                    calls[payload] = start(nursery, handle.append, "custom", payload)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            if steps % 2:
                store.commits.close()
                nursery.start_soon(_open_later, store, 1)
        await all_ended(calls.values())

    written = [payload for name in "012" for payload in store.payloads(name)]
    acknowledged = [payload for payload, call in calls.items() if call.result is not None]
    assert sorted(written) == sorted(acknowledged)
    assert {type(call.error) for call in calls.values()} <= {type(None), RuntimeClosedError}


# -- errors of the body --


@pytest.mark.parametrize(
    "error", [ValueError("mine"), ExceptionGroup("mine", [ValueError()]), SystemExit(3), KeyboardInterrupt()]
)
async def test_an_exception_of_the_body_leaves_as_itself(opened, store, error):
    """Bare, the same object; and what was accepted before it is written."""
    async with trio.open_nursery() as nursery:
        with pytest.raises(type(error)) as caught:
            async with opened() as runtime:
                await runtime.workflow("a").append("custom", b"0")
                call = start(nursery, runtime.workflow("a").append, "custom", b"1")
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
                raise error

    assert caught.value is error
    assert call.result is not None
    assert store.payloads("a") == [b"0", b"1"]


async def test_a_cancelled_body_flushes_first(opened, store, autojump_clock):
    """The cancellation passes through; what was accepted is written before."""
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1) as scope:
            async with opened(group_events_max=1) as runtime:
                await runtime.workflow("a").append("custom", b"0")
                store.commits.close()
                calls = await start_in_order(
                    nursery, *[(runtime.workflow("a").append, *custom(b"%d" % n)) for n in range(1, 6)]
                )
                nursery.start_soon(_open_later, store, 3)
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert trio.current_time() == 3
        await wait_all_tasks_blocked()

    assert [call.result.seq for call in calls] == [2, 3, 4, 5, 6]


async def test_appends_cancelled_with_the_body_are_flushed_all_the_same(opened, store):
    async with opened() as runtime:
        await runtime.workflow("a").append("custom", b"0")
    with trio.CancelScope() as scope:
        async with opened() as runtime, trio.open_nursery() as nursery:
            await runtime.workflow("a").append("custom", b"1")
            store.before_write.append(scope.cancel)
            nursery.start_soon(runtime.workflow("a").append, "custom", b"2")
            nursery.start_soon(runtime.workflow("a").append, "custom", b"3")

    assert scope.cancelled_caught
    assert store.payloads("a")[:2] == [b"0", b"1"]
    assert set(store.payloads("a")[2:]) <= {b"2", b"3"}
    assert len(store.payloads("a")) >= 3


async def test_a_failure_of_the_runtimes_own_task_is_our_bug_and_names_the_cause(
    opened, store, autojump_clock
):
    """The body is cancelled, nobody hangs, closing does not wait for what nobody can do any more."""

    def broken() -> None:
        raise ZeroDivisionError("inside")

    async with trio.open_nursery() as nursery:
        with pytest.raises(InternalError, match=r"own task failed.*inside") as caught:
            async with opened() as runtime:
                await runtime.workflow("a").append("custom", b"0")
                store.commits.close()
                calls = await start_in_order(
                    nursery, *[(runtime.workflow("a").append, *custom(b"%d" % n)) for n in (1, 2)]
                )
                follower = start(nursery, runtime.workflow("a").follow(9).__anext__)
                await wait_all_tasks_blocked()
                runtime._supervisor.committer._settled = broken
                store.commits.open()
                await trio.sleep_forever()
        assert trio.current_time() == 0
        await wait_all_tasks_blocked()

    assert isinstance(caught.value.__cause__.exceptions[0], ZeroDivisionError)
    assert calls[0].result.seq == 2
    assert isinstance(calls[1].error, RuntimeClosedError)
    assert isinstance(follower.error, InternalError)
    assert store.payloads("a") == [b"0", b"1"]


# -- several, nested, given --


async def test_runtimes_are_independent_and_nest(kernel):
    """No global state: two stores, one inside the other, each with its own logs."""
    async with (
        open_runtime("memory:", kernel=kernel) as outer,
        open_runtime("memory:", kernel=kernel) as inner,
    ):
        await outer.workflow("a").append("custom", b"outer")
        await inner.workflow("a").append("custom", b"inner")
        await inner.workflow("a").append("custom", b"inner")
        assert await outer.workflow("a").stream_len() == 1
        assert await inner.workflow("a").stream_len() == 2
        assert outer.statistics().events_appended == 1


async def test_a_store_that_was_given_stays_open_and_one_that_was_opened_does_not(kernel):
    async with open_store("memory:", kernel=kernel) as given:
        async with open_runtime(given, kernel=kernel) as runtime:
            await runtime.workflow("a").append("custom")
        assert (await given.heads(["a"]))[0].next_seq == 2
    async with open_runtime("memory:", kernel=kernel) as runtime:
        opened_here = runtime.store
    with pytest.raises(StoreUnavailableError):
        await opened_here.heads(["a"])


async def test_after_close_writing_is_refused_and_following_has_ended(opened, store):
    async with opened() as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"0")
        follower = handle.follow()
        assert (await anext(follower)).seq == 1
    groups = len(store.groups)

    with pytest.raises(RuntimeClosedError):
        await handle.append("custom", b"1")
    with pytest.raises(RuntimeClosedError):
        await handle.append("custom", b"0", seq=1)
    with pytest.raises(RuntimeClosedError):
        await runtime.workflow("cold").append("custom", b"1")
    with pytest.raises(RuntimeClosedError):
        await handle.extend([NewEvent("custom")])
    with pytest.raises(RuntimeClosedError):
        await runtime.set_record("n", b"k", b"v")
    with pytest.raises(RuntimeClosedError):
        await anext(follower)
    assert runtime.statistics().closing
    assert len(store.groups) == groups


async def test_the_default_kernel_works_with_threads_and_real_time():
    """Without any test kernel, as users open it."""
    async with open_runtime("memory:") as runtime:
        assert isinstance(runtime._kernel, TrioKernel)
        assert not isinstance(runtime._kernel, InlineKernel)
        assert (await runtime.workflow("a").append("custom")).seq == 1


async def test_a_url_that_names_no_store_opens_nothing(kernel):
    with pytest.raises(UsageError):
        async with open_runtime("nonsense://x", kernel=kernel):
            pytest.fail("opened")


async def test_cancelled_before_it_has_opened(kernel, store):
    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_runtime(store, kernel=kernel) as runtime:
            await runtime.workflow("a").append("custom")

    assert scope.cancelled_caught
    assert store.groups == []


# -- what it tells --


async def test_statistics_are_frozen_and_right(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.extend([NewEvent("custom"), NewEvent("custom")])
        await handle.append("custom", seq=1)
        await runtime.workflow("b").append("custom", key=b"k")
        await runtime.workflow("b").append("custom", key=b"k")
        store.commits.close()
        await start_in_order(nursery, *[(handle.append, *custom(b"x")) for _ in range(3)])
        statistics = runtime.statistics()
        store.commits.open()

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        statistics.crashes = 1
    assert attrs.asdict(statistics) == {
        "workflows_known": 2,
        "actors_awake": 0,
        "actors_quarantined": 0,
        "crashes": 0,
        "groups_committed": 3,
        "events_appended": 3,
        "events_repeated": 2,
        "proposals_returned": 0,
        "events_waiting": 2,
        "committing": True,
        "closing": False,
        "projections": None,
        "retries": None,
        "retention": attrs.asdict(RetentionStatistics()),
        "runner": attrs.asdict(RunnerStatistics("none")),
    }
    assert runtime.statistics().events_appended == 6
    assert runtime.statistics().closing


@pytest.mark.parametrize(
    "limits",
    [
        {"inbox_messages_max": 0},
        {"page_events": 1.5},
        {"group_events_max": True},
        {"poll_seconds": 0},
        {"poll_seconds": float("nan")},
        {"close_timeout_seconds": "1"},
        {"crashes_max": -1},
    ],
)
def test_a_limit_that_limits_nothing_is_refused(limits):
    with pytest.raises(InvalidValueError, match=next(iter(limits))):
        RuntimeConfig(**limits)


async def test_records_are_set_and_removed(opened, store):
    async with opened() as runtime:
        await runtime.set_record("n", b"k", b"v")
        assert await store.record("n", b"k") == b"v"
        await runtime.set_record("n", b"k", None)
        assert await store.record("n", b"k") is None


async def test_a_poisoned_store_does_not_hold_up_closing(opened, store, autojump_clock):
    async with opened() as runtime:
        store.fail_next(POISONED)
        with pytest.raises(type(POISONED)):
            await runtime.workflow("a").append("custom")

    assert trio.current_time() == 0


@pytest.mark.parametrize("config", [0, "", [], {"page_events": 1}])
async def test_a_config_is_a_runtime_config(config):
    """What is none is refused, also when it is empty and could pass for no config at all."""
    with pytest.raises(InvalidValueError, match="config is a RuntimeConfig"):
        async with open_runtime("memory:", config=config):
            pass


@pytest.mark.parametrize(
    ("apply", "make_state", "workflow_ids"),
    [(None, int, None), (max, 0, None), (max, int, 5), (max, int, b"ab"), (max, int, bytearray(b"x"))],
)
async def test_replay_all_checks_what_it_is_given_before_it_reads(apply, make_state, workflow_ids):
    """A mistake shows at the call, not at the first event, and never on an empty store only."""
    async with open_runtime("memory:") as runtime:
        with pytest.raises(InvalidValueError):
            runtime.replay_all(apply, make_state, workflow_ids)


async def test_a_single_event_is_no_batch():
    """The likeliest mistake with `extend` is told as such."""
    async with open_runtime("memory:") as runtime:
        with pytest.raises(BatchError, match=r"got one NewEvent; append\(\) it"):
            await runtime.workflow("a").extend(NewEvent("custom"))
