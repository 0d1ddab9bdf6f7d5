"""How workflows end: returned, failed, held, cancelled, terminated."""

import pytest
from driven import CONVERTER, SECOND, START_NS, Driven, record_of, short

from treadle import activity, workflow
from treadle.engine import (
    Activation,
    Closed,
    Execution,
    ExecutionLimits,
    ParentLink,
    Registry,
    Signal,
    Start,
    Status,
    Terminate,
    terminate,
)
from treadle.errors import InternalError, WorkflowHeldError
from treadle.events import EventKind


@activity.define
async def work(value: int = 0) -> int: ...


@workflow.define
async def returns(value: object) -> object:
    return value


@workflow.define
async def raises(kind: str) -> None:
    raise {"ValueError": ValueError, "NameError": NameError, "ImportError": ImportError}[kind]("it did")


def test_a_return_completes():
    w = Driven(returns, {"b": 1, "a": [2]})

    assert {"a": [2], "b": 1} == w.result
    assert (Closed(Status.COMPLETED, b'{"result":{"a":[2],"b":1}}'),) == w.last.effects
    assert (2, 1, None, "returns", b"") == w.execution.facts()


def test_an_exception_that_leaves_main_fails_the_workflow():
    w = Driven(raises, "ValueError")

    assert ("ValueError", "it did") == (w.failure.type, w.failure.message)
    assert ["WORKFLOW_STARTED", "WORKFLOW_FAILED"] == w.kinds()


@pytest.mark.parametrize("kind", ["NameError", "ImportError"])
def test_types_in_hold_on_hold_it_and_nothing_is_appended(kind):
    w = Driven(raises, kind, start=False)
    with pytest.raises(WorkflowHeldError, match="mend it and resume the workflow") as told:
        w.give(Start(b'["%s"]' % kind.encode(), b"s" * 16))

    line = raises.function.__code__.co_firstlineno + 2

    assert f"{kind}: it did (raised at {__file__}:{line})" == told.value.reason
    assert [] == w.log
    assert w.execution.is_spoilt


@workflow.define
async def slips_in_a_group() -> None:
    async def slip():
        return [].length

    async with workflow.open_nursery() as nursery:
        nursery.start_soon(workflow.sleep_forever)
        nursery.start_soon(slip)


def test_a_slip_inside_a_group_holds_as_well():
    """It is the slip that is told, with its line, and not that there is a group round it."""
    line = slips_in_a_group.function.__code__.co_firstlineno + 3
    with pytest.raises(WorkflowHeldError, match=rf"AttributeError: .*\(raised at {__file__}:{line}\)"):
        Driven(slips_in_a_group)


@workflow.define(hold_on=(ValueError,))
async def holds_on_value(kind: str) -> None:
    await raises.function(kind)


def test_hold_on_is_the_authors_choice():
    with pytest.raises(WorkflowHeldError, match="ValueError: it did"):
        Driven(holds_on_value, "ValueError")

    assert "NameError" == Driven(holds_on_value, "NameError").failure.type


def test_a_result_that_has_no_json_form_fails_the_workflow_and_names_the_path():
    w = Driven(returns_strange)

    assert "ConversionError" == w.failure.type
    assert "'b'" in w.failure.message or "b" in w.failure.message


@workflow.define
async def returns_strange() -> dict:
    return {"a": 1, "b": [object()]}


def test_a_result_over_the_limit_fails_the_workflow():
    w = Driven(returns, "x" * 3_000, limits=ExecutionLimits(payload_size_bytes_max=5_000))
    assert 3_000 == len(w.result)
    w = Driven(grows, limits=ExecutionLimits(payload_size_bytes_max=1_000))

    assert "InvalidValueError" == w.failure.type


@workflow.define
async def grows() -> str:
    return "x" * 2_000


def test_arguments_the_code_cannot_take_fail_the_run_before_it_begins():
    w = Driven(raises, start=False)
    w.give(Start(b"[1,2]", b"s" * 16))

    assert "ConversionError" == w.failure.type
    assert ["WORKFLOW_STARTED", "WORKFLOW_FAILED"] == w.kinds()
    w.reload()
    assert Status.FAILED is w.status


def test_nothing_is_taken_after_the_end():
    w = Driven(returns, 1)
    activation = w.give(Signal("x"))

    assert Activation(taken=False) == activation


def test_there_is_one_start():
    w = Driven(waits, activities=[work])
    with pytest.raises(InternalError, match="was started before"):
        w.give(Start(b"[]", b"s" * 16))


# -- cancel --


@workflow.define
async def waits() -> str:
    await workflow.activity(work, 1)
    return "done"


@workflow.define
async def ignores_cancel() -> str:
    try:
        await workflow.signals("x").receive()
    except workflow.Cancelled:
        return "anyway"
    return "x"


@workflow.define
async def cleans_up() -> str:
    try:
        await workflow.signals("x").receive()
    finally:
        with workflow.CancelScope(shield=True):
            await workflow.activity(work, 5)


def test_a_cancel_request_that_main_lets_out_cancels_the_workflow():
    w = Driven(waits, activities=[work])
    w.cancel("enough", at=1)
    w.ended_by_cancel(at=2)

    assert Status.CANCELLED is w.status
    assert "enough" == record_of(w.log[-1]).reason
    assert ["CANCEL_REQUESTED", "ACTIVITY_CANCEL_REQUESTED", "ACTIVITY_CANCELLED", "WORKFLOW_CANCELLED"] == (
        w.kinds()[2:]
    )
    w.check_cuts()


def test_a_main_that_returns_after_a_cancel_request_completes():
    w = Driven(ignores_cancel)
    w.cancel()

    assert "anyway" == w.result


def test_clean_up_in_a_shield_is_awaited():
    w = Driven(cleans_up, activities=[work])
    w.cancel()

    assert ["CANCEL_REQUESTED", "ACTIVITY_SCHEDULED"] == short(w.last.events)

    w.done(1)

    assert Status.CANCELLED is w.status


def test_a_second_cancel_request_changes_nothing():
    w = Driven(cleans_up, activities=[work])
    w.cancel("first")
    again = w.cancel("second")

    assert ((), True) == (again.events, again.taken)


@workflow.define
async def fails_in_clean_up() -> None:
    try:
        await workflow.signals("x").receive()
    finally:
        raise ValueError("in clean-up")


def test_an_error_in_clean_up_fails_the_workflow():
    w = Driven(fails_in_clean_up)
    w.cancel()

    assert "ValueError" == w.failure.type


def test_only_the_own_parent_is_listened_to():
    """A child that could not get its id must not be cancelled in the place of the one who has it."""
    own, other = ParentLink("p", 4, 1), ParentLink("p", 9, 1)
    w = Driven(ignores_cancel, parent=own)

    assert () == w.cancel("", other).events
    assert () == w.terminate("", other).events
    assert ["CANCEL_REQUESTED", "WORKFLOW_COMPLETED"] == short(w.cancel("", own).events)


# -- terminate --


@workflow.define
async def child() -> None: ...


@workflow.define
async def with_children() -> None:
    for number, policy in enumerate(("request_cancel", "terminate", "abandon")):
        workflow.start_child(child, id=f"c{number}", parent_close=policy)
    try:
        await workflow.signals("x").receive()
    finally:
        workflow.side_effect(lambda: 1)


MESSAGES = [
    (
        "p",
        "CHILD_RESULT",
        {"seq": 7, "failure": {"type": "WorkflowTerminated", "message": "gone"}, "status": "terminated"},
    ),
    (
        "c0",
        "PARENT_CLOSED",
        {"parent_id": "w", "parent_seq": 2, "parent_run": 1, "reason": "the parent has closed"},
    ),
    (
        "c1",
        "PARENT_CLOSED",
        {
            "parent_id": "w",
            "parent_seq": 3,
            "parent_run": 1,
            "terminate": True,
            "reason": "the parent has closed",
        },
    ),
]


def test_terminate_asks_nobody_tells_the_parent_and_treats_the_children():
    w = Driven(with_children, workflows=[child], parent=ParentLink("p", 7, 1))
    w.effects.clear()
    w.terminate("gone")

    assert Status.TERMINATED is w.status
    assert ["WORKFLOW_TERMINATED"] == short(w.last.events)
    assert MESSAGES == w.put()
    w.reload()
    assert Status.TERMINATED is w.status


def test_a_held_workflow_is_terminated_from_its_log_alone():
    w = Driven(with_children, workflows=[child], parent=ParentLink("p", 7, 1))
    from_log = terminate("w", w.log, Terminate("gone"), START_NS + SECOND)
    w.effects.clear()
    w.now_ns += SECOND
    from_code = w.terminate("gone")

    assert from_code == from_log
    assert Activation(taken=False) == terminate("w", w.log, Terminate(), 0)
    assert Activation() == terminate("w", w.log[:-1], Terminate("", ParentLink("q", 1, 1)), 0)
    with pytest.raises(InternalError, match="a run begins with"):
        terminate("w", w.log[1:], Terminate(), 0)


# -- code that does not come to an end --


@workflow.define
async def spins() -> None:
    while True:
        await workflow.checkpoint()


def test_code_that_never_waits_is_held():
    with pytest.raises(WorkflowHeldError, match="took 1000 steps in a row"):
        Driven(spins, limits=ExecutionLimits(steps_max=1_000))


@workflow.define
async def commands_for_ever() -> None:
    while True:
        workflow.signal_external("other", "x")


def test_a_run_over_its_limits_is_held_and_told_to_continue_as_new():
    with pytest.raises(WorkflowHeldError, match=r"over 100 events .* continue_as_new\(\)") as told:
        Driven(commands_for_ever, limits=ExecutionLimits(run_events_max=100))

    assert "test_execution_ending.py:" in str(told.value)


@workflow.define
async def large_commands() -> None:
    try:
        for _ in range(100):
            workflow.signal_external("other", "x", "y" * 1_000)
    except Exception:  # noqa: BLE001, S110  # it does not help
        pass


def test_bytes_are_counted_as_well():
    with pytest.raises(WorkflowHeldError, match="50,000 bytes"):
        Driven(large_commands, limits=ExecutionLimits(run_size_bytes_max=50_000))


@workflow.define
async def signals_for_ever() -> None:
    async for _ in workflow.signals("x"):
        pass


def test_inputs_count_and_the_end_is_always_possible():
    w = Driven(signals_for_ever, limits=ExecutionLimits(run_events_max=5))
    for _ in range(4):
        w.signal("x")
    with pytest.raises(WorkflowHeldError):
        w.signal("x")

    w.reload()
    w.terminate("too long")

    assert Status.TERMINATED is w.status


def test_a_second_run_in_one_log_begins_at_its_seq():
    """The same id again, allowed when closed: seqs go on, the run is named by its first."""
    first = Driven(returns, 1)
    execution = Execution(waits, "w", Registry([waits], [work], CONVERTER), CONVERTER, first_seq=3)
    activation = execution.activate(Start(b"[]", b"t" * 16), START_NS)

    assert [3, 4] == [event.seq for event in activation.events]
    assert (3, 5) == (execution.run_start_seq, execution.next_seq)

    again = Execution(waits, "w", Registry([waits], [work], CONVERTER), CONVERTER)
    again.replay(activation.events)

    assert again.finish_replay() is None
    assert (3, 5) == (again.run_start_seq, again.next_seq)
    assert EventKind.WORKFLOW_COMPLETED is first.log[-1].kind

    execution.evict()
    again.evict()
