"""The checks of generated workflows, on logs made by hand: what they must see and must let pass."""

import pytest

from treadle.events import EventKind, WorkflowEvent
from treadle.sim.workloads.generated_checks import signals_once

SENT = [("a", 1, 2), ("b", 3, 4)]


def log(*marks, end=None):
    """A log of signals, and perhaps an end."""
    kinds = [
        (EventKind.WORKFLOW_STARTED, b"{}"),
        *((EventKind.SIGNAL_RECEIVED, b'{"name":"go","args":["%b"]}' % mark.encode()) for mark in marks),
    ]
    if end is not None:
        kinds.append((end, b"{}"))
    return [WorkflowEvent(seq, 0, kind, payload) for seq, (kind, payload) in enumerate(kinds, 1)]


@pytest.mark.parametrize(
    "end",
    [
        EventKind.WORKFLOW_COMPLETED,
        EventKind.WORKFLOW_FAILED,
        EventKind.WORKFLOW_CANCELLED,
        EventKind.WORKFLOW_TERMINATED,
    ],
)
def test_a_signal_may_wait_in_the_mailbox_of_what_has_ended(end):
    """A child that was cancelled has not completed, but it takes nothing more either."""
    assert [] == signals_once("g", log("a", end=end), SENT)


def test_a_signal_that_what_runs_has_not_got_is_lost():
    (found,) = signals_once("g", log("a"), SENT)

    assert "'b' was taken and is not there" in found.message


@pytest.mark.parametrize(("marks", "words"), [("aba", "is there twice"), ("ba", "was sent before 'b'")])
def test_a_doubled_signal_and_one_out_of_order_are_seen(marks, words):
    assert any(words in found.message for found in signals_once("g", log(*marks), SENT))
