"""Between workflows: child start, result, signals, cancel, close; each arrives once, whatever crashes."""
# ruff: noqa: ARG001, ASYNC110  # the virtual clock is asked for, not used

from __future__ import annotations

from typing import Any

import pytest
import trio
from board import board, kinds
from faulty import UNKNOWN, FaultyStore
from test_durable_recovery import CutStore

from treadle import RuntimeConfig, activity, open_runtime, workflow
from treadle.errors import ChildWorkflowError, WorkflowCancelledError, WorkflowTerminatedError


@activity.define
async def at_gate(name: str) -> str:
    board.note("at gate", name)
    await board.wait(name)
    return name


@activity.define
async def square(number: int) -> int:
    board.note("square", number)
    return number * number


@workflow.define
async def squares(number: int) -> int:
    return await workflow.activity(square, number)


@workflow.define
async def failing() -> None:
    raise ValueError("the child's own")


@workflow.define
async def waiting(name: str) -> str:
    return await workflow.activity(at_gate, name)


@workflow.define
async def listening(count: int) -> list[Any]:
    return [await workflow.signals("word").receive() for _ in range(count)]


@workflow.define
async def sum_of_children(numbers: list[int]) -> int:
    results: list[int] = []

    async def one(number: int) -> None:
        results.append(await workflow.child(squares, number))

    async with workflow.open_nursery() as nursery:
        for number in numbers:
            nursery.start_soon(one, number)
    return sum(results)


@workflow.define
async def meets_failure(child_id: str) -> list[str]:
    try:
        await workflow.start_child(failing, id=child_id).result()
    except ChildWorkflowError as error:
        return [error.status, error.failure_type, error.failure_message]
    return ["completed"]


@workflow.define
async def asks_child(child_id: str, how: str) -> list[str]:
    child = workflow.start_child(waiting, "never", id=child_id)
    await workflow.signals("now").receive()
    if how == "cancel":
        child.cancel()
    try:
        return [await child.result()]
    except ChildWorkflowError as error:
        return [error.status]


@workflow.define
async def leaves_child(child_id: str, parent_close: str) -> str:
    workflow.start_child(waiting, "never", id=child_id, parent_close=parent_close)
    await workflow.signals("now").receive()
    return "left"


@workflow.define
async def tells(target: str, words: list[str]) -> str:
    sent = [workflow.signal_external(target, "word", word) for word in words]
    await workflow.signals("now").receive()
    return " ".join("failed" if one.failure is not None else "sent" for one in sent)


@workflow.define
async def generations(depth: int) -> int:
    if depth == 0:
        return 1
    return 1 + await workflow.child(generations, depth - 1)


FLOWS = [
    squares,
    failing,
    waiting,
    listening,
    sum_of_children,
    meets_failure,
    asks_child,
    leaves_child,
    tells,
    generations,
]
ACTIVITIES = [square, at_gate]


@pytest.fixture
def runtime(opened):
    def with_limits(**limits):
        return opened(FLOWS, ACTIVITIES, **limits)

    return with_limits


async def test_children_run_side_by_side_and_their_results_come_back(runtime):
    async with runtime() as opened:
        handle = await opened.start(sum_of_children, [1, 2, 3, 4])
        assert 30 == await handle.result()
        found = await kinds(handle)
        assert (4, 4) == (found.count("child_scheduled"), found.count("child_completed"))
        assert 5 == await opened.store.count_workflows()


async def test_a_childs_failure_is_told_in_its_words(runtime):
    async with runtime() as opened:
        handle = await opened.start(meets_failure, "c")
        assert ["failed", "ValueError", "the child's own"] == await handle.result()


async def test_an_id_in_use_refuses_the_child_and_leaves_its_owner_alone(runtime):
    async with runtime() as opened:
        owner = await opened.start(listening, 1, id="c")
        handle = await opened.start(meets_failure, "c")
        assert ["refused", "WorkflowExistsError"] == (await handle.result())[:2]
        await owner.signal("word", "mine")
        assert ["mine"] == await owner.result()
        await opened.workflow("plain").append("custom")
        handle = await opened.start(meets_failure, "plain")
        assert "refused" == (await handle.result())[0]


async def test_generations_of_children_end_one_after_the_other(runtime):
    async with runtime() as opened:
        assert 12 == await (await opened.start(generations, 11)).result()


async def test_a_cancelled_child_has_failed_for_its_parent(runtime):
    async with runtime() as opened:
        handle = await opened.start(asks_child, "c", "cancel")
        await board.wait_for_arrival("never")
        await handle.signal("now")
        assert ["cancelled"] == await handle.result()
        with pytest.raises(WorkflowCancelledError):
            await opened.workflow("c").result()


async def test_a_terminated_child_has_failed_for_its_parent(runtime):
    async with runtime() as opened:
        handle = await opened.start(asks_child, "c", "wait")
        await board.wait_for_arrival("never")
        await handle.signal("now")
        await opened.workflow("c").terminate()
        assert ["terminated"] == await handle.result()


@pytest.mark.parametrize(
    ("policy", "error"),
    [("request_cancel", WorkflowCancelledError), ("terminate", WorkflowTerminatedError), ("abandon", None)],
)
@pytest.mark.parametrize("end", ["return", "terminate"])
async def test_what_becomes_of_a_child_when_its_parent_ends_first(runtime, policy, error, end):
    async with runtime() as opened:
        handle = await opened.start(leaves_child, "c", policy)
        await board.wait_for_arrival("never")
        if end == "return":
            await handle.signal("now")
            assert "left" == await handle.result()
        else:
            await handle.terminate()
        child = opened.workflow("c")
        if error is None:
            board.open("never")
            assert "never" == await child.result()
        else:
            with pytest.raises(error):
                await child.result()


async def test_signals_between_workflows_arrive_in_order_and_failures_are_told(runtime):
    async with runtime() as opened:
        await opened.start(listening, 3, id="ear")
        handle = await opened.start(tells, "ear", ["a", "b", "c"])
        assert ["a", "b", "c"] == await opened.workflow("ear").result()
        await handle.signal("now")
        assert "sent sent sent" == await handle.result()
        nobody = await opened.start(tells, "nobody", ["a"])
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(5):
            while "signal_failed" not in await kinds(nobody):
                await trio.sleep(0.01)
        await nobody.signal("now")
        assert "failed" == await nobody.result()
        closed = await opened.start(tells, "ear", ["d"])
        with trio.fail_after(5):
            while "signal_failed" not in await kinds(closed):
                await trio.sleep(0.01)


def over(store, kernel, **limits):
    return open_runtime(
        store, workflows=FLOWS, activities=ACTIVITIES, kernel=kernel, config=RuntimeConfig(**limits)
    )


@pytest.mark.parametrize("appends", range(1, 16))
async def test_cut_off_after_any_append_parent_and_children_come_to_their_end(
    kernel, appends, autojump_clock
):
    store = CutStore(kernel, appends)
    async with over(store, kernel, close_timeout_seconds=1) as runtime:
        with trio.move_on_after(5):
            await (await runtime.start(sum_of_children, [1, 2, 3], id="p")).result()
    store.left = 10**9
    async with over(store, kernel) as runtime:
        handle = runtime.workflow("p")
        assert 14 == await handle.result()
        found = await kinds(handle)
        assert (3, 3) == (found.count("child_scheduled"), found.count("child_completed"))
        assert 4 == await store.count_workflows()
        assert [] == await store.workflows_with_messages()


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("place", range(1, 9))
async def test_an_unknown_outcome_anywhere_neither_loses_nor_doubles_a_message(
    kernel, place, written, autojump_clock
):
    store = FaultyStore(kernel)
    async with over(store, kernel) as runtime:
        store.faults.extend([None] * place)
        store.fail_next(UNKNOWN, written=written)
        handle = await runtime.start(sum_of_children, [1, 2], id="p")
        assert 5 == await handle.result()
        found = await kinds(handle)

    assert (2, 2) == (found.count("child_scheduled"), found.count("child_completed"))
    assert sorted([("square", 1), ("square", 2)]) == sorted(board.notes)


async def test_a_thousand_children_at_once(runtime):
    async with runtime() as opened:
        handle = await opened.start(sum_of_children, list(range(300)))
        assert sum(n * n for n in range(300)) == await handle.result()
