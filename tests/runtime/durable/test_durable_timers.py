"""Timers: durable deadlines that outlive the process, fire once, in order, and cost nothing in between."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import pytest
import trio
from board import board, kinds

from treadle import activity, workflow

DAY = 24 * 3600


@activity.define
async def note(name: str) -> None:
    board.note(name, round(trio.current_time()))


@workflow.define
async def sleep_for(seconds: float) -> float:
    begun = workflow.current_time()
    await workflow.sleep(seconds)
    return workflow.current_time() - begun


@workflow.define
async def sleep_in_turn(seconds: list[float]) -> None:
    for one in seconds:
        await workflow.sleep(one)
        await workflow.activity(note, "woke")


@workflow.define
async def nested(outer: float, inner: float) -> str:
    with workflow.move_on_after(outer):
        with workflow.move_on_after(inner):
            await workflow.sleep_forever()
        return "inner"
    return "outer"


@workflow.define
async def many_sleepers(count: int, step: float) -> list[int]:
    woken: list[int] = []

    async def one(number: int) -> None:
        await workflow.sleep(step * (count - number))
        woken.append(number)

    async with workflow.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return woken


FLOWS = [sleep_for, sleep_in_turn, nested, many_sleepers]


async def test_a_sleep_lasts_as_long_as_it_says(opened, autojump_clock):
    async with opened(FLOWS, [note]) as runtime:
        handle = await runtime.start(sleep_for, 30 * DAY)
        assert 30 * DAY == round(await handle.result())
        assert ["workflow_started", "timer_started", "timer_fired", "workflow_completed"] == await kinds(
            handle
        )
        assert 30 * DAY == round(trio.current_time())


async def test_a_deadline_that_passes_while_nobody_runs_fires_at_the_next_opening(opened, autojump_clock):
    async with opened(FLOWS, [note]) as runtime:
        await runtime.start(sleep_for, 3600, id="a")
    await trio.sleep(2 * 3600)
    async with opened(FLOWS, [note]) as runtime:
        assert 7200 == round(await runtime.workflow("a").result())


async def test_a_deadline_still_to_come_fires_on_time_after_a_restart(opened, autojump_clock):
    start = trio.current_time()
    async with opened(FLOWS, [note]) as runtime:
        await runtime.start(sleep_for, 3600, id="a")
    await trio.sleep(600)
    async with opened(FLOWS, [note]) as runtime:
        assert 3600 == round(await runtime.workflow("a").result())

    assert 3600 == round(trio.current_time() - start)


@pytest.mark.parametrize("instances_max", [1, 1000])
async def test_sleepers_fire_in_the_order_of_their_deadlines_in_memory_or_not(
    opened, instances_max, autojump_clock
):
    async with opened(FLOWS, [note], instances_max=instances_max) as runtime:
        handles = [await runtime.start(sleep_in_turn, [10.0 * n, 100.0], id=n) for n in range(5, 0, -1)]
        await trio.sleep(5)
        assert min(instances_max, 5) == runtime.statistics().runner.instances
        for handle in handles:
            await handle.result()

    times = [time for _, time in board.notes]
    assert [10, 20, 30, 40, 50, 110, 120, 130, 140, 150] == times


async def test_of_two_deadlines_overdue_together_the_outer_catches(opened, autojump_clock):
    async with opened(FLOWS, [note]) as runtime:
        await runtime.start(nested, 20.0, 10.0, id="late")
        assert "inner" == await (await runtime.start(nested, 20.0, 10.0, id="on time")).result()
        await runtime.start(nested, 100.0, 90.0, id="very late")
    await trio.sleep(1000)
    async with opened(FLOWS, [note]) as runtime:
        assert "inner" == await runtime.workflow("late").result()
        assert "outer" == await runtime.workflow("very late").result()


async def test_many_timers_of_one_workflow_fire_each_at_its_time(opened, autojump_clock):
    async with opened(FLOWS, [note]) as runtime:
        handle = await runtime.start(many_sleepers, 50, 2.0)
        assert list(reversed(range(50))) == await handle.result()


async def test_timers_due_at_one_time_are_one_event(opened, autojump_clock):
    async with opened(FLOWS, [note]) as runtime:
        handle = await runtime.start(many_sleepers, 50, 0.0)
        await handle.result()
        again = await runtime.start(sleep_in_turn, [1.0])
        await again.result()
        assert 1 == (await kinds(again)).count("timer_fired")


async def test_sleepers_far_ahead_are_not_in_memory_after_a_restart(opened, autojump_clock):
    async with opened(FLOWS, [note]) as runtime:
        for number in range(20):
            await runtime.start(sleep_for, DAY, id=f"far {number}")
        await runtime.start(sleep_for, 60, id="near")
    async with opened(FLOWS, [note]) as runtime:
        await trio.sleep(1)
        figures = runtime.statistics().runner
        assert (0, 1) == (figures.instances, figures.wake_ups)
        assert 60 == round(await runtime.workflow("near").result())
        assert DAY == round(await runtime.workflow("far 7").result())


async def test_more_due_than_may_be_read_at_once_all_fire(opened, autojump_clock):
    async with opened(FLOWS, [note]) as runtime:
        for number in range(60):
            await runtime.start(sleep_for, 10, id=number)
    await trio.sleep(100)
    async with opened(FLOWS, [note], recoveries_max=4) as runtime:
        for number in range(60):
            await runtime.workflow(number).result()
