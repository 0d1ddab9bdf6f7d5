"""Messages: signals, queries, updates, signal with start, cancel, terminate; durable, then answered."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from board import board, kinds
from faulty import UNKNOWN, FaultyStore

from treadle import activity, open_runtime, workflow
from treadle.errors import (
    InvalidValueError,
    NoRunnerError,
    QueryFailedError,
    TreadleError,
    UpdateFailedError,
    UpdateRejectedError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowNotFoundError,
    WorkflowTerminatedError,
)


@activity.define
async def at_gate(name: str) -> str:
    board.note("at gate", name)
    await board.wait(name)
    return name


@workflow.define
async def collect(count: int) -> list[Any]:
    return [await workflow.signals("item").receive() for _ in range(count)]


@workflow.define
async def account(balance: int) -> int:  # noqa: C901  # one of each kind of handler
    done = False
    event = workflow.Event()

    @workflow.query("balance")
    def tell() -> int:
        return balance

    @workflow.query("broken")
    def broken(by: int) -> float:
        return balance / by

    def check(cents: int) -> None:
        if cents <= 0:
            raise ValueError("a deposit is positive")

    @workflow.update("deposit", validator=check)
    async def deposit(cents: int) -> int:
        nonlocal balance
        balance += cents
        return balance

    @workflow.update("slow")
    async def slow(gate: str) -> str:
        nonlocal balance
        balance += 1
        return await workflow.activity(at_gate, gate)

    @workflow.update("bad")
    async def bad() -> None:
        raise KeyError("no such account")

    @workflow.query("meddles")
    def meddles() -> int:
        nonlocal done
        done = True
        event.set()
        return balance

    def meddling_check(cents: int) -> None:
        event.set()
        raise ValueError("meddled")

    @workflow.update("checked badly", validator=meddling_check)
    async def checked_badly(cents: int) -> None:
        pass

    @workflow.update("wait")
    async def wait() -> str:
        await event.wait()
        return "waited"

    @workflow.update("close")
    async def close() -> None:
        nonlocal done
        done = True

    await workflow.wait_until(lambda: done)
    return balance


@workflow.define
async def clean_up(seconds: float) -> str:
    try:
        await workflow.sleep_forever()
    finally:
        with workflow.CancelScope(shield=True):
            await workflow.activity(at_gate, "cleaning")
    return "unreachable"


@workflow.define
async def insist() -> str:
    with workflow.CancelScope(shield=True):
        return await workflow.signals("go").receive()


FLOWS = [collect, account, clean_up, insist]


@pytest.fixture
def runtime(opened):
    def with_limits(**limits):
        return opened(FLOWS, [at_gate], **limits)

    return with_limits


# -- signals --


async def test_signals_are_taken_in_the_order_in_which_they_were_sent(runtime):
    async with runtime() as opened:
        handle = await opened.start(collect, 20)
        for number in range(20):
            await handle.signal("item", number)
        assert list(range(20)) == await handle.result()
        assert [] == await opened.store.messages(handle.workflow_id)


async def test_signals_sent_at_once_are_each_taken_once(runtime):
    async with runtime() as opened:
        handle = await opened.start(collect, 200)
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(handle.signal, "item", number)
        assert list(range(200)) == sorted(await handle.result())
        assert 200 == (await kinds(handle)).count("signal_received")


async def test_a_signal_with_a_known_key_is_not_delivered_again(runtime):
    async with runtime() as opened:
        handle = await opened.start(collect, 3)
        await handle.signal("item", "a", key=b"1")
        await handle.signal("item", "b", key=b"2")
        await handle.signal("item", "a", key=b"1")
        await handle.signal("item", "c", key=b"3")
        assert ["a", "b", "c"] == await handle.result()


async def test_a_signal_to_nobody_or_to_one_that_has_ended_is_an_error(runtime):
    async with runtime() as opened:
        with pytest.raises(WorkflowNotFoundError):
            await opened.workflow("nobody").signal("item", 1)
        handle = await opened.start(collect, 0)
        await handle.result()
        with pytest.raises(WorkflowClosedError, match="completed"):
            await handle.signal("item", 1)
        with pytest.raises(InvalidValueError):
            await handle.signal("", 1)
        with pytest.raises(InvalidValueError):
            await handle.signal("item", object())


async def test_a_signal_waits_in_the_mailbox_while_nobody_runs(opened, runtime):
    async with runtime() as runner:
        await runner.start(collect, 2, id="a")
    async with opened() as other:
        await other.workflow("a").signal("item", "first")
        await other.workflow("a").signal("item", "second")
        assert 2 == len(await other.store.messages("a"))
    async with runtime() as runner:
        assert ["first", "second"] == await runner.workflow("a").result()


async def test_a_signal_that_came_too_late_is_kept_as_undelivered(runtime, kernel, autojump_clock):
    store = FaultyStore(kernel)
    async with open_runtime(store, workflows=FLOWS, activities=[at_gate], kernel=kernel) as opened:
        handle = await opened.start(collect, 1)
        store.commits.close()
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(handle.signal, "item", number)
            await trio.testing.wait_all_tasks_blocked()
            store.commits.open()
        await handle.result()
        await trio.sleep(1)

        assert [] == await store.messages(handle.workflow_id)
        left = await store.records("treadle:undelivered")
        taken = (await kinds(handle)).count("signal_received")
        assert 3 == taken + len(left)


@pytest.mark.parametrize("written", [True, False])
async def test_a_signals_activation_that_was_not_written_takes_it_again(kernel, written, autojump_clock):
    store = FaultyStore(kernel)
    async with open_runtime(store, workflows=FLOWS, activities=[at_gate], kernel=kernel) as opened:
        handle = await opened.start(collect, 3)
        for number in range(3):
            store.faults.extend([None, (UNKNOWN, written)])
            await handle.signal("item", number)
            await trio.sleep(1)
        assert [0, 1, 2] == await handle.result()
        assert 3 == (await kinds(handle)).count("signal_received")


async def test_signal_with_start_reaches_the_new_one_and_the_running_one(runtime):
    async with runtime() as opened:
        first = await opened.start(collect, 2, id="a", id_policy="use_existing", signal=("item", [1]))
        second = await opened.start(collect, 2, id="a", id_policy="use_existing", signal=("item", [2]))
        assert [1, 2] == await first.result() == await second.result()
        found = await kinds(first)
    assert ["workflow_started", "signal_received", "signal_received", "workflow_completed"] == found


# -- queries --


async def test_a_query_tells_what_is_durable_and_writes_nothing(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 100)
        assert 100 == await handle.query("balance")
        assert 142 == await handle.update("deposit", 42)
        assert 142 == await handle.query("balance")
        before = await kinds(handle)
        for _ in range(5):
            await handle.query("balance")
        assert before == await kinds(handle)


async def test_a_query_does_not_see_what_could_still_vanish(kernel):
    store = FaultyStore(kernel)
    async with (
        open_runtime(store, workflows=FLOWS, activities=[at_gate], kernel=kernel) as opened,
        trio.open_nursery() as nursery,
    ):
        handle = await opened.start(account, 100)
        store.commits.close()
        nursery.start_soon(handle.update, "deposit", 5)
        await trio.testing.wait_all_tasks_blocked()
        answers = []

        async def ask() -> None:
            answers.append(await handle.query("balance"))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert [] == answers
        store.commits.open()
        await trio.testing.wait_all_tasks_blocked()
        assert [105] == answers


async def test_query_errors_are_told_and_change_nothing(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 100)
        with pytest.raises(QueryFailedError, match="balance"):
            await handle.query("blance")
        with pytest.raises(QueryFailedError, match="ZeroDivisionError"):
            await handle.query("broken", 0)
        with pytest.raises(QueryFailedError):
            await handle.query("broken")
        with pytest.raises(WorkflowNotFoundError):
            await opened.workflow("nobody").query("balance")
        assert 50 == await handle.query("broken", 2)
        await handle.update("close")
        await handle.result()
        with pytest.raises(WorkflowClosedError):
            await handle.query("balance")


async def test_a_query_or_a_validator_that_meddles_changes_nothing(runtime):
    """What they have woken is thrown away; the workflow goes on from its log."""
    async with runtime() as opened, trio.open_nursery() as nursery:
        handle = await opened.start(account, 100)
        nursery.start_soon(quietly, handle.update, "wait")
        await trio.sleep(0.1)
        before = await kinds(handle)
        with suppress(QueryFailedError):
            await handle.query("meddles")
        with pytest.raises(UpdateRejectedError):
            await handle.update("checked badly", 1)
        assert before == await kinds(handle)
        assert 103 == await handle.update("deposit", 3)
        assert "running" == await handle.status()
        async with trio.open_nursery() as together:
            for cents in (1, 2, 3):
                together.start_soon(handle.update, "deposit", cents)
                together.start_soon(quietly, handle.update, "checked badly", cents)
        assert 109 == await handle.query("balance")
        nursery.cancel_scope.cancel()


async def quietly(function, *args) -> None:
    """Call; whatever comes of it."""
    with suppress(TreadleError):
        await function(*args)


async def test_a_query_brings_a_workflow_back_into_memory(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 7, id="a")
        await handle.update("deposit", 1)
    async with runtime() as opened:
        assert 0 == opened.statistics().runner.instances
        assert 8 == await opened.workflow("a").query("balance")


async def test_stack_and_describe_tell_where_it_stands(runtime):
    async with runtime() as opened:
        handle = await opened.start(clean_up, 1.0, id="a")
        assert "test_durable_messages.py" in str(await handle.stack())
        told = await handle.describe()
        assert ("clean_up", "running", 1) == (told.name, told.status, told.run)
        waiting = await opened.start(collect, 1)
        assert any("item" in line for line in (await waiting.describe()).waits_for)


# -- updates --


async def test_a_rejected_update_leaves_no_event(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 100)
        before = await kinds(handle)
        with pytest.raises(UpdateRejectedError, match="positive"):
            await handle.update("deposit", -1)
        with pytest.raises(UpdateRejectedError):
            await handle.update("nothing like this")
        with pytest.raises(UpdateRejectedError):
            await handle.update("deposit", "many")
        assert before == await kinds(handle)
        assert 101 == await handle.update("deposit", 1)


async def test_an_update_whose_handler_raises_fails_alone(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 100)
        with pytest.raises(UpdateFailedError, match="no such account"):
            await handle.update("bad")
        assert 101 == await handle.update("deposit", 1)


async def test_an_update_can_be_accepted_first_and_its_result_fetched_later(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 100)
        assert await handle.update("slow", "g", id="u1", wait_for="accepted") is None
        assert "update_accepted" in await kinds(handle)
        board.open("g")
        assert "g" == await handle.update("slow", "g", id="u1")
        assert "g" == await handle.update("slow", "g", id="u1")
        assert 1 == board.counts["at gate"]


async def test_the_same_update_id_runs_once(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 100)
        async with trio.open_nursery() as nursery:
            answers = []

            async def one() -> None:
                answers.append(await handle.update("slow", "g", id="same"))

            for _ in range(5):
                nursery.start_soon(one)
            await board.wait_for_arrival("g")
            board.open("g")
        assert ["g"] * 5 == answers
        assert 101 == await handle.query("balance")


async def test_an_update_goes_on_after_a_restart_and_its_validator_does_not_run_again(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 100, id="a")
        await handle.update("deposit", 5)
        await handle.update("slow", "g", id="u", wait_for="accepted")
        await board.wait_for_arrival("g")
    board.open("g")
    async with runtime() as opened:
        handle = opened.workflow("a")
        assert "g" == await handle.update("slow", "g", id="u")
        assert 106 == await handle.query("balance")


async def test_an_update_to_one_that_ends_meanwhile_is_an_error(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 100)
        await handle.update("close")
        await handle.result()
        with pytest.raises(WorkflowClosedError):
            await handle.update("deposit", 1)


async def test_who_waits_for_an_update_of_a_terminated_workflow_hears_of_it(runtime):
    async with runtime() as opened, trio.open_nursery() as nursery:
        handle = await opened.start(account, 100)
        errors = []

        async def one() -> None:
            with pytest.raises(WorkflowClosedError):
                await handle.update("slow", "never")
            errors.append("told")

        nursery.start_soon(one)
        await board.wait_for_arrival("never")
        await handle.terminate("enough")
        with pytest.raises(WorkflowTerminatedError, match="enough"):
            await handle.result()
    assert ["told"] == errors


# -- cancel and terminate --


async def test_a_cancelled_workflow_cleans_up_and_is_cancelled(runtime):
    async with runtime() as opened:
        handle = await opened.start(clean_up, 1.0)
        await handle.cancel("no longer needed")
        await board.wait_for_arrival("cleaning")
        assert "running" == await handle.status()
        await handle.cancel("again")
        board.open("cleaning")
        with pytest.raises(WorkflowCancelledError, match="no longer needed"):
            await handle.result()
        assert 1 == (await kinds(handle)).count("cancel_requested"), "a second request changes nothing"


async def test_one_that_returns_all_the_same_has_completed(runtime):
    async with runtime() as opened:
        handle = await opened.start(insist)
        await handle.cancel()
        await handle.signal("go", "on")
        assert "on" == await handle.result()


async def test_cancel_cancels_the_running_activity(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 1)
        await handle.update("slow", "never", wait_for="accepted")
        await board.wait_for_arrival("never")
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
        assert 0 == opened.statistics().runner.attempts_running


async def test_a_terminated_workflow_is_not_asked(runtime):
    async with runtime() as opened:
        handle = await opened.start(clean_up, 1.0)
        await handle.terminate("gone")
        with pytest.raises(WorkflowTerminatedError, match="gone"):
            await handle.result()
        assert ["workflow_started", "workflow_terminated"] == await kinds(handle)
        assert 0 == board.counts["at gate"]
        with pytest.raises(WorkflowClosedError, match="terminated"):
            await handle.terminate()


async def test_terminate_cancels_the_attempts_that_run(runtime):
    async with runtime() as opened:
        handle = await opened.start(account, 1)
        await handle.update("slow", "never", wait_for="accepted")
        await board.wait_for_arrival("never")
        await handle.terminate()
        with pytest.raises(WorkflowTerminatedError):
            await handle.result()
        await trio.testing.wait_all_tasks_blocked()
        assert 0 == opened.statistics().runner.attempts_running


# -- where nobody runs --


async def test_without_a_runner_questions_are_errors_and_messages_wait(opened, runtime):
    async with runtime() as runner:
        await runner.start(account, 100, id="a")
    async with opened() as other:
        handle = other.workflow("a")
        for ask in (handle.query("balance"), handle.update("deposit", 1), handle.stack()):
            with pytest.raises(NoRunnerError):
                await ask
        assert "running" == await handle.status()
        assert "nobody runs" in " ".join((await handle.describe()).waits_for)
        await handle.terminate("from outside")
        started = await other.start("collect", 1, id="b", signal=("item", ["hello"]))
        assert started.run is None
        await started.signal("item", "unread")
    async with runtime() as runner:
        with pytest.raises(WorkflowTerminatedError):
            await runner.workflow("a").result()
        assert ["hello"] == await runner.workflow("b").result()
