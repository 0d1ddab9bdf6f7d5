"""The promise: what was acknowledged is there exactly once; what was not, at most once."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable

from treadle.checkers.operations import History
from treadle.checkers.violation import VIOLATIONS_MAX, Findings, Violation


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


def acknowledged_once_in(history: History) -> list[Violation]:
    """Check the logs of a history against what its clients were told.

    Args:
        history: what clients did and what the logs hold.

    Returns:
        A violation for each acknowledged mark that is missing, that is found again, or whose seq is
        another than its writer was told.
    """
    findings = Findings("acknowledged_once")
    marks: dict[str, list[str]] = {name: [] for name in history.logs}
    told: dict[str, dict[str, int]] = {}
    for operation in history.operations:
        if operation.outcome == "ok":
            for write in operation.writes:
                marks[write.workflow].extend(write.marks)
                if write.seq is not None:
                    told.setdefault(write.workflow, {}).update(
                        zip(write.marks, range(write.seq, write.seq + len(write.marks)), strict=True)
                    )
    for name, log in history.logs.items():
        acknowledged = dict.fromkeys(marks.pop(name))
        found = [(seq, mark) for seq, mark in enumerate(log, 1) if mark in acknowledged]
        for violation in acknowledged_once(name, acknowledged, found):
            findings.add(name, violation.seq, violation.message)
        expected = told.pop(name, {})
        for seq, mark in found:
            if expected.get(mark, seq) != seq:
                findings.add(name, seq, f"the writer of {mark!r} was told seq {expected[mark]}")
    return findings.violations
