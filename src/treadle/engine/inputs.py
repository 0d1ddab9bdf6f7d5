"""What reaches workflow code from outside: one frozen value for each kind of input.

An input enters a log only in the batch of the activation that consumed it. Values of the user's (arguments,
results) are JSON that the converter has written; the engine passes them on and decodes them where the
code asks for them.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs

from treadle.engine.failures import Failure
from treadle.engine.learning.arms import Choice, Trial

SEED_SIZE_BYTES: Final = 16
"""128 bits of chance for each run: as many as a UUID has, which `uuid4` promises."""


@attrs.frozen(slots=True)
class ParentLink:
    """Whose child a workflow is.

    Attributes:
        workflow_id: the parent.
        seq: the seq of the parent's CHILD_SCHEDULED.
        run: the run of the parent that scheduled it.
    """

    workflow_id: str
    seq: int
    run: int


# -- how something ended -------------------------------------------------------------------------------


@attrs.frozen(slots=True)
class Completed:
    """It has returned.

    Attributes:
        result: the value, one JSON document.
    """

    result: bytes


@attrs.frozen(slots=True)
class Failed:
    """It has failed for good.

    Attributes:
        failure: what was raised.
    """

    failure: Failure


@attrs.frozen(slots=True)
class EndedByCancel:
    """It has ended because it was asked to."""


@attrs.frozen(slots=True)
class Rejected:
    """An update that its validator, or the lack of a handler, has turned away; the log does not know it.

    Attributes:
        failure: why.
    """

    failure: Failure


ActivityOutcome = Completed | Failed | EndedByCancel
ChildOutcome = Completed | Failed
UpdateOutcome = Completed | Failed | Rejected
ChildFailure = Literal["failed", "cancelled", "terminated", "refused"]


# -- inputs --------------------------------------------------------------------------------------------


@attrs.frozen(slots=True)
class Start:
    """Begin a run. The first input of every execution that replays nothing.

    Attributes:
        args_json: the arguments, a JSON array of positional values.
        seed: 16 bytes of chance, from which everything random in the run is derived.
        parent: whose child it is, or None.
    """

    args_json: bytes
    seed: bytes
    parent: ParentLink | None = None


@attrs.frozen(slots=True)
class ActivityDone:
    """An activity has ended: its last attempt, or its only one.

    Attributes:
        seq: of its ACTIVITY_SCHEDULED.
        outcome: how.
        attempt: which attempt it was, counted from 1.
        trial: what the attempt teaches a policy that learns, or None.
    """

    seq: int
    outcome: ActivityOutcome
    attempt: int = 1
    trial: Trial | None = None


@attrs.frozen(slots=True)
class AttemptFailed:
    """An attempt has failed and another will follow. Wakes no code.

    Attributes:
        seq: of its ACTIVITY_SCHEDULED.
        attempt: which attempt failed, counted from 1.
        failure: what was raised, or that its process was lost.
        next_due_ns: when the next attempt begins.
        lost: whether its process died with it, which has a bound of its own.
        choice: how the next attempt is made, when the policy chooses; without one as the failed one was.
        trial: what the failed attempt teaches a policy that learns, or None.
    """

    seq: int
    attempt: int
    failure: Failure
    next_due_ns: int
    lost: bool = False
    choice: Choice | None = None
    trial: Trial | None = None


@attrs.frozen(slots=True)
class TimersFired:
    """Time has passed.

    Attributes:
        until_ns: all timers due at or before it fire; never later than the time of the activation.
    """

    until_ns: int


@attrs.frozen(slots=True)
class Signal:
    """Somebody has sent a signal.

    Attributes:
        name: which one.
        args_json: its values, a JSON array.
    """

    name: str
    args_json: bytes = b"[]"


@attrs.frozen(slots=True)
class CancelRequested:
    """Somebody wants the workflow to end; it may clean up, and even complete.

    Attributes:
        reason: in words.
        parent: the parent that asks, when one does; another's child does not listen.
    """

    reason: str = ""
    parent: ParentLink | None = None


@attrs.frozen(slots=True)
class Terminate:
    """Somebody wants the workflow gone; its code is not asked.

    Attributes:
        reason: in words.
        parent: the parent that asks, when one does; another's child does not listen.
    """

    reason: str = ""
    parent: ParentLink | None = None


@attrs.frozen(slots=True)
class ChildDone:
    """A child has ended, or could not be started.

    Attributes:
        seq: of its CHILD_SCHEDULED.
        outcome: how; a cancelled, terminated or refused child has failed.
        status: how it came to fail; of no meaning when it has completed.
    """

    seq: int
    outcome: ChildOutcome
    status: ChildFailure = "failed"


@attrs.frozen(slots=True)
class SignalFailed:
    """A signal or cancel request that the workflow has sent did not reach anybody.

    Attributes:
        seq: of its SIGNAL_SENT or CANCEL_SENT.
        failure: why.
    """

    seq: int
    failure: Failure


@attrs.frozen(slots=True)
class Update:
    """Somebody wants the workflow to do something and to answer.

    Attributes:
        id: the same id is answered again, not done again.
        name: of the handler.
        args_json: the arguments, a JSON array.
    """

    id: str
    name: str
    args_json: bytes = b"[]"


Input = (
    Start
    | ActivityDone
    | AttemptFailed
    | TimersFired
    | Signal
    | CancelRequested
    | Terminate
    | ChildDone
    | SignalFailed
    | Update
)
"""What `Execution.activate` takes."""
