"""Queries look and change nothing; updates are validated, accepted, carried out once, answered."""

import msgspec
import pytest
from driven import Driven, short

from treadle import activity, workflow
from treadle.engine import AnswerUpdate, Completed, ExecutionLimits, Failed, Rejected, Status
from treadle.errors import InternalError, NondeterminismError, QueryFailedError
from treadle.events import EventKind


@activity.define
async def work(value: int = 0) -> int: ...


@workflow.define
async def account(start: int = 0) -> int:
    total = [start]
    woken = workflow.Event()

    @workflow.query("total")
    def tell_total(factor: int = 1) -> int:
        return total[0] * factor

    @workflow.query("time")
    def tell_time() -> list:
        return [workflow.time_ns(), workflow.info().workflow_id]

    workflow.set_query("bad", lambda: 1 / 0)
    workflow.set_query("commands", lambda: workflow.start_child(account))
    workflow.set_query("draws", lambda: workflow.random().random())
    workflow.set_query("waits", lambda: workflow.sleep(1))
    workflow.set_query("schedules", lambda: workflow.activity(work, 1))
    workflow.set_query("sets", woken.set)
    workflow.set_query("reads", lambda: workflow.signals("x").receive_nowait())
    workflow.set_query("sets_query", lambda: workflow.set_query("new", len))
    workflow.set_query("unencodable", object)

    def not_negative(amount: int) -> None:
        if total[0] + amount < 0:
            raise ValueError("not enough")

    @workflow.update("add", validator=not_negative)
    def add(amount: int) -> int:
        total[0] += amount
        return total[0]

    @workflow.update("work")
    async def do_work(value: int) -> int:
        total[0] += await workflow.activity(work, value)
        return total[0]

    @workflow.update("fail")
    async def fail() -> None:
        raise KeyError("x")

    workflow.set_update("opaque", object)
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(woken.wait)
        await workflow.signals("end").receive()
        woken.set()
    return total[0]


# -- queries --


def test_a_query_is_answered_without_an_event():
    w = Driven(account, 5)

    assert b"5" == w.execution.query("total")
    assert b"15" == w.execution.query("total", b"[3]")
    assert ["WORKFLOW_STARTED"] == w.kinds()
    assert [1_700_000_000_000_000_000, "w"] == msgspec.json.decode(w.execution.query("time"))


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("other", b"[]", "there is no query 'other'; known are: bad, commands, draws"),
        ("total", b'["x"]', "does not fit"),
        ("bad", b"[]", "ZeroDivisionError"),
        ("commands", b"[]", r"calls workflow.start_child\(\) in a query or a validator"),
        ("draws", b"[]", r"calls workflow.random\(\) in a query"),
        ("reads", b"[]", r"calls workflow.signals\(\) in a query"),
        ("sets_query", b"[]", r"calls workflow.set_query\(\) in a query"),
        ("waits", b"[]", "has returned something to wait for"),
        ("schedules", b"[]", "has returned something to wait for"),
        ("unencodable", b"[]", "no JSON form|without"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why_and_changes_nothing(name, args, words):
    w = Driven(account, 5, activities=[work])
    with pytest.raises(QueryFailedError, match=words):
        w.execution.query(name, args)

    assert not w.execution.is_spoilt
    w.check_replay()


def test_a_query_that_wakes_a_task_spoils_the_workflow_in_memory():
    """Nothing is lost: the log is as it was, and replay puts the workflow back."""
    w = Driven(account, 5)
    with pytest.raises(QueryFailedError, match="has changed the workflow"):
        w.execution.query("sets")

    assert w.execution.is_spoilt
    with pytest.raises(InternalError, match="was thrown away"):
        w.execution.query("total")

    w.reload()

    assert b"5" == w.execution.query("total")


def test_a_query_works_after_the_end_and_after_replay():
    w = Driven(account, 5)
    w.signal("end")
    w.reload()

    assert Status.COMPLETED is w.status
    assert b"5" == w.execution.query("total")


def test_a_query_before_anything_has_happened_is_our_mistake():
    w = Driven(account, 5, start=False)
    with pytest.raises(InternalError, match="was not started"):
        w.execution.query("total")


# -- updates --


def test_an_update_is_accepted_carried_out_and_answered():
    w = Driven(account, 5)
    activation = w.update("u1", "add", 3)

    assert ["UPDATE_ACCEPTED", "UPDATE_COMPLETED"] == short(activation.events)
    assert (AnswerUpdate("u1", Completed(b"8"), 3),) == activation.effects
    assert b"8" == w.execution.query("total")


def test_an_async_update_is_answered_when_it_ends():
    w = Driven(account, 5, activities=[work])

    assert ["UPDATE_ACCEPTED", "ACTIVITY_SCHEDULED"] == short(w.update("u1", "work", 3).events)

    w.reload()
    activation = w.done(7)

    assert ["ACTIVITY_COMPLETED", "UPDATE_COMPLETED"] == short(activation.events)
    assert (AnswerUpdate("u1", Completed(b"12"), 5),) == activation.effects
    w.check_cuts()


@pytest.mark.parametrize(
    ("name", "args", "kind", "words"),
    [
        ("add", (-6,), "ValueError", "not enough"),
        ("add", ("x",), "ConversionError", "does not fit"),
        ("add", (), "InvalidValueError", "do not fit"),
        ("other", (), "UnknownUpdate", "there is no update 'other'; known are: add, fail, opaque, work"),
    ],
)
def test_a_rejected_update_leaves_no_event(name, args, kind, words):
    w = Driven(account, 5)
    activation = w.update("u1", name, *args)

    (effect,) = activation.effects
    assert ((), True) == (activation.events, activation.taken)
    assert isinstance(effect.outcome, Rejected)
    assert kind == effect.outcome.failure.type
    assert words in effect.outcome.failure.message


@workflow.define
async def counts_validations() -> int:
    validated = []
    workflow.set_query("validated", lambda: len(validated))
    workflow.set_update("x", lambda: None, validator=lambda: validated.append(1))
    await workflow.signals("end").receive()
    return 0


def test_validators_do_not_run_on_replay():
    w = Driven(counts_validations)
    w.update("u1", "x")
    assert b"1" == w.execution.query("validated")
    w.reload()

    assert b"0" == w.execution.query("validated")


def test_the_same_id_is_answered_not_repeated():
    w = Driven(account, 5)
    w.update("u1", "add", 3)
    again = w.update("u1", "add", 3)

    assert ((), (AnswerUpdate("u1", None, 3),)) == (again.events, again.effects)

    w.reload()

    assert (AnswerUpdate("u1", None, 3),) == w.update("u1", "add", 3).effects
    assert b"8" == w.execution.query("total")


def test_the_same_id_while_it_is_carried_out_waits_for_the_one_end():
    w = Driven(account, 5, activities=[work])
    w.update("u1", "work", 3)
    again = w.update("u1", "work", 3)

    assert ((), ()) == (again.events, again.effects)
    assert (AnswerUpdate("u1", Completed(b"12"), 5),) == w.done(7).effects[:1]


def test_only_so_many_finished_ids_are_remembered():
    w = Driven(account, 5, limits=ExecutionLimits(updates_remembered_max=2))
    for number in range(4):
        w.update(f"u{number}", "add", 1)

    assert ["u2", "u3"] == list(w.execution.run.updates_done)
    assert ["UPDATE_ACCEPTED", "UPDATE_COMPLETED"] == short(w.update("u0", "add", 1).events)


@pytest.mark.parametrize(("name", "kind"), [("fail", "KeyError"), ("opaque", "ConversionError")])
def test_a_handlers_failure_fails_its_update_only(name, kind):
    w = Driven(account, 5)
    (effect,) = w.update("u1", name).effects

    assert isinstance(effect.outcome, Failed)
    assert kind == effect.outcome.failure.type
    assert Status.RUNNING is w.status


def test_mains_return_waits_for_accepted_updates():
    w = Driven(account, 5, activities=[work])
    w.update("u1", "work", 3)
    w.signal("end")

    assert Status.RUNNING is w.status
    refused = w.update("u2", "add", 1).effects[0].outcome
    assert "WorkflowClosing" == refused.failure.type

    w.done(7)

    assert ["ACTIVITY_COMPLETED", "UPDATE_COMPLETED", "WORKFLOW_COMPLETED"] == short(w.last.events)
    assert 5 == w.result  # main had returned before
    w.check_cuts()


def test_cancel_reaches_the_handlers_and_waits_for_them():
    w = Driven(account, 5, activities=[work])
    w.update("u1", "work", 3)
    w.cancel("enough")

    assert ["CANCEL_REQUESTED", "ACTIVITY_CANCEL_REQUESTED"] == short(w.last.events)

    w.ended_by_cancel()

    assert ["ACTIVITY_CANCELLED", "UPDATE_COMPLETED", "WORKFLOW_CANCELLED"] == short(w.last.events)
    assert "Cancelled" == w.effects[-2].outcome.failure.type


@workflow.define
async def fails_on_signal() -> None:
    async def work_on() -> None:
        await workflow.activity(work, 1)

    workflow.set_update("work", work_on)
    await workflow.signals("end").receive()
    raise ValueError("no")


def test_a_failing_main_cancels_the_handlers_and_waits_for_them():
    w = Driven(fails_on_signal, activities=[work])
    w.update("u1", "work")
    w.signal("end")

    assert ["SIGNAL_RECEIVED", "ACTIVITY_CANCEL_REQUESTED"] == short(w.last.events)
    assert Status.RUNNING is w.status

    w.ended_by_cancel()

    assert "ValueError" == w.failure.type


@workflow.define
async def misuses() -> list[str]:
    async def later() -> int:
        return 1

    found = []
    for call in (
        lambda: workflow.set_query("q", later),
        lambda: workflow.set_query("", len),
        lambda: workflow.set_query("q", 5),
        lambda: workflow.set_query("total", len) or workflow.set_query("total", len),
        lambda: workflow.set_update("u", len, later),
        lambda: workflow.set_update("u", len) or workflow.set_update("u", len),
        lambda: workflow.signals(""),
    ):
        try:
            call()
        except Exception as error:  # noqa: BLE001  # any of them
            found.append(f"{type(error).__name__}: {error}")
    return found


def test_what_cannot_be_a_handler_is_refused_with_its_line():
    found = Driven(misuses).result

    assert 7 == len(found)
    for text, words in zip(
        found,
        (
            "a query is a plain function, got the async",
            "the name of a query is a str, got ''",
            "query 'q' is a function, got an instance of int",
            "query 'total' has a function already",
            "a validator is a plain function, got the async",
            "update 'u' has a function already",
            "a signal's name is a str, got ''",
        ),
        strict=True,
    ):
        assert text.startswith("UsageError: ")
        assert "test_execution_queries_updates.py:" in text
        assert words in text


@workflow.define
async def no_handlers_later(with_update: str) -> None:
    if with_update == "yes":
        workflow.set_update("x", lambda: None)
    await workflow.signals("end").receive()


def test_an_update_the_code_does_not_carry_out_any_more_is_divergence():
    w = Driven(no_handlers_later, "yes")
    w.update("u1", "x")
    log = list(w.log)
    log[0] = type(log[0])(1, log[0].timestamp, log[0].kind, log[0].payload.replace(b"yes", b"no"))
    with pytest.raises(NondeterminismError, match="carries out no such update any more"):
        w.replayed(log)
    assert EventKind.UPDATE_ACCEPTED is log[1].kind
