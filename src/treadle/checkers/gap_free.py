"""The promise: the seqs of a log are 1, 2, 3 ... without gap or repeat."""

from __future__ import annotations

from collections.abc import Iterable

from treadle.checkers.violation import VIOLATIONS_MAX, Violation
from treadle.events import WorkflowEvent


def gap_free(
    workflow_id: str, events: Iterable[WorkflowEvent], *, first_seq: int = 1, next_seq: int | None = None
) -> list[Violation]:
    """Check that a log's events stand at consecutive seqs.

    Args:
        workflow_id: the log.
        events: all its events, in the order they were read; looked at once, never kept.
        first_seq: the seq of the first one; above 1 when retention has cut the log.
        next_seq: the seq the log says it takes next, or None not to compare it.

    Returns:
        A violation for each place where the seqs do not rise by one.
    """
    violations: list[Violation] = []
    expected = first_seq
    for event in events:
        if event.seq != expected and len(violations) < VIOLATIONS_MAX:
            violations.append(
                Violation("gap_free", workflow_id, event.seq, f"expected seq {expected}, found {event.seq}")
            )
        expected = event.seq + 1
    if next_seq is not None and expected != next_seq:
        message = f"the log says its next seq is {next_seq}, its events end before {expected}"
        violations.append(Violation("gap_free", workflow_id, expected, message))
    return violations
