"""Activities: retry, cancel, heartbeat, timeouts, limits of concurrency, threads, and what they are told."""
# ruff: noqa: ARG001, ASYNC110  # the virtual clock is asked for, not used

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import Any

import pytest
import trio
from board import board, kinds

from treadle import activity, open_runtime, workflow
from treadle.errors import ActivityError, UsageError, WorkflowFailedError
from treadle.kernel import TrioKernel

QUICK = activity.Retry(initial_seconds=1, backoff=2, maximum_seconds=100, attempts=4)


@activity.define(retry=QUICK)
async def succeed_at(attempt: int) -> str:
    number = board.note("attempt", trio.current_time())
    if number < attempt:
        raise OSError(f"not yet, this is {number}")
    return f"done at {number}"


@activity.define(retry=activity.Retry(attempts=5, non_retryable=(KeyError,)))
async def raise_what(kind: str) -> None:
    board.note("raised")
    if kind == "declined":
        raise activity.ApplicationError("declined", {"code": 51}, type="Declined", non_retryable=True)
    if kind == "later":
        raise activity.ApplicationError("busy", retry_after_seconds=30)
    if kind == "key":
        raise KeyError("missing")
    raise OSError(kind)


@activity.define(start_to_close_seconds=10, retry=activity.Retry(initial_seconds=1, attempts=3))
async def too_slow() -> None:
    board.note("too slow", trio.current_time())
    await trio.sleep(100)


@activity.define(
    schedule_to_close_seconds=25, retry=activity.Retry(initial_seconds=10, backoff=1, attempts=None)
)
async def never_well() -> None:
    board.note("never well", trio.current_time())
    raise OSError("ill")


@activity.define(heartbeat_seconds=5, retry=activity.Retry(initial_seconds=1, attempts=3))
async def beat(times: int) -> list[int]:
    told = activity.info().heartbeat_details
    board.note("details", told)
    start = told[0] if told else 0
    for place in range(start, start + times):
        activity.heartbeat(place + 1)
        await trio.sleep(4)
    if activity.info().attempt < 3:
        await trio.sleep(100)
    return [start, activity.info().attempt]


@activity.define
async def at_gate(name: str) -> str:
    board.note("at gate", name)
    try:
        await board.wait(name)
    except trio.Cancelled:
        board.note("cancelled", name)
        raise
    return name


@activity.define
async def slow_to_die(name: str) -> str:
    try:
        await board.wait(name)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(20)
        board.note("cleaned up", trio.current_time())
    return name


@activity.define(on_cancel="abandon")
async def abandoned(name: str) -> str:
    await board.wait(name)
    return name


@activity.define(concurrency=2)
async def two_at_once(number: int) -> int:
    board.note("begins", number)
    await trio.sleep(10)
    board.note("ends", number)
    return number


@activity.define
def in_a_thread(number: int) -> tuple[int, bool]:
    board.note("thread", threading.get_ident())
    return number * 2, activity.info().attempt == 1


@activity.define
async def who_am_i() -> list[str | int]:
    told = activity.info()
    return [told.activity, told.workflow_id, told.run, told.seq, told.attempt, told.idempotency_key]


@activity.define
async def not_json() -> Any:
    board.note("not json")
    return {"deep": [1, object()]}


@workflow.define
async def call(name: str, *args: int | str) -> Any:
    return await workflow.activity(BY_NAME[name], *args)


@workflow.define
async def give_up_after(name: str, seconds: float, gate: str) -> list[float | bool]:
    begun = workflow.current_time()
    with workflow.move_on_after(seconds) as scope:
        await workflow.activity(BY_NAME[name], gate)
    return [scope.cancelled_caught, workflow.current_time() - begun]


@workflow.define
async def fan_out(name: str, count: int) -> int:
    async with workflow.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(workflow.activity, BY_NAME[name], number)
    return count


ACTIVITIES = [
    succeed_at,
    raise_what,
    too_slow,
    never_well,
    beat,
    at_gate,
    slow_to_die,
    abandoned,
    two_at_once,
    in_a_thread,
    who_am_i,
    not_json,
]
BY_NAME = {definition.name: definition for definition in ACTIVITIES}
FLOWS = [call, give_up_after, fan_out]


@pytest.fixture
def runtime(opened):
    """A runtime that knows them all."""

    def with_limits(**limits):
        return opened(FLOWS, ACTIVITIES, **limits)

    return with_limits


async def failed(handle) -> ActivityError:
    """The failure of the activity that has failed a workflow."""
    with pytest.raises(WorkflowFailedError) as caught:
        await handle.result()
    return caught.value


# -- retry --


async def test_a_failed_attempt_is_followed_by_another_after_its_backoff(runtime, autojump_clock):
    async with runtime() as opened:
        handle = await opened.start(call, "succeed_at", 4)
        assert "done at 4" == await handle.result()
        found = await kinds(handle)

    times = [note[1] for note in board.notes]
    assert [1, 2, 4] == [round(later - earlier) for earlier, later in pairwise(times)]
    assert 3 == found.count("activity_attempt_failed")
    assert 1 == found.count("activity_completed")


async def test_the_last_attempts_failure_is_the_activitys(runtime, autojump_clock):
    async with runtime() as opened:
        error = await failed(await opened.start(call, "succeed_at", 9))

    assert 4 == board.counts["attempt"]
    assert "after 4 attempts" in str(error)
    assert "this is 4" in str(error)


@pytest.mark.parametrize("kind", ["declined", "key"])
async def test_an_error_that_must_not_be_retried_is_not(runtime, kind, autojump_clock):
    async with runtime() as opened:
        error = await failed(await opened.start(call, "raise_what", kind))

    assert 1 == board.counts["raised"]
    assert {"declined": "Declined", "key": "KeyError"}[kind] in str(error)


async def test_retry_after_wins_over_the_backoff(runtime, autojump_clock):
    start = trio.current_time()
    async with runtime() as opened:
        await failed(await opened.start(call, "raise_what", "later"))

    assert 4 * 30 == round(trio.current_time() - start)


async def test_a_workflow_that_only_waits_for_a_retry_may_leave_memory(runtime, autojump_clock):
    async with runtime(instances_max=1) as opened:
        handles = [await opened.start(call, "raise_what", "x", id=n) for n in range(3)]
        await trio.sleep(2)
        assert 1 == opened.statistics().runner.instances
        for handle in handles:
            await failed(handle)

    assert 3 * 5 == board.counts["raised"]


# -- timeouts --


async def test_start_to_close_ends_each_attempt(runtime, autojump_clock):
    async with runtime() as opened:
        error = await failed(await opened.start(call, "too_slow"))

    times = [note[1] for note in board.notes]
    assert [11, 12] == [round(later - earlier) for earlier, later in pairwise(times)]
    assert "start_to_close" in str(error)


async def test_schedule_to_close_ends_all_attempts(runtime, autojump_clock):
    start = trio.current_time()
    async with runtime() as opened:
        error = await failed(await opened.start(call, "never_well"))

    assert 3 == board.counts["never well"], "at 0, 10 and 20; the next one would be too late"
    assert trio.current_time() - start < 25
    assert "ill" in str(error)


async def test_schedule_to_close_also_ends_what_waits_for_a_slot(runtime, autojump_clock):
    start = trio.current_time()
    async with runtime(activities_max=1) as opened:
        await opened.start(call, "at_gate", "g")
        await board.wait_for_arrival("g")
        error = await failed(await opened.start(call, "never_well"))

    assert 0 == board.counts["never well"]
    assert 25 == round(trio.current_time() - start)
    assert "schedule_to_close" in str(error)


# -- heartbeat --


async def test_a_silent_attempt_is_ended_and_the_next_finds_what_was_told(runtime, autojump_clock):
    async with runtime() as opened:
        handle = await opened.start(call, "beat", 3)

        assert [6, 3] == await handle.result()
        assert [(), (3,), (6,)] == [note[1] for note in board.notes if note[0] == "details"]
        assert [] == await opened.store.records("treadle:heartbeat"), "gone with the activity"


async def test_heartbeats_are_written_now_and_then_while_the_attempt_lives(runtime, autojump_clock):
    async with runtime() as opened:
        await opened.start(call, "beat", 100)
        await trio.sleep(9)
        (record,) = await opened.store.records("treadle:heartbeat")

        assert b"[3]" in record.value


# -- cancel --


async def test_a_cancelled_scope_reaches_the_running_task_and_waits_for_its_end(runtime, autojump_clock):
    async with runtime() as opened:
        handle = await opened.start(give_up_after, "slow_to_die", 5, "never")
        assert [True, 25] == [round(value) if value is not True else value for value in await handle.result()]
        found = await kinds(handle)

    assert found.index("activity_cancel_requested") < found.index("activity_cancelled")
    assert 1 == board.counts["cleaned up"]


async def test_an_abandoned_activity_is_not_waited_for(runtime, autojump_clock):
    async with runtime() as opened:
        handle = await opened.start(give_up_after, "abandoned", 5, "never")
        caught, seconds = await handle.result()
        await trio.testing.wait_all_tasks_blocked()

        assert (True, 5) == (caught, round(seconds))
        assert 0 == opened.statistics().runner.attempts_running, "but its task is cancelled all the same"


async def test_an_activity_that_completes_all_the_same_has_completed(runtime, autojump_clock):
    async with runtime() as opened:
        handle = await opened.start(give_up_after, "slow_to_die", 5, "g")
        await board.wait_for_arrival("g")
        board.open("g")
        assert [False, 20] == [round(v) if v is not False else v for v in await handle.result()]


async def test_what_waits_for_its_retry_or_its_slot_is_cancelled_at_once(runtime, autojump_clock):
    async with runtime(activities_max=1) as opened:
        first = await opened.start(give_up_after, "at_gate", 1000, "g")
        await board.wait_for_arrival("g")
        queued = await opened.start(give_up_after, "at_gate", 3, "h")
        assert [True, 3] == [round(v) if v is not True else v for v in await queued.result()]
        board.open("g")
        await first.result()
        retrying = await opened.start(give_up_after, "raise_what", 0.5, "x")
        caught, seconds = await retrying.result()

    assert caught
    assert 0.5 == round(seconds, 2)
    assert 1 == board.counts["raised"]
    assert ("at gate", "h") not in board.notes


# -- concurrency --


async def test_an_activitys_own_limit_holds(runtime, autojump_clock):
    async with runtime() as opened:
        await (await opened.start(fan_out, "two_at_once", 6)).result()

    running = most = 0
    for name, _ in board.notes:
        running += 1 if name == "begins" else -1
        most = max(most, running)
    assert 2 == most
    begun = [number for name, number in board.notes if name == "begins"]
    pairs = [sorted(begun[place : place + 2]) for place in (0, 2, 4)]
    assert [[0, 1], [2, 3], [4, 5]] == pairs, "first come, first served"


async def test_the_runtimes_limit_holds(runtime, autojump_clock):
    start = trio.current_time()
    async with runtime(activities_max=3) as opened, trio.open_nursery() as nursery:
        for gate in "abcdef":
            nursery.start_soon(opened.start, call, "at_gate", gate)
        await trio.sleep(1)
        assert 3 == board.counts["at gate"]
        assert 3 == opened.statistics().runner.attempts_waiting
        for gate in "abcdef":
            board.open(gate)
        await trio.sleep(1)
        assert 6 == board.counts["at gate"]
    assert trio.current_time() - start < 10


# -- what they are told, what they return --


async def test_info_is_the_same_key_for_all_attempts_and_another_for_each_call(runtime):
    async with runtime() as opened:
        first = await (await opened.start(call, "who_am_i", id="w")).result()
        second = await (await opened.start(call, "who_am_i", id="v")).result()

    assert ["who_am_i", "w", 1, 2, 1, "w:1:2"] == first
    assert "v:1:2" == second[-1]


def test_outside_an_activity_there_is_nothing_to_tell():
    for function in (activity.info, activity.heartbeat):
        with pytest.raises(UsageError, match="inside a running activity"):
            function()


async def test_a_result_without_json_fails_it_for_good_and_names_the_path(runtime, autojump_clock):
    async with runtime() as opened:
        error = await failed(await opened.start(call, "not_json"))

    assert 1 == board.counts["not json"]
    assert "deep[1]" in str(error) or "deep" in str(error)


async def test_a_plain_function_runs_in_a_thread_and_knows_its_attempt(runtime):
    async with runtime() as opened:
        assert [42, True] == await (await opened.start(call, "in_a_thread", 21)).result()


# -- real threads, real time --


@activity.define(heartbeat_seconds=0.2, retry=activity.Retry(attempts=1))
def beats_in_a_thread(times: int, pause: float) -> str:
    board.note("thread", threading.get_ident())
    try:
        for place in range(times):
            activity.heartbeat(place)
            time.sleep(pause)
    except trio.Cancelled:
        board.note("thread told")
        raise
    return "lived"


@workflow.define
async def call_threaded(times: int, pause: float) -> str:
    return await workflow.activity(beats_in_a_thread, times, pause)


async def test_heartbeats_from_a_thread_keep_its_attempt_alive(tmp_path):
    async with open_runtime(
        tmp_path / "x.db", workflows=[call_threaded], activities=[beats_in_a_thread], kernel=TrioKernel()
    ) as opened:
        handle = await opened.start(call_threaded, 8, 0.05)
        assert "lived" == await handle.result()
        assert threading.get_ident() not in {note[1] for note in board.notes}


async def test_a_silent_thread_is_abandoned_and_hears_of_it_at_its_next_heartbeat(tmp_path):
    async with open_runtime(
        tmp_path / "x.db", workflows=[call_threaded], activities=[beats_in_a_thread], kernel=TrioKernel()
    ) as opened:
        handle = await opened.start(call_threaded, 2, 0.5)
        with pytest.raises(WorkflowFailedError, match="heartbeat"):
            await handle.result()
        with trio.fail_after(5):
            while not board.counts["thread told"]:
                await trio.sleep(0.01)


STARTED, STOP = threading.Event(), threading.Event()


@activity.define(retry=activity.Retry(attempts=1))
def works_in_a_thread(beats: bool) -> str:  # noqa: FBT001  # arguments of activities are JSON
    STARTED.set()
    try:
        while not STOP.wait(0.01):
            if beats:
                activity.heartbeat()
    except trio.Cancelled:
        board.note("thread told")
        time.sleep(0.05)  # its clean-up
        raise
    finally:
        board.note("thread ended")
    return "done"


@activity.define(concurrency=1, on_cancel="abandon")
def works_abandoned(beats: bool) -> str:  # noqa: FBT001
    return works_in_a_thread.function(beats)


@workflow.define
async def stops_a_thread(beats: bool, abandon: bool) -> str:  # noqa: FBT001
    with workflow.CancelScope() as scope:
        async with workflow.open_nursery() as nursery:

            @nursery.start_soon
            async def stop() -> None:
                await workflow.signals("stop").receive()
                scope.cancel()

            found = await workflow.activity(works_abandoned if abandon else works_in_a_thread, beats)
            nursery.cancel_scope.cancel()
            return found
    return "stopped"


@pytest.fixture
async def threaded(tmp_path):
    STARTED.clear()
    STOP.clear()
    async with open_runtime(
        tmp_path / "x.db",
        workflows=[stops_a_thread],
        activities=[works_in_a_thread, works_abandoned],
        kernel=TrioKernel(),
    ) as opened:
        yield opened
        STOP.set()


async def _begun(opened, *args):
    handle = await opened.start(stops_a_thread, *args)
    assert await trio.to_thread.run_sync(STARTED.wait, 5)
    await handle.signal("stop")
    return handle


async def test_a_cancelled_call_waits_for_the_thread_which_hears_of_it_at_its_next_heartbeat(threaded):
    """Whatever is done next, a compensation say, is done after the thread has ended, not beside it."""
    handle = await _begun(threaded, True, False)
    with trio.fail_after(5):
        assert "stopped" == await handle.result()
    assert ["thread told", "thread ended"] == board.notes


async def test_a_cancelled_call_waits_for_a_thread_that_never_asks_and_takes_its_result(threaded):
    handle = await _begun(threaded, False, False)
    with trio.move_on_after(0.1):
        await handle.result()
    assert [] == board.notes
    STOP.set()
    with trio.fail_after(5):
        assert "done" == await handle.result()


async def test_nobody_waits_for_a_thread_that_is_to_be_abandoned(threaded):
    handle = await _begun(threaded, False, True)
    with trio.fail_after(5):
        assert "stopped" == await handle.result()
    assert [] == board.notes


async def test_a_call_that_waits_for_a_thread_is_cancelled_at_once_and_never_begins(threaded):
    """All of Trio's threads are at work: nothing was begun, so there is nothing to wait for."""
    limiter = trio.to_thread.current_default_thread_limiter()
    before, limiter.total_tokens = limiter.total_tokens, 1
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, STOP.wait)
            handle = await threaded.start(stops_a_thread, False, False)
            while not threaded.statistics().runner.attempts_running:
                await trio.sleep(0.01)
            await handle.signal("stop")
            with trio.fail_after(5):
                assert "stopped" == await handle.result()
            STOP.set()
    finally:
        limiter.total_tokens = before
    assert [] == board.notes
