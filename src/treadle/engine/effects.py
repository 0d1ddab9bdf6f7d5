"""What workflow code wants from the world, as data: carried out by others, once its event is durable."""

from __future__ import annotations

import attrs

from treadle.engine.inputs import UpdateOutcome
from treadle.engine.status import Status
from treadle.events import WorkflowEvent


@attrs.frozen(slots=True)
class StartActivity:
    """Run an activity; `Execution.activities` tells what it is.

    Attributes:
        seq: of its ACTIVITY_SCHEDULED.
    """

    seq: int


@attrs.frozen(slots=True)
class CancelActivity:
    """Cancel an activity's attempt and start no other.

    The answer is `ActivityDone` in any case: with its own outcome when it has ended by itself, with
    `EndedByCancel` otherwise, at once when no attempt is running.

    Attributes:
        seq: of its ACTIVITY_SCHEDULED.
        answer: whether anybody waits for the end; not so for ``on_cancel="abandon"``.
    """

    seq: int
    answer: bool = True


@attrs.frozen(slots=True)
class PutMessage:
    """Put a row into another workflow's mailbox, in the same unit as the events it came with.

    Attributes:
        workflow_id: to whom.
        message_id: unique for ever: made from sender, run and seq.
        kind: a `MessageKind`.
        payload: JSON, see `treadle.engine.messages`.
    """

    workflow_id: str
    message_id: bytes
    kind: int
    payload: bytes


@attrs.frozen(slots=True)
class AnswerUpdate:
    """Tell the sender of an update what became of it, once the events it came with are durable.

    Attributes:
        update_id: which one.
        outcome: what became of it; None when only its UPDATE_COMPLETED knows (it is an old one).
        seq: of its UPDATE_COMPLETED; 0 when it was rejected.
    """

    update_id: str
    outcome: UpdateOutcome | None
    seq: int = 0


@attrs.frozen(slots=True)
class Closed:
    """The workflow has ended.

    Attributes:
        status: how.
        payload: of the event that says so.
    """

    status: Status
    payload: bytes


Effect = StartActivity | CancelActivity | PutMessage | AnswerUpdate | Closed
"""What an activation asks for besides its events."""


@attrs.frozen(slots=True)
class Activation:
    """What one input has led to.

    Attributes:
        events: for the log, in order: the input, then its commands. May be empty (a repeated cancel
            request, a rejected update, a result nobody waits for), may hold several inputs (timers that
            were due come first), and may be longer than a caller's batch.
        effects: to be carried out when all events are durable.
        taken: False when the workflow had closed before it could take the input.
        fired: how many of the events and of the effects belong to timers that fired before the input: an
            activation of their own, whose rows must be written with its own end.
    """

    events: tuple[WorkflowEvent, ...] = ()
    effects: tuple[Effect, ...] = ()
    taken: bool = True
    fired: tuple[int, int] = (0, 0)
