"""Starting workflows: ids and what becomes of those that are taken, arguments, results and ends."""
# ruff: noqa: ARG001

from __future__ import annotations

import attrs
import pytest
import trio
from board import board, kinds

from treadle import activity, workflow
from treadle.errors import (
    DefinitionError,
    InvalidValueError,
    UsageError,
    WorkflowExistsError,
    WorkflowFailedError,
    WorkflowHeldError,
    WorkflowNotFoundError,
)


@attrs.frozen
class Item:
    name: str
    cents: int


@activity.define
async def price(name: str) -> int:
    board.note("price", name)
    return len(name) * 100


@workflow.define
async def buy(names: list[str]) -> list[Item]:
    return [Item(name, await workflow.activity(price, name)) for name in names]


@workflow.define
async def wait_for_go(word: str = "go") -> str:
    return word + " " + await workflow.signals("go").receive()


@workflow.define
async def fail(text: str) -> None:
    raise ValueError(text)


@workflow.define
async def slip() -> None:
    nothing_like_this  # noqa: B018, F821  # a slip is what is tested


FLOWS = [buy, wait_for_go, fail, slip]


async def test_a_workflow_runs_its_activities_and_returns_by_its_annotation(opened):
    async with opened(FLOWS, [price]) as runtime:
        handle = await runtime.start(buy, ["a", "bcd"], id="order-1")

        assert [Item("a", 100), Item("bcd", 300)] == await handle.result()
        assert "completed" == await handle.status()
        assert [("price", "a"), ("price", "bcd")] == board.notes
        assert ["workflow_started"] + ["activity_scheduled", "activity_completed"] * 2 + [
            "workflow_completed"
        ] == await kinds(handle)


async def test_a_name_starts_what_is_registered_under_it(opened):
    async with opened(FLOWS, [price]) as runtime:
        handle = await runtime.start("buy", ["x"])

        assert [Item("x", 100)] == await handle.result()
        assert len(handle.workflow_id) == 32, "an id is drawn when none is given"
        with pytest.raises(DefinitionError, match="buy"):
            await runtime.start("buyy", ["x"])


async def test_an_id_in_use_is_an_error_and_changes_nothing(opened):
    async with opened(FLOWS, [price]) as runtime:
        handle = await runtime.start(wait_for_go, id=7)
        before = await kinds(handle)
        with pytest.raises(WorkflowExistsError, match="runs already"):
            await runtime.start(wait_for_go, id="7")
        with pytest.raises(WorkflowExistsError, match="runs already"):
            await runtime.start(wait_for_go, id="7", id_policy="allow_when_closed")

        assert before == await kinds(handle)


async def test_an_id_in_use_is_found_in_the_store_too(opened):
    async with opened(FLOWS) as runtime:
        await runtime.start(wait_for_go, id="a")
        closed = await runtime.start(fail, "x", id="b")
        with pytest.raises(WorkflowFailedError):
            await closed.result()
    async with opened(FLOWS) as runtime:
        for name, text in (("a", "runs already"), ("b", "ended")):
            with pytest.raises(WorkflowExistsError, match=text):
                await runtime.start(wait_for_go, id=name)


async def test_use_existing_gives_the_one_that_runs(opened):
    async with opened(FLOWS) as runtime:
        first = await runtime.start(wait_for_go, "first", id="a")
        second = await runtime.start(wait_for_go, "second", id="a", id_policy="use_existing")
        await second.signal("go", "now")

        assert "first now" == await first.result() == await second.result()


async def test_allow_when_closed_begins_again_in_the_same_log(opened):
    async with opened(FLOWS) as runtime:
        first = await runtime.start(wait_for_go, "first", id="a")
        await first.signal("go", "1")
        assert "first 1" == await first.result()
        second = await runtime.start(wait_for_go, "second", id="a", id_policy="allow_when_closed")
        await second.signal("go", "2")

        assert "second 2" == await second.result()
        assert "first 1" == await first.result(), "a handle from start is of its run"
        assert (1, 4) == (first.run, second.run)
        assert "second 2" == await runtime.workflow("a").result(), "any other is of the newest"
    async with opened(FLOWS) as runtime:
        third = await runtime.start(wait_for_go, "third", id="a", id_policy="allow_when_closed")
        await third.signal("go", "3")
        assert "third 3" == await third.result()
        assert "first 1" == await first_again(runtime)


async def first_again(runtime) -> str:
    """The result of the first run, by a handle of it."""
    from treadle.runtime import WorkflowHandle  # noqa: PLC0415

    return await WorkflowHandle(runtime, "a", run=1).result()


async def test_a_failure_comes_back_with_its_words(opened):
    async with opened(FLOWS) as runtime:
        handle = await runtime.start(fail, "no such thing")
        with pytest.raises(WorkflowFailedError, match="no such thing") as caught:
            await handle.result()

        assert ("ValueError", "no such thing") == (caught.value.failure_type, caught.value.failure_message)
        assert "failed" == await handle.status()


async def test_arguments_that_do_not_fit_are_refused_at_the_call(opened):
    async with opened(FLOWS, [price]) as runtime:
        for wrong in ((["a"], 2), (), ([1],), (object(),)):
            with pytest.raises(InvalidValueError):
                await runtime.start(buy, *wrong, id="a")
        with pytest.raises(InvalidValueError, match="id_policy"):
            await runtime.start(buy, ["a"], id="a", id_policy="maybe")
        with pytest.raises(InvalidValueError, match="workflow"):
            await runtime.start(price, "a")
        with pytest.raises(WorkflowNotFoundError):
            await runtime.workflow("a").status()


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)  # what two processes can share
@pytest.mark.parametrize("args", [(), (5,), (["a"], "too many"), ([1],)])
async def test_arguments_from_a_process_without_the_code_are_judged_by_the_runner(
    autojump_clock, opened, args
):
    """It has the annotations; what does not fit must not use the id up."""
    async with opened(FLOWS, [price]) as runtime, opened() as outside:
        with pytest.raises(InvalidValueError, match="of workflow 'buy' do"):
            await outside.start("buy", *args, id="order-1")
        with pytest.raises(WorkflowNotFoundError):
            await runtime.workflow("order-1").status()

        assert await (await outside.start("buy", ["a"], id="order-1")).result() == [
            {"name": "a", "cents": 100}
        ]


@pytest.mark.parametrize("args", [(), (5,)])
async def test_a_start_that_waits_for_a_runner_and_does_not_fit_leaves_nothing_either(
    autojump_clock, opened, args
):
    async with opened() as outside:
        await outside.start("buy", *args, id="order-1")
    async with opened(FLOWS, [price]) as runtime:
        with pytest.raises(WorkflowNotFoundError):
            await runtime.workflow("order-1").query("anything")

        assert await (await runtime.start(buy, [], id="order-1")).result() == []


async def test_a_slip_in_the_first_step_starts_nothing(opened):
    async with opened(FLOWS) as runtime:
        with pytest.raises(WorkflowHeldError, match="nothing_like_this"):
            await runtime.start(slip, id="a")

        assert 0 == await runtime.workflow("a").stream_len()
        handle = await runtime.start(fail, "x", id="a")
        with pytest.raises(WorkflowFailedError):
            await handle.result()


async def test_code_that_is_not_registered_here_is_not_started(opened):
    async with opened([fail]) as runtime:
        with pytest.raises(DefinitionError, match="wait_for_go"):
            await runtime.start(wait_for_go, id="a")


async def test_nobody_else_appends_to_a_durable_workflow(opened):
    async with opened(FLOWS) as runtime:
        handle = runtime.workflow("a")
        await handle.digest()
        await runtime.start(wait_for_go, id="a")
        for _ in range(2):
            with pytest.raises(UsageError, match="durable workflow"):
                await handle.append("custom", b"x")
            with pytest.raises(UsageError, match="durable workflow"):
                await handle.append("custom", b"x", seq=2)
    async with opened() as runtime:
        with pytest.raises(UsageError, match="durable workflow"):
            await runtime.workflow("a").append("custom", b"x")
        assert 1 == await runtime.workflow("a").stream_len()


async def test_an_append_that_was_prepared_before_the_start_is_refused_too(opened):
    """Its actor knew the log as empty, and finds out by the store's comparison."""
    async with opened(FLOWS) as runtime:
        plain, durable = runtime.workflow("plain"), runtime.workflow("a")
        await plain.append("custom", b"x")
        actor = runtime._supervisor.actor("a")
        await runtime._supervisor.loader.load(actor)
        await runtime.start(wait_for_go, id="a")
        with pytest.raises(UsageError, match="durable workflow"):
            await durable.append("custom", b"x")

        assert 1 == await durable.stream_len()


async def test_a_plain_log_never_becomes_a_workflow(opened):
    async with opened(FLOWS) as runtime:
        await runtime.workflow("plain").append("workflow_started", b"x")
        for policy in ("reject", "use_existing", "allow_when_closed"):
            with pytest.raises(UsageError, match="plain log"):
                await runtime.start(wait_for_go, id="plain", id_policy=policy)
        with pytest.raises(UsageError, match="plain log"):
            await runtime.workflow("plain").signal("go")
        with pytest.raises(UsageError, match="plain log"):
            await runtime.workflow("plain").query("x")


async def test_result_of_what_was_never_started_is_an_error(opened):
    async with opened(FLOWS) as runtime:
        with pytest.raises(WorkflowNotFoundError):
            await runtime.workflow("a").result()
    async with opened() as runtime:
        with pytest.raises(WorkflowNotFoundError):
            await runtime.workflow("a").result()


async def test_cancelling_who_waits_for_a_result_leaves_the_workflow_alone(opened, autojump_clock):
    async with opened(FLOWS) as runtime:
        handle = await runtime.start(wait_for_go)
        with trio.move_on_after(1) as scope:
            await handle.result()
        assert scope.cancelled_caught
        await handle.signal("go", "on")

        assert "go on" == await handle.result()


async def test_many_started_at_once_all_run(opened):
    async with opened(FLOWS, [price]) as runtime, trio.open_nursery() as nursery:
        results = {}

        async def one(number: int) -> None:
            handle = await runtime.start(buy, ["x" * number], id=number)
            results[number] = (await handle.result())[0].cents

        for number in range(50):
            nursery.start_soon(one, number)

    assert {number: number * 100 for number in range(50)} == results


async def test_the_same_id_started_twice_at_once_starts_once(opened):
    async with opened(FLOWS) as runtime, trio.open_nursery() as nursery:
        outcomes = []

        async def one() -> None:
            try:
                outcomes.append((await runtime.start(wait_for_go, id="a")).run)
            except WorkflowExistsError:
                outcomes.append("exists")

        for _ in range(5):
            nursery.start_soon(one)

    assert [1, "exists", "exists", "exists", "exists"] == sorted(outcomes, key=str)
