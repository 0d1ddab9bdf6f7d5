"""The runner in worlds from a seed: no wait outside the kernel, the same end whatever fails on the way."""

from __future__ import annotations

import random

import pytest
import trio
from board import board
from faulty import UNAVAILABLE, UNKNOWN, FaultyStore

from treadle import RuntimeConfig, activity, open_runtime, workflow
from treadle.errors import TreadleError
from treadle.events import EventKind
from treadle.testing import WorldKernel, run_in_world

KERNEL: list[WorldKernel] = []
"""The world's kernel, for activities: their waits must be the world's as well."""


@activity.define(retry=activity.Retry(initial_seconds=1, attempts=None))
async def shaky(number: int) -> int:
    kernel = KERNEL[-1]
    await kernel.sleep(kernel.random())
    if kernel.random() < 0.2:
        raise OSError("shaky")
    board.note("done", number)
    return number


@workflow.define
async def leaf(number: int) -> int:
    return await workflow.activity(shaky, number)


@workflow.define
async def tree(count: int) -> int:
    total = 0

    async def one(number: int) -> None:
        nonlocal total
        value = await workflow.child(leaf, number)
        total += value

    async def two(number: int) -> None:
        nonlocal total
        value = await workflow.activity(shaky, number)
        total += value
        await workflow.sleep(number)

    async with workflow.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one if number % 2 else two, number)
        more = await workflow.signals("more").receive()
        total += more
    return total


async def disturb(kernel, store: FaultyStore, chance: random.Random) -> None:
    """Let commits fail, hang, and be done without an answer, for some seconds."""
    for _ in range(chance.randrange(25)):
        what = chance.randrange(4)
        if what == 0:
            store.fail_next(UNAVAILABLE)
        elif what == 1:
            store.fail_next(UNKNOWN, written=chance.random() < 0.5)
        elif what == 2:
            store.commits.close()
        await kernel.sleep(chance.random())
        store.commits.open()
    store.faults.clear()


async def ask_again(kernel, function, *args, **options) -> None:
    """Call until it is answered; an unknown outcome is asked for again."""
    while True:
        try:
            await function(*args, **options)
        except TreadleError:
            await kernel.sleep(0.5)
        else:
            return


async def storm(kernel: WorldKernel, seed: int) -> list:
    """Run some trees while the store fails and runtimes come and go."""
    KERNEL.append(kernel)
    board.clear()
    chance = random.Random(seed)
    store = FaultyStore(kernel)
    limits = RuntimeConfig(
        close_timeout_seconds=chance.choice([0.001, 10]),
        instances_max=chance.choice([1, 2, 100]),
        recoveries_max=chance.choice([1, 64]),
        activities_max=chance.choice([1, 3, 100]),
        batch_events_max=chance.choice([1, 3, 1000]),
        lost_attempts_max=1000,
    )
    names = [f"t{number}" for number in range(chance.randrange(1, 4))]

    def opened():
        return open_runtime(store, workflows=[tree, leaf], activities=[shaky], kernel=kernel, config=limits)

    for round_ in range(chance.randrange(1, 4)):
        async with opened() as runtime, trio.open_nursery() as nursery:
            kernel.spawn(nursery, disturb, kernel, store, chance)
            for name in names:
                await ask_again(
                    kernel, runtime.start, tree, 4, id=name, id_policy="use_existing"
                ) if round_ == 0 else None
            await kernel.sleep(chance.random() * 5)
            nursery.cancel_scope.cancel()
            store.commits.open()
    store.faults.clear()
    store.commits.open()
    async with opened() as runtime:
        for name in names:
            await ask_again(kernel, runtime.workflow(name).signal, "more", 100, key=b"once")
        results = [await runtime.workflow(name).result() for name in names]
    logs = [check(store, name) for name in names]
    return [results, logs]


def check(store: FaultyStore, name: str) -> list:
    """Every command has its one answer; the log ends with its end."""
    events = store.stored(name)
    counts = {kind: sum(event.kind is kind for event in events) for kind in EventKind}
    assert counts[EventKind.ACTIVITY_SCHEDULED] == counts[EventKind.ACTIVITY_COMPLETED] == 2
    assert counts[EventKind.CHILD_SCHEDULED] == counts[EventKind.CHILD_COMPLETED] == 2
    assert counts[EventKind.SIGNAL_RECEIVED] == 1
    assert events[-1].kind is EventKind.WORKFLOW_COMPLETED
    return [(event.kind.name, event.timestamp) for event in events]


@pytest.mark.parametrize("block", range(8))
def test_a_storm_with_faults_and_restarts_comes_to_the_right_end(block):
    for seed in range(block * 10, block * 10 + 10):
        results, _ = run_in_world(storm, seed, seed=seed)
        assert {106} == set(results), seed


def test_the_same_seed_gives_the_same_logs():
    for seed in range(3):
        runs = [run_in_world(storm, 7, seed=seed) for _ in range(2)]
        assert runs[0] == runs[1]
