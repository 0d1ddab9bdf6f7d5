"""Signals: buffered, in order, never lost; unread ones are counted at the end."""

import attrs
import pytest
from driven import Driven, record_of

from treadle import workflow
from treadle.engine import Failure, SignalFailed, Status
from treadle.events import EventKind


@attrs.frozen
class Line:
    item: str
    count: int = 1


@workflow.define
async def collects(count: int) -> list:
    received = workflow.signals("item")
    return [await received.receive() for _ in range(count)]


def test_signals_are_read_in_order_before_and_after_somebody_waits():
    w = Driven(reads_late)
    w.signal("item", 1)
    w.signal("item", 2)
    w.signal("go")
    w.signal("item", 3)

    assert [1, 2, 3] == w.result
    w.check_cuts()


@workflow.define
async def reads_late() -> list:
    await workflow.signals("go").receive()
    return await collects.function(3)


@pytest.mark.parametrize(("values", "expected"), [((), None), ((1,), 1), ((1, "a"), [1, "a"]), (([1],), [1])])
def test_one_value_is_itself_several_are_a_tuple_none_is_none(values, expected):
    w = Driven(collects, 1)
    w.signal("item", *values)

    assert [expected] == w.result


@workflow.define
async def typed() -> str:
    line = await workflow.signals("line", Line).receive()
    pair = await workflow.signals("pair", tuple[int, Line]).receive()
    return f"{line.item} {line.count} {pair[1].item}"


def test_values_are_made_by_annotation():
    w = Driven(typed)
    w.signal("line", {"item": "nut"})
    w.signal("pair", 1, {"item": "bolt"})

    assert "nut 1 bolt" == w.result


def test_a_value_of_another_type_is_told_where_it_is_read():
    w = Driven(typed)
    w.signal("line", {"item": 5})

    assert "ConversionError" == w.failure.type


@workflow.define
async def two_readers() -> list:
    found = []

    async def read(name):
        found.append([name, await workflow.signals("item").receive()])

    async with workflow.open_nursery() as nursery:
        nursery.start_soon(read, "a")
        nursery.start_soon(read, "b")
    return found


def test_readers_take_turns_in_the_order_in_which_they_began_to_wait():
    w = Driven(two_readers)
    w.signal("item", 1)
    w.signal("item", 2)

    assert [["a", 1], ["b", 2]] == w.result


@workflow.define
async def impatient() -> list:
    with workflow.move_on_after(5):
        await workflow.signals("item").receive()
    return [await workflow.signals("item").receive()]


def test_a_cancelled_wait_loses_no_signal():
    w = Driven(impatient)
    w.fire(5)
    w.signal("item", 1)

    assert [1] == w.result


@workflow.define
async def without_waiting() -> list:
    received = workflow.signals("item")
    await workflow.signals("go").receive()
    found = [received.receive_nowait(), len(received), bool(received)]
    try:
        received.receive_nowait()
    except workflow.WouldBlock as error:
        found.append(str(error))
    return found


def test_a_signal_can_be_taken_without_waiting():
    w = Driven(without_waiting)
    w.signal("item", 1)
    w.signal("go")

    assert [1, 0, True, "no signal 'item' is unread"] == w.result


@workflow.define
async def loops() -> int:
    total = 0
    async for value in workflow.signals("add", int):
        if value < 0:
            break
        total += value
    return total


def test_signals_are_iterated():
    w = Driven(loops)
    for value in (1, 2, -1):
        w.signal("add", value)

    assert 3 == w.result


def test_unread_signals_are_counted_in_the_completion():
    """A signal in the log before the completion counts as delivered; that nobody read it is told."""
    w = Driven(collects, 1)
    w.signal("other", 1)
    w.signal("other", 2)
    w.signal("item", 1)

    assert 2 == record_of(w.log[-1]).signals_unread


def test_a_signal_after_the_end_is_not_taken():
    w = Driven(collects, 0)
    activation = w.signal("item", 1)

    assert (False, ()) == (activation.taken, activation.events)
    assert Status.COMPLETED is w.status


def test_unread_signals_wait_in_memory_and_in_the_description():
    w = Driven(collects, 1)
    w.signal("other", 1)

    assert {"other": 1} == w.execution.describe().signals_unread
    assert "signal 'item', at " in w.execution.describe().waiting_for[0]


@workflow.define
async def sends() -> str:
    sent = workflow.signal_external("order-7", "paid", 5, "EUR")
    asked = workflow.cancel_external("order-8", "no longer needed")
    await workflow.wait_until(lambda: sent.failure and asked.failure)
    return f"{sent.failure.type} {asked.failure.type} {sent.seq} {asked.workflow_id}"


def test_messages_to_others_are_commands_and_messages():
    w = Driven(sends)

    assert ["SIGNAL_SENT", "CANCEL_SENT"] == w.kinds()[1:]
    assert [
        ("order-7", "SIGNAL", {"name": "paid", "args": [5, "EUR"], "sender": "w", "sender_seq": 2}),
        ("order-8", "CANCEL", {"reason": "no longer needed", "sender": "w", "sender_seq": 3}),
    ] == w.put()
    assert [b"w:1:2", b"w:1:3"] == [effect.message_id for effect in w.effects]


def test_that_nobody_took_them_shows_later():
    w = Driven(sends)
    for seq in (2, 3):
        w.give(SignalFailed(seq, Failure("WorkflowNotFound", "nobody there")))

    assert "WorkflowNotFound WorkflowNotFound 2 order-8" == w.result
    assert 2 == len(w.records(EventKind.SIGNAL_FAILED))
