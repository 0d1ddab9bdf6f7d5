"""An activation longer than a batch is appended in units; a crash between two of them changes nothing."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import pytest
import trio
from auditing import audited, damage_in
from board import kinds
from durable_cut_worker import FLOWS, double, fans_out, listener
from faulty import UNAVAILABLE, UNKNOWN, FaultyStore
from trio.testing import wait_all_tasks_blocked

from treadle import RuntimeConfig, activity, open_runtime, workflow
from treadle.errors import RuntimeClosedError, StoreUnavailableError
from treadle.events import BATCH_EVENTS_MAX
from treadle.stores import open_store

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("durable_cut_worker.py")
COUNT = 2 * BATCH_EVENTS_MAX + 50
"""Activities: with the input and a signal, three units."""


@activity.define
async def noted(word: str) -> str:
    return word


@workflow.define
async def hears(count: int) -> list[str]:
    """Each signal is an activation with a command of its own; between them it waits for nothing else."""
    return [await workflow.activity(noted, await workflow.signals("word").receive()) for _ in range(count)]


@workflow.define
async def naps() -> int:
    number = 0

    @workflow.update("add")
    def add(more: int) -> int:
        nonlocal number
        number += more
        return number

    await workflow.sleep(1000)
    return number


class CountingStore(FaultyStore):
    """Notes what each unit of a workflow has brought, and refuses what comes behind the last it takes."""

    def __init__(self, kernel, left: int = 10**9) -> None:
        super().__init__(kernel)
        self.left = left
        self.sizes: list[int] = []
        self.facts: list[object] = []

    async def append(self, units):
        if any(unit.batches or unit.restated for unit in units):
            if self.left <= 0:
                raise StoreUnavailableError("cut off")
            self.left -= 1
        for unit in units:
            for batch in unit.batches:
                if batch.workflow_id == "a":
                    self.sizes.append(len(batch.events))
                    self.facts.append(batch.facts)
        return await super().append(units)


def over(store, kernel, **limits):
    flows = [*FLOWS, hears, naps]
    return open_runtime(
        store, workflows=flows, activities=[double, noted], kernel=kernel, config=RuntimeConfig(**limits)
    )


async def check_finished(runtime, *, count: int = COUNT) -> None:
    """The end is that of an undisturbed run: every result once, every message once."""
    handle = runtime.workflow("a")
    total = count * (count - 1)
    assert total == await handle.result()
    assert [count, total] == await runtime.workflow("listener").result()
    found = Counter(await kinds(handle))
    assert (count, count, 2, 1) == tuple(
        found[name]
        for name in ("activity_scheduled", "activity_completed", "signal_sent", "workflow_completed")
    )
    ended = (await runtime.workflow("listener").read().list())[-1]
    assert b"signals_unread" not in ended.payload, "no message came twice"


async def test_a_long_activation_is_appended_in_units_and_acts_when_the_last_is_durable(kernel):
    store = CountingStore(kernel)
    async with over(store, kernel) as runtime:
        await runtime.start(listener, id="listener")
        await runtime.start(fans_out, COUNT, id="a")
        assert [BATCH_EVENTS_MAX, BATCH_EVENTS_MAX, 52] == store.sizes[:3]
        first, second, third = store.facts[:3]
        assert (0, None) == (first.wake_up_ns, second), "whoever opens the store looks at it at once"
        assert third is not None
        await check_finished(runtime)


@pytest.mark.parametrize("written", [True, False, None])
@pytest.mark.parametrize("place", [1, 2])
async def test_a_start_that_has_begun_to_land_is_not_told_that_it_was_refused(
    kernel, place, written, autojump_clock
):
    """A later unit is refused, or nobody knows: the first is durable, so the workflow has begun."""
    store = CountingStore(kernel)
    async with over(store, kernel) as runtime:
        await runtime.start(listener, id="listener")
        store.faults.extend([None] * place)
        if written is None:
            store.fail_next(UNAVAILABLE)
        else:
            store.fail_next(UNKNOWN, written=written)
        handle = await runtime.start(fans_out, COUNT, id="a")
        assert 1 == handle.run
        await check_finished(runtime)


@pytest.mark.parametrize("appends", [1, 2, 3, 4, 5])
async def test_cut_off_between_its_units_it_is_completed(kernel, appends, autojump_clock):
    store = CountingStore(kernel)
    async with over(store, kernel, close_timeout_seconds=1) as runtime:
        await runtime.start(listener, id="listener")
        store.left = appends
        with trio.move_on_after(5):
            await runtime.start(fans_out, COUNT, id="a")
            await trio.sleep_forever()
        store.left = 0
    assert [] == await damage_in(store)
    if appends < 3:
        assert appends * BATCH_EVENTS_MAX == len(store.stored("a"))
        assert [] == await store.messages("listener"), "nothing is sent before it is whole"
    store.left = 10**9
    async with over(store, kernel) as runtime:
        await check_finished(runtime)


async def test_between_two_activations_of_one_turn_its_head_tells_the_truth_again(kernel, autojump_clock):
    """What is whole needs nothing more from its code, and its head facts still say "look at once"."""
    store = CountingStore(kernel)
    async with over(store, kernel, batch_events_max=3, close_timeout_seconds=1) as runtime:
        handle = await runtime.start(naps, id="a")
        store.left = 2
        store.commits.close()

        async def add() -> None:
            # Not StoreUnavailableError, which would say that it surely was not written.
            with trio.move_on_after(5), suppress(RuntimeClosedError):
                await handle.update("add", 1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(add)
            await wait_all_tasks_blocked()
            nursery.start_soon(add)
            nursery.start_soon(add)
            await wait_all_tasks_blocked()
            store.commits.open()
        store.left = 0
    assert [2, 2, 2] == store.sizes, "the second and the third came in one turn; its second unit was refused"
    (head,) = await store.heads(["a"])
    assert 0 == head.facts.wake_up_ns
    store.left = 10**9
    async with over(store, kernel) as runtime:
        await trio.sleep(1)
        (head,) = await store.heads(["a"])
        assert head.facts.wake_up_ns > 10**18, "it is looked at when its timer is due, not at every opening"
        assert 2 == await runtime.workflow("a").result()


async def test_every_input_of_a_cut_turn_is_followed_by_its_own_commands(kernel):
    store = CountingStore(kernel)
    async with over(store, kernel, batch_events_max=2) as runtime:
        handle = await runtime.start(hears, 6, id="a")
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(handle.signal, "word", str(number))
        assert sorted(map(str, range(6))) == sorted(await handle.result())
        found = [name for name, _ in groupby(await kinds(handle))]
    assert 6 == found.count("activity_scheduled")
    assert max(store.sizes) <= 2


@pytest.mark.parametrize("appends", [1, 2, 3, 4])
def test_killed_between_its_units_it_is_completed_by_the_next_process(tmp_path, appends):
    """With SIGKILL, on a file: behind each of the three units, and behind the first results."""
    path = tmp_path / "cut.db"
    command = [sys.executable, WORKER, path, str(COUNT), str(appends)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (-9, "killed\n") == (killed.returncode, killed.stdout), killed.stderr
    stored = trio.run(log_length, path)
    expected = {1: BATCH_EVENTS_MAX, 2: 2 * BATCH_EVENTS_MAX, 3: COUNT + 2}

    assert stored == expected.get(appends, stored)
    assert [] == audited(str(path))
    trio.run(finish, path)
    assert [] == audited(str(path))


async def log_length(path) -> int:
    async with open_store(path, read_only=True) as store:
        (head,) = await store.heads(["a"])
        return head.next_seq - 1


async def finish(path) -> None:
    async with open_runtime(path, workflows=FLOWS, activities=[double]) as runtime:
        with trio.fail_after(8):
            await check_finished(runtime)


@workflow.define
async def one() -> int:
    return 1


@workflow.define
async def wakes() -> int:
    await workflow.sleep(10)
    return await workflow.child(one)


async def test_what_timers_before_an_input_have_sent_is_written_with_their_own_commands(
    kernel, autojump_clock
):
    """A crash behind them leaves an activation that is whole: nobody would send its rows again."""
    store = CountingStore(kernel)
    limits = RuntimeConfig(batch_events_max=1, close_timeout_seconds=1)

    def running():
        return open_runtime(store, workflows=[wakes, one], kernel=kernel, config=limits)

    async with running() as runtime:
        await runtime.start(wakes, id="a")
    async with open_runtime(store, kernel=kernel) as caller:
        await caller.workflow("a").signal("word", "x")
    await trio.sleep(100)  # the timer is due when the signal is read
    store.left = 2
    async with running():
        await trio.sleep(1)
    assert ["TIMER_FIRED", "CHILD_SCHEDULED"] == [event.kind.name for event in store.stored("a")][-2:]
    store.left = 10**9
    async with running() as runtime:
        with trio.fail_after(10_000):
            assert 1 == await runtime.workflow("a").result()
