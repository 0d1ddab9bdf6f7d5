"""Children: started by a message, awaited, cancelled, treated when their parent closes first."""

import pytest
from driven import Driven, short

from treadle import activity, workflow
from treadle.engine import MessageKind, ParentLink, Status, input_of, message_id
from treadle.engine.messages import STRUCT_BY_KIND, ChildStartMessage
from treadle.errors import ChildWorkflowError
from treadle.events import EventKind


@activity.define
async def work(value: int = 0) -> int: ...


@workflow.define
async def small(value: int, factor: int = 1) -> int:
    return value * factor


@workflow.define
async def parent() -> str:
    try:
        return str(await workflow.child(small, 4, factor=2))
    except ChildWorkflowError as error:
        return f"{error.status} {error.failure_type} {error.workflow_id}"


def test_a_child_is_a_command_and_a_message():
    w = Driven(parent, workflows=[small])

    assert b'{"name":"small","id":"w/2","args":[4,2]}' == w.log[1].payload
    assert [
        (
            "w/2",
            "CHILD_START",
            {"name": "small", "args": [4, 2], "parent_id": "w", "parent_seq": 2, "parent_run": 1},
        )
    ] == w.put()
    assert b"w:1:2" == w.effects[0].message_id
    (child,) = w.execution.children.values()
    assert ("w/2", "small", "request_cancel") == (child.id, child.name, child.parent_close)
    assert w.execution.wake_up_ns is None

    w.child_done(8)

    assert "8" == w.result
    assert {} == dict(w.execution.children)
    w.check_cuts()


@pytest.mark.parametrize("status", ["failed", "terminated", "refused"])
def test_how_a_child_failed_comes_back(status):
    w = Driven(parent, workflows=[small])
    w.child_failed(status)

    assert f"{status} ValueError w/2" == w.result


@workflow.define
async def limited() -> str:
    with workflow.move_on_after(10) as scope:
        return f"returned {await workflow.child(small, 1)}"
    return f"{scope.cancelled_caught}"


def test_a_cancelled_scope_asks_the_child_and_waits_for_its_end():
    w = Driven(limited, workflows=[small])
    w.effects.clear()
    w.fire(10)

    assert ["TIMER_FIRED", "CHILD_CANCEL_REQUESTED"] == short(w.last.events)
    assert [
        (
            "w/2",
            "CHILD_CANCEL",
            {"parent_id": "w", "parent_seq": 2, "parent_run": 1, "reason": "the parent has cancelled it"},
        )
    ] == w.put()
    assert Status.RUNNING is w.status

    w.child_failed("cancelled")

    assert "True" == w.result


def test_a_child_that_completes_all_the_same_is_heard():
    w = Driven(limited, workflows=[small])
    w.fire(10)
    w.child_done(3)

    assert "returned 3" == w.result


@workflow.define
async def several() -> list:
    first = workflow.start_child(small, 1, id="one")
    second = workflow.start_child(small, 2, id="two", parent_close="abandon")
    second.signal("hello", 5)
    second.cancel()
    second.cancel()
    found = []
    with workflow.move_on_after(5):
        await first.result()
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(_collect, first, found)
        nursery.start_soon(_collect, first, found)
    try:
        await second.result()
    except ChildWorkflowError as error:
        found.append(error.status)
    found.append(await first.result())
    return [first.id, second.id, *found]


async def _collect(handle, found):
    found.append(await handle.result())


def test_handles_wait_signal_and_cancel():
    """Cancelling the wait for a handle's result does nothing to the child; any number may wait."""
    w = Driven(several, workflows=[small])

    assert [
        "CHILD_SCHEDULED", "CHILD_SCHEDULED", "SIGNAL_SENT", "CHILD_CANCEL_REQUESTED", "TIMER_STARTED",
    ] == w.kinds()[1:]  # fmt: skip
    assert ["CHILD_START", "CHILD_START", "SIGNAL", "CHILD_CANCEL"] == [kind for _, kind, _ in w.put()]

    w.fire(5)
    assert ["TIMER_FIRED"] == short(w.last.events)
    w.child_failed("cancelled", seq=3)
    w.child_done(7, seq=2)

    assert ["one", "two", 7, 7, "cancelled", 7] == w.result


def test_a_result_nobody_knows_of_leaves_no_event():
    w = Driven(several, workflows=[small])
    activation = w.child_done(1, seq=99)

    assert ((), True) == (activation.events, activation.taken)


@workflow.define
async def leaves_children(how: str) -> None:
    for policy in ("request_cancel", "terminate", "abandon"):
        workflow.start_child(small, 1, id=policy, parent_close=policy)
    if how == "raise":
        raise ValueError(how)
    if how == "wait":
        await workflow.sleep_forever()


@pytest.mark.parametrize("how", ["return", "raise", "wait"])
def test_children_left_outside_are_treated_when_the_parent_closes(how):
    w = Driven(leaves_children, how, workflows=[small])
    if how == "wait":
        w.cancel()

    assert w.status.is_closed
    closed = [
        (to, payload.get("terminate", False)) for to, kind, payload in w.put() if kind == "PARENT_CLOSED"
    ]
    assert [("request_cancel", False), ("terminate", True)] == closed
    assert len({effect.message_id for effect in w.effects if hasattr(effect, "message_id")}) == 5


def test_the_parent_is_told_how_its_child_ended():
    link = ParentLink("p", 7, 3)
    completed = Driven(small, 5, parent=link)
    cancelled = Driven(leaves_children, "wait", workflows=[small], parent=link)
    cancelled.cancel("enough")

    assert [("p", "CHILD_RESULT", {"seq": 7, "result": 5})] == completed.put()
    assert (
        "p",
        "CHILD_RESULT",
        {"seq": 7, "failure": {"type": "WorkflowCancelled", "message": "enough"}, "status": "cancelled"},
    ) in cancelled.put()


@workflow.define
async def misuses() -> list[str]:
    found = []
    for call in (
        lambda: workflow.start_child(len),
        lambda: workflow.start_child(small, 1, parent_close="kill"),
        lambda: workflow.start_child(small, "x"),
        lambda: workflow.start_child(small, 1, id=""),
    ):
        try:
            call()
        except Exception as error:  # noqa: BLE001  # any of them
            found.append(f"{type(error).__name__}: {error}")
    return found


def test_what_cannot_be_a_child_is_refused_and_not_commanded():
    w = Driven(misuses, workflows=[small])

    assert ["WORKFLOW_STARTED", "WORKFLOW_COMPLETED"] == w.kinds()
    for text, words in zip(
        w.result,
        (
            "a child is what workflow.define has made, got len",
            "parent_close is one of request_cancel, terminate, abandon, got 'kill'",
            "value",
            "a workflow id has at least one character",
        ),
        strict=True,
    ):
        assert words in text


# -- the messages themselves --


def test_messages_come_back_as_inputs():
    w = Driven(several, workflows=[small])
    w.terminate()
    for effect in w.effects:
        if hasattr(effect, "message_id"):
            given = input_of(effect.kind, effect.payload)
            if effect.kind == MessageKind.CHILD_START:
                assert isinstance(given, ChildStartMessage)
            elif effect.kind in {MessageKind.CHILD_CANCEL, MessageKind.PARENT_CLOSED}:
                assert "w" == given.parent.workflow_id


def test_message_ids_fit_the_store():
    assert b"w:1:2" == message_id("w", 1, 2)
    long = message_id("x" * 255, 1, 2)
    assert 64 == len(long)
    assert long != message_id("x" * 255, 1, 3)


def test_numbers_of_message_kinds_never_change():
    assert [
        "START", "SIGNAL", "CANCEL", "TERMINATE", "UPDATE", "QUERY", "STACK", "CHILD_START", "CHILD_RESULT",
        "PARENT_CLOSED", "CHILD_CANCEL", "SEND_FAILED", "RESUME", "RESET",
    ] == [MessageKind(number).name for number in range(14)]  # fmt: skip
    assert {"START", "UPDATE", "QUERY", "STACK", "RESUME", "RESET"} == {
        kind.name for kind in MessageKind if kind not in STRUCT_BY_KIND
    }
    assert EventKind.CHILD_SCHEDULED == 28


@workflow.define
async def naps() -> int:
    await workflow.sleep(10)
    return await workflow.child(small, 4)


def test_what_timers_before_an_input_ask_for_is_told_apart_from_what_the_input_asks_for():
    w = Driven(naps, workflows=[small])
    w.signal("word", "x", at=20)

    assert ["TIMER_FIRED", "CHILD_SCHEDULED", "SIGNAL_RECEIVED"] == [e.kind.name for e in w.last.events]
    assert (2, 1) == w.last.fired
