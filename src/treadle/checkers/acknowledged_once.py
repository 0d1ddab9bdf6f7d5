"""The promise: what was acknowledged is there exactly once; what was not, at most once."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable

from treadle.checkers.violation import VIOLATIONS_MAX, Violation


def acknowledged_once(
    workflow_id: str, acknowledged: Collection[Hashable], found: Iterable[tuple[int, Hashable]]
) -> list[Violation]:
    """Check a log against what its writers were told.

    Args:
        workflow_id: the log.
        acknowledged: the marks of the events whose writers got an answer; each mark names one event.
        found: for each event of the log that carries a mark its seq and the mark; looked at once.

    Returns:
        A violation for each acknowledged mark that is missing, and for each mark found again.
    """
    first_seen: dict[Hashable, int] = {}
    violations: list[Violation] = []
    for seq, mark in found:
        if mark in first_seen:
            message = f"expected {mark!r} once, found it at seq {first_seen[mark]} and again"
            violations.append(Violation("acknowledged_once", workflow_id, seq, message))
        else:
            first_seen[mark] = seq
    violations += [
        Violation("acknowledged_once", workflow_id, None, f"{mark!r} was acknowledged and is not there")
        for mark in acknowledged
        if mark not in first_seen
    ]
    return violations[:VIOLATIONS_MAX]
