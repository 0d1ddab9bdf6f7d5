"""The promise: a branch reads as its parent's first events, then as its own, and both go on by themselves.

That nothing which is appended to the one appears in the other is `isolation`'s to say, and that a branch's
beginning is one moment of all others' is `serializable`'s: they take a branch for a log that was begun with
all that it shares (`treadle.checkers.unshared`).
"""

from __future__ import annotations

from collections.abc import Iterator

from treadle.checkers.operations import Branching, History, Operation
from treadle.checkers.violation import Findings, Violation


def branches(history: History) -> list[Violation]:
    """Hold each branch against its parent.

    Args:
        history: what clients did and what the logs hold.

    Returns:
        A violation for each shared event that is another than the parent's, each branch whose own first
        event stands elsewhere than behind them, each that shares what was not there yet, and each log that
        was begun twice.
    """
    findings = Findings("branches")
    begun: dict[str, Operation] = {}
    for operation, one in _took_place(history):
        first = begun.setdefault(one.workflow, operation)
        if first is not operation:
            message = f"{operation} began it as a branch of {one.parent!r}, and {first} had begun it too"
            findings.add(one.workflow, None, message)
            continue
        _check_place(history, operation, one, findings)
        _check_shared(history, operation, one, findings)
    _check_time(history, findings)
    return findings.violations


def _took_place(history: History) -> Iterator[tuple[Operation, Branching]]:
    for operation in history.operations:
        for one in operation.lifetimes:
            if isinstance(one, Branching) and one.mark in history.logs.get(one.workflow, ()):
                yield operation, one


def _check_place(history: History, operation: Operation, one: Branching, findings: Findings) -> None:
    seq = history.logs[one.workflow].index(one.mark) + 1
    if operation.outcome == "refused":
        findings.add(one.workflow, seq, f"{operation} was refused, and the branch is there")
    if seq != one.at + 1:
        message = f"{operation} branched at seq {one.at}, and {one.mark!r} does not stand behind it"
        findings.add(one.workflow, seq, message)


def _check_shared(history: History, operation: Operation, one: Branching, findings: Findings) -> None:
    parent, branch = history.logs.get(one.parent, ()), history.logs[one.workflow]
    for seq in range(1, one.at + 1):
        there, here = parent[seq - 1 : seq], branch[seq - 1 : seq]
        if there != here:
            message = f"{operation} shares {_told(there)} of {one.parent!r}, and {_told(here)} stands here"
            findings.add(one.workflow, seq, message)
            return


def _told(marks: tuple[str, ...]) -> str:
    return repr(marks[0]) if marks else "no event"


def _check_time(history: History, findings: Findings) -> None:
    """See that what a branch shares had been written: at the earliest when its writer began."""
    begins = {
        mark: operation.begin
        for operation in history.operations
        for mark in (
            *(mark for write in operation.writes for mark in write.marks),
            *(one.mark for one in operation.lifetimes if isinstance(one, Branching)),
        )
    }
    for operation, one in _took_place(history):
        shared = history.logs[one.workflow][one.at - 1 : one.at]
        if operation.end is not None and shared and begins.get(shared[0], 0) > operation.end:
            message = f"{operation} had ended before anybody began to write {shared[0]!r}, which it shares"
            findings.add(one.workflow, one.at, message)
