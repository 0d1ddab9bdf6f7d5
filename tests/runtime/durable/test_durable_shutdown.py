"""Shutdown in the middle of everything: nothing is lost, nobody waits for ever."""
# ruff: noqa: ARG001, PT012  # the virtual clock is asked for, not used

from __future__ import annotations

import pytest
import trio
from board import board, kinds
from faulty import FaultyStore

from treadle import RuntimeConfig, activity, open_runtime, workflow
from treadle.errors import RuntimeClosedError, StoreUnavailableError, TreadleError


@activity.define
async def work(name: str) -> str:
    board.note("work", name)
    await trio.sleep(1)
    return name


@activity.define
async def stubborn(name: str) -> str:
    try:
        await trio.sleep(10)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        board.note("ended", name)
    return name


@activity.define
async def swallows(name: str) -> str:
    try:
        await trio.sleep(10)
    except BaseException:  # noqa: BLE001  # worse than it should be
        raise ValueError("not a cancellation") from None
    return name


@workflow.define
async def child_of(name: str) -> str:
    return await workflow.activity(work, name)


@workflow.define
async def everything(name: str) -> list[str]:
    """A timer, activities side by side, children, a signal, an update, all at once."""
    done: list[str] = []

    @workflow.update("note")
    async def note(text: str) -> int:
        done.append(await workflow.activity(work, text))
        return len(done)

    async def sleeper() -> None:
        await workflow.sleep(2)
        done.append("slept")

    async def one(text: str) -> None:
        done.append(await workflow.activity(work, text))

    async def parent() -> None:
        done.append(await workflow.child(child_of, "child"))

    async with workflow.open_nursery() as nursery:
        nursery.start_soon(sleeper)
        nursery.start_soon(parent)
        nursery.start_soon(one, "a")
        nursery.start_soon(one, "b")
        done.append(await workflow.signals("go").receive())
    await workflow.wait_until(lambda: len(done) >= 6)
    return sorted(done)


@workflow.define
async def runs(which: str) -> str:
    return await workflow.activity({"stubborn": stubborn, "swallows": swallows}[which], "x")


FLOWS = [everything, child_of, runs]
ACTIVITIES = [work, stubborn, swallows]


def over(store, kernel, **limits):
    return open_runtime(
        store, workflows=FLOWS, activities=ACTIVITIES, kernel=kernel, config=RuntimeConfig(**limits)
    )


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144])
@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 1.5, 2.0])
async def test_closed_anywhere_it_comes_to_the_same_end(kernel, steps, seconds, autojump_clock):
    store = FaultyStore(kernel)
    async with over(store, kernel) as runtime:
        handle = await runtime.start(everything, "x", id="e")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(quietly, handle.signal, "go", "signalled")
            nursery.start_soon(quietly, handle.update, "note", "updated")
            await trio.sleep(seconds)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    async with over(store, kernel) as runtime:
        handle = runtime.workflow("e")
        found = await kinds(handle)
        if "workflow_completed" not in found:
            if not {"signal_received"} & set(found) and not await store.messages("e"):
                await handle.signal("go", "signalled")
            if "update_accepted" not in found:
                await handle.update("note", "updated")
        assert sorted(["slept", "child", "a", "b", "signalled", "updated"]) == await handle.result()
        found = await kinds(handle)
        assert "activity_attempt_failed" not in found
        assert (1, 1) == (found.count("signal_received"), found.count("update_accepted"))


async def quietly(function, *args) -> None:
    """Call; whatever the runtime's end makes of it."""
    try:
        await function(*args)
    except TreadleError:
        board.note("refused")


async def test_an_attempt_may_clean_up_and_the_end_waits_for_it(opened, autojump_clock):
    start = trio.current_time()
    async with opened(FLOWS, ACTIVITIES) as runtime:
        await runtime.start(runs, "stubborn", id="a")
        await trio.sleep(1)

    assert 4 == round(trio.current_time() - start)
    assert [("ended", "x")] == board.notes
    async with opened(FLOWS, ACTIVITIES) as runtime:
        assert "x" == await runtime.workflow("a").result()


async def test_an_error_in_place_of_a_cancellation_is_not_written(opened, autojump_clock):
    async with opened(FLOWS, ACTIVITIES) as runtime:
        await runtime.start(runs, "swallows", id="a")
        await trio.sleep(1)
    async with opened(FLOWS, ACTIVITIES) as runtime:
        assert "x" == await runtime.workflow("a").result()
        assert "activity_attempt_failed" not in await kinds(runtime.workflow("a"))


async def test_whoever_still_waits_is_told_that_it_closes(opened, autojump_clock):
    outcomes = {}

    async def ask(name, function, *args) -> None:
        try:
            await function(*args)
        except TreadleError as error:
            outcomes[name] = type(error)

    async with trio.open_nursery() as nursery:
        async with opened(FLOWS, ACTIVITIES) as runtime:
            handle = await runtime.start(everything, "x", id="e")
            nursery.start_soon(ask, "result", handle.result)
            nursery.start_soon(ask, "update", handle.update, "note", "u")
            await trio.sleep(0.5)
        await ask("start", runtime.start, runs, "swallows")
        await ask("signal", handle.signal, "go", "x")

    assert {"result", "update", "start", "signal"} == set(outcomes)
    assert set(outcomes.values()) <= {RuntimeClosedError, StoreUnavailableError}
    assert RuntimeClosedError == outcomes["result"] == outcomes["update"]


async def test_the_bodys_error_leaves_as_itself_with_attempts_running(opened, autojump_clock):
    with pytest.raises(KeyError, match="mine"):
        async with opened(FLOWS, ACTIVITIES) as runtime:
            await runtime.start(runs, "stubborn")
            await trio.sleep(1)
            raise KeyError("mine")


async def test_a_cancelled_body_closes_in_order(opened, autojump_clock):
    with trio.move_on_after(1):
        async with opened(FLOWS, ACTIVITIES) as runtime:
            await runtime.start(runs, "stubborn", id="a")
            await trio.sleep_forever()
    async with opened(FLOWS, ACTIVITIES) as runtime:
        assert "x" == await runtime.workflow("a").result()
        assert "activity_attempt_failed" not in await kinds(runtime.workflow("a"))


async def test_nothing_is_left_running_after_the_end(opened):
    async with trio.open_nursery() as nursery:
        async with opened(FLOWS, ACTIVITIES) as runtime:
            for number in range(5):
                await runtime.start(runs, "swallows", id=number)
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks
        figures = runtime.statistics().runner
        assert ("stopped", 0, 0) == (figures.state, figures.attempts_running, figures.units_under_way)
