"""Replay checks every command where it is made: divergence holds, drift is told, the recorded value wins."""

import attrs
import pytest
from driven import CONVERTER, SECOND, Driven, json, short

from treadle import activity, workflow
from treadle.engine import ActivityDone, Completed, Execution, Registry, Start
from treadle.engine.differences import DRIFTING_FIELDS
from treadle.engine.records import COMMAND_KINDS, INPUT_KINDS, RECORD_BY_KIND, UNSEEN_KINDS
from treadle.errors import CorruptStoreError, NondeterminismError, WorkflowHeldError
from treadle.events import EventKind, WorkflowEvent


@attrs.frozen
class Money:
    cents: int
    currency: str = "EUR"


@activity.define
async def charge(order: str, cents: int) -> str: ...


@activity.define
async def refund(order: str, cents: int) -> str: ...


@activity.define
async def pay(money: Money) -> str: ...


@activity.define(name="pay")
async def pay_less(money: dict) -> str: ...


ACTIVITIES = [charge, refund, pay]


@workflow.define
async def child(value: int) -> int: ...


@workflow.define(name="order")
async def original(name: str) -> str:
    await workflow.activity(charge, name, 100)
    await workflow.sleep(60)
    await workflow.activity(refund, name, 100)
    return "done"


def history():
    w = Driven(original, "A", activities=ACTIVITIES)
    w.done("a", at=1)
    w.fire(61)
    w.done("b", at=62)
    return w


@workflow.define(name="order")
async def other_activity(name: str) -> str:
    await workflow.activity(refund, name, 100)
    return "done"


@workflow.define(name="order")
async def other_argument(name: str) -> str:
    await workflow.activity(charge, name, 101)
    return "done"


@workflow.define(name="order")
async def other_timer(name: str) -> str:
    await workflow.activity(charge, name, 100)
    await workflow.sleep(61)
    return "done"


@workflow.define(name="order")
async def other_order(name: str) -> str:
    await workflow.sleep(60)
    await workflow.activity(charge, name, 100)
    return "done"


@workflow.define(name="order")
async def extra_step(name: str) -> str:
    await workflow.activity(charge, name, 100)
    await workflow.activity(charge, name, 100)
    return "done"


@workflow.define(name="order")
async def extra_at_once(name: str) -> str:
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(workflow.activity, charge, name, 100)
        nursery.start_soon(workflow.activity, charge, name, 100)
    return "done"


@workflow.define(name="order")
async def missing_step(name: str) -> str:
    await workflow.activity(charge, name, 100)
    await workflow.signals("never").receive()
    return "done"


@workflow.define(name="order")
async def other_result(name: str) -> str:
    await original.function(name)
    return "other"


@workflow.define(name="order")
async def raises_instead(name: str) -> str:
    await original.function(name)
    raise ValueError(name)


@workflow.define(name="order")
async def catches_everything(name: str) -> str:
    try:
        await workflow.activity(refund, name, 1)
    except Exception:  # noqa: BLE001  # must not hide it
        await workflow.sleep(5)
    return "done"


@workflow.define(name="order")
async def no_wait(name: str) -> str:
    return f"done {name}"


def replay(definition, log):
    execution = Execution(definition, "w", Registry([definition], ACTIVITIES, CONVERTER), CONVERTER)
    try:
        execution.replay(log)
        return execution.finish_replay(), execution
    finally:
        execution.evict()


@pytest.mark.parametrize(
    ("changed", "seq", "words", "differences"),
    [
        (other_activity, 2, "with other values", (("name", "'charge'", "'refund'"),)),
        (other_argument, 2, "with other values", (("argument 2", "100", "101"),)),
        (
            other_timer, 4, "with other values",
            (("deadline_ns", str(1_700_000_061 * SECOND), str(1_700_000_062 * SECOND)),),
        ),
        (other_order, 2, "something else", (("kind", "ACTIVITY_SCHEDULED", "TIMER_STARTED"),)),
        (extra_step, 4, "something else", (("kind", "TIMER_STARTED", "ACTIVITY_SCHEDULED"),)),
        (extra_at_once, 3, "asks for more", ()),
        (missing_step, 4, "asks for less", ()),
        (other_result, 8, "with other values", (("result", '"done"', '"other"'),)),
        (raises_instead, 8, "something else", (("kind", "WORKFLOW_COMPLETED", "WORKFLOW_FAILED"),)),
        (
            catches_everything, 2, "with other values",
            (("name", "'charge'", "'refund'"), ("argument 2", "100", "1")),
        ),
        (no_wait, 2, "something else", (("kind", "ACTIVITY_SCHEDULED", "WORKFLOW_COMPLETED"),)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_changed_code_is_found_out(changed, seq, words, differences):
    """Kind, order, name, argument, timer length and result: each with its seq, both sides and the line."""
    w = history()
    with pytest.raises(NondeterminismError, match=words) as told:
        replay(changed, w.log)

    error = told.value
    assert (seq, differences, "w") == (error.seq, error.differences, error.workflow_id)
    assert "test_execution_replay_check.py:" in error.where
    assert w.log[seq - 1].kind.name in error.expected


def test_the_line_is_that_of_the_code_that_asks():
    with pytest.raises(NondeterminismError) as told:
        replay(other_argument, history().log)

    line = other_argument.function.__code__.co_firstlineno + 2
    assert told.value.where.endswith(f"test_execution_replay_check.py:{line}")
    assert f"at {told.value.where}" in str(told.value)


def test_the_line_of_a_timer_is_where_its_task_stands():
    with pytest.raises(NondeterminismError) as told:
        replay(other_timer, history().log)

    assert told.value.where.endswith(f":{other_timer.function.__code__.co_firstlineno + 3}")


@pytest.mark.parametrize("place", range(1, 8))
def test_a_dropped_event_is_found_out(place):
    """Dropped in the middle and the rest renumbered: a file somebody has edited."""
    log = history().log
    del log[place]
    renumbered = [WorkflowEvent(seq, one.timestamp, one.kind, one.payload) for seq, one in enumerate(log, 1)]
    if place == 7:  # the last command: made again, the log was only cut
        assert ["WORKFLOW_COMPLETED"] == short(replay(original, renumbered)[0].events)
        return
    with pytest.raises(NondeterminismError):
        replay(original, renumbered)


@pytest.mark.parametrize("place", [1, 3, 5])
def test_swapped_events_are_found_out(place):
    log = history().log
    one, two = log[place], log[place + 1]
    log[place] = WorkflowEvent(one.seq, two.timestamp, two.kind, two.payload)
    log[place + 1] = WorkflowEvent(two.seq, one.timestamp, one.kind, one.payload)
    with pytest.raises(NondeterminismError):
        replay(original, log)


def test_a_gap_is_corruption():
    log = history().log
    del log[3]
    with pytest.raises(CorruptStoreError, match="seqs 1 to 7 come next, got 1 to 8"):
        replay(original, log)


def test_the_log_of_another_workflow_is_refused():
    with pytest.raises(NondeterminismError, match="the log is of another workflow"):
        replay(child, history().log)


def test_a_payload_the_engine_cannot_have_written_is_corruption():
    log = history().log
    log[2] = WorkflowEvent(3, log[2].timestamp, log[2].kind, b'{"sequence":2}')
    with pytest.raises(CorruptStoreError, match="seq 3: ACTIVITY_COMPLETED of a durable workflow"):
        replay(original, log)


@pytest.mark.parametrize("kind", [EventKind.CUSTOM, EventKind.BASELINE])
def test_an_event_that_no_engine_writes_is_corruption(kind):
    log = history().log[:4]
    log.append(WorkflowEvent(5, log[-1].timestamp, kind, b"{}"))
    with pytest.raises(CorruptStoreError, match=f"{kind.name} at seq 5 cannot follow"):
        replay(original, log)


def test_nothing_follows_the_end():
    w = history()
    log = [
        *w.log,
        WorkflowEvent(9, w.log[-1].timestamp, EventKind.SIGNAL_RECEIVED, b'{"name":"x","args":[]}'),
    ]
    with pytest.raises(CorruptStoreError, match="because the workflow has ended"):
        replay(original, log)


# -- drift --


@activity.define(name="charge", start_to_close_seconds=60)
async def charge_longer(order: str, cents: int) -> str: ...


@workflow.define(name="order")
async def other_options(name: str) -> str:
    await workflow.activity(charge.with_options(start_to_close_seconds=60), name, 100)
    await workflow.sleep(60)
    await workflow.activity(refund, name, 100)
    return "done"


def test_other_options_are_drift_and_the_recorded_ones_count():
    """Options are changed to rescue running workflows; holding them for it would be perverse."""
    w = history()
    _, execution = replay(other_options, w.log)

    (drift,) = execution.drifts
    assert (2, EventKind.ACTIVITY_SCHEDULED, "options") == (drift.seq, drift.kind, drift.field)
    assert ("None", '{"start_to_close_ns":60000000000}') == (drift.logged, drift.done)
    assert "test_execution_replay_check.py:" in drift.where

    execution = Execution(other_options, "w", Registry([other_options], ACTIVITIES, CONVERTER), CONVERTER)
    execution.replay(w.log[:2])
    execution.finish_replay()

    assert execution.activities[2].options.start_to_close_ns is None

    execution.evict()


@workflow.define(name="payment")
async def payment_before() -> str:
    return await workflow.activity(pay_less, {"cents": 5})


@workflow.define(name="payment")
async def payment_after() -> str:
    return await workflow.activity(pay, Money(5))


@workflow.define(name="payment")
async def payment_of_six() -> str:
    return await workflow.activity(pay, Money(6))


def payment_log():
    registry = Registry([payment_before], [pay_less], CONVERTER)
    execution = Execution(payment_before, "w", registry, CONVERTER)
    log = list(execution.activate(Start(b"[]", b"s" * 16), 1).events)
    log += execution.activate(ActivityDone(2, Completed(b'"ok"')), 1).events
    execution.evict()
    return log


def test_an_argument_that_todays_type_reads_as_equal_is_drift():
    """A field with a default was added to an argument's class: the value is the same, the bytes are not."""
    _, execution = replay(payment_after, payment_log())

    (drift,) = execution.drifts
    assert ("argument 1", '{"cents":5}', '{"cents":5,"currency":"EUR"}') == (
        drift.field,
        drift.logged,
        drift.done,
    )


def test_an_argument_of_another_value_is_not():
    with pytest.raises(NondeterminismError) as told:
        replay(payment_of_six, payment_log())

    assert (("argument 1", '{"cents":5}', '{"cents":6,"currency":"EUR"}'),) == told.value.differences


@workflow.define(name="failing")
async def fails_before() -> None:
    raise ValueError("at line 7")


@workflow.define(name="failing")
async def fails_after() -> None:
    raise ValueError("at line 8")


@workflow.define(name="failing")
async def fails_otherwise() -> None:
    raise KeyError("at line 8")


def test_the_words_of_an_error_may_drift_its_type_may_not():
    w = Driven(fails_before)
    _, execution = replay(fails_after, w.log)

    assert ["failure"] == [drift.field for drift in execution.drifts]
    with pytest.raises(NondeterminismError, match="failure"):
        replay(fails_otherwise, w.log)


@workflow.define(name="starts")
async def starts_child() -> None:
    workflow.start_child(child, 1, id="c")
    await workflow.signals("x").receive()


@workflow.define(name="starts")
async def starts_child_to_terminate() -> None:
    workflow.start_child(child, 1, id="c", parent_close="terminate")
    await workflow.signals("x").receive()


@workflow.define(name="starts")
async def starts_other_child() -> None:
    workflow.start_child(child, 1, id="d")
    await workflow.signals("x").receive()


def test_a_childs_id_is_checked_its_close_policy_may_drift():
    w = Driven(starts_child, workflows=[child])
    execution = Execution(starts_child_to_terminate, "w", w.registry, CONVERTER)
    execution.replay(w.log)
    execution.finish_replay()

    assert ["parent_close"] == [drift.field for drift in execution.drifts]
    assert "request_cancel" == execution.children[2].parent_close

    execution.evict()
    with pytest.raises(NondeterminismError, match="'c' -> 'd'"):
        replay(starts_other_child, w.log)


def test_every_drifting_field_is_one():
    for kind, field in DRIFTING_FIELDS:
        assert field in RECORD_BY_KIND[kind].__struct_fields__


# -- past the end of history --


@workflow.define(name="order")
async def longer_tail(name: str) -> str:
    await workflow.activity(charge, name, 100)
    await workflow.sleep(60)
    await workflow.activity(refund, name, 100)
    await workflow.activity(refund, name, 100)
    return "done"


def test_commands_past_the_end_of_history_are_new():
    """Also changed code goes on from where the log ends."""
    log = history().log[:7]
    lacking, _ = replay(longer_tail, log)

    assert ["ACTIVITY_SCHEDULED"] == short(lacking.events)
    assert [8] == [event.seq for event in lacking.events]
    assert log[-1].timestamp == lacking.events[0].timestamp


def test_pages_may_end_anywhere():
    w = history()
    for page in range(1, 9):
        assert w.replayed(page=page).next_seq == 9


def test_an_empty_page_changes_nothing():
    w = Driven(original, "A", activities=ACTIVITIES)
    execution = w.made()
    execution.replay([])
    execution.replay(w.log)
    execution.replay(())

    assert execution.finish_replay() is None


def test_a_spoilt_execution_takes_nothing_more():
    w = history()
    registry = Registry([other_argument], ACTIVITIES, CONVERTER)
    execution = Execution(other_argument, "w", registry, CONVERTER)
    with pytest.raises(NondeterminismError):
        execution.replay(w.log)

    assert execution.is_spoilt


def test_held_code_is_held_in_replay_as_well():
    w = history()
    with pytest.raises(WorkflowHeldError, match="NameError"):
        replay(broken, w.log)


@workflow.define(name="order")
async def broken(name: str) -> str:
    return undefined_name + name  # noqa: F821  # what a slip looks like


def test_kinds_are_inputs_commands_or_neither():
    assert not INPUT_KINDS & COMMAND_KINDS
    assert set(RECORD_BY_KIND) == INPUT_KINDS | COMMAND_KINDS | UNSEEN_KINDS
    assert {EventKind.CUSTOM, EventKind.BASELINE, EventKind.BRANCHED, EventKind.RESET} == set(
        EventKind
    ) - set(RECORD_BY_KIND)
    assert json([1]) == b"[1]"


# -- the line that is told --


async def _in_a_task(function, *args):
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(function, *args)


DIRECTLY = {
    "activity": lambda: _in_a_task(workflow.activity, charge, "B", 1),
    "child": lambda: _in_a_task(workflow.child, child, 1),
    "sleep": lambda: _in_a_task(workflow.sleep, 5),
    "an unknown activity": lambda: _in_a_task(workflow.activity, pay_less, {}),
    "a task within a task": lambda: _in_a_task(_in_a_task, workflow.activity, charge, "B", 1),
}
chosen = []


@workflow.define(name="order")
async def starts_directly(name: str) -> str:
    await DIRECTLY[chosen[-1]]()
    return name


@pytest.mark.parametrize("name", DIRECTLY)
def test_a_function_of_ours_that_is_a_task_by_itself_is_blamed_on_the_line_of_its_nursery(name):
    """No frame of the user's is below it; further out stands whoever drives the workflow."""
    chosen.append(name)
    with pytest.raises((NondeterminismError, WorkflowHeldError)) as told:
        replay(starts_directly, history().log)
    where = getattr(told.value, "where", None) or str(told.value)
    line = int(where.partition("test_execution_replay_check.py:")[2].partition(":")[0])
    nursery = _in_a_task.__code__.co_firstlineno + 1

    assert nursery <= line <= nursery + 1


@workflow.define
async def careless() -> str:
    try:
        await _in_a_task(workflow.activity, print)
    except ExceptionGroup as group:
        return str(group.exceptions[0])
    return ""


def test_the_words_of_such_an_error_do_not_tell_who_drives_the_workflow():
    """They reach the log; the runner that wrote them is another file than the test that replays it."""
    assert Driven(careless).result.startswith(f"{__file__}:{_in_a_task.__code__.co_firstlineno + 1}:")


WRONG_INPUTS = {
    "an answer to nothing": (2, b'{"seq":3,"result":"a"}'),
    "other timers": (4, b'{"timers":[3]}'),
}


@pytest.mark.parametrize(("place", "payload"), WRONG_INPUTS.values(), ids=WRONG_INPUTS)
def test_an_input_that_cannot_be_is_told_with_the_line_that_waits(place, payload):
    log = history().log
    log[place] = WorkflowEvent(log[place].seq, log[place].timestamp, log[place].kind, payload)
    with pytest.raises(NondeterminismError) as told:
        replay(original, log)

    assert "test_execution_replay_check.py:" in told.value.where


# -- rules and records that are not ours --


@pytest.mark.parametrize("rule_set", [0, 2])
def test_a_log_by_other_rules_is_held(rule_set):
    """By other rules the same inputs lead to other commands; guessing would part the two histories."""
    log = history().log
    payload = log[0].payload.replace(b'{"rule_set":1', b'{"rule_set":%d' % rule_set)
    log[0] = WorkflowEvent(1, log[0].timestamp, log[0].kind, payload)
    with pytest.raises(WorkflowHeldError, match=f"rule set {rule_set}"):
        replay(original, log)


@workflow.define(name="order")
async def patched_order(name: str) -> str:
    try:
        workflow.patched("tax")
    except Exception:  # noqa: BLE001  # what it must not get by with
        return "caught"
    return name


@pytest.mark.parametrize("payload", [b'{"id":5}', b"{}", b"\xff"])
def test_a_patchs_mark_that_no_engine_writes_is_corruption(payload):
    log = Driven(patched_order, "A").log
    log[1] = WorkflowEvent(2, log[1].timestamp, log[1].kind, payload)
    with pytest.raises(CorruptStoreError, match="seq 2: PATCHED of a durable workflow"):
        replay(patched_order, log)


def test_a_seed_that_no_engine_writes_is_corruption():
    log = history().log
    payload = log[0].payload.replace(b'"seed":"', b'"seed":"x')
    log[0] = WorkflowEvent(1, log[0].timestamp, log[0].kind, payload)
    with pytest.raises(CorruptStoreError, match="seq 1: WORKFLOW_STARTED of a durable workflow"):
        replay(original, log)
