"""Replay: the inputs come from the log, and every command must be there already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from treadle.engine.applying import APPLY, main_line, misplaced
from treadle.engine.concluding import conclude
from treadle.engine.driver import StuckError
from treadle.engine.records import COMMAND_KINDS, UNSEEN_KINDS, ActivityCompleted, unreadable
from treadle.engine.status import Status
from treadle.errors import InternalError
from treadle.events import EventKind

if TYPE_CHECKING:
    from treadle.engine.execution import Execution

_COMPLETED = EventKind.ACTIVITY_COMPLETED
_RUNNING = Status.RUNNING
_decode_completed = msgspec.json.Decoder(ActivityCompleted).decode


def replay_until(execution: Execution, end: int) -> None:
    """Replay whole activations, up to a place in the history.

    Args:
        execution: the workflow.
        end: the place: an input's, or the history's end.

    Raises:
        NondeterminismError: the code does something else than the log says.
        WorkflowHeldError: something the code does holds it.
        CorruptStoreError: the log cannot be one that the engine wrote.
    """
    journal = execution.journal
    if not execution.is_started and journal.position < end:
        _replay_one(execution)
    if journal.position >= end:
        return
    with execution.run.scheduler.hooked():
        while journal.position < end:
            _replay_one(execution)
            try:
                # The turn before a mark is taken with the chance behind it: `_replay_one` sees to that.
                _replay_results(execution, min(end, journal.next_mark - 1))
            except (StuckError, InternalError) as error:
                raise execution.why(error) from error.__cause__


def _replay_one(execution: Execution) -> None:
    journal = execution.journal
    event = journal.take()
    kind = event.kind
    apply = APPLY.get(kind)
    if apply is None or (execution.status is not _RUNNING and kind is not EventKind.WORKFLOW_STARTED):
        raise misplaced(execution, event)
    journal.now_ns = max(journal.now_ns, event.timestamp)
    apply(execution, event)
    if journal.next_mark <= journal.position:
        execution.run.pass_marks()
    if kind not in UNSEEN_KINDS:
        execution.settle()
    if journal.position < journal.end and journal.history[journal.position].kind in COMMAND_KINDS:
        journal.check_finished(main_line(execution))


def _replay_results(execution: Execution, end: int) -> None:
    """Replay activities' results as long as nothing else comes.

    It does what `_replay_one` does, for the one kind of input of which long histories are made, with
    everything in one loop: calling the general functions for each would double what a replay costs.
    """
    journal, run = execution.journal, execution.run
    scheduler, activities, history, known = run.scheduler, run.activities, journal.history, journal.end
    scheduler.now_ns, position = journal.now_ns, journal.position
    while position < end:
        event = history[position]
        if event.kind is not _COMPLETED or execution.status is not _RUNNING:
            return
        try:
            record = _decode_completed(event.payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise unreadable(event, error) from error
        pending = activities.get(record.seq)
        if pending is None or pending.attempts is not None:
            return
        del activities[record.seq]
        position += 1
        journal.position = position
        if event.timestamp > journal.now_ns:
            journal.now_ns = scheduler.now_ns = event.timestamp
        scheduler.resume(pending.task, record)
        scheduler._run()
        if journal.broken is not None:
            raise journal.broken
        if (scheduler.deadline_changes or scheduler.main_outcome is not None) and conclude(execution):
            execution.settle()
        position = journal.position
        if position < known and history[position].kind in COMMAND_KINDS:
            journal.check_finished(main_line(execution))
        if execution.run is not run:
            return
