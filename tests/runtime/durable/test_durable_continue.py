"""Continue-as-new: the same id and log, a fresh run, and nothing that was sent is lost."""
# ruff: noqa: ARG001, ASYNC110  # the virtual clock is asked for, not used

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from board import board, kinds
from test_durable_recovery import CutStore

from treadle import RuntimeConfig, activity, open_runtime, workflow
from treadle.errors import TreadleError


@activity.define
async def note(name: str) -> str:
    board.note(name)
    return name


@workflow.define
async def countdown(left: int) -> str:
    await workflow.activity(note, "turn")
    if left > 0:
        await workflow.continue_as_new(left - 1)
    return "lift-off"


@workflow.define
async def collect(wanted: int, have: list[Any]) -> list[Any]:
    """Take two signals in a run; the rest is carried over."""
    for _ in range(2):
        if len(have) == wanted:
            return have
        have = [*have, await workflow.signals("item").receive()]
    await workflow.activity(note, "turn")
    await workflow.continue_as_new(wanted, have)
    return []


@workflow.define
async def counter(total: int, turns: int) -> int:
    @workflow.update("add")
    async def add(number: int) -> int:
        nonlocal total
        total += number
        return total

    @workflow.query("total")
    def tell() -> int:
        return total

    await workflow.signals("turn").receive()
    if turns:
        await workflow.continue_as_new(total, turns - 1)
    return total


FLOWS = [countdown, collect, counter]


@pytest.fixture
def runtime(opened):
    def with_limits(**limits):
        return opened(FLOWS, [note], **limits)

    return with_limits


async def test_result_follows_the_id_through_all_runs(runtime):
    async with runtime() as opened:
        handle = await opened.start(countdown, 20)
        assert "lift-off" == await handle.result()
        found = await kinds(handle)
        assert (1, 20) == (found.count("workflow_started"), found.count("continued"))
        assert "lift-off" == await handle.result()
        assert "lift-off" == await opened.workflow(handle.workflow_id).result()


async def test_signals_that_nobody_has_read_are_carried_over_in_order(runtime):
    async with runtime() as opened:
        handle = await opened.start(collect, 9, [], id="a", signal=("item", [0]))
        for number in range(1, 9):
            await handle.signal("item", number)
        assert list(range(9)) == await handle.result()


async def test_replay_begins_at_the_newest_run(runtime):
    async with runtime() as opened:
        handle = await opened.start(counter, 0, 5, id="a")
        for _ in range(3):
            await handle.update("add", 10)
            await handle.signal("turn")
        with trio.fail_after(5):
            while (await kinds(handle)).count("continued") < 3:
                await trio.sleep(0.01)
        run = (await handle.describe()).run
        assert run > 1
    async with runtime() as opened:
        handle = opened.workflow("a")
        assert 30 == await handle.query("total")
        assert run == (await handle.describe()).run


async def test_an_update_id_is_known_in_the_next_run(runtime):
    async with runtime() as opened:
        handle = await opened.start(counter, 0, 5, id="a")
        assert 10 == await handle.update("add", 10, id="once")
        await handle.signal("turn")
        with trio.fail_after(5):
            while "continued" not in await kinds(handle):
                await trio.sleep(0.01)
        assert 10 == await handle.update("add", 10, id="once")
        assert 10 == await handle.query("total")


@pytest.mark.parametrize("appends", range(1, 20, 2))
async def test_cut_off_after_any_append_no_signal_is_lost(kernel, appends, autojump_clock):
    store = CutStore(kernel, appends)
    sent = 0
    config = RuntimeConfig(close_timeout_seconds=1)
    known = {"workflows": FLOWS, "activities": [note], "kernel": kernel}
    async with open_runtime(store, config=config, **known) as opened:
        with trio.move_on_after(5):
            handle = await opened.start(collect, 7, [], id="a")
            with suppress(TreadleError):  # it was cut off
                for sent in range(7):  # how far it came is what counts
                    await handle.signal("item", sent)
                sent = 7
    store.left = 10**9
    async with open_runtime(store, **known) as opened:
        handle = opened.workflow("a")
        for number in range(sent, 7):
            await handle.signal("item", number)
        assert list(range(7)) == await handle.result()
