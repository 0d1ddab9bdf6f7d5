"""The promise: nothing of one workflow is ever in another's log."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from treadle.checkers.violation import VIOLATIONS_MAX, Violation
from treadle.events import WorkflowEvent


def isolation(
    workflow_id: str, events: Iterable[WorkflowEvent], owner: Callable[[WorkflowEvent], str | None]
) -> list[Violation]:
    """Check that every marked event of a log is marked as its own.

    Args:
        workflow_id: the log.
        events: its events; looked at once, never kept.
        owner: reads from an event, by a mark its writer put into the payload, whose it is; None for an
            event that carries no mark, which says nothing.

    Returns:
        A violation for each event that is another's.
    """
    violations: list[Violation] = []
    for event in events:
        found = owner(event)
        if found is not None and found != workflow_id and len(violations) < VIOLATIONS_MAX:
            message = f"expected an event of {workflow_id!r}, found one of {found!r}"
            violations.append(Violation("isolation", workflow_id, event.seq, message))
    return violations
