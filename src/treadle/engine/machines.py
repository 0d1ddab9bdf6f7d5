"""The machines with more than one step, as literal tables: state, what happens, next state.

What is not in a table cannot happen: `step` raises and nothing is changed. The docs' diagrams are drawn
from these tables. Side effects, patches, signals and continue-as-new have one step each and need none.

**Activity.** ACTIVITY_SCHEDULED makes it and implies its first attempt. A failed attempt that another will
follow changes nothing the code could see. When the scope round the call is cancelled, a request is
written, and the call goes on waiting until the attempt has really ended, as Trio does with threads: an
activity never outlives its nursery. It may still complete or fail by itself in that time, and then that
is its outcome. With ``on_cancel="abandon"`` nobody waits: the request is written, the call raises
Cancelled at once, and whatever the attempt still comes to is dropped, not logged.

**Timer.** TIMER_STARTED is written for a deadline that is armed when an activation ends, so one that came
and went within the activation leaves no trace. It fires once, or is cancelled when its scope is left or
its deadline moved.

**Child.** CHILD_SCHEDULED makes it; its start is a message in the same unit. It ends once, with a result
or a failure, whatever it was asked before: a child that cleans up after a cancel request may complete.
A parent that closes forgets it, after its close policy has been sent.

**Update.** UPDATE_ACCEPTED makes it (a rejected one never was); its handler ends once, with a result or a
failure. A cancelled handler has failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, TypeVar

from treadle.errors import InternalError
from treadle.events import EventKind


class ActivityState(IntEnum):
    """Where an activity stands."""

    SCHEDULED = 1
    CANCELLING = 2
    COMPLETED = 3
    FAILED = 4
    CANCELLED = 5


class TimerState(IntEnum):
    """Where a timer stands."""

    STARTED = 1
    FIRED = 2
    CANCELLED = 3


class ChildState(IntEnum):
    """Where a child stands, as its parent knows it."""

    SCHEDULED = 1
    CANCELLING = 2
    COMPLETED = 3
    FAILED = 4


class UpdateState(IntEnum):
    """Where an update stands."""

    ACCEPTED = 1
    COMPLETED = 2


ACTIVITY: Final = {
    ActivityState.SCHEDULED: {
        EventKind.ACTIVITY_ATTEMPT_FAILED: ActivityState.SCHEDULED,
        EventKind.ACTIVITY_COMPLETED: ActivityState.COMPLETED,
        EventKind.ACTIVITY_FAILED: ActivityState.FAILED,
        EventKind.ACTIVITY_CANCEL_REQUESTED: ActivityState.CANCELLING,
    },
    ActivityState.CANCELLING: {
        # The attempt failed before the request reached it; nothing follows but the end.
        EventKind.ACTIVITY_ATTEMPT_FAILED: ActivityState.CANCELLING,
        EventKind.ACTIVITY_COMPLETED: ActivityState.COMPLETED,
        EventKind.ACTIVITY_FAILED: ActivityState.FAILED,
        EventKind.ACTIVITY_CANCELLED: ActivityState.CANCELLED,
    },
}

ABANDONED_ACTIVITY: Final = {
    ActivityState.SCHEDULED: {
        **ACTIVITY[ActivityState.SCHEDULED],
        EventKind.ACTIVITY_CANCEL_REQUESTED: ActivityState.CANCELLED,
    },
}
"""The same with ``on_cancel="abandon"``: the request is its end."""

TIMER: Final = {
    TimerState.STARTED: {
        EventKind.TIMER_FIRED: TimerState.FIRED,
        EventKind.TIMER_CANCELLED: TimerState.CANCELLED,
    },
}

CHILD: Final = {
    ChildState.SCHEDULED: {
        EventKind.CHILD_COMPLETED: ChildState.COMPLETED,
        EventKind.CHILD_FAILED: ChildState.FAILED,
        EventKind.CHILD_CANCEL_REQUESTED: ChildState.CANCELLING,
    },
    ChildState.CANCELLING: {
        EventKind.CHILD_COMPLETED: ChildState.COMPLETED,
        EventKind.CHILD_FAILED: ChildState.FAILED,
    },
}

UPDATE: Final = {
    UpdateState.ACCEPTED: {EventKind.UPDATE_COMPLETED: UpdateState.COMPLETED},
}

TABLES: Final = {
    "activity": ACTIVITY,
    "activity abandoned": ABANDONED_ACTIVITY,
    "timer": TIMER,
    "child": CHILD,
    "update": UPDATE,
}
"""All machines by name, for whoever draws them."""

S = TypeVar("S", bound=IntEnum)


def step(table: Mapping[S, Mapping[EventKind, S]], state: S, kind: EventKind) -> S:
    """Go one arrow of a table.

    Args:
        table: the machine.
        state: where it stands.
        kind: what happens.

    Returns:
        Where it stands then.

    Raises:
        InternalError: the table has no such arrow.
    """
    try:
        return table[state][kind]
    except KeyError:
        known = ", ".join(event.name for event in table.get(state, {})) or "nothing"
        raise InternalError(
            f"{type(state).__name__} {state.name} expects {known}, got {kind.name}; nothing was changed:"
            " please report it"
        ) from None
