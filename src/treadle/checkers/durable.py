"""What is noted of durable workflows' whole lives: what the checkers of them are given, as values.

Moments are on the recorder's one clock, so that of two of them it is known which came first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from treadle.events import EventKind, WorkflowEvent

STARTS = frozenset({EventKind.WORKFLOW_STARTED, EventKind.CONTINUED})
ENDS = frozenset({EventKind.ACTIVITY_COMPLETED, EventKind.ACTIVITY_FAILED, EventKind.ACTIVITY_CANCELLED})


@attrs.frozen(slots=True)
class Attempted:
    """An attempt at an activity, as the outer world has seen it.

    Attributes:
        workflow: for which workflow.
        seq: of the ACTIVITY_SCHEDULED, as the attempt was told it.
        key: the idempotency key.
        at: when it began.
    """

    workflow: str
    seq: int
    key: str
    at: int


@attrs.frozen(slots=True)
class Birth:
    """A branch of a durable workflow.

    Attributes:
        branch: the branch.
        parent: whose events it shares.
        at: the last shared seq.
        mode: ``"what_if"`` or ``"real"``.
        shared: the parent's events up to `at`, as they were read before; from the first that was kept.
    """

    branch: str
    parent: str
    at: int
    mode: Literal["what_if", "real"]
    shared: Sequence[WorkflowEvent]


@attrs.frozen(slots=True)
class Rewind:
    """A reset that was answered.

    Attributes:
        workflow: the workflow.
        at: the last event that still counts.
        seq: of the RESET.
        told_at: when the answer was there.
        until: when another one may have followed it.
        before: the events that stand before the RESET.
    """

    workflow: str
    at: int
    seq: int
    told_at: int
    until: float
    before: Sequence[WorkflowEvent]


@attrs.frozen(slots=True)
class Sent:
    """A signal that somebody sent, once or, under a key, several times.

    Attributes:
        to: the workflow.
        mark: its value, which no other signal has.
        outcome: ``"ok"``, ``"refused"`` or ``"unknown"``.
        log: the plain log to which the same transaction has appended the mark; empty when there was none.
    """

    to: str
    mark: str
    outcome: Literal["ok", "refused", "unknown"]
    log: str = ""
