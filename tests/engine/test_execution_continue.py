"""Continue-as-new: the same log and id, a new run; replay may begin at it and needs nothing before."""

# ruff: noqa: RET503 -- continue_as_new() never returns, which the linter cannot know

import msgspec
import pytest
from driven import Driven, short

from treadle import activity, workflow
from treadle.engine import AnswerUpdate, ExecutionLimits, ParentLink, Status
from treadle.engine.records import RunStarted
from treadle.errors import CorruptStoreError, NondeterminismError, WorkflowHeldError
from treadle.events import EventKind


@activity.define
async def work(value: int = 0) -> int: ...


@workflow.define
async def other() -> None: ...


@workflow.define
async def entity(total: int = 0) -> int:
    """Lives for ever: every second signal it begins anew."""

    async def on_update(value: int) -> int:
        return total + value + await workflow.activity(work, value)

    workflow.set_query("total", lambda: total)
    workflow.set_update("add", on_update)
    received = workflow.signals("add")
    for _ in range(2):
        value = await received.receive()
        if value < 0:
            return total
        total += value
    await workflow.continue_as_new(total)


def from_last_run(w):
    start = max(place for place, event in enumerate(w.log) if event.kind is EventKind.CONTINUED)
    return w.log[start:]


def test_a_new_run_begins_in_the_same_log():
    w = Driven(entity)
    w.signal("add", 1)
    w.signal("add", 2)

    assert ["SIGNAL_RECEIVED", "CONTINUED"] == short(w.last.events)
    record = msgspec.json.decode(w.log[-1].payload, type=RunStarted)
    assert ("entity", b"[3]", 1, 0) == (record.name, bytes(record.args), record.previous_run, record.carried)
    assert (4, 5, Status.RUNNING) == (w.execution.run_start_seq, w.execution.next_seq, w.status)
    assert b"3" == w.execution.query("total")
    assert () == w.last.effects

    w.signal("add", 4)
    w.signal("add", -1)

    assert 7 == w.result
    w.check_cuts()


def test_replay_may_begin_at_it():
    w = Driven(entity)
    for value in (1, 2, 3):
        w.signal("add", value)
    again = w.replayed(from_last_run(w))

    assert (4, 6) == (again.run_start_seq, again.next_seq)
    assert b"6" == again.query("total")
    assert w.execution.run.seed == again.run.seed
    assert w.execution.journal.run_size_bytes == again.journal.run_size_bytes


@workflow.define
async def pulsing(turn: int = 0) -> list:
    await workflow.signals("go").receive()
    if turn == 2:
        return [workflow.signals(name).receive_nowait() for name in ("a", "b", "a")]
    await workflow.continue_as_new(turn + 1)


def test_unread_signals_are_carried_over():
    """They lie before CONTINUED; a replay from there would never see them, so they are written behind it."""
    w = Driven(pulsing)
    w.signal("a", 1)
    w.signal("b", 2)
    w.signal("a", 3)
    w.signal("go")

    assert ["SIGNAL_RECEIVED", "CONTINUED", "SIGNAL_CARRIED", "SIGNAL_CARRIED", "SIGNAL_CARRIED"] == short(
        w.last.events
    )
    assert {"a": 2, "b": 1} == w.execution.describe().signals_unread

    w.signal("go")
    again = w.replayed(from_last_run(w))
    assert {"a": 2, "b": 1} == again.describe().signals_unread

    w.signal("go")

    assert [1, 2, 3] == w.result
    w.check_cuts()


def test_a_carry_that_was_cut_is_told_when_replay_begins_there():
    w = Driven(pulsing)
    w.signal("a", 1)
    w.signal("b", 2)
    w.signal("go")
    tail = from_last_run(w)[:2]
    with pytest.raises(
        CorruptStoreError, match="followed by 2 SIGNAL_CARRIED, got 1; replay from the run before"
    ):
        w.replayed(tail)


@workflow.define
async def busy(turn: int = 0) -> str:
    if turn:
        return "second"
    workflow.start_child(other, id="abandoned", parent_close="abandon")
    workflow.start_child(other, id="asked")
    workflow.start_child(other, id="ended", parent_close="terminate")

    async def update() -> int:
        return await workflow.activity(work, 9)

    workflow.set_update("u", update)
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(workflow.activity, work, 1)
        await workflow.signals("go").receive()
        await workflow.continue_as_new(1)


def test_activities_children_and_updates_end_first():
    """It unwinds as a cancellation does; an accepted update is not cancelled, it comes to its end."""
    w = Driven(busy, activities=[work], workflows=[other])
    w.update("u1", "u")
    w.signal("go")

    assert ["SIGNAL_RECEIVED", "ACTIVITY_CANCEL_REQUESTED"] == short(w.last.events)

    w.ended_by_cancel(seq=5)
    assert ["ACTIVITY_CANCELLED"] == short(w.last.events)

    w.effects.clear()
    w.done(3)
    assert [
        "ACTIVITY_COMPLETED",
        "UPDATE_COMPLETED",
        "CHILD_CANCEL_REQUESTED",
        "CHILD_CANCEL_REQUESTED",
    ] == short(w.last.events)
    assert [("asked", False), ("ended", True)] == [
        (to, payload.get("terminate", False)) for to, kind, payload in w.put()
    ]

    w.child_failed("cancelled", seq=3)
    assert ["CHILD_FAILED"] == short(w.last.events)
    w.child_failed("terminated", seq=4)

    assert ["CHILD_FAILED", "CONTINUED", "WORKFLOW_COMPLETED"] == short(w.last.events)
    assert "second" == w.result
    w.check_cuts()


def test_a_result_of_a_child_of_an_earlier_run_is_nobodys():
    w = Driven(leaves_one, workflows=[other])
    w.signal("go")

    assert () == w.child_done(1, seq=2).events


@workflow.define
async def leaves_one(turn: int = 0) -> str:
    if not turn:
        workflow.start_child(other, id="abandoned", parent_close="abandon")
    await workflow.signals("go").receive()
    await workflow.continue_as_new(1)


def test_the_same_update_id_is_answered_in_the_next_run():
    w = Driven(entity, activities=[work])
    w.update("u1", "add", 5)
    w.done(1)
    completed = w.log[-1].seq
    w.signal("add", 1)
    w.signal("add", 2)

    assert (AnswerUpdate("u1", None, completed),) == w.update("u1", "add", 5).effects

    again = w.replayed(from_last_run(w))

    assert {"u1": completed} == again.run.updates_done


def test_a_cancel_request_during_the_unwinding_reaches_the_next_run():
    w = Driven(busy, activities=[work], workflows=[other])
    w.signal("go")
    w.cancel("enough")
    assert ["CANCEL_REQUESTED"] == short(w.last.events)
    assert () == w.cancel("again").events
    w.ended_by_cancel()
    w.child_done(seq=3)
    w.child_done(seq=4)

    assert ["CHILD_COMPLETED", "CONTINUED", "WORKFLOW_COMPLETED"] == short(w.last.events)
    record = w.records(EventKind.CONTINUED)[0]
    assert "enough" == record.cancel.reason


@workflow.define
async def cancelled_then(turn: int = 0) -> str:
    if turn:
        await workflow.activity(work, 1)
        return "not cancelled"
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(workflow.activity, work, 1)
        await workflow.signals("go").receive()
        await workflow.continue_as_new(1)


def test_and_the_next_run_begins_cancelled():
    w = Driven(cancelled_then, activities=[work])
    w.signal("go")
    w.cancel("enough")
    w.ended_by_cancel()

    assert ["ACTIVITY_CANCELLED", "CONTINUED", "WORKFLOW_CANCELLED"] == short(w.last.events)
    assert Status.CANCELLED is w.replayed(from_last_run(w)).status


@workflow.define
async def cancelled_before(turn: int = 0) -> str:
    assert turn == 0
    try:
        await workflow.signals("go").receive()
    except workflow.Cancelled:
        await workflow.continue_as_new(1)


def test_after_a_cancel_request_there_is_no_next_run():
    w = Driven(cancelled_before)
    w.cancel()

    assert Status.CANCELLED is w.status


@workflow.define
async def for_ever(number: int = 0) -> None:
    await workflow.continue_as_new(number + 1)


def test_continuing_without_ever_waiting_is_held():
    with pytest.raises(WorkflowHeldError, match="continues as new 100 times without waiting"):
        Driven(for_ever)


@workflow.define
async def a_few(number: int = 0) -> int:
    if number == 5:
        return number
    workflow.signal_external("x", "y", number)
    await workflow.continue_as_new(number + 1)


def test_several_runs_in_one_activation():
    """Messages carry the run they were sent in."""
    w = Driven(a_few)

    assert 5 == w.result
    assert 5 == w.kinds().count("CONTINUED")
    assert [b"w:1:2", b"w:3:4", b"w:5:6", b"w:7:8", b"w:9:10"] == [
        effect.message_id for effect in w.effects if hasattr(effect, "message_id")
    ]
    w.check_cuts()


@workflow.define
async def shielded() -> str:
    with workflow.CancelScope(shield=True):
        try:
            await workflow.continue_as_new()
        except Exception as error:  # noqa: BLE001  # shown
            return str(error)
    return "?"


def test_in_a_shield_it_is_refused():
    assert "cannot be called in a shielded scope" in Driven(shielded).result


@workflow.define
async def handler_continues() -> None:
    async def update() -> None:
        await workflow.continue_as_new()

    workflow.set_update("u", update)
    await workflow.signals("x").receive()


def test_by_a_handler_it_is_refused():
    w = Driven(handler_continues)
    (effect,) = w.update("u1", "u").effects

    assert "UsageError" == effect.outcome.failure.type


@workflow.define
async def wrong_arguments() -> str:
    try:
        await workflow.continue_as_new("too", "many")
    except Exception as error:  # noqa: BLE001  # shown
        return type(error).__name__
    return "?"


def test_arguments_that_do_not_fit_are_refused_and_the_run_goes_on():
    assert "InvalidValueError" == Driven(wrong_arguments).result


@workflow.define
async def fails_unwinding() -> None:
    try:
        await workflow.continue_as_new()
    finally:
        raise ValueError("in clean-up")


def test_an_error_while_unwinding_fails_the_workflow():
    assert "ValueError" == Driven(fails_unwinding).failure.type


def test_parent_and_chance_go_along():
    link = ParentLink("p", 3, 1)
    w = Driven(entity, parent=link)
    before = w.execution.run.seed
    w.signal("add", 1)
    w.signal("add", 2)

    assert link == w.execution.run.parent
    assert before != w.execution.run.seed
    assert 16 == len(w.execution.run.seed)

    w.signal("add", -1)

    assert [("p", "CHILD_RESULT", {"seq": 3, "result": 3})] == w.put()


def test_limits_count_from_the_last_run():
    w = Driven(entity, limits=ExecutionLimits(run_events_max=6))
    for _ in range(20):
        w.signal("add", 1)

    assert 10 == w.kinds().count("CONTINUED")
    assert w.execution.next_seq > 30


@workflow.define(name="entity")
async def entity_with_other_arguments(total: int = 0) -> int:
    received = workflow.signals("add")
    for _ in range(2):
        total += await received.receive()
    await workflow.continue_as_new(total + 1)


def test_what_is_handed_over_is_checked():
    w = Driven(entity)
    w.signal("add", 1)
    w.signal("add", 2)
    w.signal("add", 2)
    with pytest.raises(NondeterminismError, match="argument 1: 3 -> 4"):
        w.replayed(definition=entity_with_other_arguments)
