"""A crash behind every append, an eviction at every wait: nothing may come out otherwise."""

from __future__ import annotations

from typing import Any

import attrs

from treadle.errors import UsageError, WorkflowError
from treadle.events import BATCH_EVENTS_MAX
from treadle.testing.workflows.comparing import check_same_course, check_same_logs
from treadle.testing.workflows.items import Trials
from treadle.testing.workflows.paranoia import ReplayDifferenceError, differences
from treadle.testing.workflows.rehearsal import Rehearsal, rehearse


@attrs.frozen(kw_only=True)
class CrashReport:
    """What a workflow has survived.

    Attributes:
        appends: how many appends it takes.
        crashes: how many times its process died, over all rehearsals.
        losses: how many attempts at activities died with it.
    """

    appends: int
    crashes: int
    losses: int


def crash_everywhere(
    rehearsal: Rehearsal[Any],
    *,
    every: int = 1,
    lose_attempts: bool = True,
    batch_events_max: int = BATCH_EVENTS_MAX,
) -> CrashReport:
    """Rehearse again and again, and let the process die behind each append in turn.

    Each time the logs are replayed, an activation that was cut is finished, unfinished effects are carried
    out again, and the rehearsal goes on to its end. Result, status and logs must be those of the
    undisturbed one, to the byte; where an attempt at an activity was lost with the process, the same inputs
    and commands in the same order. Last, it dies behind every append of one rehearsal.

    Args:
        rehearsal: what `run_workflow` has handed back.
        every: let it die behind every nth append only; for a long one, since the work grows with the
            square of the appends.
        lose_attempts: whether to try each crash a second time with attempts that die as well.
        batch_events_max: how many events are appended at once; 1 cuts behind each event.

    Returns:
        What was tried.

    Raises:
        ReplayDifferenceError: something came out otherwise; it tells after which append, and the first event.
        NondeterminismError: a replay did; a note tells after which append.
        UsageError: a number is too small.
    """
    if every < 1 or batch_events_max < 1:
        raise UsageError(
            f"every= and batch_events_max= are 1 or more, got {every!r} and {batch_events_max!r}"
        )
    appends = _appends(rehearsal, batch_events_max)
    crashes = losses = 0
    for number in range(every, appends + 1, every):
        trial = f"after a crash behind append {number} of {appends}"
        trials = Trials(crashes=number.__eq__, batch_events_max=batch_events_max)
        _compare(rehearsal, trials, trial)
        crashes += 1
        if lose_attempts:
            lost = _compare_course(rehearsal, attrs.evolve(trials, loses_attempts=True), trial)
            crashes, losses = crashes + bool(lost), losses + lost
    always = Trials(crashes=lambda number: number % every == 0, batch_events_max=batch_events_max)
    _compare(rehearsal, always, f"with a crash behind every append that {every} divides")
    return CrashReport(appends=appends, crashes=crashes + appends // every, losses=losses)


def evict_everywhere(rehearsal: Rehearsal[Any]) -> int:
    """Rehearse again, and throw the code out of memory wherever it waits; it is replayed when it goes on.

    Its clean-up runs each time, and nothing may come of it.

    Args:
        rehearsal: what `run_workflow` has handed back.

    Returns:
        How many appends it took, behind each of which there was an eviction.

    Raises:
        ReplayDifferenceError: something came out otherwise; it tells the first event that did.
        NondeterminismError: a replay did.
    """
    _compare(rehearsal, Trials(evicts=True), "evicted wherever it waits")
    return rehearsal.appends


def _appends(rehearsal: Rehearsal[Any], batch_events_max: int) -> int:
    again, _ = _rehearsed(rehearsal, Trials(batch_events_max=batch_events_max), "rehearsed again")
    check_same_logs(rehearsal.logs, again.logs, "rehearsed again")
    return again.appends


def _compare(rehearsal: Rehearsal[Any], trials: Trials, trial: str) -> None:
    again, _ = _rehearsed(rehearsal, trials, trial)
    check_same_logs(rehearsal.logs, again.logs, trial)
    _compare_ends(_end(rehearsal), _end(again), rehearsal.workflow_id, trial)


def _compare_course(rehearsal: Rehearsal[Any], trials: Trials, trial: str) -> int:
    trial = f"{trial} that lost attempts"
    again, losses = _rehearsed(rehearsal, trials, trial)
    if losses:
        check_same_course(rehearsal.workflow_id, rehearsal.events, again.events, trial)
        # Result and error stand in the last event of the course.
        _compare_ends(_state(rehearsal), _state(again), rehearsal.workflow_id, trial)
    return losses


def _state(rehearsal: Rehearsal[Any]) -> dict[str, str]:
    return {"status": rehearsal.status.name, "signals unread": repr(rehearsal.signals_unread)}


def _end(rehearsal: Rehearsal[Any]) -> dict[str, str]:
    return {
        **_state(rehearsal),
        "result": repr(rehearsal._value),
        "error": repr(rehearsal.error),
        "updates": repr(rehearsal.updates),
        "sent": repr(rehearsal.sent),
        "waiting for": repr(rehearsal.waiting_for),
    }


def _compare_ends(expected: dict[str, str], actual: dict[str, str], workflow_id: str, trial: str) -> None:
    if found := differences(expected, actual):
        raise ReplayDifferenceError(
            f"workflow {workflow_id!r}, {trial}: it is to end as without",
            workflow_id=workflow_id,
            differences=found,
        )


def _rehearsed(rehearsal: Rehearsal[Any], trials: Trials, trial: str) -> tuple[Rehearsal[Any], int]:
    try:
        again, world = rehearse(rehearsal.scenario, trials)
    except (WorkflowError, AssertionError) as error:
        error.add_note(f"  workflow {rehearsal.workflow_id!r}, {trial}")
        raise
    return again, world.activities.losses
