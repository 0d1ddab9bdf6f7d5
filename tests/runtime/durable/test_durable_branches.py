"""Branches of durable workflows in earnest: held until resumed, then a workflow like any other."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import pytest
import trio
from board import board, kinds

from treadle import (
    EventKind,
    InvalidValueError,
    SequenceGapError,
    UsageError,
    WorkflowExistsError,
    WorkflowFailedError,
    WorkflowHeldError,
    activity,
    workflow,
)
from treadle.payloads import Encryption, KeyRing
from treadle.stores import Cut, Unit


@activity.define
async def pay(what: str) -> str:
    board.note("pay", (what, activity.info().workflow_id, activity.info().idempotency_key))
    return f"paid {what}"


@activity.define
async def gated(gate: str) -> str:
    board.note("gated", activity.info().idempotency_key)
    await board.wait(gate)
    return gate


@workflow.define
async def grow(number: int) -> int:
    await workflow.signals("grow").receive()
    return number + 1


@workflow.define
async def order(name: str) -> list[str]:
    """Fan-out, time, a signal, a second run, a child."""
    found = []

    async def one(what: str) -> None:
        found.append(await workflow.activity(pay, what))

    async with workflow.open_nursery() as nursery:
        nursery.start_soon(one, "a")
        nursery.start_soon(one, "b")
    await workflow.sleep(3600)
    found.append(await workflow.signals("go").receive())
    if name == "first":
        await workflow.continue_as_new("second")
    return [*sorted(found), await workflow.child(quick, name)]


@workflow.define
async def quick(name: str) -> str:
    return f"child of {name}"


@workflow.define
async def waits() -> str:
    return await workflow.activity(gated, "door")


@workflow.define
async def parent() -> int:
    child = workflow.start_child(grow, 41, id="the-child")
    await workflow.signals("go").receive()
    return await child.result()


CODE = (order, quick, waits, grow, parent)
KEYS = KeyRing({"k": bytes(range(64))}, current="k")


async def run_order(runtime, name="first"):
    handle = await runtime.start(order, name, id="o")
    for _ in range(2 if name == "first" else 1):
        await handle.signal("go", "went")
        await trio.sleep(4000)
    return handle


@pytest.mark.slow
@pytest.mark.parametrize("codecs", [(), (Encryption(KEYS),)], ids=["plain", "encrypted"])
async def test_a_branch_at_any_event_ends_as_the_original_did(opened, codecs, autojump_clock):
    """With the same results it comes to the same end, through runs, in the middle of turns, encrypted too."""
    async with opened(CODE, [pay, gated], codecs=codecs) as runtime:
        original = await run_order(runtime)
        result = await original.result()
        events = await original.read().list()
        for event in events:
            branch = await original.branch(at=event.seq, to=f"b{event.seq}", mode="real")
            if event.seq < len(events):
                assert await branch.status() == "held"
                for signal in [one for one in events if one.kind is EventKind.SIGNAL_RECEIVED]:
                    if signal.seq > event.seq:
                        await branch.signal("go", "went")
                await branch.resume()
            assert await branch.result() == result, event
            found = await branch.read().list()
            assert found[: event.seq] == events[: event.seq]
            assert found[event.seq].kind is EventKind.BRANCHED
        again = await (await original.branch(at=5, to="deep", mode="real")).branch(at=3, to="er", mode="real")
        for _ in range(2):
            await again.signal("go", "went")
        await again.resume()
        assert await again.result() == result


async def test_activities_run_again_under_the_branch_s_own_keys(opened):
    async with opened(CODE, [pay, gated]) as runtime:
        original = await runtime.start(waits, id="o")
        await board.wait_for_arrival("door")
        branch = await original.branch(at=2, to="b", mode="real")
        await branch.resume()
        await trio.testing.wait_all_tasks_blocked()
        board.open("door")
        assert await branch.result() == await original.result() == "door"
        assert board.notes == [("gated", "o:1:2"), ("gated", "b:1:2")]


async def test_nothing_of_a_branch_runs_before_it_is_resumed_also_by_the_next_runner(opened):
    async with opened(CODE, [pay, gated]) as runtime:
        original = await runtime.start(waits, id="o")
        await board.wait_for_arrival("door")
        branch = await original.branch(at=2, to="b", mode="real")
        with pytest.raises(WorkflowHeldError, match=r"a branch that waits .* resume it"):
            await branch.query("x")
    async with opened(CODE, [pay, gated]) as runtime:
        await trio.testing.wait_all_tasks_blocked()
        branch = runtime.workflow("b")
        assert await branch.status() == "held"
        assert "waits until it is resumed" in (await branch.describe()).held
        assert [key for _, key in board.notes if key.startswith("b:")] == []
        await branch.resume()
        board.open("door")
        assert await branch.result() == "door"
        assert await kinds(branch) == [
            "workflow_started", "activity_scheduled", "branched", "activity_completed", "workflow_completed",
        ]  # fmt: skip


async def test_the_end_of_a_child_that_began_before_is_read_from_its_own_log(opened):
    """Ended before the branch was made, or long after it was resumed: the original's child, untouched."""
    async with opened(CODE, [pay, gated]) as runtime:
        original = await runtime.start(parent, id="o")
        await trio.testing.wait_all_tasks_blocked()
        early = await original.branch(at=2, to="early", mode="real")
        await early.resume()
        await early.signal("go")
        await trio.testing.wait_all_tasks_blocked()
        await runtime.workflow("the-child").signal("grow")
        assert await early.result() == 42
        await original.signal("go")
        assert await original.result() == 42
        late = await original.branch(at=2, to="late", mode="real")
        await late.signal("go")
        await late.resume()
        assert await late.result() == 42
        assert (await kinds(runtime.workflow("the-child"))).count("workflow_started") == 1


async def test_a_child_whose_log_is_gone_has_failed_for_the_branch(opened):
    async with opened(CODE, [pay, gated]) as runtime:
        original = await runtime.start(parent, id="o")
        await trio.testing.wait_all_tasks_blocked()
        await runtime.workflow("the-child").signal("grow")
        await original.signal("go")
        assert await original.result() == 42
        branch = await original.branch(at=2, to="b", mode="real")
        (head,) = await runtime.store.heads(["the-child"])
        cut = Cut(head.workflow_id, head.next_seq, head.digest, head.next_seq)
        await runtime.store.append([Unit(cuts=(cut,))])
        await branch.signal("go")
        await branch.resume()
        with pytest.raises(WorkflowFailedError, match="was deleted"):
            await branch.result()


@pytest.mark.parametrize("codecs", [(), (Encryption(KEYS),)])
async def test_a_branch_of_an_earlier_use_of_the_id_is_of_the_workflow_that_ran_then(opened, codecs):
    async with opened(CODE, [pay, gated], codecs=codecs) as runtime:
        first = await runtime.start(quick, "a", id="o")
        assert await first.result() == "child of a"
        board.open("door")
        second = await runtime.start(waits, id="o", id_policy="allow_when_closed")
        assert await second.result() == "door"
        what_if = await second.branch(at=1, to="what-if")
        assert (await what_if.what_if()).status == "completed"
        assert await what_if.result() == "child of a"
        real = await second.branch(at=1, to="real", mode="real")
        await real.resume()
        assert await real.result() == "child of a"


async def test_a_cancelled_branch_leaves_the_original_s_child_alone(opened):
    async with opened(CODE, [pay, gated]) as runtime:
        original = await runtime.start(parent, id="o")
        await trio.testing.wait_all_tasks_blocked()
        branch = await original.branch(at=2, to="b", mode="real")
        await branch.resume()
        await branch.terminate("no")
        with pytest.raises(Exception, match="terminated"):
            await branch.result()
        held = await original.branch(at=2, to="held", mode="real")
        await held.terminate("never")
        with pytest.raises(Exception, match="never"):
            await held.result()
        assert await runtime.workflow("the-child").status() == "running"


async def test_a_what_if_branch_is_nobody_s_to_run_or_to_reach(opened):
    async with opened(CODE, [pay, gated]) as runtime:
        original = await runtime.start(parent, id="o")
        await trio.testing.wait_all_tasks_blocked()
        branch = await original.branch(at=2, to="b")
        for call in (
            branch.signal("go"),
            branch.query("x"),
            branch.resume(),
            branch.terminate(),
            branch.update("x"),
            branch.result(),
            branch.reset(at=1),
        ):
            with pytest.raises(UsageError, match="what-if branch"):
                await call
        with pytest.raises(UsageError, match="what-if branch"):
            await runtime.start(grow, 1, id="b")
        assert await branch.status() == "held"
        assert "b" not in await runtime.store.list_workflows()
        assert "b" in await runtime.store.list_workflows(hidden=True)
    async with opened(CODE, [pay, gated]) as runtime:
        await trio.testing.wait_all_tasks_blocked()
        assert await runtime.workflow("b").status() == "held"
        assert await kinds(runtime.workflow("b")) == ["workflow_started", "child_scheduled", "branched"]


@pytest.mark.parametrize("mode", ["what_if", "real"])
async def test_a_branch_that_cannot_be_changes_nothing(opened, mode):
    async with opened(CODE, [pay, gated]) as runtime:
        original = await runtime.start(waits, id="o")
        before = await original.digest()
        for at, to, error in [
            (0, "b", InvalidValueError),
            (3, "b", SequenceGapError),
            (2, "o", UsageError),
        ]:
            with pytest.raises(error):
                await original.branch(at=at, to=to, mode=mode)
        await original.branch(at=1, to="b", mode=mode)
        with pytest.raises(WorkflowExistsError):
            await original.branch(at=2, to="b", mode=mode)
        with pytest.raises(InvalidValueError, match="what_if, real"):
            await original.branch(at=2, to="c", mode="maybe")
        assert await original.digest() == before
        assert await kinds(runtime.workflow("b")) == ["workflow_started", "branched"]
        assert await runtime.workflow("c").stream_len() == 0
        board.open("door")


async def test_a_resumed_branch_can_be_reset_also_into_what_it_shares(opened, autojump_clock):
    """It stays its own: what is shared is read as the original's, what follows is new."""
    async with opened(CODE, [pay, gated], codecs=(Encryption(KEYS),)) as runtime:
        original = await run_order(runtime, "second")
        result = await original.result()
        branch = await original.branch(at=5, to="b", mode="real")
        await branch.signal("go", "went")
        await branch.resume()
        assert await branch.result() == result
        for at in (8, 5, 4, 2):
            await branch.reset(at=at)
            if at < 8:
                await trio.sleep(4000)
            if await branch.status() == "running":
                await branch.signal("go", "went")
            assert await branch.result() == result, at
        assert await original.result() == result


async def test_a_branch_may_share_what_a_reset_has_abandoned(opened, autojump_clock):
    async with opened(CODE, [pay, gated]) as runtime:
        original = await run_order(runtime, "second")
        result = await original.result()
        await original.reset(at=1)
        await trio.sleep(4000)
        assert await original.result() == result
        for mode in ("what_if", "real"):
            branch = await original.branch(at=5, to=mode, mode=mode)
            assert await branch.status() == "held"
            if mode == "real":
                await branch.signal("go", "went")
                await branch.resume()
                assert await branch.result() == result
            else:
                assert (await branch.what_if(lambda call: call.name)).waits_for
