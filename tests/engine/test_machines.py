"""The tables: every arrow leads where it says, everything else raises and changes nothing."""

import pytest

from treadle.engine.machines import (
    ABANDONED_ACTIVITY,
    ACTIVITY,
    CHILD,
    TABLES,
    TIMER,
    UPDATE,
    ActivityState,
    ChildState,
    TimerState,
    UpdateState,
    step,
)
from treadle.engine.records import RECORD_BY_KIND
from treadle.errors import InternalError
from treadle.events import EventKind

STATES = {
    "activity": ActivityState,
    "activity abandoned": ActivityState,
    "timer": TimerState,
    "child": ChildState,
    "update": UpdateState,
}


@pytest.mark.parametrize("name", TABLES)
def test_every_pair_leads_somewhere_or_raises(name):
    table = TABLES[name]
    for state in STATES[name]:
        for kind in EventKind:
            if kind in table.get(state, {}):
                assert step(table, state, kind) in STATES[name]
            else:
                with pytest.raises(InternalError, match=rf"{state.name} expects .*, got {kind.name}"):
                    step(table, state, kind)


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reached_and_ends_are_final(name):
    table = TABLES[name]
    reached = {target for arrows in table.values() for target in arrows.values()}

    assert set(table) <= set(STATES[name])
    assert reached <= set(STATES[name])
    assert all(kind in RECORD_BY_KIND for arrows in table.values() for kind in arrows)


def test_an_activity_that_is_cancelled_may_still_complete_and_an_abandoned_one_is_over():
    cancelling = step(ACTIVITY, ActivityState.SCHEDULED, EventKind.ACTIVITY_CANCEL_REQUESTED)

    assert ActivityState.COMPLETED is step(ACTIVITY, cancelling, EventKind.ACTIVITY_COMPLETED)
    assert ActivityState.CANCELLED is step(
        ABANDONED_ACTIVITY, ActivityState.SCHEDULED, EventKind.ACTIVITY_CANCEL_REQUESTED
    )
    assert TimerState.FIRED is step(TIMER, TimerState.STARTED, EventKind.TIMER_FIRED)
    assert ChildState.FAILED is step(CHILD, ChildState.CANCELLING, EventKind.CHILD_FAILED)
    assert UpdateState.COMPLETED is step(UPDATE, UpdateState.ACCEPTED, EventKind.UPDATE_COMPLETED)


def test_results_are_taken_in_every_living_state():
    """The fast loop of replay relies on it and does not look."""
    assert all(EventKind.ACTIVITY_COMPLETED in arrows for arrows in ACTIVITY.values())
