"""Replaying a recorded history against today's code: whatever differs raises, drift included."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

import attrs

from treadle.engine import ActivityDefinition, Drift, Status, WorkflowDefinition
from treadle.engine.execution import ExecutionLimits
from treadle.engine.histories import lives_of, replay_whole
from treadle.errors import NondeterminismError, UsageError
from treadle.events import EventKind, WorkflowEvent
from treadle.payloads import Converter
from treadle.testing.workflows.histories import History, read_history
from treadle.testing.workflows.open_registry import Executions
from treadle.testing.workflows.paranoia import portrait


@attrs.frozen(kw_only=True)
class HistoryReplay:
    """A history that today's code repeats.

    Attributes:
        workflow_id: whose.
        status: where it stands at its end.
        runs: how many runs it has.
        events: how many events.
        waiting_for: what it waits for, in words; empty when it has ended.
        drifts: what the code says in other words; empty unless drift was allowed.
        portrait: everything a replay brings back, as texts.
    """

    workflow_id: str
    status: Status
    runs: int
    events: int
    waiting_for: tuple[str, ...]
    drifts: tuple[Drift, ...] = ()
    portrait: dict[str, str] = attrs.field(factory=dict, repr=False)


def replay(
    history: str | os.PathLike[str] | Iterable[WorkflowEvent] | Any,
    workflow: WorkflowDefinition[..., Any],
    *,
    workflow_id: str | None = None,
    activities: Iterable[ActivityDefinition[..., Any]] = (),
    converter: Converter | None = None,
    limits: ExecutionLimits | None = None,
    allow_drift: bool = False,
    allow_cut: bool = False,
) -> HistoryReplay:
    """Replay a history against today's code; nothing runs but the workflow's own code.

    Keep the histories of workflows that are still running (`treadle log export`), and replay them before
    every release: what raises here would be held in production.

    Args:
        history: the path of a JSON Lines file (``treadle log export``, `Rehearsal.export`), a rehearsal, or a
            list of events, with any number of runs.
        workflow: what `workflow.define` has made.
        workflow_id: picks one log of a file that has several.
        activities: the activities that the code may name. Unless given, it may name any.
        converter: values to JSON and back; the usual one unless given.
        limits: what one run may grow to; the usual ones unless given.
        allow_drift: whether the code may say the same in other words (changed options, an argument that
            reads as an equal value), as in production.
        allow_cut: whether the history may end inside an activation, as it does after a crash.

    Returns:
        What was replayed.

    Raises:
        NondeterminismError: the code does something else than the history says: seq, both sides field by
            field, and the line of the code; a note tells the line of the file.
        WorkflowHeldError: what the code has raised would hold it.
        CorruptStoreError: the history cannot be one that the engine wrote.
        FormatError: the file is not what its format says: a line was changed, lost or moved.
        UsageError: the file holds no history of this workflow, or several, or events are missing.
    """
    if not isinstance(workflow, WorkflowDefinition):
        raise UsageError(f"a history is replayed with what workflow.define has made, got {workflow!r}")
    found = read_history(history, name=workflow.name, workflow_id=workflow_id)
    executions = Executions(activities, converter, limits)
    try:
        return _replayed(found, workflow, executions, allow_drift=allow_drift, allow_cut=allow_cut)
    except NondeterminismError as error:
        place = found.place(error.seq)
        if place is not None:
            error.add_note(f"  the event stands at {place}")
        raise


def _replayed(
    history: History,
    workflow: WorkflowDefinition[..., Any],
    executions: Executions,
    *,
    allow_drift: bool,
    allow_cut: bool,
) -> HistoryReplay:
    drifts: tuple[Drift, ...] = ()
    seen: HistoryReplay | None = None
    for events in lives_of(history.events):
        execution = executions.make(workflow, history.workflow_id, events[0].seq)
        try:
            if allow_cut:
                execution.replay(events)
                execution.finish_replay()
            else:
                replay_whole(execution, events)
            drifts += execution.drifts
            seen = HistoryReplay(
                workflow_id=history.workflow_id,
                status=execution.status,
                runs=sum(event.kind in _RUNS for event in history.events),
                events=len(history.events),
                waiting_for=execution.describe().waiting_for,
                drifts=drifts,
                portrait=portrait(execution),
            )
        finally:
            execution.evict()
        if drifts and not allow_drift:
            raise _drifted(history.workflow_id, drifts)
    assert seen is not None  # noqa: S101  # a history is never empty
    return seen


_RUNS: Final = (EventKind.WORKFLOW_STARTED, EventKind.CONTINUED)


def _drifted(workflow_id: str, drifts: tuple[Drift, ...]) -> NondeterminismError:
    first = drifts[0]
    error = NondeterminismError(
        "the code says the same in other words than its log (drift: production keeps to the logged value)",
        workflow_id=workflow_id,
        seq=first.seq,
        expected=f"{first.kind.name} with {first.field} {first.logged}",
        actual=f"{first.kind.name} with {first.field} {first.done}",
        differences=tuple(
            (drift.field, drift.logged, drift.done) for drift in drifts if drift.seq == first.seq
        ),
        where=first.where,
    )
    others = {drift.seq for drift in drifts} - {first.seq}
    if others:
        error.add_note(f"  {len(others)} more events drift, from seq {min(others)} on")
    return error
