"""Held workflows: the log stays, messages wait, all others go on; tried again on resume or mended code."""
# ruff: noqa: ARG001, ASYNC110  # the virtual clock is asked for, not used

from __future__ import annotations

from typing import Any

import pytest
import trio
from board import board, kinds

from treadle import activity, workflow
from treadle.errors import (
    WorkflowExistsError,
    WorkflowHeldError,
    WorkflowNotHereError,
    WorkflowTerminatedError,
)
from treadle.runtime.durable import watching

code = {"version": 1}
"""Which version of the code below runs: what a deployment changes."""


@activity.define
async def step(number: int) -> int:
    board.note("step", number)
    return number + 1


@activity.define
async def other(number: int) -> int:
    board.note("other", number)
    return number + 1


@workflow.define
async def changing(count: int) -> int:
    number = await workflow.activity(step if code["version"] != 2 else other, 0)
    for _ in range(count - 1):
        await workflow.signals("go").receive()
        number = await workflow.activity(step, number)
    return number


@workflow.define
async def slips(word: str) -> str:
    @workflow.query("word")
    def tell() -> str:
        return word

    await workflow.signals("go").receive()
    if code["version"] == 1:
        return nothing_like_this  # noqa: F821  # a slip is what is tested
    return word


@workflow.define
async def steady(count: int) -> int:
    number = 0
    for _ in range(count):
        number = await workflow.activity(step, number)
    return number


async def opens(how: str) -> str:
    await workflow.signals("go").receive()
    if how == "scope":
        with trio.CancelScope():
            await workflow.signals("go").receive()
    elif how == "deadline":
        with trio.move_on_after(5):
            await workflow.signals("go").receive()
    elif how == "nursery":
        async with trio.open_nursery():
            await workflow.signals("go").receive()
    elif how == "task":
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await workflow.signals("go").receive()
    elif how == "sleep":
        await trio.sleep(1)
    return "done"


with pytest.warns(UserWarning, match="trio"):
    opens_a_scope = workflow.define(name="opens_a_scope")(opens)

FLOWS = [changing, slips, steady, opens_a_scope]


@pytest.fixture(autouse=True)
def first_version(monkeypatch):
    """Begin with version 1, and tell versions apart by it."""
    code["version"] = 1
    monkeypatch.setattr(watching, "_digest_of", lambda _: str(code["version"]))


@pytest.fixture
def runtime(opened):
    def with_limits(**limits):
        return opened(FLOWS, [step, other], **limits)

    return with_limits


async def until_held(handle) -> Any:
    """Wait until it is held; tell the description."""
    with trio.fail_after(5):
        while await handle.status() != "held":
            await trio.sleep(0.01)
    return await handle.describe()


async def test_changed_code_holds_it_and_the_log_is_untouched(runtime):
    async with runtime() as opened:
        handle = await opened.start(changing, 2, id="a")
        with trio.fail_after(5):
            while board.counts["step"] == 0 or "activity_completed" not in await kinds(handle):
                await trio.sleep(0.01)
        before = await handle.read().list()
    code["version"] = 2
    async with runtime() as opened:
        handle = opened.workflow("a")
        await handle.signal("go")
        told = await until_held(handle)
        assert "step" in told.held
        assert "other" in told.held
        assert before == await handle.read().list()
        assert 1 == len(await opened.store.messages("a")), "the signal waits"
        assert 3 == await (await opened.start(steady, 3)).result(), "others go on"
        for ask in (handle.query("x"), handle.update("x"), handle.stack()):
            with pytest.raises(WorkflowHeldError, match="held"):
                await ask
        await handle.signal("unheard")
    async with runtime() as opened:
        await trio.sleep(0.1)
        assert "held" == await opened.workflow("a").status(), "the same code is not tried again by itself"
    code["version"] = 3
    async with runtime() as opened:
        handle = opened.workflow("a")
        assert 2 == await handle.result()
        assert [] == await opened.store.records("treadle:held")


async def test_a_held_workflow_is_tried_again_when_it_is_resumed(runtime):
    async with runtime() as opened:
        handle = await opened.start(slips, "word", id="a")
        await handle.signal("go")
        told = await until_held(handle)
        assert "nothing_like_this" in told.held
        assert ["workflow_started"] == await kinds(handle)
        await handle.resume()
        await until_held(handle)
        code["version"] = 2
        await handle.resume()
        assert "word" == await handle.result()
        assert [] == await opened.store.records("treadle:held")


async def test_inputs_before_the_one_that_holds_are_taken(runtime):
    async with runtime() as opened:
        handle = await opened.start(slips, "word", id="a")
        async with trio.open_nursery() as nursery:
            for name in ("x", "y", "go", "z"):
                nursery.start_soon(handle.signal, name)
        await until_held(handle)
        found = await kinds(handle)
        waiting = await opened.store.messages("a")
        assert 1 + 4 == len(found) + len(waiting)
        code["version"] = 2
        await handle.resume()
        assert "word" == await handle.result()


async def test_a_held_workflow_can_be_terminated(runtime):
    async with runtime() as opened:
        handle = await opened.start(slips, "word", id="a")
        await handle.signal("go")
        await until_held(handle)
        await handle.terminate("hopeless")
        with pytest.raises(WorkflowTerminatedError, match="hopeless"):
            await handle.result()
        assert [] == await opened.store.records("treadle:held")
        assert ["workflow_started", "workflow_terminated"] == await kinds(handle)
    async with runtime() as opened:
        other_one = await opened.start(slips, "word", id="b")
        await other_one.signal("go")
        await until_held(other_one)
    async with runtime() as opened:
        await opened.workflow("b").terminate("after a restart")
        with pytest.raises(WorkflowTerminatedError, match="after a restart"):
            await opened.workflow("b").result()


async def test_code_that_is_not_known_here_is_left_alone(opened, runtime, autojump_clock):
    async with runtime() as first:
        handle = await first.start(slips, "word", id="a")
        head = (await first.store.heads(["a"]))[0]
    async with opened([steady], [step]) as second:
        handle = second.workflow("a")
        await handle.signal("x")
        with pytest.raises(WorkflowNotHereError, match="slips"):
            await handle.query("word")
        await trio.sleep(5)
        assert "running" == await handle.status()
        assert head[:3] == (await second.store.heads(["a"]))[0][:3]
        assert [] == await second.store.records("treadle:held")
    async with runtime() as third:
        assert "word" == await third.workflow("a").query("word")


@workflow.define
async def listens(word: str) -> list[str]:
    if code["version"] == 1:
        nothing_like_this  # noqa: B018, F821  # a slip is what is tested
    return [word, await workflow.signals("go").receive()]


@pytest.fixture
async def unrun(opened, request):
    """A runtime, and the run of a workflow "a" that is there and does not run, for the reason given."""
    why, flows = request.param, [*FLOWS, listens]
    if why == "before its first step":
        async with opened() as before:
            await before.start("listens", "first", id="a")
    else:
        async with opened(flows, [step]) as before:
            handle = await before.start(slips, "first", id="a")
            if why == "held":
                await handle.signal("go", "x")
                await until_held(handle)
    known = [steady, listens] if why == "not run here" else flows
    async with opened(known, [step, other]) as runtime:
        if why == "before its first step":
            with trio.fail_after(5):
                while not await runtime.store.records("treadle:held"):
                    await trio.sleep(0.01)
        yield runtime, None if why == "before its first step" else 1


async def stored(runtime) -> tuple[Any, ...]:
    """What the store knows of the workflow "a"."""
    (head,) = await runtime.store.heads(["a"])
    return head._replace(token=None), await runtime.store.messages("a")


UNRUN = pytest.mark.parametrize("unrun", ["held", "not run here", "before its first step"], indirect=True)


@UNRUN
async def test_the_id_of_one_that_does_not_run_is_in_use(unrun):
    """Whether an id is taken does not hang on whether its workflow can go on just now."""
    runtime, run = unrun
    before = await stored(runtime)
    for policy in ("reject", "allow_when_closed"):
        with pytest.raises(WorkflowExistsError, match="use_existing"):
            await runtime.start(steady, 1, id="a", id_policy=policy)
    found = await runtime.start(steady, 1, id="a", id_policy="use_existing")

    assert ("a", run) == (found.workflow_id, found.run)
    assert before == await stored(runtime)


@UNRUN
async def test_a_signal_that_comes_with_a_start_waits_for_the_one_that_does_not_run(unrun):
    runtime, run = unrun
    waiting = len(await runtime.store.messages("a"))
    found = await runtime.start(steady, 1, id="a", id_policy="use_existing", signal=("go", ["late"]))

    assert run == found.run
    assert waiting + 1 == len(await runtime.store.messages("a")), "durable when start returns"
    code["version"] = 3
    if run is None:
        await found.resume()
        assert ["first", "late"] == await found.result()


async def test_a_start_that_slips_is_no_hindrance_to_the_next_one_of_its_id(opened):
    """Both may wait for the same turn: what is wrong with the first code says nothing of the second."""
    results = []

    async with opened([listens, steady], [step]) as runtime, trio.open_nursery() as nursery:

        async def begin_well(number: int) -> None:
            results.append(await (await runtime.start(steady, 2, id=number)).result())

        async def begin_badly(number: int) -> None:
            nursery.start_soon(begin_well, number)
            with pytest.raises(WorkflowHeldError, match="nothing_like_this"):
                await runtime.start(listens, "x", id=number)

        for number in range(20):
            nursery.start_soon(begin_badly, number)

    assert [2] * 20 == results


@activity.define(start_to_close_seconds=30)
async def slow(number: int) -> int:
    return number + 1


hasty = activity.define(name="slow", start_to_close_seconds=60)(slow.function)


@workflow.define
async def limited(count: int) -> int:
    number = 0
    for _ in range(count):
        await workflow.signals("go").receive()
        number = await workflow.activity(slow if code["version"] == 1 else hasty, number)
        if code["version"] == 3:
            await workflow.sleep(1)
    return number


async def begun_with_version_1(opened, count: int) -> None:
    """Leave a workflow that has called `slow` twice, with the time limit of the first version."""
    async with opened([limited], [slow]) as runtime:
        handle = await runtime.start(limited, count, id="a")
        for _ in range(2):
            await handle.signal("go")
        with trio.fail_after(5):
            while 2 > (await kinds(handle)).count("activity_completed"):
                await trio.sleep(0.01)


async def test_drift_is_logged_once_with_both_sides_and_the_recorded_value_wins(opened, caplog):
    await begun_with_version_1(opened, 3)
    code["version"] = 2
    async with opened([limited, steady], [hasty, step], instances_max=1) as runtime:
        handle = runtime.workflow("a")
        assert "running" == (await handle.describe()).status
        for number in range(5):
            # Each of them drives the other out of memory.
            await (await runtime.start(steady, 1, id=f"other-{number}")).result()
            await handle.describe()
        await handle.signal("go")

        assert 3 == await handle.result()
        assert 1 == runtime.statistics().runner.drifting
    told = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert [("treadle.runtime", "WARNING")] * 2 == [one[:2] for one in told]
    for seq, (_, _, words) in zip((3, 6), told, strict=True):
        assert f"workflow 'a' has drifted at seq {seq}, ACTIVITY_SCHEDULED, options:" in words
        assert "30" in words.split(", code ")[0]
        assert "60" in words.split(", code ")[1]
        assert "test_durable_held.py:" in words
    async with opened([limited], [hasty]) as runtime:
        options = [e.payload for e in await runtime.workflow("a").read().list() if e.seq in {3, 6, 9}]
        assert [True, True, False] == [b"30000000000" in payload for payload in options]


async def test_drift_before_a_divergence_is_logged_too(opened, caplog):
    """Whoever mends the code reads about both."""
    await begun_with_version_1(opened, 3)
    code["version"] = 3
    async with opened([limited], [hasty]) as runtime:
        handle = runtime.workflow("a")
        await handle.signal("go")
        await until_held(handle)

    assert ["seq 3"] == [record.getMessage().split("at ")[1].split(",")[0] for record in caplog.records]


@pytest.mark.parametrize("how", ["scope", "deadline", "nursery", "task", "sleep"])
async def test_what_belongs_to_trio_holds_it_and_nobody_else(runtime, how):
    async with runtime() as opened:
        handle = await opened.start(opens_a_scope, how, id="a")
        healthy = await opened.start(slips, "word", id="b")
        await handle.signal("go")
        with trio.fail_after(5):
            while await handle.status() == "running":
                await trio.sleep(0.01)
        told = await handle.describe()
        if how == "sleep":
            assert "failed" == told.status, "an await of Trio's raises at its line"
        else:
            assert "held" == told.status
            assert "test_durable_held.py" in told.held
            await handle.resume()
            await until_held(handle)
        assert "word" == await healthy.query("word")
        assert 5 == await (await opened.start(steady, 5)).result()
        assert "word" == await healthy.query("word")
