"""What activity code can ask about the attempt it is in: `treadle.activity.info` and `heartbeat`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

import attrs

from treadle.errors import UsageError


@attrs.frozen(slots=True)
class ActivityInfo:
    """The attempt that asks.

    Attributes:
        activity: the name its log knows it by.
        workflow_id: the workflow that has scheduled it.
        run: the seq that names the workflow's run.
        seq: the seq of its ACTIVITY_SCHEDULED.
        attempt: which attempt this is, counted from 1.
        idempotency_key: the same for every attempt of this call and for no other call: hand it to whatever
            must not act twice.
        heartbeat_details: what the last heartbeat of an earlier attempt has told; empty when there was
            none. Plain JSON values. The newest one may be lost with its process, for they are written
            about once a second.
        scheduled_ns: when it was scheduled, in nanoseconds since 1970.
        route: which of the routes of its `AdaptiveRetry` this attempt is to take; empty when it has none.
    """

    activity: str
    workflow_id: str
    run: int
    seq: int
    attempt: int
    idempotency_key: str
    heartbeat_details: tuple[Any, ...]
    scheduled_ns: int
    route: str = ""


class RunningAttempt(Protocol):
    """What the context needs of an attempt."""

    def info(self) -> ActivityInfo:
        """Tell about it."""

    def beat(self, details: tuple[Any, ...]) -> None:
        """Note a sign of life."""


current_attempt: ContextVar[RunningAttempt] = ContextVar("treadle activity")
"""The attempt whose task, or thread, asks."""


def info() -> ActivityInfo:
    """Tell about the attempt that asks; for code inside an activity, in its task or its thread.

    Returns:
        What is known of it.

    Raises:
        UsageError: not called inside an activity.
    """
    return _current("info").info()


def heartbeat(*details: Any) -> None:
    """Tell that this attempt lives, and how far it is.

    It moves the deadline of `heartbeat_seconds` on; the details are what the next attempt finds in
    `info().heartbeat_details` should this one fail. Cheap: call it as often as you like.

    In a plain (thread) activity that has been cancelled or timed out it raises `trio.Cancelled`, which is
    the way to end such a thread early; let it pass.

    Args:
        *details: values with a JSON form.

    Raises:
        UsageError: not called inside an activity.
        InvalidValueError: the details have no JSON form, or are too large.
        trio.Cancelled: called in a thread whose attempt has been stopped.
    """
    _current("heartbeat").beat(details)


def _current(name: str) -> RunningAttempt:
    try:
        return current_attempt.get()
    except LookupError:
        raise UsageError(
            f"activity.{name}() is for code inside a running activity, got a call from outside; a test calls"
            " the activity through a runtime, or leaves this call out"
        ) from None
