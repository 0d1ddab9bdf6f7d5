"""The promise: what was once read stands there as long as it is kept; abandoned, shared or not.

And a branch of a durable workflow is what its parent was when it began, behind which it says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from treadle.checkers.durable import Birth
from treadle.checkers.violation import Findings, Violation
from treadle.events import EventKind, WorkflowEvent

_decode: Final = msgspec.json.decode


def unaltered(
    name: str, seen: Mapping[int, WorkflowEvent], events: Sequence[WorkflowEvent]
) -> list[Violation]:
    """Check that all that anybody has read is still there, unless it was cut.

    Args:
        name: the log.
        seen: seq -> the event, as it was first read.
        events: all that the log keeps at the end.

    Returns:
        What was broken.
    """
    findings = Findings("unaltered")
    if events:
        _compare(name, seen, events, findings, "was read")
    return findings.violations


def _compare(
    name: str,
    seen: Mapping[int, WorkflowEvent],
    events: Sequence[WorkflowEvent],
    findings: Findings,
    how: str,
) -> None:
    stored = {event.seq: event for event in events}
    for seq, event in seen.items():
        if seq >= events[0].seq and stored.get(seq) != event:
            there = stored[seq].kind.name if seq in stored else "nothing"
            findings.add(name, seq, f"{event.kind.name} {how}, and {there}, or another, stands here")


def shares_its_parent(birth: Birth, events: Sequence[WorkflowEvent]) -> list[Violation]:
    """Check that a branch has its parent's events up to where it began, and then says where it comes from.

    Args:
        birth: the branch, and what its parent held.
        events: all that the branch keeps at the end.

    Returns:
        What was broken.
    """
    findings = Findings("branches")
    if not events:
        return []
    shared = {event.seq: event for event in birth.shared}
    _compare(birth.branch, shared, events, findings, f"stood in {birth.parent!r} when it branched")
    if events[0].seq > birth.at + 1:
        return findings.violations
    place = birth.at + 1 - events[0].seq
    own = events[place] if place < len(events) else None
    if own is None or own.kind is not EventKind.BRANCHED:
        findings.add(birth.branch, birth.at + 1, "no event says that it branched here")
    elif (told := _decode(own.payload))["parent"] != birth.parent or told["at"] != birth.at:
        message = (
            f"it branched from {birth.parent!r} at {birth.at}, and says {told['parent']!r} at {told['at']}"
        )
        findings.add(birth.branch, own.seq, message)
    return findings.violations
