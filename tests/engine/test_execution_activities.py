"""Activities: commanded, answered, failed, tried again, cancelled; each input followed by its commands."""

import contextlib

import pytest
from driven import SECOND, START_NS, Driven, record_of, short

from treadle import activity, workflow
from treadle.engine import (
    ActivityDone,
    CancelActivity,
    Completed,
    EndedByCancel,
    ExecutionLimits,
    StartActivity,
    Status,
)
from treadle.engine.machines import ActivityState
from treadle.errors import ActivityError, InternalError, InvalidValueError, UsageError, WorkflowHeldError
from treadle.events import EventKind


@activity.define(start_to_close_seconds=30, retry=activity.Retry(attempts=3, non_retryable=(KeyError,)))
async def charge(order: str, cents: int) -> str: ...


@activity.define
def plain(value: int) -> int: ...


@activity.define(on_cancel="abandon")
async def slow(value: int = 0) -> int: ...


@activity.define
async def unregistered() -> None: ...


@activity.define
async def keyed(*, amount: int, note: str | None = None) -> str: ...


@workflow.define
async def order(name: str, cents: int) -> str:
    first = await workflow.activity(charge, name, cents)
    return f"{first} {await workflow.activity(plain, 2)}"


def test_an_activity_is_commanded_with_name_arguments_and_options():
    w = Driven(order, "A-17", 4200, activities=[charge, plain])

    assert ["WORKFLOW_STARTED", "ACTIVITY_SCHEDULED"] == w.kinds()
    assert (
        b'{"name":"charge","options":{"retry":{"attempts":3,"non_retryable":["KeyError"]},'
        b'"start_to_close_ns":30000000000},"args":["A-17",4200]}'
    ) == w.log[1].payload
    assert (StartActivity(2),) == w.last.effects
    pending = w.execution.activities[2]
    assert ("charge", b'["A-17",4200]') == (pending.name, pending.args_json)
    assert 30 * SECOND == pending.options.start_to_close_ns
    assert (3, ("KeyError",)) == (pending.options.retry.attempts, pending.options.retry.non_retryable)
    assert START_NS == pending.scheduled_ns
    assert 0 == w.execution.wake_up_ns


def test_its_result_comes_back_and_the_workflow_goes_on():
    w = Driven(order, "A-17", 4200, activities=[charge, plain])
    w.done("paid", at=1)
    w.done(7, at=2)

    assert "paid 7" == w.result
    assert [
        "WORKFLOW_STARTED",
        "ACTIVITY_SCHEDULED",
        "ACTIVITY_COMPLETED",
        "ACTIVITY_SCHEDULED",
        "ACTIVITY_COMPLETED",
        "WORKFLOW_COMPLETED",
    ] == w.kinds()
    assert [START_NS + s * SECOND for s in (0, 0, 1, 1, 2, 2)] == [event.timestamp for event in w.log]
    assert list(range(1, 7)) == [event.seq for event in w.log]
    assert w.execution.wake_up_ns is None
    w.check_cuts()


@workflow.define
async def fan_out(count: int) -> list[int]:
    found = []

    async def one(value):
        found.append(await workflow.activity(plain, value))

    async with workflow.open_nursery() as nursery:
        for value in range(count):
            nursery.start_soon(one, value)
    return found


def test_each_input_is_followed_by_its_own_commands():
    """Three results taken one after another: input, its commands, input, its commands."""
    w = Driven(two_lines, activities=[plain])
    for seq in (2, 3):
        w.done(seq, seq=seq)

    assert [
        "WORKFLOW_STARTED", "ACTIVITY_SCHEDULED", "ACTIVITY_SCHEDULED",
        "ACTIVITY_COMPLETED", "ACTIVITY_SCHEDULED",
        "ACTIVITY_COMPLETED", "ACTIVITY_SCHEDULED",
    ] == w.kinds()  # fmt: skip


@workflow.define
async def two_lines() -> None:
    async def line(value):
        for _ in range(2):
            await workflow.activity(plain, value)

    async with workflow.open_nursery() as nursery:
        nursery.start_soon(line, 1)
        nursery.start_soon(line, 2)


def test_results_are_taken_in_any_order():
    w = Driven(fan_out, 3, activities=[plain])
    for seq in (4, 2, 3):
        w.done(seq * 10, seq=seq)

    assert [40, 20, 30] == w.result
    w.check_cuts()


def test_an_activation_may_be_larger_than_a_callers_batch():
    """1,500 activities at once are one activation; cut after 1,000 events, replay makes the rest."""
    w = Driven(fan_out, 1_500, activities=[plain], paranoid=False)

    assert 1_501 == len(w.last.events)
    assert 1_500 == len(w.last.effects)

    again = w.made()
    again.replay(w.log[:1_000])
    rest = again.finish_replay()

    assert tuple(w.log[1_000:]) == rest.events
    assert 1_500 == len(rest.effects) == len(again.unfinished())


@workflow.define
async def careful() -> str:
    try:
        await workflow.activity(charge, "x", 1)
    except ActivityError as error:
        return f"{error.failure_type} {error.failure_message} {error.attempts} {error.activity}"
    return "paid"


def test_a_failure_comes_back_as_activity_error():
    w = Driven(careful, activities=[charge])
    w.fail("declined", kind="Declined", attempt=3)

    assert "Declined declined 3 charge" == w.result


def test_a_failed_attempt_wakes_nobody_and_is_told():
    w = Driven(careful, activities=[charge])
    w.attempt_failed(2, 1, due=5, at=1)
    w.attempt_failed(2, 2, due=9, at=6, lost=True)

    assert (EventKind.ACTIVITY_ATTEMPT_FAILED,) * 2 == tuple(event.kind for event in w.log[-2:])
    pending = w.execution.activities[2]
    assert (2, 1, START_NS + 9 * SECOND) == (
        pending.attempts_failed,
        pending.attempts_lost,
        pending.next_due_ns,
    )
    assert START_NS + 9 * SECOND == w.execution.wake_up_ns
    assert "attempt 3 at 2023-11-14" in w.execution.describe().waiting_for[0]

    w.done("ok", at=10)

    assert "paid" == w.result


def test_time_does_not_pass_for_the_code_with_a_failed_attempt_alone():
    """The stored time rises, and the next input sees it."""
    w = Driven(timed, activities=[plain])
    w.attempt_failed(2, 1, due=7, at=5)
    w.done(1, at=3)

    assert 5.0 == w.result


@workflow.define
async def timed() -> float:
    began = workflow.time_ns()
    await workflow.activity(plain, 1)
    return (workflow.time_ns() - began) / SECOND


def test_a_result_that_nobody_waits_for_leaves_no_event():
    w = Driven(order, "A-17", 4200, activities=[charge, plain])
    w.done("paid")
    again = w.give(ActivityDone(2, Completed(b'"paid"')))

    assert ((), (), True) == (again.events, again.effects, again.taken)


def test_an_outcome_the_machine_does_not_know_is_refused_and_changes_nothing():
    w = Driven(order, "A-17", 4200, activities=[charge, plain])
    before = list(w.log)
    with pytest.raises(InternalError, match=r"ActivityState SCHEDULED expects .*, got ACTIVITY_CANCELLED"):
        w.give(ActivityDone(2, EndedByCancel()))

    assert before == w.log
    assert w.execution.is_spoilt


# -- options and arguments --


@workflow.define
async def with_options() -> None:
    await workflow.activity(plain.with_options(start_to_close_seconds=2), 5)
    await workflow.activity(keyed, amount=3, note=None)


def test_options_of_one_call_are_recorded():
    w = Driven(with_options, activities=[plain, keyed])

    assert b'{"name":"plain","options":{"start_to_close_ns":2000000000},"args":[5]}' == w.log[1].payload

    w.done(1)

    assert b'{"name":"keyed","args":{"*":[],"amount":3,"note":null}}' == w.log[3].payload


@workflow.define
async def wrong_arguments() -> str:
    try:
        await workflow.activity(charge, "x", "many")
    except InvalidValueError as error:
        return str(error)
    return "?"


def test_arguments_that_do_not_fit_are_refused_at_the_call():
    w = Driven(wrong_arguments, activities=[charge])

    assert "argument cents of activity 'charge' does not fit" in w.result
    assert ["WORKFLOW_STARTED", "WORKFLOW_COMPLETED"] == w.kinds()


@workflow.define
async def calls_unregistered() -> None:
    with contextlib.suppress(Exception):  # it must not help
        await workflow.activity(unregistered)


def test_an_activity_this_runtime_does_not_know_holds_the_workflow():
    with pytest.raises(
        WorkflowHeldError, match=r"activity 'unregistered' .* is unknown in this runtime"
    ) as told:
        Driven(calls_unregistered, activities=[plain])

    assert "activity 'unregistered' is not registered" == told.value.reason


@workflow.define
async def calls_a_function() -> None:
    await workflow.activity(len, "x")


def test_what_is_no_activity_is_refused_with_its_line():
    w = Driven(calls_a_function, activities=[plain])

    assert "UsageError" == w.failure.type
    assert "test_execution_activities.py:" in w.failure.message
    assert "workflow.activity() takes what activity.define has made" in w.failure.message


async def test_outside_of_workflow_code_it_is_refused():
    with pytest.raises(
        UsageError, match=r"workflow.activity\(\) works inside workflow code only, but .*py:\d+"
    ):
        await workflow.activity(plain, 1)


@workflow.define
async def large() -> str:
    try:
        await workflow.activity(charge, "x" * 2_000, 1)
    except InvalidValueError as error:
        return str(error)
    return "?"


def test_a_payload_over_its_limit_is_refused_at_the_line_and_the_code_may_go_on():
    w = Driven(large, activities=[charge], limits=ExecutionLimits(payload_size_bytes_max=1_000))

    assert "the payload of ACTIVITY_SCHEDULED has at most 1,000 bytes, got 2" in w.result
    assert "test_execution_activities.py:" in w.result


@workflow.define
async def result_of_another_type() -> str:
    try:
        await workflow.activity(plain, 1)
    except InvalidValueError as error:
        return str(error)
    return "?"


def test_a_result_that_does_not_fit_its_annotation_is_told_where_it_is_used():
    w = Driven(result_of_another_type, activities=[plain])
    w.done("seven")

    assert "plain" in w.result


# -- cancellation --


@workflow.define
async def limited() -> str:
    with workflow.move_on_after(10) as scope:
        await workflow.activity(charge, "x", 1)
    return f"{scope.cancelled_caught}"


def test_a_cancelled_scope_waits_until_the_attempt_has_ended():
    """With on_cancel="wait" nothing outlives its scope: the request is written, the end is awaited."""
    w = Driven(limited, activities=[charge])
    w.fire(10)

    assert ["TIMER_FIRED", "ACTIVITY_CANCEL_REQUESTED"] == short(w.last.events)
    assert (CancelActivity(2),) == w.last.effects == w.execution.unfinished()
    assert Status.RUNNING is w.status
    assert w.execution.activities[2].is_cancelling

    w.ended_by_cancel(at=11)

    assert "True" == w.result
    assert ["ACTIVITY_CANCELLED", "WORKFLOW_COMPLETED"] == short(w.last.events)
    w.check_cuts()


@pytest.mark.parametrize(("end", "result"), [("done", "False"), ("fail", None)])
def test_an_activity_that_ends_by_itself_while_it_is_cancelled_keeps_its_outcome(end, result):
    w = Driven(limited, activities=[charge])
    w.fire(10)
    getattr(w, end)("x")

    if result:
        assert result == w.result
    else:
        assert "ActivityError" == w.failure.type


def test_a_cancelled_activity_is_not_tried_again():
    """A failed attempt that crosses the request is noted; only the end is left, also after a restart."""
    w = Driven(limited, activities=[charge])
    w.fire(10)
    w.attempt_failed(2, 1, due=20, at=10)
    w.reload()

    assert (CancelActivity(2),) == w.execution.unfinished()
    assert 0 == w.execution.wake_up_ns


@workflow.define
async def leaving() -> str:
    with workflow.move_on_after(10) as scope:
        await workflow.activity(slow)
    await workflow.activity(plain, 1)
    return f"{scope.cancelled_caught}"


def test_an_abandoned_activity_ends_the_wait_at_once_and_its_result_is_dropped():
    w = Driven(leaving, activities=[slow, plain])
    w.fire(10)

    assert ["TIMER_FIRED", "ACTIVITY_CANCEL_REQUESTED", "ACTIVITY_SCHEDULED"] == short(w.last.events)
    assert (CancelActivity(2, answer=False), StartActivity(6)) == w.last.effects
    assert [6] == list(w.execution.activities)
    assert () == w.give(ActivityDone(2, Completed(b"1"))).events

    w.done(1)

    assert "True" == w.result


@workflow.define
async def at_once(*, abandon: bool) -> None:
    async def one():
        await workflow.activity(slow if abandon else plain, 1)

    async with workflow.open_nursery() as nursery:
        nursery.start_soon(one)
        await workflow.checkpoint()
        await workflow.checkpoint()
        nursery.cancel_scope.cancel()


def test_scheduled_and_cancelled_in_one_activation_both_are_written_and_nothing_is_started():
    """The command was made before the cancellation; the log tells both, and no attempt begins."""
    w = Driven(at_once, args_json=b'{"*":[],"abandon":false}', activities=[plain, slow])

    assert ["WORKFLOW_STARTED", "ACTIVITY_SCHEDULED", "ACTIVITY_CANCEL_REQUESTED"] == w.kinds()
    assert (CancelActivity(2),) == w.last.effects

    w.ended_by_cancel()

    assert w.result is None


def test_the_same_with_abandon_ends_in_the_same_activation():
    w = Driven(at_once, args_json=b'{"*":[],"abandon":true}', activities=[plain, slow])

    assert w.result is None
    assert ["ACTIVITY_SCHEDULED", "ACTIVITY_CANCEL_REQUESTED", "WORKFLOW_COMPLETED"] == w.kinds()[1:]
    assert StartActivity not in {type(effect) for effect in w.effects}


@workflow.define
async def in_cancelled_scope() -> str:
    with workflow.CancelScope() as scope:
        scope.cancel()
        await workflow.activity(plain, 1)
    return "left"


def test_in_a_cancelled_scope_nothing_is_commanded():
    w = Driven(in_cancelled_scope, activities=[plain])

    assert "left" == w.result
    assert ["WORKFLOW_STARTED", "WORKFLOW_COMPLETED"] == w.kinds()


def test_siblings_of_a_failure_are_cancelled_and_awaited():
    w = Driven(failing_sibling, activities=[charge, plain])
    w.fail("declined", name="charge")

    assert ["ACTIVITY_FAILED", "ACTIVITY_CANCEL_REQUESTED"] == short(w.last.events)

    w.ended_by_cancel()

    assert "ExceptionGroup" == w.failure.type
    assert ["ActivityError"] == [member.type for member in w.failure.members]
    w.check_cuts()


@workflow.define
async def failing_sibling() -> None:
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(workflow.activity, charge, "x", 1)
        nursery.start_soon(workflow.activity, plain, 1)


def test_the_machines_states_are_those_of_the_pending_activity():
    w = Driven(limited, activities=[charge])
    assert ActivityState.SCHEDULED is w.execution.activities[2].state
    w.fire(10)
    assert ActivityState.CANCELLING is w.execution.activities[2].state
    assert 2 == record_of(w.log[-1]).seq


@workflow.define
async def cleans_up() -> None:
    try:
        await workflow.activity(plain, 1)
    finally:
        workflow.logger.info("cleaning up")
        workflow.side_effect(lambda: "drawn")
        await workflow.activity(plain, 2)


def test_eviction_runs_clean_ups_and_nothing_comes_of_it(caplog):
    caplog.set_level("INFO", "treadle.workflow")
    w = Driven(cleans_up, activities=[plain])
    log = list(w.log)
    w.evict()

    assert log == w.log
    assert [] == w.execution.journal.new
    assert [] == caplog.records
    with pytest.raises(InternalError, match="was thrown away"):
        w.done(1, seq=2)
