"""What a report needs of a world, written down while it happens: what logs were told, and every attempt.

Event times cannot tell how long anything took, since the wall clock jumps in a world and a log's times never
go back. So what is written is seen where it reaches the store, by the clock that never jumps; a process that
is killed right after a write to a disk has written something that nobody saw, and a report counts that.

    {"limits": {"activities_max": 10, "processes": 1}}
    {"wrote": "g17", "at": 40, "begins": true, "scheduled": [[2, "work"]]}
    {"wrote": "g17", "at": 90, "again": [[2, 1, 140]], "ended": [[2, "completed"]], "over": "completed"}
    {"attempt": 1, "workflow": "g17", "seq": 2, "activity": "work", "begins": 41, "ends": 70, "how": "ok"}
    {"late": 1200000000, "at": 40}

All times are nanoseconds since the world began. `again` is a failed attempt that another follows: the
activity, which attempt, and when the next one is due.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, Literal

import trio

from treadle.engine import ActivityDefinition
from treadle.engine.records import (
    ActivityAttemptFailed,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    Answered,
    decode_record,
)
from treadle.errors import CorruptStoreError
from treadle.events import EventKind, WorkflowEvent
from treadle.runtime.durable.activity_context import current_attempt
from treadle.runtime.durable.attempts import Attempt
from treadle.sim.faulty_store import Fences
from treadle.sim.history import Recorder
from treadle.stores import Batch, Graft, Outcome, Unit, Written

How = Literal["ok", "failed", "hung", "cancelled", "lost"]

_ENDS: Final[dict[EventKind, tuple[type[ActivityCompleted | ActivityFailed | Answered], str]]] = {
    EventKind.ACTIVITY_COMPLETED: (ActivityCompleted, "completed"),
    EventKind.ACTIVITY_FAILED: (ActivityFailed, "failed"),
    EventKind.ACTIVITY_CANCELLED: (Answered, "cancelled"),
}
_OVER: Final = {
    EventKind.WORKFLOW_COMPLETED: "completed",
    EventKind.WORKFLOW_FAILED: "failed",
    EventKind.WORKFLOW_CANCELLED: "cancelled",
    EventKind.WORKFLOW_TERMINATED: "terminated",
}


class Observer(Fences):
    """Sees what the stores of a world have taken, of durable workflows; see the top of this file.

    Args:
        broken: takes what must not have happened, in words.
        recorder: takes the lines.
        now_ns: tells the virtual time.
    """

    def __init__(self, broken: list[str], recorder: Recorder, now_ns: Callable[[], int]) -> None:
        super().__init__(broken)
        self._recorder = recorder
        self._now_ns = now_ns

    def written(self, units: Sequence[Unit | Batch | Graft], outcomes: Sequence[Outcome]) -> None:
        """Look at what was written.

        Args:
            units: what was offered.
            outcomes: what the store has answered to each.
        """
        super().written(units, outcomes)
        for unit, outcome in zip(units, outcomes, strict=False):
            # What only the runtime's own runner writes has its epoch; others write whatever they like.
            if unit.epoch is not None and isinstance(outcome, Written):
                for batch in unit.batches:
                    self._tell(batch)

    def late(self, nanoseconds: int) -> None:
        """Note that the store is late.

        Args:
            nanoseconds: how late.
        """
        self._recorder.write({"late": nanoseconds, "at": self._now_ns()})

    def _tell(self, batch: Batch) -> None:
        at, told = self._now_ns(), dict[str, Any]()
        for event in batch.events:
            try:
                _note(told, event, at)
            except CorruptStoreError:  # an encrypted one, say: the numbers alone would not help
                continue
        if told:
            self._recorder.write({"wrote": batch.workflow_id, "at": at, **told})


def _note(told: dict[str, Any], event: WorkflowEvent, at: int) -> None:
    kind = event.kind
    if kind is EventKind.WORKFLOW_STARTED:
        told["begins"] = True
    elif kind is EventKind.ACTIVITY_SCHEDULED:
        told.setdefault("scheduled", []).append([event.seq, decode_record(event, ActivityScheduled).name])
    elif kind in _ENDS:
        record, how = _ENDS[kind]
        told.setdefault("ended", []).append([decode_record(event, record).seq, how])
    elif kind is EventKind.ACTIVITY_ATTEMPT_FAILED:
        failed = decode_record(event, ActivityAttemptFailed)
        # The distance of two wall times, both of one moment, is what the policy has said, whatever the clock.
        due = at + max(0, failed.next_due_ns - event.timestamp)
        told.setdefault("again", []).append([failed.seq, failed.attempt, due])
    elif kind in _OVER:
        told["over"] = _OVER[kind]


def observed(
    definition: ActivityDefinition[..., Any], recorder: Recorder, now_ns: Callable[[], int]
) -> ActivityDefinition[..., Any]:
    """Let every attempt at an activity be written down.

    Args:
        definition: the activity; its function is a model.
        recorder: takes the lines.
        now_ns: tells the virtual time.

    Returns:
        The same activity round which its attempts are observed.
    """
    function = definition.function

    def note(begins: int, how: How) -> None:
        attempt = current_attempt.get()
        assert isinstance(attempt, Attempt)  # noqa: S101  # whatever runs activities of a runtime
        recorder.write(
            {
                "attempt": attempt.number,
                "workflow": attempt.workflow_id,
                "seq": attempt.seq,
                "activity": definition.name,
                "begins": begins,
                "ends": now_ns(),
                "how": how,
            }
        )

    if definition.is_async:

        @wraps(function)
        async def run(*args: Any, **options: Any) -> Any:
            begins = now_ns()
            try:
                value = await function(*args, **options)
            except BaseException as error:
                note(begins, _how(error))
                raise
            note(begins, "ok")
            return value
    else:

        @wraps(function)
        def run(*args: Any, **options: Any) -> Any:
            begins = now_ns()
            try:
                value = function(*args, **options)
            except BaseException as error:
                note(begins, _how(error))
                raise
            note(begins, "ok")
            return value

    return definition.carried_out_by(run)


def _how(error: BaseException) -> How:
    attempt = current_attempt.get()
    assert isinstance(attempt, Attempt)  # noqa: S101  # as above
    if isinstance(error, Exception) and not (attempt._scope and attempt._scope.cancel_called):
        return "failed"
    if attempt.cancelled or attempt.unheard:
        return "cancelled"
    if not isinstance(error, Exception | trio.Cancelled):
        return "lost"  # its life is over
    # Its scope is cancelled by a limit of time; a runtime that closes cancels what is round it.
    return "hung" if attempt._scope is not None and attempt._scope.cancel_called else "lost"
