"""A failure as a value of the log, and what can be read from it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from treadle.errors import TimeoutKind

NO_DETAILS: Final = msgspec.Raw(b"[]")
"""This very object, so that a failure without details is written without them."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An exception as the log keeps it.

    Attributes:
        type: the name of its class, or the one an `ApplicationError` gives itself.
        message: its text.
        details: a JSON array of what it carries beside the text.
        cause: what it was raised from.
        members: the exceptions inside, when it is a group.
        non_retryable: whether it forbids a further attempt itself.
        retry_after_seconds: the wait it asks for before a further attempt.
        timeout: the limit of time that was passed, when that is what happened.
    """

    type: str
    message: str
    details: msgspec.Raw = NO_DETAILS
    cause: Failure | None = None
    members: tuple[Failure, ...] = ()
    non_retryable: bool = False
    retry_after_seconds: float | None = None
    timeout: TimeoutKind | None = None


def timeout_failure(kind: TimeoutKind, seconds: float) -> Failure:
    """Make the failure of an attempt, or of all of them, that took too long.

    Args:
        kind: the limit.
        seconds: how long it is.

    Returns:
        The failure.
    """
    what = {
        "start_to_close": "the attempt had not ended",
        "schedule_to_close": "the activity had no result",
        "heartbeat": "the attempt gave no heartbeat",
    }[kind]
    return Failure(
        "TimeoutError",
        f"{what} after {seconds:g} s ({kind})",
        timeout=kind,
        non_retryable=kind == "schedule_to_close",
    )


def process_lost_failure() -> Failure:
    """Make the failure of an attempt whose process ended before it did.

    Returns:
        The failure; it may be tried again.
    """
    return Failure("ProcessLost", "the process that ran this attempt ended before it did")


def details_of(failure: Failure) -> tuple[Any, ...]:
    """Read what a failure carries beside its text.

    Args:
        failure: the failure.

    Returns:
        Plain JSON values.
    """
    found: list[Any] = msgspec.json.decode(failure.details)
    return tuple(found)


def describe(failure: Failure) -> str:
    """Say a failure in one line.

    Args:
        failure: the failure.

    Returns:
        Type and text, and those of a group's members.
    """
    text = f"{failure.type}: {failure.message}" if failure.message else failure.type
    inside = "; ".join(describe(member) for member in failure.members)
    return f"{text} [{inside}]" if inside else text
