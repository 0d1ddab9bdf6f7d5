"""Whole histories held against code: also where a log ends, nothing may be asked for that it does not have.

A runner takes what code repeats past the end of a log for new, because a crash may have cut the newest
activation short. Whoever checks code before it is deployed wants to know of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from treadle.engine.execution import Execution
from treadle.engine.failures import process_lost_failure
from treadle.engine.marks import MARK_KINDS, view_of
from treadle.engine.records import CLOSING_KINDS, ActivityAttemptFailed, encode_record
from treadle.errors import NondeterminismError
from treadle.events import EventKind, WorkflowEvent

_END: Final = encode_record(ActivityAttemptFailed(0, 1, process_lost_failure(), 0))
"""The payload of an event that changes nothing (no activity has seq 0) and ends the activation before it,
so that a command which the log does not have is noticed where the code asks for it."""


def lives_of(events: Sequence[WorkflowEvent]) -> Iterator[Sequence[WorkflowEvent]]:
    """Cut a history where an id that had come to its end was started again, perhaps with other code.

    Args:
        events: the history.

    Yields:
        Its parts.
    """
    counting = {event.seq for event in view_of(events).events}
    starts = [0] + [
        place
        for place, event in enumerate(events)
        if place and event.kind is EventKind.WORKFLOW_STARTED and event.seq in counting
    ]
    for start, end in zip(starts, [*starts[1:], len(events)], strict=True):
        yield events[start:end]


def replay_whole(execution: Execution, events: Sequence[WorkflowEvent]) -> None:
    """Replay a history that nothing is missing from.

    Args:
        execution: fresh.
        events: one life of a workflow, up to where it stands.

    Raises:
        NondeterminismError: the code does something else than the log says, or more.
        WorkflowHeldError: what the code has raised would hold it.
        CorruptStoreError: the log cannot be one that the engine wrote.
    """
    last = events[-1]
    if last.kind in MARK_KINDS:
        # Whoever goes on from there first makes what the activation before may lack: none of it is missing.
        execution.replay(events)
        execution.finish_replay()
        return
    if last.kind in CLOSING_KINDS:
        execution.replay(events)
        lacking = execution.finish_replay()
        if lacking is not None:
            more = lacking.events[0]
            actual = f"{more.kind.name} {more.payload.decode()}"
            raise _asks_for_more(execution.workflow_id, more.seq, last, actual, None)
        return
    end = WorkflowEvent(last.seq + 1, last.timestamp, EventKind.ACTIVITY_ATTEMPT_FAILED, _END)
    try:
        execution.replay([*events, end])
        execution.finish_replay()
    except NondeterminismError as error:
        if error.seq != end.seq:
            raise
        raise _asks_for_more(execution.workflow_id, end.seq, last, error.actual, error.where) from None


def _asks_for_more(
    workflow_id: str, seq: int, last: WorkflowEvent, actual: str, where: str | None
) -> NondeterminismError:
    return NondeterminismError(
        "the code asks for more than its log says it did",
        workflow_id=workflow_id,
        seq=seq,
        expected=f"nothing more: it ends with the {last.kind.name} of seq {last.seq}",
        actual=actual,
        where=where,
    )
