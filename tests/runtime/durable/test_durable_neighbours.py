"""Several runtimes in one process over one store: what one leaves, the other takes."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import pytest
import trio
from board import board, kinds
from durable_server import FLOWS, echo
from trio.testing import wait_all_tasks_blocked

from treadle import open_runtime
from treadle.errors import (
    NoRunnerError,
    QueryFailedError,
    UpdateRejectedError,
    WorkflowExistsError,
    WorkflowHeldError,
    WorkflowTerminatedError,
)
from treadle.stores import open_store


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path, kernel):
    """One open store that all runtimes of a test are given."""
    url = "memory:" if request.param == "memory" else str(tmp_path / "shared.db")
    async with open_store(url, kernel=kernel) as opened:
        yield opened


@pytest.fixture(params=["the other has no workflows", "the other stands by"])
async def pair(request, store, kernel):
    """The runner of a store, and another runtime over it."""
    flows = FLOWS if "stands" in request.param else ()
    async with (
        open_runtime(store, workflows=FLOWS, activities=[echo], kernel=kernel) as runner,
        open_runtime(store, workflows=flows, activities=[echo] if flows else (), kernel=kernel) as other,
    ):
        assert ("running", "standby" if flows else "none") == tuple(
            one.statistics().runner.state for one in (runner, other)
        )
        yield runner, other


async def test_everything_can_be_asked_of_a_neighbour(pair):
    _, other = pair
    with trio.fail_after(20):
        handle = await other.start("account", 100, id="a")
        assert 1 == handle.run
        assert 100 == await handle.query("balance")
        assert 142 == await handle.update("deposit", 42)
        with pytest.raises(UpdateRejectedError):
            await handle.update("deposit", -1)
        with pytest.raises(QueryFailedError):
            await handle.query("no such query")
        assert "durable_server.py" in str(await handle.stack())
        with pytest.raises(WorkflowExistsError):
            await other.start("account", 1, id="a")
        await handle.signal("close")
        assert 142 == await handle.result()
        doomed = await other.start("account", 1, id="b")
        await doomed.terminate("why not")
        with pytest.raises(WorkflowTerminatedError, match="why not"):
            await doomed.result()
    assert [] == await other.store.records("treadle:reply"), "answers are fetched and removed"


async def test_who_waits_is_told_by_a_neighbour(pair):
    """The wait began before there was anything to find."""
    runner, other = pair
    followed = []

    async def follow() -> None:
        async for event in other.workflow("a").follow():
            followed.append(event.kind.name.lower())  # noqa: PERF401  # one by one, as they come

    with trio.fail_after(20):
        handle = await runner.start("listen", 2, id="a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            result = []

            async def wait() -> None:
                result.append(await other.workflow("a").result())
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            await handle.signal("word", "from here")
            await other.workflow("a").signal("word", "from there")
    assert [["from here", "from there"]] == result
    assert followed == (await kinds(handle))[: len(followed)]
    assert len(followed) >= 2, "the end may come before the follower has read it"


async def test_a_neighbour_takes_over_with_the_mail_that_waits(store, kernel):
    started = trio.Event()

    async def lead() -> None:
        async with open_runtime(store, workflows=FLOWS, activities=[echo], kernel=kernel) as first:
            await first.start("listen", 2, id="a")
            started.set()
            await board.wait("the end of the first")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead)
        await started.wait()
        async with open_runtime(store, workflows=FLOWS, activities=[echo], kernel=kernel) as other:
            handle = other.workflow("a")
            await handle.signal("word", 1)
            board.open("the end of the first")
            with trio.fail_after(20):
                await other.wait_running()
                await handle.signal("word", 2)
                assert [1, 2] == await handle.result()


async def test_without_a_runner_nobody_waits_for_an_answer(store, kernel):
    async with (
        open_runtime(store, kernel=kernel) as one,
        open_runtime(store, kernel=kernel) as other,
    ):
        await one.start("listen", 1, id="a")
        with pytest.raises(NoRunnerError):
            await other.workflow("a").query("x")


async def test_a_held_one_answers_every_question_however_soon_it_comes(store, kernel, autojump_clock):
    """Its mailbox is looked at once a second; what comes between two looks must call for the next one."""
    async with (
        open_runtime(store, workflows=FLOWS, activities=[echo], kernel=kernel) as runner,
        open_runtime(store, kernel=kernel) as other,
    ):
        handle = await runner.start("listen", 1, id="a")
        instance = runner._durable._runner.instances["a"]
        await wait_all_tasks_blocked()
        runner._durable._runner.turns._drop_code(instance)
        runner._durable._runner.turns.hold(instance, WorkflowHeldError("x", workflow_id="a", reason="x"))
        await handle.signal("waits")
        for _ in range(4):
            with trio.fail_after(3), pytest.raises(WorkflowHeldError):
                await other.workflow("a").query("x")


async def test_a_closed_neighbour_is_forgotten(store, kernel):
    from treadle.runtime import following  # noqa: PLC0415

    async with open_runtime(store, workflows=FLOWS, activities=[echo], kernel=kernel) as runner:
        async with open_runtime(store, kernel=kernel) as other:
            await other.start("listen", 1, id="a")
        handle = runner.workflow("a")
        await handle.signal("word", 1)
        with trio.fail_after(20):
            assert [1] == await handle.result()
    assert {} == following._neighbours
