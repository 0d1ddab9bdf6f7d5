"""The promise: what was not acknowledged is there once and whole, or not at all; what was refused, never."""

from __future__ import annotations

from treadle.checkers.operations import History, Operation
from treadle.checkers.placing import NOBODY, PlacedLog, placed_logs
from treadle.checkers.violation import Findings, Violation


def unacknowledged_once(history: History) -> list[Violation]:
    """Check the logs of a history against what its clients were not told.

    Args:
        history: what clients did and what the logs hold.

    Returns:
        A violation for each mark of an unknown operation that stands twice, each unit of which a part is
        there, each mark that was refused and is there, and each mark that no operation wrote at all.
    """
    findings = Findings("unacknowledged_once")
    logs = placed_logs(history)
    for operation in history.operations:
        if operation.outcome != "ok" and operation.writes:
            _check_operation(operation, logs, findings)
    for log in logs.values():
        for seq in log.repeats:
            owner = log.owners[seq - 1]
            if owner != NOBODY and history.operations[owner].outcome != "ok":
                mark = log.marks[seq - 1]
                message = f"expected {mark!r} at most once, found it at seq {log.seqs[mark]} and again"
                findings.add(log.name, seq, message)
    _check_authors(history, logs, findings)
    return findings.violations


def _check_operation(operation: Operation, logs: dict[str, PlacedLog], findings: Findings) -> None:
    found: list[tuple[str, int]] = []
    missing: list[str] = []
    for write in operation.writes:
        seqs, lost = logs[write.workflow].landing(write)
        found += [(write.workflow, seq) for seq in seqs]
        missing += lost
    if operation.outcome == "refused":
        for name, seq in found:
            message = f"{operation} was refused, and its {logs[name].marks[seq - 1]!r} is there"
            findings.add(name, seq, message)
    elif found and missing:
        name, seq = found[0]
        message = f"of the unit of {operation} this is there, and {missing[0]!r} is not"
        findings.add(name, seq, message)


def _check_authors(history: History, logs: dict[str, PlacedLog], findings: Findings) -> None:
    strangers = [
        (log.name, seq, log.marks[seq - 1])
        for log in logs.values()
        if NOBODY in log.owners
        for seq, owner in enumerate(log.owners, 1)
        if owner == NOBODY
    ]
    if not strangers:
        return
    written = {mark for operation in history.operations for write in operation.writes for mark in write.marks}
    for name, seq, mark in strangers:
        if mark not in written:
            findings.add(name, seq, f"{mark!r} is there, which no operation wrote")
