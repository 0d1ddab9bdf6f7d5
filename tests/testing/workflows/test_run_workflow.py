"""`run_workflow`: a workflow's own code in virtual time, its activities played by scripts."""

from __future__ import annotations

import pytest
import toy_shop as shop

from treadle import activity
from treadle.errors import (
    ActivityError,
    ConversionError,
    InvalidValueError,
    QueryFailedError,
    UpdateRejectedError,
    UsageError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowHeldError,
    WorkflowTerminatedError,
)
from treadle.runtime.durable.activity_context import heartbeat, info
from treadle.testing import (
    CancelAt,
    QueryAt,
    SignalAt,
    Status,
    StillRunningError,
    TerminateAt,
    UpdateAt,
    attempts,
    hangs,
    raises,
    returns,
    run_workflow,
)

DAY = 24 * 3600
YES = SignalAt(3600, "decision", "yes")


def kinds(rehearsal):
    return [event.kind.name for event in rehearsal.events]


def run_order(charge="r-1", messages=(YES,), **options):
    options = {"activities": {shop.charge: charge, shop.reserve: 1}, **options}
    return run_workflow(shop.order, "A-17", 4200, messages=messages, **options)


def test_result_comes_from_the_scripted_activities():
    rehearsal = run_order()

    assert "r-1" == rehearsal.result
    assert Status.COMPLETED is rehearsal.status
    assert 3600 == rehearsal.seconds
    assert rehearsal.error is None


def test_time_passes_without_waiting():
    rehearsal = run_order(messages=())

    assert "nobody decided" == rehearsal.result
    assert 30 * DAY == rehearsal.seconds
    assert "TIMER_FIRED" in kinds(rehearsal)


def test_the_same_call_gives_the_same_log():
    assert run_order().events == run_order().events


def test_seed_decides_what_the_workflow_draws():
    first, again, other = (run_workflow(shop.chancy, seed=seed).result for seed in (1, 1, 2))

    assert first == again
    assert first[0] != other[0]


def test_function_is_called_with_the_arguments():
    rehearsal = run_order(charge=lambda order_id, cents: f"{order_id} paid {cents}")

    assert "A-17 paid 4200" == rehearsal.result


def test_function_decides_call_by_call_how_long_it_takes():
    def charge(_order_id: str, cents: int):
        return returns("slow", after_seconds=20) if cents > 1000 else returns("fast")

    rehearsal = run_order(charge=charge)

    assert ("slow", 3620) == (rehearsal.result, rehearsal.seconds)


def test_failures_are_retried_by_the_real_policy():
    rehearsal = run_order(charge=attempts(raises(OSError("gone")), raises(OSError), "r-3"))

    assert "r-3" == rehearsal.result
    assert 3600 + 1 + 2 == rehearsal.seconds
    assert 2 == kinds(rehearsal).count("ACTIVITY_ATTEMPT_FAILED")
    assert [(1, 3600), (2, 3601), (3, 3603)] == [
        (call.attempt, call.seconds) for call in rehearsal.calls if call.name == "charge"
    ]


def test_last_attempt_fails_the_activity():
    rehearsal = run_order(charge=OSError("gone"))

    assert Status.FAILED is rehearsal.status
    assert 4 == sum(call.name == "charge" for call in rehearsal.calls)
    with pytest.raises(WorkflowFailedError, match=r"ActivityError.*gone"):
        rehearsal.result  # noqa: B018  # the property raises


def test_error_can_forbid_a_further_attempt():
    rehearsal = run_order(charge=activity.ApplicationError("declined", 51, non_retryable=True))

    assert Status.FAILED is rehearsal.status
    assert 1 == sum(call.name == "charge" for call in rehearsal.calls)


def test_error_can_delay_the_next_attempt():
    late = activity.ApplicationError("busy", retry_after_seconds=600)

    assert 3600 + 600 == run_order(charge=attempts(late, "r-2")).seconds


def test_attempt_that_hangs_ends_with_its_time_out():
    rehearsal = run_order(charge=attempts(hangs(), "r-2"))

    assert "r-2" == rehearsal.result
    assert 3600 + 30 + 1 == rehearsal.seconds


def test_attempt_that_takes_too_long_is_timed_out():
    rehearsal = run_order(charge=returns("never", after_seconds=31))

    assert "start_to_close" in str(rehearsal.error)


def test_silent_attempt_is_timed_out_by_its_heartbeat():
    rehearsal = run_workflow(
        shop.packing, "A", activities={shop.pack: attempts(hangs(), "p"), shop.reserve: 1}
    )

    assert ("p", 5 + 1) == (rehearsal.result, rehearsal.seconds)


def test_schedule_to_close_ends_all_attempts():
    rehearsal = run_workflow(shop.polling, "A", activities={shop.poll: raises(OSError("not yet"))})

    assert Status.FAILED is rehearsal.status
    assert [0, 3, 6, 9] == [call.seconds for call in rehearsal.calls]


def test_script_can_ask_and_tell_like_an_activity():
    def pack(order_id: str):
        """The first attempt tells how far it is; the second one goes on there."""
        return f"{order_id} {len(order_id)}"

    told = []

    def telling(order_id: str):
        told.append((info().attempt, info().heartbeat_details, info().idempotency_key))
        if info().attempt == 1:
            heartbeat("half")
            raise OSError("gone")
        return pack(order_id)

    run_workflow(shop.packing, "A", activities={shop.pack: telling, shop.reserve: 1})

    assert [(1, (), "rehearsal:1:2"), (2, ("half",), "rehearsal:1:2")] == told


def test_result_that_does_not_fit_its_annotation_fails_for_good():
    rehearsal = run_order(charge=returns(7))

    assert Status.FAILED is rehearsal.status
    assert 1 == sum(call.name == "charge" for call in rehearsal.calls)


# -- messages ------------------------------------------------------------------------------------------


def test_messages_come_at_their_times_whatever_their_order():
    rehearsal = run_order(messages=[SignalAt(20, "decision", "no"), SignalAt(10, "decision", "yes")])

    assert "r-1" == rehearsal.result
    assert 10 == rehearsal.seconds


def test_unread_and_undelivered_signals_are_told():
    late = SignalAt(9999, "decision", "again")
    rehearsal = run_order(messages=[SignalAt(1, "chatter", 1, 2), YES, late])

    assert (("chatter", (1, 2)),) == rehearsal.signals_unread
    assert (late,) == rehearsal.undelivered


def test_updates_and_queries_are_answered():
    rehearsal = run_workflow(
        shop.counter,
        messages=[
            SignalAt(1, "add", 5),
            UpdateAt(2, "double", 2),
            UpdateAt(2, "double", 9, id="too often"),
            QueryAt(3, "total"),
            QueryAt(9, "total"),
            QueryAt(9, "unknown"),
        ],
    )

    assert 20 == rehearsal.updates["double"]
    assert isinstance(rehearsal.updates["too often"], UpdateRejectedError)
    assert (10, 20) == rehearsal.answers[:2]
    assert isinstance(rehearsal.answers[2], QueryFailedError)
    assert Status.RUNNING is rehearsal.status


def test_workflow_that_waits_in_vain_says_for_what():
    rehearsal = run_workflow(shop.parcel, "A", activities={shop.reserve: 1})

    assert Status.RUNNING is rehearsal.status
    with pytest.raises(StillRunningError, match=r"signal 'go', at .*toy_shop\.py:\d+"):
        rehearsal.result  # noqa: B018  # the property raises


def test_cancel_lets_the_workflow_clean_up():
    rehearsal = run_workflow(
        shop.packing,
        "A",
        activities={shop.pack: returns("p", after_seconds=4), shop.reserve: 1},
        messages=[CancelAt(3, "no stock")],
    )

    assert Status.CANCELLED is rehearsal.status
    assert 3 == rehearsal.seconds
    assert ["pack", "reserve"] == [call.name for call in rehearsal.calls]
    with pytest.raises(WorkflowCancelledError, match="no stock"):
        rehearsal.result  # noqa: B018  # the property raises


def test_cancelled_attempt_takes_its_time_to_unwind():
    slow = attempts(returns("p", after_seconds=4.5), cleanup_seconds=1)
    rehearsal = run_workflow(
        shop.packing, "A", activities={shop.pack: slow, shop.reserve: 1}, messages=[CancelAt(2)]
    )

    assert 3 == rehearsal.seconds


def test_attempt_may_ignore_its_cancellation():
    stubborn = attempts(returns("p", after_seconds=4), ignores_cancel=True)
    rehearsal = run_workflow(
        shop.packing, "A", activities={shop.pack: stubborn, shop.reserve: 1}, messages=[CancelAt(3)]
    )

    assert 4 == rehearsal.seconds
    assert "ACTIVITY_COMPLETED" in kinds(rehearsal)


def test_abandoned_activity_is_not_waited_for():
    rehearsal = run_workflow(shop.telling, "A", activities={shop.notify: hangs()})

    assert ("not told", 60) == (rehearsal.result, rehearsal.seconds)


def test_terminate_ends_it_without_asking():
    rehearsal = run_order(messages=[TerminateAt(5, "by hand")])

    assert Status.TERMINATED is rehearsal.status
    with pytest.raises(WorkflowTerminatedError, match="by hand"):
        rehearsal.result  # noqa: B018  # the property raises


def test_runs_follow_one_another_and_carry_signals_over():
    adds = [SignalAt(1, "add", number) for number in range(1, 8)]
    rehearsal = run_workflow(shop.counter, messages=adds)

    assert 21 == rehearsal.result
    assert 2 == kinds(rehearsal).count("CONTINUED")
    assert [7] == [value for _, (value,) in rehearsal.signals_unread] + [
        message.args[0] for message in rehearsal.undelivered
    ]


# -- other workflows -----------------------------------------------------------------------------------


def test_children_run_their_own_code():
    rehearsal = run_workflow(
        shop.shipping, "A", activities={shop.reserve: 3}, id="ship", messages=[], until_seconds=60
    )

    assert Status.RUNNING is rehearsal.status
    assert ["ship", "ship/2", *[name for name in rehearsal.logs if name not in {"ship", "ship/2"}]] == list(
        rehearsal.logs
    )
    assert "COMPLETED" in rehearsal.logs["ship/2"][-1].kind.name
    assert [("warehouse", "coming", ("A",))] == [(s.workflow_id, s.signal, s.args) for s in rehearsal.sent]


def test_children_can_be_scripted():
    rehearsal = run_workflow(
        shop.shipping,
        "A",
        children={shop.parcel: lambda parcel_id: returns(f"{parcel_id}!", after_seconds=9)},
    )

    assert ["A-1!", "A-2!"] == rehearsal.result
    assert 9 + 9 == rehearsal.seconds


def test_scripted_child_can_fail():
    rehearsal = run_workflow(shop.shipping, "A", children={shop.parcel: OSError("lost")})

    assert "OSError: lost" in str(rehearsal.error)


def test_scripted_child_is_cancelled_with_its_parent():
    rehearsal = run_workflow(shop.shipping, "A", children={shop.parcel: hangs()}, messages=[CancelAt(5)])

    assert Status.CANCELLED is rehearsal.status
    assert 5 == rehearsal.seconds


def test_signal_to_an_absent_workflow_comes_back():
    rehearsal = run_workflow(
        shop.shipping, "A", children={shop.parcel: returns("x", after_seconds=1)}, absent=["warehouse"]
    )

    assert "SIGNAL_FAILED" in kinds(rehearsal)
    assert () == rehearsal.sent


# -- what is wrong -------------------------------------------------------------------------------------


def test_failure_is_told_and_raised_by_result():
    rehearsal = run_workflow(shop.broken)

    assert isinstance(rehearsal.error, WorkflowFailedError)
    assert "no such thing" in str(rehearsal.error)


def test_slip_that_would_hold_it_is_raised():
    with pytest.raises(WorkflowHeldError, match="undefined_name"):
        run_workflow(shop.slip)


def test_activity_without_a_script_is_named():
    with pytest.raises(UsageError, match=r"activity 'reserve'.*activities=\{reserve"):
        run_workflow(shop.order, "A", 1, activities={shop.charge: "r"})


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ConversionError, match="cents"):
        run_workflow(shop.order, "A", "much")
    with pytest.raises(InvalidValueError, match="signature"):
        run_workflow(shop.order)


def test_workflow_that_lives_for_ever_is_watched_for_a_while():
    rehearsal = run_workflow(shop.heartbeat, until_seconds=3600)

    assert (Status.RUNNING, 3600) == (rehearsal.status, rehearsal.seconds)
    assert 6 == kinds(rehearsal).count("CONTINUED")


def test_workflow_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr("treadle.testing.workflows.world.ACTIVATIONS_MAX", 200)

    with pytest.raises(UsageError, match=r"within 200 turns.*until_seconds"):
        run_workflow(shop.heartbeat)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"activities": [1]}, "activities= is a dict"),
        ({"activities": {3: 1}}, "activities= has definitions"),
        ({"activities": {shop.charge: 1, "charge": 2}}, "says twice"),
        ({"activities": {shop.charge: shop.reserve}}, "plain function"),
        ({"messages": ["yes"]}, "messages= holds"),
        ({"seed": -1}, "seed is an int"),
        ({"until_seconds": -1}, "until_seconds"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, words):
    with pytest.raises(UsageError, match=words):
        run_workflow(shop.order, "A", 1, **options)


def test_only_workflows_are_rehearsed():
    with pytest.raises(UsageError, match=r"workflow\.define"):
        run_workflow(shop.charge, "A", 1)


def test_steps_refuse_what_is_no_time_and_no_error():
    with pytest.raises(UsageError, match="after_seconds"):
        returns(1, after_seconds=-1)
    with pytest.raises(UsageError, match="exception"):
        raises("gone")
    with pytest.raises(UsageError, match="at least one"):
        attempts()
    with pytest.raises(UsageError, match="seconds"):
        SignalAt("soon", "x")


def test_activity_error_reaches_the_code_with_its_facts():
    rehearsal = run_order(charge=attempts(activity.ApplicationError("no", 51, non_retryable=True)))

    assert "ActivityError" == rehearsal.error.failure_type
    assert isinstance(rehearsal.error, WorkflowFailedError)
    assert not isinstance(rehearsal.error, ActivityError)
