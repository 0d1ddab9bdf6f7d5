"""The runtime's limits: each has a name, a default and a reason."""

from __future__ import annotations

from typing import Any, Final

import attrs

from treadle.errors import InvalidValueError
from treadle.events import BATCH_EVENTS_MAX

COUNT_MAX: Final = 2**31 - 1
"""What every store can count in one call; a limit above it is none."""


def _positive(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if type(value) not in {int, float} or not value > 0:  # type: ignore[operator]  # a number by now
        raise InvalidValueError(f"{attribute.name} is a number above 0, got {value!r}")


def _count(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if type(value) is not int or not 1 <= value <= COUNT_MAX:
        raise InvalidValueError(
            f"{attribute.name} is an int of at least 1 and at most {COUNT_MAX}, got {value!r}"
        )


@attrs.frozen(slots=True, kw_only=True)
class RuntimeConfig:
    """Limits of a runtime.

    Attributes:
        inbox_messages_max: how many messages wait for one actor before senders wait. A sender that waits
            is back-pressure; a longer queue would only be a longer latency.
        group_events_max: how many events one transaction holds before appends go through the inbox.
            Beyond some thousand rows a commit's cost for each row no longer falls, its latency does rise.
        group_size_bytes_max: the same for payload bytes.
        batch_events_max: how many events a caller's batch may hold.
        readmissions_max: how often a batch without seq is admitted again after another writer was
            faster, before its caller is told.
        crashes_max: how many crashes in a row send an actor into quarantine.
        backoff_initial_seconds: how long a crashed actor waits before it goes on; doubles each time.
        backoff_maximum_seconds: the longest such wait.
        close_timeout_seconds: how long closing waits for what was accepted.
        poll_seconds: how often followers look for other processes' commits.
        idle_actors_max: how many workflows' heads are remembered; beyond it the longest known idle ones
            are forgotten and read again when needed.
        page_events: how many events a reader fetches in one hop.
        activities_max: how many attempts at activities run at once.
        instances_max: how many durable workflows are kept in memory; beyond it those that have rested
            longest are put away and replayed when they are needed.
        recoveries_max: how many durable workflows are read and replayed at once.
        lost_attempts_max: how many attempts at one activity may be lost with their process before it
            fails: an activity that kills its process must not do so for ever. One that was due and only
            waited for a slot counts as well: the log cannot tell them apart.
        standby_seconds: how often a runner that stands by looks whether it can take over.
        heartbeat_seconds: how often what activities tell is written at most.

    Raises:
        InvalidValueError: a limit is not a positive number.
    """

    inbox_messages_max: int = attrs.field(default=64, validator=_count)
    group_events_max: int = attrs.field(default=8_192, validator=_count)
    group_size_bytes_max: int = attrs.field(default=16 * 1024 * 1024, validator=_count)
    batch_events_max: int = attrs.field(default=BATCH_EVENTS_MAX, validator=_count)
    readmissions_max: int = attrs.field(default=16, validator=_count)
    crashes_max: int = attrs.field(default=5, validator=_count)
    backoff_initial_seconds: float = attrs.field(default=0.05, validator=_positive)
    backoff_maximum_seconds: float = attrs.field(default=30.0, validator=_positive)
    close_timeout_seconds: float = attrs.field(default=10.0, validator=_positive)
    poll_seconds: float = attrs.field(default=0.05, validator=_positive)
    idle_actors_max: int = attrs.field(default=2_000_000, validator=_count)
    page_events: int = attrs.field(default=2_000, validator=_count)
    activities_max: int = attrs.field(default=1_000, validator=_count)
    instances_max: int = attrs.field(default=10_000, validator=_count)
    recoveries_max: int = attrs.field(default=64, validator=_count)
    lost_attempts_max: int = attrs.field(default=10, validator=_count)
    standby_seconds: float = attrs.field(default=0.25, validator=_positive)
    heartbeat_seconds: float = attrs.field(default=1.0, validator=_positive)
