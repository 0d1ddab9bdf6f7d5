"""Failures: what crosses the log of an exception, that it is always the same, and what it comes back as."""

from __future__ import annotations

import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.activity import ApplicationError, Retry
from treadle.engine.failures import (
    Failure,
    activity_error,
    child_workflow_error,
    describe,
    details_of,
    failure_of,
    process_lost_failure,
    query_failed_error,
    timeout_failure,
    traceback_of,
    update_failed_error,
    update_rejected_error,
    workflow_failed_error,
)
from treadle.engine.failures.recording import (
    DEPTH_MAX,
    DETAILS_SIZE_BYTES_MAX,
    MEMBERS_MAX,
    MESSAGE_LENGTH_MAX,
    NODES_MAX,
    TRACEBACK_LENGTH_MAX,
)
from treadle.errors import ActivityError, InvalidValueError, RecordedError
from treadle.payloads import JsonConverter

CONVERTER = JsonConverter()


class Declined(Exception):  # noqa: N818 - a user's name
    """A user's own error."""


def of(exception, **options):
    return failure_of(exception, CONVERTER, **options)


def raised(function):
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


def journey(failure):
    """Through the log and back."""
    return msgspec.json.decode(msgspec.json.encode(failure), type=Failure)


def nodes(failure):
    inside = [failure.cause, *failure.members]
    return 1 + sum(nodes(part) for part in inside if part is not None)


def depth(failure):
    return 1 + max((depth(part) for part in [failure.cause, *failure.members] if part is not None), default=0)


# -- what is kept --


def test_exception_is_kept_as_type_and_text():
    assert Failure("Declined", "no money") == of(Declined("no money"))
    assert Failure("KeyError", "'sku'") == of(KeyError("sku"))


def test_application_error_says_more():
    error = ApplicationError(
        "no money", 4200, {"currency": "EUR"}, type="CardDeclined", non_retryable=True, retry_after_seconds=30
    )

    failure = journey(of(error))

    assert ("CardDeclined", "no money", True, 30) == (
        failure.type, failure.message, failure.non_retryable, failure.retry_after_seconds,
    )  # fmt: skip
    assert (4200, {"currency": "EUR"}) == details_of(failure)
    assert b'[4200,{"currency":"EUR"}]' == bytes(failure.details)


def test_application_error_without_details_says_only_its_text():
    assert Failure("ApplicationError", "stop") == of(ApplicationError("stop"))
    assert "stop" == str(ApplicationError("stop", 1, 2))


def test_application_error_survives_a_journey():
    error = ApplicationError("stop", 1, type="X", retry_after_seconds=1.5)
    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert of(error) == of(arrived)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 10**10])
def test_retry_after_that_is_none_is_refused(seconds):
    with pytest.raises(InvalidValueError, match="retry_after_seconds is a number from 0"):
        ApplicationError("x", retry_after_seconds=seconds)


def look_up():
    try:
        return {}["sku"]
    except KeyError as error:
        raise ValueError("no such item") from error


def test_causes_are_followed():
    def fail():
        try:
            look_up()
        except ValueError as error:
            raise Declined("no") from error

    failure = of(raised(fail))

    assert ["Declined", "ValueError", "KeyError"] == [
        failure.type,
        failure.cause.type,
        failure.cause.cause.type,
    ]


def test_what_the_driver_is_handling_is_no_cause():
    """The same failure is the same bytes, whether the code is driven inside an `except` block or not."""

    def fail():
        try:
            look_up()
        except ValueError:
            raise Declined("no")  # noqa: B904 - the context is the subject

    assert of(raised(fail)).cause is None


def test_members_of_a_group_are_kept():
    group = ExceptionGroup("two", [Declined("a"), ExceptionGroup("inner", [KeyError("b")])])

    failure = journey(of(group))

    assert "ExceptionGroup: two (2 sub-exceptions) [Declined: a; ExceptionGroup: inner (1 sub-exception)" in (
        describe(failure)
    )
    assert ["Declined", "ExceptionGroup"] == [member.type for member in failure.members]


# -- within limits, and always --


def chain(length):
    error = Declined("0")
    for number in range(1, length):
        outer = Declined(str(number))
        outer.__cause__ = error
        error = outer
    return error


def test_long_chains_end():
    assert DEPTH_MAX == depth(of(chain(500)))


def test_wide_groups_end():
    failure = of(ExceptionGroup("many", [Declined(str(number)) for number in range(1_000)]))

    assert MEMBERS_MAX == len(failure.members)


def test_trees_of_groups_end():
    error = Declined("leaf")
    for _ in range(6):
        error = ExceptionGroup("g", [error] * 2 + [chain(20) for _ in range(10)])

    assert NODES_MAX == nodes(of(error))


def test_ring_of_causes_ends():
    first, second = Declined("a"), Declined("b")
    first.__cause__, second.__cause__ = second, first

    assert 2 == depth(of(first))


def test_long_text_is_cut():
    assert MESSAGE_LENGTH_MAX == len(of(Declined("x" * 100_000)).message)


def test_largest_failure_fits_into_an_event():
    details = ["\x01" * (DETAILS_SIZE_BYTES_MAX // 6 - 2)]
    worst = [ApplicationError("\x01" * 9_999, *details, type="\x01" * 999) for _ in range(100)]
    failure = of(ExceptionGroup("g", worst))

    assert len(msgspec.json.encode(failure)) < 2 * 1024 * 1024


def test_address_of_an_object_does_not_show():
    """Else the same failure would be other bytes on each run."""
    assert (
        "<object object at 0x...> is wrong, 0x1 is not"
        == of(Declined(f"{object()} is wrong, 0x1 is not")).message
    )


class Mute(Exception):  # noqa: N818 - a user's name
    """Its own text raises."""

    def __str__(self):
        raise ValueError


def test_exception_without_a_text_is_still_recorded():
    assert Failure("Mute", "(its text cannot be written: ValueError)") == of(Mute())
    assert "Mute" in traceback_of(Mute())


def test_lone_surrogate_is_written_as_its_escape():
    assert "\\ud800" == journey(of(Declined("\ud800"))).message


@pytest.mark.parametrize(
    ("detail", "says"),
    [(object(), "type object is unsupported"), ("x" * DETAILS_SIZE_BYTES_MAX, "65,540 bytes of JSON")],
)
def test_details_that_cannot_be_kept_are_left_out_and_said(detail, says):
    failure = of(ApplicationError("stop", detail))

    assert () == details_of(failure)
    assert failure.message.startswith("stop (its details are left out: ")
    assert says in failure.message


@given(st.text(), st.text())
def test_any_text_is_kept(message, kind):
    failure = of(ApplicationError(message, type=kind))

    assert failure == journey(failure)


def test_traceback_is_for_people_and_bounded():
    def fail():
        raise Declined("x" * 100_000)

    text = traceback_of(raised(fail))

    assert "characters left out" in text
    assert len(text) < TRACEBACK_LENGTH_MAX + 100
    assert "test_failures.py" in text
    assert "traceback" not in Failure.__struct_fields__


# -- what is not tried again --


class Broke(Declined):
    """Below another."""


@pytest.mark.parametrize(
    ("exception", "names", "refused"),
    [
        (ValueError(), (ValueError,), True),
        (UnicodeError(), (ValueError,), True),
        (Exception(), (ValueError,), False),
        (Broke(), (Declined,), True),
        (Broke(), ("Declined",), True),
        (Broke(), (f"{__name__}.Declined",), True),
        (Broke(), ("other.Declined",), False),
        (ApplicationError("x", type="Gone"), ("Gone",), True),
        (ApplicationError("x"), ("Gone",), False),
        (ApplicationError("x", non_retryable=True), (), True),
    ],
)
def test_types_that_are_not_tried_again(exception, names, refused):
    failure = of(exception, non_retryable=Retry(non_retryable=names).non_retryable_names)

    assert refused is failure.non_retryable


def test_cause_does_not_forbid_what_its_effect_allows():
    outer = Declined("outer")
    outer.__cause__ = ApplicationError("inner", non_retryable=True)

    assert not of(outer).non_retryable


@pytest.mark.parametrize(
    ("kind", "says", "final"),
    [
        ("start_to_close", "the attempt had not ended after 30 s (start_to_close)", False),
        ("schedule_to_close", "the activity had no result after 30 s (schedule_to_close)", True),
        ("heartbeat", "the attempt gave no heartbeat after 30 s (heartbeat)", False),
    ],
)
def test_timeouts_are_told_apart(kind, says, final):
    failure = journey(timeout_failure(kind, 30))

    assert Failure("TimeoutError", says, timeout=kind, non_retryable=final) == failure
    assert kind == activity_error(failure, activity="charge", attempts=1).timeout


def test_lost_process_may_be_tried_again():
    assert not process_lost_failure().non_retryable


# -- the way back --


def failure_with_a_past():
    error = ApplicationError("no money", 4200, type="CardDeclined")
    error.__cause__ = ExceptionGroup("two", [KeyError("a"), ValueError("b")])
    return journey(of(error))


def test_activity_error_tells_everything():
    error = activity_error(failure_with_a_past(), activity="charge", attempts=3)

    assert "activity 'charge' failed after 3 attempts: CardDeclined: no money" == str(error)
    assert ("charge", 3, None) == (error.activity, error.attempts, error.timeout)
    assert ("CardDeclined", "no money", (4200,)) == (error.failure_type, error.failure_message, error.details)
    assert error.__cause__ is error.cause
    assert "ExceptionGroup" == error.cause.failure_type
    assert [("KeyError", "'a'"), ("ValueError", "b")] == [
        (member.failure_type, member.failure_message) for member in error.cause.members
    ]


def test_one_attempt_is_one():
    assert "failed after 1 attempt: X" in str(activity_error(Failure("X", ""), activity="a", attempts=1))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (workflow_failed_error(Failure("X", "y"), workflow_id="w"), "workflow 'w' failed: X: y"),
        (
            child_workflow_error(Failure("X", "y"), workflow_id="w", status="terminated"),
            "child workflow 'w' was terminated: X: y",
        ),
        (
            child_workflow_error(Failure("X", "y"), workflow_id="w", status="refused"),
            "child workflow 'w' was not started: X: y",
        ),
        (
            update_failed_error(Failure("X", "y"), workflow_id="w", update="add"),
            "update 'add' of workflow 'w' failed: X: y",
        ),
        (
            update_rejected_error(Failure("X", "y"), workflow_id="w", update="add"),
            "workflow 'w' refused update 'add': X: y",
        ),
        (
            query_failed_error(Failure("X", "y"), workflow_id="w", query="sum"),
            "query 'sum' of workflow 'w' failed: X: y",
        ),
    ],
)
def test_each_error_says_what_failed(error, says):
    assert says == str(error)
    assert ("X", "y", "w") == (error.failure_type, error.failure_message, error.workflow_id)


def test_failure_of_an_activity_error_keeps_the_whole_chain():
    """A workflow that lets an ActivityError out fails with it, and with what lies below."""
    error = activity_error(failure_with_a_past(), activity="charge", attempts=2)

    failure = journey(of(error))
    again = workflow_failed_error(failure, workflow_id="w")

    assert ["ActivityError", "CardDeclined", "ExceptionGroup"] == [
        failure.type, failure.cause.type, failure.cause.cause.type,
    ]  # fmt: skip
    assert (4200,) == again.cause.details
    assert ["KeyError", "ValueError"] == [member.failure_type for member in again.cause.cause.members]
    assert isinstance(again.cause, RecordedError)


def test_failure_made_twice_is_the_same():
    def fail():
        raise activity_error(failure_with_a_past(), activity="charge", attempts=2) from Declined(
            str(object())
        )

    assert msgspec.json.encode(of(raised(fail))) == msgspec.json.encode(of(raised(fail)))


def test_error_survives_a_journey_between_processes():
    error = activity_error(failure_with_a_past(), activity="charge", attempts=2)

    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert isinstance(arrived, ActivityError)
    assert of(error) == of(arrived)
