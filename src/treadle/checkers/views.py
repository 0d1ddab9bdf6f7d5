"""The promise: behind a reset a workflow goes on from where it says, and only what counts is gone on from.

What a RESET abandons is still read, and no part of the view any more: an activity that began in it has no
end behind it. This is worked out anew here, from what the events say, and not by the engine that wrote them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from treadle.checkers.durable import ENDS, STARTS
from treadle.checkers.violation import Findings, Violation
from treadle.events import EventKind, WorkflowEvent

_decode: Final = msgspec.json.decode


def counting(events: Iterable[WorkflowEvent]) -> list[WorkflowEvent]:
    """Leave out what a log's resets have abandoned, and marks.

    Args:
        events: of a durable workflow, in order.

    Returns:
        Those that count.
    """
    view: list[WorkflowEvent] = []
    for event in events:
        if event.kind is EventKind.RESET:
            at = _decode(event.payload)["at"]
            while view and view[-1].seq > at:
                view.pop()
        elif event.kind is not EventKind.BRANCHED:
            view.append(event)
    return view


def pending(events: Iterable[WorkflowEvent]) -> set[int]:
    """Tell which activities have begun and not ended, by what counts.

    Args:
        events: of a durable workflow, in order.

    Returns:
        The seqs of their ACTIVITY_SCHEDULED.
    """
    begun: set[int] = set()
    for event in counting(events):
        if event.kind is EventKind.ACTIVITY_SCHEDULED:
            begun.add(event.seq)
        elif event.kind in ENDS:
            begun.discard(_decode(event.payload)["seq"])
    return begun


def views(name: str, events: Sequence[WorkflowEvent]) -> list[Violation]:
    """Check that each reset goes back to what counts, and that nothing goes on from what it has abandoned.

    Args:
        name: the workflow.
        events: all that its log keeps.

    Returns:
        What was broken.
    """
    findings = Findings("views")
    for place, event in enumerate(events):
        if event.kind is EventKind.RESET:
            _check_reset(name, events[:place], event, findings)
        elif event.kind is EventKind.BRANCHED:
            at = _decode(event.payload)["at"]
            if at != event.seq - 1:
                findings.add(name, event.seq, f"BRANCHED says that {at} is shared, and stands at {event.seq}")
    _check_answers(name, events, findings)
    return findings.violations


def _check_reset(
    name: str, before: Sequence[WorkflowEvent], reset: WorkflowEvent, findings: Findings
) -> None:
    told = _decode(reset.payload)
    view = counting(before)
    if told["at"] not in {event.seq for event in view}:
        findings.add(name, reset.seq, f"it goes back to seq {told['at']}, which does not count or is gone")
        return
    starts = [event.seq for event in view if event.kind in STARTS and event.seq <= told["at"]]
    if starts[-1:] != [told["run"]]:
        message = f"it goes on in run {told['run']}, and at seq {told['at']} the run was {starts[-1:]}"
        findings.add(name, reset.seq, message)


def _check_answers(name: str, events: Sequence[WorkflowEvent], findings: Findings) -> None:
    """See that whatever ends something ends what has begun, still counts then, and has not ended."""
    open_at: dict[int, dict[int, Any]] = {}
    begun: dict[int, EventKind] = {}
    for event in events:
        if event.kind is EventKind.RESET:
            at = _decode(event.payload)["at"]
            begun = dict(open_at.get(_last_before(open_at, at), {}))
            for seq in [seq for seq in open_at if seq > at]:
                del open_at[seq]
        elif event.kind in {EventKind.ACTIVITY_SCHEDULED, EventKind.CHILD_SCHEDULED}:
            begun[event.seq] = event.kind
        elif event.kind in ENDS or event.kind in {EventKind.CHILD_COMPLETED, EventKind.CHILD_FAILED}:
            seq = _decode(event.payload)["seq"]
            if begun.pop(seq, None) is None:
                findings.add(
                    name, event.seq, f"{event.kind.name} ends seq {seq}, which is not open in the view"
                )
        if event.kind is not EventKind.BRANCHED:
            open_at[event.seq] = dict(begun)


def _last_before(seqs: Iterable[int], at: int) -> int:
    return max((seq for seq in seqs if seq <= at), default=0)
