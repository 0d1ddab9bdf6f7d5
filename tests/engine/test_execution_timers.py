"""Time: deadlines become timers when an activation ends; a firing is one input for all that are due."""

import math

import pytest
from driven import SECOND, START_NS, Driven, short

from treadle import activity, workflow
from treadle.engine import TimersFired
from treadle.errors import NondeterminismError
from treadle.events import EventKind, WorkflowEvent

DAY = 24 * 3600


@activity.define
async def ask(question: int = 0) -> str: ...


@workflow.define
async def approval() -> str:
    with workflow.move_on_after(30 * DAY) as scope:
        return await workflow.signals("decision").receive()
    return f"nobody answered: {scope.cancelled_caught}"


def test_a_deadline_is_one_timer_and_one_input():
    w = Driven(approval)

    assert ["WORKFLOW_STARTED", "TIMER_STARTED"] == w.kinds()
    assert {2: START_NS + 30 * DAY * SECOND} == dict(w.execution.timers)
    assert START_NS + 30 * DAY * SECOND == w.execution.wake_up_ns

    w.fire(30 * DAY)

    assert "nobody answered: True" == w.result
    assert b'{"timers":[2]}' == w.log[2].payload
    w.check_cuts()


def test_a_scope_left_early_cancels_its_timer():
    w = Driven(approval)
    w.signal("decision", "yes", at=5)

    assert "yes" == w.result
    assert ["SIGNAL_RECEIVED", "TIMER_CANCELLED", "WORKFLOW_COMPLETED"] == short(w.last.events)


@workflow.define
async def passing() -> None:
    with workflow.move_on_after(5):
        await workflow.checkpoint()
    with workflow.fail_after(5):
        pass
    await workflow.sleep(0)


def test_a_scope_opened_and_left_within_one_activation_leaves_no_trace():
    w = Driven(passing)

    assert ["WORKFLOW_STARTED", "WORKFLOW_COMPLETED"] == w.kinds()


@workflow.define
async def nested(outer: float, inner: float) -> list[bool]:
    with workflow.move_on_after(outer) as one, workflow.move_on_after(inner) as two:
        await workflow.sleep_forever()
    with workflow.move_on_after(1):
        await workflow.activity(ask)
    return [one.cancelled_caught, two.cancelled_caught]


def test_of_two_equal_deadlines_the_outer_catches():
    """One TIMER_FIRED for both; fired one by one the inner would catch, and code between would run."""
    w = Driven(nested, 10, 10, activities=[ask])
    w.fire(10)
    w.done("x")

    assert [True, False] == w.result
    assert [(2, 3)] == [one.timers for one in w.records(EventKind.TIMER_FIRED)]


def test_overdue_after_a_downtime_the_outer_catches_as_well():
    """Both were due while nobody ran: the code must not see the time between."""
    w = Driven(nested, 10, 5, activities=[ask])
    w.reload()
    w.fire(100)
    w.done("x")

    assert [True, False] == w.result


def test_the_inner_catches_when_only_it_is_due():
    w = Driven(nested, 10, 5, activities=[ask])
    w.fire(7)
    w.done("x")

    assert [False, True] == w.result
    assert [(3,)] == [one.timers for one in w.records(EventKind.TIMER_FIRED)]


def test_an_input_first_takes_the_timers_that_are_due_at_its_time():
    """A signal that comes after the deadline finds the scope cancelled, though nobody had fired it."""
    w = Driven(approval)
    activation = w.signal("decision", "yes", at=30 * DAY)

    assert ["TIMER_FIRED", "WORKFLOW_COMPLETED"] == short(activation.events)
    assert not activation.taken
    assert "nobody answered: True" == w.result


@workflow.define
async def two_waits() -> list:
    with workflow.move_on_after(10):
        await workflow.sleep_forever()
    return [await workflow.signals("x").receive(), workflow.time_ns() // SECOND]


def test_both_in_one_activation_each_with_its_own_commands():
    w = Driven(two_waits)
    activation = w.signal("x", 1, at=10)

    assert ["TIMER_FIRED", "SIGNAL_RECEIVED", "WORKFLOW_COMPLETED"] == short(activation.events)
    assert activation.taken
    assert [1, START_NS // SECOND + 10] == w.result
    w.check_cuts()


def test_one_nanosecond_before_it_is_not_due():
    w = Driven(approval)
    w.now_ns = START_NS + 30 * DAY * SECOND - 1
    activation = w.give(TimersFired(w.now_ns))

    assert () == activation.events
    assert {2} == set(w.execution.timers)


def test_time_never_goes_back():
    """The wall clock was set back: inputs carry the time of the last one."""
    w = Driven(two_waits)
    w.signal("y", 1, at=8)
    w.signal("x", 1, at=3)

    assert START_NS + 8 * SECOND == w.execution.now_ns
    assert [START_NS + 8 * SECOND] == sorted({event.timestamp for event in w.log[2:]})

    w.fire(10)

    assert [1, START_NS // SECOND + 10] == w.result


@workflow.define
async def moving() -> str:
    with workflow.move_on_after(10) as scope:
        await workflow.signals("more").receive()
        scope.deadline += 10
        await workflow.signals("more").receive()
        scope.deadline = math.inf
        await workflow.signals("more").receive()
    return "left"


def test_a_moved_deadline_is_a_new_timer_and_none_is_no_timer():
    w = Driven(moving)
    w.signal("more", at=1)

    assert ["SIGNAL_RECEIVED", "TIMER_CANCELLED", "TIMER_STARTED"] == short(w.last.events)
    assert [START_NS + 20 * SECOND] == list(w.execution.timers.values())

    w.signal("more", at=15)

    assert ["SIGNAL_RECEIVED", "TIMER_CANCELLED"] == short(w.last.events)
    assert w.execution.wake_up_ns is None


@workflow.define
async def sleepers(count: int) -> list[int]:
    woken = []

    async def sleep(number):
        await workflow.sleep(1 + number % 3)
        woken.append(number)

    async with workflow.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(sleep, number)
    return woken


def test_many_timers_of_one_time_are_one_event():
    w = Driven(sleepers, 9)
    w.fire(2)

    (fired,) = w.records(EventKind.TIMER_FIRED)
    assert (2, 5, 8, 3, 6, 9) == fired.timers  # earliest deadline first, then as they were started

    w.fire(3)

    assert [0, 3, 6, 1, 4, 7, 2, 5, 8] == w.result


def test_a_thousand_timers_cost_what_a_thousand_timers_cost():
    """The next one is known without looking at all: ten thousand are looked at, a hundred fire."""
    w = Driven(sleepers, 3_000, paranoid=False)
    assert START_NS + SECOND == w.execution.wake_up_ns
    w.fire(1)
    assert START_NS + 2 * SECOND == w.execution.wake_up_ns
    w.fire(2)
    w.fire(3)

    assert 3_000 == len(w.result)


def test_a_log_that_fires_what_is_not_due_is_refused():
    w = Driven(nested, 10, 5, activities=[ask])
    w.fire(7)
    log = list(w.log)
    log[3] = WorkflowEvent(4, log[3].timestamp, log[3].kind, b'{"timers":[2]}')
    with pytest.raises(NondeterminismError, match="other timers are due"):
        w.replayed(log)


@workflow.define
async def late() -> float:
    before = workflow.current_time()
    with workflow.move_on_at(workflow.current_time() + 2.5):
        await workflow.sleep_forever()
    return workflow.current_time() - before


def test_the_code_sees_the_time_of_the_input_not_that_of_the_deadline():
    w = Driven(late)
    w.fire(100)

    assert 100.0 == w.result


@workflow.define
async def waits_for_time() -> str:
    await workflow.wait_until(lambda: workflow.time_ns() >= START_NS + 5 * SECOND)
    return "then"


def test_predicates_are_tried_again_after_each_input():
    w = Driven(waits_for_time)
    w.signal("tick", at=4)
    assert "RUNNING" == w.status.name
    w.signal("tick", at=6)

    assert "then" == w.result
