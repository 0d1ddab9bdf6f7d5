"""Recovery: after a crash or an orderly end everything unfinished goes on, attempts at least once."""
# ruff: noqa: ARG001, PT012  # the virtual clock is asked for, not used

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from board import board, kinds
from faulty import UNAVAILABLE, UNKNOWN, FaultyStore

from treadle import RuntimeConfig, activity, open_runtime, workflow
from treadle.engine import Execution
from treadle.errors import FencedError, StorePoisonedError, StoreUnavailableError, WorkflowFailedError
from treadle.kernel import InlineKernel
from treadle.runtime.durable.runner import Runner


@activity.define(retry=activity.Retry(attempts=3))
async def step(number: int) -> int:
    board.note("step", number)
    return number + 1


@activity.define(retry=activity.Retry(attempts=3))
async def at_gate(name: str) -> str:
    board.note("at gate", name)
    await board.wait(name)
    return name


@workflow.define
async def count(steps: int) -> int:
    number = 0
    for _ in range(steps):
        number = await workflow.activity(step, number)
    return number


@workflow.define
async def wait_at(name: str) -> str:
    return await workflow.activity(at_gate, name)


@workflow.define
async def count_with_pauses(steps: int) -> int:
    number = 0
    for _ in range(steps):
        number = await workflow.activity(step, number)
        await workflow.sleep(10)
    return number


FLOWS = [count, wait_at, count_with_pauses]
ACTIVITIES = [step, at_gate]


@pytest.fixture
def crash_store(kernel) -> FaultyStore:
    return FaultyStore(kernel)


def over(store, kernel, **limits):
    return open_runtime(
        store, workflows=FLOWS, activities=ACTIVITIES, kernel=kernel, config=RuntimeConfig(**limits)
    )


class CutStore(FaultyStore):
    """Takes so many appends and then no more, as if the process had ended there."""

    def __init__(self, kernel, appends: int) -> None:
        super().__init__(kernel)
        self.left = appends

    async def append(self, units):
        if self.left <= 0:
            raise StoreUnavailableError("cut off")
        self.left -= 1
        return await super().append(units)


# -- an orderly end --


async def test_a_running_attempt_is_cancelled_at_the_end_and_runs_again_at_the_next_opening(opened):
    async with opened(FLOWS, ACTIVITIES) as runtime:
        handle = await runtime.start(wait_at, "g", id="a")
        await board.wait_for_arrival("g")
        events = await kinds(handle)
    async with opened(FLOWS, ACTIVITIES) as runtime:
        handle = runtime.workflow("a")
        board.open("g")
        assert "g" == await handle.result()
        assert events == (await kinds(handle))[: len(events)]
        assert "activity_attempt_failed" not in await kinds(handle), "nothing was lost: it ended in order"

    assert 2 == board.counts["at gate"]


async def test_many_orderly_ends_use_no_attempt_up(opened):
    for place in range(5):
        async with opened(FLOWS, ACTIVITIES) as runtime:
            await runtime.start(wait_at, "g", id="a", id_policy="use_existing")
            with trio.fail_after(5):
                while board.counts["at gate"] == place:
                    await trio.lowlevel.checkpoint()
    board.open("g")
    async with opened(FLOWS, ACTIVITIES) as runtime:
        assert "g" == await runtime.workflow("a").result()


# -- a crash: what is in the store is all there is --


@pytest.mark.parametrize("appends", range(1, 14))
async def test_cut_off_after_any_append_it_goes_on_and_comes_to_the_same_end(kernel, appends, autojump_clock):
    store = CutStore(kernel, appends)
    async with over(store, kernel, close_timeout_seconds=1) as runtime:
        with trio.move_on_after(5):
            handle = await runtime.start(count, 4, id="a")
            await handle.result()
    store.left = 10**9
    async with over(store, kernel) as runtime:
        handle = (
            await runtime.start(count, 4, id="a", id_policy="use_existing")
            if appends < 1
            else (runtime.workflow("a"))
        )
        assert 4 == await handle.result()
        found = await kinds(handle)

    assert 4 == found.count("activity_completed")
    lost = found.count("activity_attempt_failed")
    assert lost == (1 if appends in {1, 2, 3, 4} else 0), "one attempt was in flight, unless all had ended"
    assert found[-1] == "workflow_completed"


async def test_an_attempt_that_may_have_run_is_noted_as_lost_once(kernel, autojump_clock):
    store = CutStore(kernel, 1)
    async with over(store, kernel, close_timeout_seconds=1) as runtime:
        await runtime.start(wait_at, "g", id="a")
        await board.wait_for_arrival("g")
    store.left = 10**9
    board.open("g")
    async with over(store, kernel) as runtime:
        handle = runtime.workflow("a")
        assert "g" == await handle.result()
        (lost,) = [e for e in await handle.read().list() if e.kind.name == "ACTIVITY_ATTEMPT_FAILED"]

    assert b"ProcessLost" in lost.payload
    assert b'"lost":true' in lost.payload


async def test_an_activity_that_loses_its_process_again_and_again_fails_in_the_end(kernel, autojump_clock):
    store = CutStore(kernel, 1)
    async with over(store, kernel, close_timeout_seconds=1) as runtime:
        await runtime.start(wait_at, "g", id="a")
        await board.wait_for_arrival("g")
    for _ in range(3):
        store.left = 1  # the note of the loss, and nothing of what follows
        async with over(store, kernel, close_timeout_seconds=1, lost_attempts_max=3):
            await trio.sleep(1)
    store.left = 10**9
    async with over(store, kernel, lost_attempts_max=3) as runtime:
        with pytest.raises(WorkflowFailedError, match="process that ran this attempt ended"):
            await runtime.workflow("a").result()

    assert 4 == board.counts["at gate"]


async def test_an_attempt_that_was_still_to_come_is_not_noted_as_lost(kernel, autojump_clock):
    store = CutStore(kernel, 5)  # two steps, and the timer after the first
    async with over(store, kernel, close_timeout_seconds=1) as runtime:
        await runtime.start(count_with_pauses, 2, id="a")
        await trio.sleep(1)
        store.left = 0
    store.left = 10**9
    async with over(store, kernel) as runtime:
        handle = runtime.workflow("a")
        assert 2 == await handle.result()
        assert "activity_attempt_failed" not in await kinds(handle)


@workflow.define
async def two_at_gates() -> list[str]:
    found: list[str] = []

    async def one(name: str) -> None:
        found.append(await workflow.activity(at_gate, name))

    async with workflow.open_nursery() as nursery:
        nursery.start_soon(one, "g")
        nursery.start_soon(one, "h")
    return found


@pytest.mark.parametrize("crashes", [1, 3])
async def test_one_that_waited_for_a_slot_counts_as_lost_and_its_own_retries_do_not(
    kernel, crashes, autojump_clock
):
    """The log cannot tell it from one that ran; it costs a number and a place in the bound, no retry."""

    def limited(store):
        return open_runtime(
            store,
            workflows=[two_at_gates],
            activities=[at_gate],
            kernel=kernel,
            config=RuntimeConfig(activities_max=1, close_timeout_seconds=1),
        )

    store = CutStore(kernel, 1)
    for _ in range(crashes):
        async with limited(store) as runtime:
            await runtime.start(two_at_gates, id="a", id_policy="use_existing")
            await trio.sleep(1)
            store.left = 0
        store.left = 10**9
    assert {("at gate", "g")} == set(board.notes), "there was one slot, and it was taken"
    board.open("g")
    board.open("h")
    async with limited(store) as runtime:
        handle = runtime.workflow("a")
        assert ["g", "h"] == sorted(await handle.result())
        noted = [e for e in await handle.read().list() if e.kind.name == "ACTIVITY_ATTEMPT_FAILED"]
    assert 2 * crashes == len(noted)
    assert all(b'"lost":true' in event.payload for event in noted)


# -- a store that fails for a while --


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("place", range(1, 9))
async def test_an_append_without_a_known_outcome_is_found_out_and_goes_on(
    crash_store, kernel, place, written, autojump_clock
):
    async with over(crash_store, kernel) as runtime:
        crash_store.faults.extend([None] * place)
        crash_store.fail_next(UNKNOWN, written=written)
        handle = await runtime.start(count, 6, id="a")
        assert 6 == await handle.result()
        found = await kinds(handle)

    assert 6 == found.count("activity_completed"), "no result is lost or taken twice"
    assert [*range(6)] == [value for _, value in board.notes], "and nothing runs twice in one process"


async def test_a_store_that_is_away_for_a_minute_stops_nothing_for_ever(crash_store, kernel, autojump_clock):
    async with over(crash_store, kernel) as runtime:
        handle = await runtime.start(count_with_pauses, 3, id="a")
        for _ in range(12):
            crash_store.fail_next(UNAVAILABLE)
        assert 3 == await handle.result()

    assert [0, 1, 2] == [value for _, value in board.notes]


async def test_a_start_that_the_store_refuses_is_refused(crash_store, kernel, autojump_clock):
    async with over(crash_store, kernel) as runtime:
        crash_store.fail_next(UNAVAILABLE)
        with pytest.raises(StoreUnavailableError):
            await runtime.start(count, 1, id="a")
        assert [] == crash_store.stored("a")
        assert 1 == await (await runtime.start(count, 1, id="a")).result()


async def test_a_runner_that_was_overtaken_ends_visibly(crash_store, kernel):
    with pytest.raises(FencedError):
        async with over(crash_store, kernel) as runtime:
            await runtime.start(wait_at, "g", id="a")
            await board.wait_for_arrival("g")
            await crash_store.raise_epoch()
            board.open("g")
            await trio.sleep_forever()

    assert ["WORKFLOW_STARTED", "ACTIVITY_SCHEDULED"] == [e.kind.name for e in crash_store.stored("a")]


async def test_a_poisoned_store_ends_the_runner(crash_store, kernel):
    with pytest.raises(StorePoisonedError):
        async with over(crash_store, kernel) as runtime:
            await runtime.start(wait_at, "g", id="a")
            await board.wait_for_arrival("g")
            crash_store.fail_next(StorePoisonedError("the disk is gone"))
            board.open("g")
            await trio.sleep_forever()


async def test_the_caller_whose_own_unit_was_poisoned_is_told(crash_store, kernel):
    """Also one that is no task of the runtime's block, and so not cancelled with it."""
    told = []

    async def ask(runtime):
        with pytest.raises(StorePoisonedError) as caught:
            await runtime.start(count, 1, id="a")
        told.append(str(caught.value))

    async with trio.open_nursery() as outside:
        with pytest.raises(StorePoisonedError):
            async with over(crash_store, kernel) as runtime:
                await runtime.workflow("plain").append("custom")
                crash_store.fail_next(StorePoisonedError("the disk is gone"))
                outside.start_soon(ask, runtime)
                await trio.sleep_forever()

    assert ["the disk is gone"] == told


# -- another process, killed --


WORKER = Path(__file__).with_name("durable_worker.py")


def run_worker(path, seconds: float, *, flows: int = 0) -> int:
    """Run workflows in another process for a while, then kill it; tell how many it has finished."""
    child = subprocess.Popen(
        [sys.executable, WORKER, str(path), str(flows)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert "running\n" == child.stdout.readline()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
        rest, _ = child.communicate()
        return rest.count("finished")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_after_sigkill_every_workflow_goes_on_and_finishes(tmp_path):
    """Killed again and again; every result is used once, whatever ran twice."""
    path = tmp_path / "killed.db"
    run_worker(path, 0.3, flows=20)
    for _ in range(20):
        if run_worker(path, 0.4) == 20:
            break
    results = trio.run(read_results, path)

    assert {f"w{number}": 20 for number in range(20)} == results


async def read_results(path) -> dict[str, int]:
    async with open_runtime(path, kernel=InlineKernel()) as runtime:
        results = {}
        async for name in runtime.workflow_ids():
            handle = runtime.workflow(name)
            results[name] = await handle.result()
            found = await kinds(handle)
            assert 20 == found.count("activity_completed")
            assert 20 == found.count("activity_scheduled")
        return results


# -- a read that fails half-way --


class HalfReadStore(FaultyStore):
    """Gives one log at a time, lets whatever has it live for a second, and then fails once.

    Attributes:
        reads_left: how many reads of many logs are answered before one fails; None never fails.
    """

    reads_left: int | None = None

    async def read_many(self, *args, **options):
        if self.reads_left is not None:
            await self._kernel.sleep(1)
            self.reads_left -= 1
            if self.reads_left < 0:
                self.reads_left = None
                raise UNAVAILABLE
        return await super().read_many(*args, **options)


@pytest.mark.parametrize("answered", range(4))
async def test_who_was_read_before_a_read_failed_lives_on_as_it_is(answered, monkeypatch, autojump_clock):
    """One page may hold many workflows; those of it that live by then are not begun a second time."""
    made: list[Execution] = []
    make = Runner.execution

    def noted(*args, **options):
        made.append(make(*args, **options))
        return made[-1]

    kernel = InlineKernel()
    store = HalfReadStore(kernel)
    limits = RuntimeConfig(page_events=1, backoff_initial_seconds=5)
    names = ["a", "b", "c"]
    async with open_runtime(store, workflows=FLOWS, activities=ACTIVITIES, kernel=kernel) as runtime:
        for name in names:
            await runtime.start(wait_at, name, id=name)
            await board.wait_for_arrival(name)
    monkeypatch.setattr(Runner, "execution", noted)
    store.reads_left = answered
    opened = open_runtime(store, workflows=FLOWS, activities=ACTIVITIES, kernel=kernel, config=limits)
    async with opened as runtime:
        await trio.sleep(60)
        assert sorted(names) == sorted(execution.workflow_id for execution in made)
        for name in names:
            board.open(name)
            assert name == await runtime.workflow(name).result()
    assert all(execution.is_spoilt for execution in made), "each was put away, none left to the collector"
