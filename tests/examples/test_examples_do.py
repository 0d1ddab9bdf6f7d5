"""What each example promises its reader, in virtual time with scripted activities."""

from __future__ import annotations

import itertools

import pytest
from example_programs import (
    AGENT,
    DAY,
    FAN_OUT,
    POLLING,
    SAGA,
    card,
    census,
    decision,
    film,
    invoice,
    order,
    question,
)

from treadle import EventKind, UpdateRejectedError, WorkflowCancelledError, WorkflowFailedError, activity
from treadle.testing import CancelAt, Rehearsal, Status, attempts, raises, returns


def names(rehearsal: Rehearsal[object]) -> list[str]:
    """The activities that were called, in order."""
    return [call.name for call in rehearsal.calls]


def test_an_order_that_goes_well_undoes_nothing() -> None:
    """Reserve, charge, wait, ship."""
    done = order()

    assert "receipt-A-1" == done.result
    assert ["reserve", "charge", "ship"] == names(done)


def test_a_declined_order_is_undone_in_reverse() -> None:
    """The step that failed is undone as well: it may have happened half-way."""
    done = order(activities={SAGA.charge: raises(activity.ApplicationError("no", non_retryable=True))})

    with pytest.raises(WorkflowFailedError, match="charge"):
        _ = done.result
    assert ["reserve", "charge", "refund", "release"] == names(done)


def test_a_cancelled_order_is_undone() -> None:
    """Shielded clean-up goes on after the cancellation, and the workflow ends as cancelled."""
    done = order(messages=[CancelAt(60, "changed her mind")])

    with pytest.raises(WorkflowCancelledError, match="changed her mind"):
        _ = done.result
    assert ["reserve", "charge", "refund", "release"] == names(done)


def test_an_undo_is_tried_again() -> None:
    """Undoing is an activity like any other, with its retries."""
    done = order(
        activities={SAGA.refund: attempts(raises(OSError("bank closed")), returns())},
        messages=[CancelAt(60)],
    )

    assert ["reserve", "charge", "refund", "refund", "release"] == names(done)
    assert done.status is Status.CANCELLED


def test_a_decision_ends_the_reminders() -> None:
    """One week is over when Ann decides on the tenth day; nothing is sent afterwards."""
    done = invoice(decision(10 * DAY, approved=True))

    assert "approved by Ann" == done.result
    assert 3 == len(done.calls)  # the question, one reminder, the outcome


def test_nobody_decides_in_thirty_days() -> None:
    """Four reminders, then no answer is taken for a no, thirty days after the question was sent."""
    done = invoice()

    assert "refused: nobody has decided in 30 days" == done.result
    assert 6 == len(done.calls)
    assert 30 * DAY + 2 == done.seconds


def test_all_pages_are_counted_at_once() -> None:
    """The fan-out takes as long as its slowest activity."""
    done = census(100)

    assert sum(range(100)) == done.result
    assert 10 == done.seconds
    assert [call.seconds for call in done.calls] == [0] * 100


def test_a_page_that_fails_cancels_the_others() -> None:
    """As in any nursery."""
    from treadle.testing import hangs, run_workflow  # noqa: PLC0415  # only here

    done = run_workflow(
        FAN_OUT.census,
        3,
        activities={
            FAN_OUT.count_words: lambda page: (
                raises(activity.ApplicationError("torn", non_retryable=True)) if page == 1 else hangs()
            )
        },
    )

    assert done.status is Status.FAILED
    assert 2 == sum(event.kind is EventKind.ACTIVITY_CANCELLED for event in done.events)


def test_polling_asks_less_and_less_often() -> None:
    """After 1 second, 2 and 4, each up to a tenth longer."""
    done = film()

    asked = [call.seconds for call in done.calls if call.name == POLLING.ask_job.name]
    waits = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert "job-1.mp4" == done.result
    assert all(wait <= waited < 1.1 * wait for wait, waited in zip((1, 2, 4), waits, strict=True))


def test_polling_gives_up_and_stops_the_job() -> None:
    """When the patience is over, the job is told that nobody wants it."""
    done = film(None)

    with pytest.raises(WorkflowFailedError, match="TooSlowError"):
        _ = done.result
    assert "stop_job" == names(done)[-1]
    assert 7200 == done.seconds


def test_the_agent_uses_tools_at_once_and_hears_what_fails() -> None:
    """Both searches begin together; the one that fails is tried twice and told to the model."""
    done = question()

    (messages,) = done.answers
    begun = [call.seconds for call in done.calls if call.name == "search"]
    assert AGENT.SCRIPT[-1].text == done.result
    assert ["user", "model", "tool", "tool", "model"] == [message["role"] for message in messages]
    assert "failed: unicorns" == messages[3]["text"]
    assert begun[0] == begun[1]
    assert 3 == len(begun)


def test_the_card_goes_on_from_run_to_run() -> None:
    """250 purchases take three runs; updates are answered in each, and points are never lost."""
    done = card()

    assert ({"points": 395, "purchases": 250},) == done.answers
    assert 2 == sum(event.kind is EventKind.CONTINUED for event in done.events)
    assert done.updates["spent"] == 17
    assert isinstance(done.updates["too much"], UpdateRejectedError)
