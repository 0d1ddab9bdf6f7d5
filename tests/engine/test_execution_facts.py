"""What code may know: time, chance, itself, which version it is; the same on every replay."""

import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from driven import SECOND, START_NS, Driven, json, short

from treadle import activity, workflow
from treadle.engine import ExecutionLimits, ParentLink, Start
from treadle.errors import NondeterminismError, RecordedError, UsageError, WorkflowHeldError
from treadle.events import EventKind


@activity.define
async def work(value: object = 0) -> int: ...


# -- time and chance --


@workflow.define
async def times() -> list:
    first = workflow.now()
    await workflow.sleep(1.5)
    assert UTC is workflow.now().tzinfo
    return [first, workflow.now(), workflow.time_ns()]


def test_now_is_the_time_of_the_input_in_utc():
    w = Driven(times)
    w.fire(2)

    start = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    first, second, third = w.result
    assert (start, start + timedelta(seconds=2)) == (
        datetime.fromisoformat(first),
        datetime.fromisoformat(second),
    )
    assert START_NS + 2 * SECOND == third


@workflow.define
async def draws(count: int) -> list:
    found = []
    for _ in range(count):
        found.append([workflow.random().random(), str(workflow.uuid4()), workflow.random().choice("abc")])
        await workflow.activity(work, found[-1])
    return found


def test_chance_is_derived_from_the_seed_and_replayed():
    """Each draw is an argument of a command, so paranoid replay compares them all."""
    w = Driven(draws, 3, activities=[work])
    for _ in range(3):
        w.reload()
        w.done(1)

    uuids = [UUID(row[1]) for row in w.result]
    assert 3 == len(set(uuids))
    assert {4} == {one.version for one in uuids}
    other = Driven(draws, 3, activities=[work], start=False)
    other.give(Start(json([3]), b"another seed, 16"))

    assert w.log[1].payload != other.log[1].payload


@workflow.define
async def same_generator() -> bool:
    return workflow.random() is workflow.random()


def test_there_is_one_generator():
    assert Driven(same_generator).result is True


# -- side effects --

_calls = []


@workflow.define
async def has_side_effects() -> list:
    first = workflow.side_effect(lambda: _calls.append(1) or {"b": 1, "a": (2,)})
    await workflow.activity(work)
    second = workflow.side_effect(lambda: datetime(2024, 1, 1, tzinfo=UTC), datetime)
    return [first, second.year, len(_calls)]


def test_a_side_effect_is_called_once_and_read_from_the_log_ever_after():
    _calls.clear()
    w = Driven(has_side_effects, activities=[work])
    w.reload()

    assert b'{"value":{"a":[2],"b":1}}' == w.log[1].payload
    assert [1] == _calls

    w.done(1)

    assert [{"a": [2], "b": 1}, 2024, 1] == w.result
    assert [1] == _calls


@workflow.define
async def failing_side_effect() -> str:
    try:
        workflow.side_effect(lambda: 1 / 0)
    except RecordedError as error:
        return f"{error.failure_type}: {error.failure_message}"
    return "?"


def test_what_a_side_effect_raises_is_recorded_as_well():
    w = Driven(failing_side_effect)

    assert "ZeroDivisionError: division by zero" == w.result
    assert ["SIDE_EFFECT", "WORKFLOW_COMPLETED"] == w.kinds()[1:]


@workflow.define
async def slip_in_side_effect() -> None:
    workflow.side_effect(lambda: undefined)  # noqa: F821  # what a slip looks like


@workflow.define
async def async_side_effect() -> None:
    workflow.side_effect(times.function)


@workflow.define
async def strange_side_effect(value: str) -> str:
    try:
        workflow.side_effect({"object": object, "coroutine": lambda: workflow.sleep(1)}[value])
    except RecordedError as error:
        return error.failure_type
    return "?"


@pytest.mark.parametrize("value", ["object", "coroutine"])
def test_a_value_without_a_json_form_is_recorded_as_a_failure(value):
    assert "ConversionError" == Driven(strange_side_effect, value).result


def test_a_slip_in_a_side_effect_holds_and_an_async_one_is_refused():
    with pytest.raises(WorkflowHeldError, match="a side effect raised NameError"):
        Driven(slip_in_side_effect)

    assert "a side effect is a plain function" in Driven(async_side_effect).failure.message


@workflow.define(name="has_side_effects")
async def one_more_side_effect() -> list:
    workflow.side_effect(lambda: 1)
    workflow.side_effect(lambda: _calls.append(2))
    await workflow.activity(work)


def test_a_side_effect_the_log_does_not_know_is_divergence_and_not_called():
    _calls.clear()
    w = Driven(has_side_effects, activities=[work])
    w.done(1)
    with pytest.raises(NondeterminismError, match="SIDE_EFFECT"):
        w.replayed(definition=one_more_side_effect)

    assert [1] == _calls


# -- versions: one workflow at four stages of its life --


@workflow.define(name="priced")
async def stage_0() -> str:
    await workflow.activity(work, "old")
    return "old"


@workflow.define(name="priced")
async def stage_1() -> str:
    if workflow.patched("tax"):
        await workflow.activity(work, "new")
        return f"new {workflow.patched('tax')}"
    await workflow.activity(work, "old")
    return "old"


@workflow.define(name="priced")
async def stage_2() -> str:
    workflow.deprecate_patch("tax")
    await workflow.activity(work, "new")
    return "new True"


@workflow.define(name="priced")
async def stage_3() -> str:
    await workflow.activity(work, "new")
    return "new True"


def completed(stage):
    w = Driven(stage, activities=[work])
    w.done(1)
    return w


@pytest.mark.parametrize(
    ("written_by", "read_by", "fits"),
    [
        (stage_0, stage_1, True), (stage_0, stage_2, False), (stage_0, stage_3, False),
        (stage_1, stage_0, False), (stage_1, stage_1, True), (stage_1, stage_2, True),
        (stage_1, stage_3, False),
        (stage_2, stage_1, True), (stage_2, stage_2, True), (stage_2, stage_3, True),
        (stage_3, stage_3, True), (stage_3, stage_2, True),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)  # fmt: skip
def test_a_patch_goes_through_its_life(written_by, read_by, fits):
    """Old runs go the old way, new ones are marked; a deprecated mark may be missing on either side."""
    w = completed(written_by)
    if fits:
        assert () == w.replayed(definition=read_by).drifts
    else:
        with pytest.raises(NondeterminismError):
            w.replayed(definition=read_by)


def test_marks_are_written_once():
    w = completed(stage_1)

    assert "new True" == w.result
    assert ["PATCHED"] == [kind for kind in w.kinds() if kind == "PATCHED"]
    assert b'{"id":"tax"}' == w.log[1].payload
    assert b'{"id":"tax","deprecated":true}' == completed(stage_2).log[1].payload


def test_a_run_keeps_to_its_first_answer():
    w = Driven(patched_twice_before, activities=[work])
    w.done(1)
    execution = w.replayed(definition=patched_twice)

    assert {"tax": False} == execution.run.patches


@workflow.define(name="twice")
async def patched_twice_before() -> None:
    await workflow.activity(work, 1)
    await workflow.activity(work, 2)


@workflow.define(name="twice")
async def patched_twice() -> None:
    for number in (1, 2):
        workflow.patched("tax")
        await workflow.activity(work, number)


@workflow.define
async def bad_patch() -> None:
    workflow.patched("")


def test_a_patch_has_a_name():
    assert "a patch is named by a str, got ''" in Driven(bad_patch).failure.message


# -- logger and info --


@workflow.define
async def logs() -> None:
    workflow.logger.info("first %s", 1)
    await workflow.activity(work)
    workflow.logger.warning("second", extra={"more": 2})
    workflow.logger.log(logging.DEBUG, "third")


def test_the_logger_says_each_thing_once(caplog):
    caplog.set_level(logging.DEBUG, "treadle.workflow")
    w = Driven(logs, activities=[work])
    w.reload()
    w.done(1)
    w.reload()

    assert ["[w] first 1", "[w] second", "[w] third"] == [record.getMessage() for record in caplog.records]
    assert {"w"} == {record.workflow_id for record in caplog.records}
    assert 2 == caplog.records[1].more


@workflow.define
async def tells() -> list:
    one = workflow.info()
    await workflow.activity(work)
    two = workflow.info()
    assert one.started_at == two.started_at
    return [
        two.workflow_id, two.name, two.run, two.parent.workflow_id, one.events, two.events,
        two.size_bytes > one.size_bytes, two.continue_as_new_suggested, two.cancel_requested,
    ]  # fmt: skip


def test_info_tells_the_same_on_every_replay():
    w = Driven(
        tells, activities=[work], parent=ParentLink("p", 2, 1), limits=ExecutionLimits(run_events_max=6)
    )
    w.reload()
    w.done(1)

    assert ["w", "tells", 1, "p", 1, 3, True, True, False] == w.result


@workflow.define
async def told_of_cancel() -> bool:
    try:
        await workflow.sleep_forever()
    except workflow.Cancelled:
        return workflow.info().cancel_requested
    return False


def test_info_tells_of_a_cancel_request():
    w = Driven(told_of_cancel)
    w.cancel()

    assert w.result is True


OUTSIDE = [
    workflow.now, workflow.time_ns, workflow.random, workflow.uuid4, workflow.info,
    lambda: workflow.side_effect(int), lambda: workflow.patched("x"), lambda: workflow.deprecate_patch("x"),
    lambda: workflow.signals("x"),
    lambda: workflow.set_query("x", len), lambda: workflow.set_update("x", len),
    lambda: workflow.start_child(tells), lambda: workflow.signal_external("x", "y"),
    lambda: workflow.cancel_external("x"), lambda: workflow.logger.info("x"),
]  # fmt: skip


@pytest.mark.parametrize("call", OUTSIDE)
def test_outside_of_workflow_code_everything_is_refused_with_its_line(call):
    with pytest.raises(UsageError, match=r"inside workflow code only, but .*\.py:\d+ called it from outside"):
        call()


@pytest.mark.parametrize("call", [lambda: workflow.child(tells), workflow.continue_as_new])
async def test_and_so_is_what_would_wait(call):
    with pytest.raises(UsageError, match="inside workflow code only"):
        await call()


def test_kinds_of_facts_are_commands():
    w = completed(stage_1)

    assert ["WORKFLOW_STARTED", "PATCHED", "ACTIVITY_SCHEDULED"] == short(w.log[:3])
    assert EventKind.PATCHED == 27
