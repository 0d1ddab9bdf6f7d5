"""The promise: nothing of one workflow is ever in another's log."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from treadle.checkers.operations import History
from treadle.checkers.placing import NOBODY, placed_logs
from treadle.checkers.violation import VIOLATIONS_MAX, Findings, Violation
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


def isolation_in(history: History) -> list[Violation]:
    """Check that every mark in a log was written to that log.

    Args:
        history: what clients did and what the logs hold.

    Returns:
        A violation for each mark that was written to another log. One that nobody wrote says nothing here;
        `unacknowledged_once` reports it.
    """
    findings = Findings("isolation")
    strangers = {
        log.marks[place]: (log.name, place + 1)
        for log in placed_logs(history).values()
        if NOBODY in log.owners
        for place, owner in enumerate(log.owners)
        if owner == NOBODY
    }
    for operation in history.operations if strangers else ():
        for write in operation.writes:
            for mark in write.marks:
                if mark in strangers:
                    name, seq = strangers[mark]
                    message = f"{mark!r} stands here, which {operation} wrote to {write.workflow!r}"
                    findings.add(name, seq, message)
    return findings.violations
