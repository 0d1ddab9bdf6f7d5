"""The promise: an operation over several logs is there whole or not at all, right behind what it has read.

What an operation has read of a log that it writes to ends where its own events begin: nobody came between.
Of logs that it only read, that nobody came between shows in the order of all operations: `serializable`.
"""

from __future__ import annotations

from treadle.checkers.operations import History, Operation
from treadle.checkers.placing import PlacedLog, placed_logs, seen_length
from treadle.checkers.unshared import unshared
from treadle.checkers.violation import Findings, Violation


def transactions(history: History) -> list[Violation]:
    """Hold each operation that writes to several logs, or reads and writes, against what is there.

    Args:
        history: what clients did and what the logs hold.

    Returns:
        A violation for each of which a part is there, and each whose events do not stand right behind what
        it has read.
    """
    findings = Findings("transactions")
    history = unshared(history)
    logs = placed_logs(history)
    for operation in history.operations:
        if is_transaction(operation):
            _check(operation, logs, findings)
    return findings.violations


def is_transaction(operation: Operation) -> bool:
    """Tell whether an operation does more than one thing at once.

    Args:
        operation: the operation.

    Returns:
        Whether it writes to several logs, or reads and writes.
    """
    return len(operation.writes) > 1 or bool(operation.writes and operation.reads)


def _check(operation: Operation, logs: dict[str, PlacedLog], findings: Findings) -> None:
    begins: dict[str, int] = {}
    missing: list[str] = []
    for write in operation.writes:
        seqs, lost = logs[write.workflow].landing(write)
        missing += lost
        if seqs:
            begins[write.workflow] = seqs[0]
    if begins and missing:
        name, seq = next(iter(begins.items()))
        message = f"of {operation} this is there, and {missing[0]!r} is not"
        findings.add(name, seq, message)
    if operation.outcome == "refused":
        return
    for read in operation.reads:
        first = begins.get(read.workflow)
        least, greatest = seen_length(read)
        if first is not None and not least <= first - 1 <= greatest:
            message = f"{operation} has read {least} events and wrote behind {first - 1}"
            findings.add(read.workflow, first, message)
