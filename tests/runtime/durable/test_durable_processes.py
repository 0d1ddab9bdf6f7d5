"""Two processes on one file: messages and answers through the mailbox, standing by, taking over."""
# ruff: noqa: ARG001, ASYNC110

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from board import kinds
from durable_server import FLOWS, echo

from treadle import open_runtime
from treadle.errors import (
    DefinitionError,
    NoRunnerError,
    QueryFailedError,
    RunnerBusyError,
    UpdateFailedError,
    UpdateRejectedError,
    WorkflowClosedError,
    WorkflowExistsError,
    WorkflowNotFoundError,
    WorkflowTerminatedError,
)

pytestmark = pytest.mark.slow  # processes of their own, killed and started again


SERVER = Path(__file__).with_name("durable_server.py")


@contextmanager
def serving(path):
    """Another process that runs the workflows of a file."""
    child = subprocess.Popen(
        [sys.executable, SERVER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        child.first_state = child.stdout.readline().strip()
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shared.db"


@pytest.fixture
def server(path):
    with serving(path) as child:
        assert "running" == child.first_state
        yield child


async def test_everything_can_be_asked_from_another_process(path, server):
    async with open_runtime(path) as runtime:
        with trio.fail_after(20):
            handle = await runtime.start("account", 100, id="a")
            assert 1 == handle.run
            assert 100 == await handle.query("balance")
            assert 142 == await handle.update("deposit", 42)
            assert 142 == await handle.update("deposit", 42, id="u") - 42
            assert 184 == await handle.update("deposit", 42, id="u"), (
                "the same id is answered, not done again"
            )
            assert await handle.update("deposit", 1, id="later", wait_for="accepted") is None
            assert 185 == await handle.update("deposit", 1, id="later")
            assert "durable_server.py" in str(await handle.stack())
            assert any("close" in line for line in (await handle.describe()).waits_for)
            await handle.signal("close")
            assert 185 == await handle.result()
            assert [] == await runtime.store.records("treadle:reply"), "answers are fetched and removed"


async def test_errors_cross_with_their_class_and_words(path, server):
    async with open_runtime(path) as runtime:
        with trio.fail_after(20):
            handle = await runtime.start("account", 100, id="a")
            with pytest.raises(UpdateRejectedError, match="positive") as caught:
                await handle.update("deposit", -1)
            assert ("a", "ValueError") == (caught.value.workflow_id, caught.value.failure_type)
            with pytest.raises(UpdateFailedError, match="no such account"):
                await handle.update("fail")
            with pytest.raises(QueryFailedError, match="blance"):
                await handle.query("blance")
            with pytest.raises(WorkflowExistsError):
                await runtime.start("account", 1, id="a")
            with pytest.raises(DefinitionError, match="unknown"):
                await runtime.start("unknown", 1)
            with pytest.raises(WorkflowNotFoundError):
                await runtime.workflow("nobody").query("balance")
            again = await runtime.start("account", 1, id="a", id_policy="use_existing", signal=("close", []))
            assert 100 == await again.result()
            with pytest.raises(WorkflowClosedError):
                await handle.signal("close")
            other = await runtime.start("account", 1, id="b")
            await other.terminate("enough")
            with pytest.raises(WorkflowTerminatedError, match="enough"):
                await other.result()


async def test_signals_of_two_processes_are_all_taken_once_and_in_the_order_of_each(path, server):
    async with open_runtime(path) as runtime:
        with trio.fail_after(20):
            handle = await runtime.start("listen", 60, id="ear")
            async with trio.open_nursery() as nursery:

                async def speak(who: str) -> None:
                    for number in range(20):
                        await runtime.workflow("ear").signal("word", [who, number])

                for who in "abc":
                    nursery.start_soon(speak, who)
            heard = await handle.result()

    for who in "abc":
        assert list(range(20)) == [number for name, number in heard if name == who]


async def test_a_second_runner_that_will_not_stand_by_is_told_who_runs(path, server):
    with pytest.raises(RunnerBusyError, match=str(server.pid)) as caught:
        async with open_runtime(path, workflows=FLOWS, activities=[echo], standby=False):
            raise AssertionError("must not open")

    assert server.pid == caught.value.pid


async def test_one_that_stands_by_takes_over_when_the_runner_is_killed(path, server):
    async with open_runtime(path, workflows=FLOWS, activities=[echo]) as runtime:
        with trio.fail_after(20):
            assert "standby" == runtime.statistics().runner.state
            handle = await runtime.start("account", 100, id="a")
            assert 105 == await handle.update("deposit", 5), "until then it asks like anybody else"
            os.kill(server.pid, signal.SIGKILL)
            await runtime.wait_running()
            assert "running" == runtime.statistics().runner.state
            assert 110 == await handle.update("deposit", 5)
            await handle.signal("close")
            assert 110 == await handle.result()


async def test_who_waits_for_an_answer_of_a_killed_runner_hears_that_nobody_runs(path, server):
    async with open_runtime(path) as runtime:
        with trio.fail_after(20):
            handle = await runtime.start("account", 100, id="a")
            os.kill(server.pid, signal.SIGSTOP)
            async with trio.open_nursery() as nursery:
                errors = []

                async def ask() -> None:
                    with pytest.raises(NoRunnerError):
                        await handle.query("balance")
                    errors.append("told")

                nursery.start_soon(ask)
                await trio.sleep(0.3)
                os.kill(server.pid, signal.SIGKILL)
            assert ["told"] == errors


async def test_a_result_arrives_in_another_process_while_it_follows_the_log(path, server):
    async with open_runtime(path) as runtime, trio.open_nursery() as nursery:
        with trio.fail_after(20):
            handle = await runtime.start("listen", 1, id="a")
            results = []

            async def wait() -> None:
                results.append(await handle.result())

            nursery.start_soon(wait)
            await trio.sleep(0.2)
            await handle.signal("word", "hello")
            while not results:
                await trio.sleep(0.01)
        assert [["hello"]] == results


async def test_two_in_one_process_are_one_runner_and_one_that_stands_by(path):
    async with open_runtime(path, workflows=FLOWS, activities=[echo]) as first:
        assert "running" == first.statistics().runner.state
        with pytest.raises(RunnerBusyError, match=str(os.getpid())):
            async with open_runtime(path, workflows=FLOWS, activities=[echo], standby=False):
                raise AssertionError("must not open")
        async with open_runtime(path, workflows=FLOWS, activities=[echo]) as second:
            assert "standby" == second.statistics().runner.state
            with trio.fail_after(20):
                handle = await second.start("account", 3, id="a")
                assert 3 == await handle.query("balance")
                assert 4 == await first.workflow("a").update("deposit", 1)


async def test_the_one_that_stands_by_goes_on_where_an_orderly_end_has_stopped(path, server):
    async with open_runtime(path, workflows=FLOWS, activities=[echo]) as runtime:
        with trio.fail_after(20):
            handle = await runtime.start("account", 7, id="a")
            server.stdin.write("end\n")
            server.stdin.flush()
            await runtime.wait_running()
            assert 8 == await handle.update("deposit", 1)
            assert 2 == runtime.statistics().runner.epoch
            assert "activity_attempt_failed" not in await kinds(handle)
