"""Two logs of one rehearsal, held against each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from treadle.engine.commands import default_child_id
from treadle.engine.differences import describe
from treadle.engine.records import RECORD_BY_KIND, UNSEEN_KINDS
from treadle.events import EventKind, WorkflowEvent
from treadle.testing.workflows.paranoia import ReplayDifferenceError

Line = tuple[str, str]
"""What an event is, and the event in words."""

_ATTEMPTS = re.compile(r"failed after \d+ attempts?\b")
_REFERENCES = ("seq", "timers", "previous_run", "updates", "attempt", "seed", "parent")
"""Fields that follow from where an event stands, or from how many attempts there were."""


def check_same_logs(
    expected: Mapping[str, Sequence[WorkflowEvent]],
    actual: Mapping[str, Sequence[WorkflowEvent]],
    trial: str,
) -> None:
    """Require that two rehearsals have written the same, to the byte.

    Args:
        expected: the logs of the undisturbed one.
        actual: the logs of the other.
        trial: what the other was put through, in words.

    Raises:
        ReplayDifferenceError: they differ; it tells the first event that does.
    """
    for workflow_id, events in expected.items():
        found = actual.get(workflow_id, ())
        _check(
            workflow_id, events, found, [_whole(event) for event in events], list(map(_whole, found)), trial
        )


def check_same_course(
    workflow_id: str, expected: Sequence[WorkflowEvent], actual: Sequence[WorkflowEvent], trial: str
) -> None:
    """Require that two logs have the same inputs and commands, in the same order.

    Attempt events, times, seqs and seeds are left out: a lost attempt adds an event, and all of them move.
    Behind a CONTINUED only kinds and names are compared, because the next run's chance comes from where it
    begins.

    Args:
        workflow_id: whose logs.
        expected: the undisturbed one.
        actual: the other.
        trial: what the other was put through, in words.

    Raises:
        ReplayDifferenceError: they differ; it tells the first event that does.
    """
    kept = [[event for event in events if event.kind not in UNSEEN_KINDS] for events in (expected, actual)]
    _check(workflow_id, kept[0], kept[1], _course(workflow_id, kept[0]), _course(workflow_id, kept[1]), trial)


def _check(
    workflow_id: str,
    expected: Sequence[WorkflowEvent],
    actual: Sequence[WorkflowEvent],
    expected_lines: list[Any],
    actual_lines: list[Any],
    trial: str,
) -> None:
    if expected_lines == actual_lines:
        return
    place = next(
        (
            place
            for place, (one, other) in enumerate(zip(expected_lines, actual_lines, strict=False))
            if one != other
        ),
        min(len(expected), len(actual)),
    )
    before = _shown(expected, place)
    after = _shown(actual, place)
    raise ReplayDifferenceError(
        f"workflow {workflow_id!r}, {trial}: its log is to be the same as without",
        workflow_id=workflow_id,
        differences=((f"event {place + 1}", before, after),),
    )


def _shown(events: Sequence[WorkflowEvent], place: int) -> str:
    if place >= len(events):
        return "nothing"
    event = events[place]
    return f"seq {event.seq} at {event.timestamp}: {describe(event.kind, event.payload)}"


def _whole(event: WorkflowEvent) -> tuple[int, int, int, bytes]:
    return event.seq, event.timestamp, int(event.kind), event.payload


def _course(workflow_id: str, events: Sequence[WorkflowEvent]) -> list[Any]:
    places = {event.seq: place for place, event in enumerate(events)}
    rename = _renaming(workflow_id, events, places)
    lines: list[Any] = []
    is_next_run = False
    for event in events:
        fields = _fields(event.kind, rename(event.payload.decode(errors="replace")), places)
        lines.append((event.kind.name, fields.get("name"), None if is_next_run else fields))
        is_next_run = is_next_run or event.kind is EventKind.CONTINUED
    return lines


def _renaming(
    workflow_id: str, events: Sequence[WorkflowEvent], places: Mapping[int, int]
) -> Callable[[str], str]:
    """Name children by their place wherever their id stands, which is made from a seq."""
    ids: dict[str, str] = {
        default_child_id(workflow_id, event.seq): f"{workflow_id}/place {places[event.seq]}"
        for event in events
        if event.kind is EventKind.CHILD_SCHEDULED
    }
    if not ids:
        return _without_attempts
    pattern = re.compile("|".join(rf"{re.escape(name)}(?!\d)" for name in ids))
    return lambda text: pattern.sub(lambda found: ids[found[0]], _without_attempts(text))


def _without_attempts(text: str) -> str:
    """Leave out how many attempts an activity took, which its error tells."""
    return _ATTEMPTS.sub("failed after some attempts", text)


def _fields(kind: EventKind, payload: str, places: Mapping[int, int]) -> dict[str, Any]:
    if kind not in RECORD_BY_KIND:
        return {"payload": payload}
    fields: dict[str, Any] = msgspec.json.decode(payload)
    found = {name: value for name, value in fields.items() if name not in _REFERENCES}
    if isinstance(seq := fields.get("seq"), int):
        found["place"] = places.get(seq)
    if "timers" in fields:
        found["places"] = [places.get(timer) for timer in fields["timers"]]
    return found
