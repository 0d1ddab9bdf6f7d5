"""Resets: the same workflow goes on from an earlier event, and what came after it stays readable."""

from __future__ import annotations

import pytest
import trio
from board import board, kinds

from treadle import (
    EventKind,
    EventsPrunedError,
    InvalidValueError,
    SequenceGapError,
    UsageError,
    WorkflowNotFoundError,
    activity,
    workflow,
)
from treadle.errors import NoRunnerError
from treadle.payloads import Encryption, KeyRing
from treadle.runtime.durable.resetting import Resetting

answers = {"pay": "bad"}
KEYS = KeyRing({"k": bytes(range(64))}, current="k")


@pytest.fixture(autouse=True)
def bad_answers():
    answers.update(pay="bad")


@activity.define
async def pay(what: str) -> str:
    board.note("pay", activity.info().idempotency_key)
    return f"{answers['pay']} {what}"


@activity.define
async def gated(gate: str) -> str:
    board.note("gated", activity.info().attempt)
    with trio.CancelScope(shield=gate == "stubborn"):
        await board.wait(gate)
    return gate


@workflow.define
async def order(name: str) -> list[str]:
    found = [await workflow.activity(pay, "a")]
    found += [await workflow.signals("go").receive(), await workflow.signals("go").receive()]
    if name == "first":
        await workflow.continue_as_new("second")
    return [*found, await workflow.activity(pay, "b")]


@workflow.define
async def waits(gate: str) -> str:
    await workflow.signals("go").receive()
    return await workflow.activity(gated, gate)


@workflow.define
async def grow(number: int) -> int:
    return number + 1


@workflow.define
async def parent() -> int:
    return await workflow.child(grow, 41)


CODE = (order, waits, grow, parent)


async def run_order(runtime, name):
    handle = await runtime.start(order, name, id="o")
    for number in range(4 if name == "first" else 2):
        await handle.signal("go", str(number))
    await handle.result()
    return handle


@pytest.mark.slow
@pytest.mark.parametrize("codecs", [(), (Encryption(KEYS),)], ids=["plain", "encrypted"])
@pytest.mark.parametrize("name", ["first", "second"])
async def test_a_workflow_reset_to_any_event_comes_to_its_end_again(opened, codecs, name):
    """One reset after another, each behind all those before; signals come again, in their order."""
    async with opened(CODE, [pay, gated], codecs=codecs) as runtime:
        handle = await run_order(runtime, name)
        result, length = await handle.result(), await handle.stream_len()
        for at in range(length - 1, 0, -1):
            before = await handle.read().list()
            seq = await handle.reset(at=at)
            assert seq == len(before) + 1
            assert await handle.result() == result
            events = await handle.read().list()
            assert events[: len(before)] == before
            assert events[seq - 1].kind is EventKind.RESET


async def test_another_answer_is_taken_where_the_code_asks_anew(opened):
    """A reset before the call makes a new one, with a new key; one behind it repeats the same call."""
    async with opened(CODE, [pay, gated]) as runtime:
        handle = await run_order(runtime, "second")
        assert (await handle.result())[0] == "bad a"
        answers["pay"] = "good"
        seq = await handle.reset(at=1)
        assert (await handle.result())[0] == "good a"
        await handle.reset(at=seq + 1)
        assert (await handle.result())[0] == "good a"
        keys = [key for _, key in board.notes]
        assert keys[0] == "o:1:2"
        assert keys[2] == keys[4] == f"o:1:{seq + 1}"


async def test_signals_can_be_left_behind(opened):
    async with opened(CODE, [pay, gated]) as runtime:
        handle = await run_order(runtime, "second")
        await handle.reset(at=1, reapply="none")
        await trio.testing.wait_all_tasks_blocked()
        assert await handle.status() == "running"
        await handle.signal("go", "new")
        await handle.signal("go", "newer")
        assert (await handle.result())[1:3] == ["new", "newer"]


@pytest.mark.parametrize("gate", ["door", "stubborn"])
async def test_a_running_attempt_is_stopped_and_the_next_begins_when_it_has_ended(opened, gate):
    async with opened(CODE, [pay, gated]) as runtime:
        handle = await runtime.start(waits, gate, id="w")
        await handle.signal("go")
        await board.wait_for_arrival(gate)
        scheduled = await handle.stream_len()
        assert scheduled == 3
        with pytest.raises(SequenceGapError):
            await handle.reset(at=3)
        await handle.reset(at=2)
        await trio.testing.wait_all_tasks_blocked()
        board.open(gate)
        assert await handle.result() == gate
        assert (await kinds(handle))[3:] == [
            "reset", "activity_scheduled", "activity_completed", "workflow_completed",
        ]  # fmt: skip


async def test_a_child_that_has_ended_is_read_again_from_its_log(opened):
    async with opened(CODE, [pay, gated]) as runtime:
        handle = await runtime.start(parent, id="p")
        assert await handle.result() == 42
        await handle.reset(at=2)
        assert await handle.result() == 42
        assert (await kinds(handle))[2:] == [
            "child_completed", "workflow_completed", "reset", "child_completed", "workflow_completed",
        ]  # fmt: skip


async def test_a_reset_to_an_earlier_use_of_the_id_goes_on_as_the_workflow_that_ran_then(opened):
    async with opened(CODE, [pay, gated], codecs=(Encryption(KEYS),)) as runtime:
        first = await runtime.start(grow, 1, id="o")
        assert await first.result() == 2
        second = await runtime.start(parent, id="o", id_policy="allow_when_closed")
        assert await second.result() == 42
        await second.reset(at=1)
        assert await runtime.workflow("o").result() == 2
        assert (await runtime.workflow("o").describe()).name == "grow"


async def test_another_process_asks_the_runner_and_is_told(opened, place):
    if not isinstance(place, str):
        pytest.skip("two runtimes over one object in memory are one process")
    async with opened(CODE, [pay, gated], poll_seconds=0.05) as runtime, opened(poll_seconds=0.05) as other:
        await run_order(runtime, "second")
        handle = other.workflow("o")
        seq = await handle.reset(at=1)
        assert (await handle.event_at(seq)).kind is EventKind.RESET
        assert len(await handle.result()) == 4
        with pytest.raises(UsageError, match=f"abandoned by the reset at seq {seq}"):
            await handle.reset(at=3)


async def test_a_reset_that_cannot_be_changes_nothing(opened):
    async with opened(CODE, [pay, gated]) as runtime:
        handle = await run_order(runtime, "second")
        await handle.reset(at=2)
        await handle.result()
        await runtime.workflow("plain").append("custom")
        digest = await handle.digest()
        last = await handle.stream_len()
        for at, error in [
            (0, InvalidValueError),
            (last, SequenceGapError),
            (99, SequenceGapError),
            (4, UsageError),
        ]:
            with pytest.raises(error):
                await handle.reset(at=at)
        with pytest.raises(InvalidValueError, match="signals, none"):
            await handle.reset(at=1, reapply="everything")
        with pytest.raises(WorkflowNotFoundError):
            await runtime.workflow("nobody").reset(at=1)
        with pytest.raises(UsageError, match="plain log"):
            await runtime.workflow("plain").reset(at=1)
        branch = await handle.branch(at=1, to="b", mode="real")
        with pytest.raises(UsageError, match="not resumed yet"):
            await branch.reset(at=1)
        assert await handle.digest() == digest
        assert await handle.status() == "completed"
        assert len(await handle.result()) == 4
    async with opened() as runtime:
        with pytest.raises(NoRunnerError):
            await runtime.workflow("o").reset(at=1)


def before_it_is_written(monkeypatch, call):
    """Make a call once, at the last instant before a reset is written."""
    write, calls = Resetting._write, [call]

    async def written(self, *args):
        if calls:
            await calls.pop()()
        await write(self, *args)

    monkeypatch.setattr(Resetting, "_write", written)


async def test_a_workflow_deleted_before_its_reset_is_written_stays_deleted(opened, monkeypatch):
    """It stands where it stood, so only the first kept seq tells, and a RESET of nothing would be held."""
    async with opened(CODE, [pay]) as runtime:
        handle = await run_order(runtime, "only")
        before_it_is_written(monkeypatch, handle.delete)
        with pytest.raises(WorkflowNotFoundError):
            await handle.reset(at=2)
        assert await runtime.store.list_workflows() == []


async def test_a_workflow_cut_before_its_reset_is_written_is_reset_as_it_is_then(opened, monkeypatch):
    async with opened(CODE, [pay]) as runtime:
        handle = await run_order(runtime, "first")
        second = 1 + (await kinds(handle)).index("continued")
        before_it_is_written(monkeypatch, handle.prune)
        reset_seq = await handle.reset(at=second)
        assert (await handle.event_at(reset_seq)).kind is EventKind.RESET
        with pytest.raises(EventsPrunedError):
            await handle.event_at(1)
        assert (await handle.result())[0] == "bad a"


async def test_a_reset_to_what_is_cut_before_it_is_written_is_refused(opened, monkeypatch):
    async with opened(CODE, [pay]) as runtime:
        handle = await run_order(runtime, "first")
        stands_at = await handle.next_seq()
        before_it_is_written(monkeypatch, handle.prune)
        with pytest.raises(EventsPrunedError, match="below the first kept seq"):
            await handle.reset(at=2)
        assert await handle.next_seq() == stands_at
