"""The promise: what readers and followers see is the log, in its order, without gap or repeat."""

from __future__ import annotations

from treadle.checkers.operations import History
from treadle.checkers.placing import first_difference
from treadle.checkers.violation import Findings, Violation


def followed_order(history: History) -> list[Violation]:
    """Hold what was seen, event by event, against the logs.

    What an operation without an answer names as seen is left out: nobody says that it was.

    Args:
        history: what clients and followers saw, and what the logs hold.

    Returns:
        A violation for each follower and each read, at the first event that should have been another.
    """
    findings = Findings("followed_order")
    logs = _Logs(history)
    for seen in history.followers:
        if problem := logs.problem(seen.workflow, seen.first_seq, seen.marks):
            findings.add(seen.workflow, problem[0], f"follower {seen.follower} {problem[1]}")
    for operation in history.operations:
        if operation.outcome == "unknown":
            continue
        for read in operation.reads:
            if read.marks and (problem := logs.problem(read.workflow, read.first_seq, read.marks)):
                findings.add(read.workflow, problem[0], f"{operation} {problem[1]}")
    return findings.violations


class _Logs:
    """The logs, and where each mark stands in those of which somebody saw something else."""

    def __init__(self, history: History) -> None:
        self._logs = history.logs
        self._seqs: dict[str, dict[str, int]] = {}

    def problem(self, name: str, first_seq: int, marks: tuple[str, ...]) -> tuple[int, str] | None:
        """Tell at which seq somebody saw another event than the log has, and what happened there."""
        log = self._logs.get(name, ())
        seq = first_difference(log, first_seq - 1, marks)
        if seq is None:
            return None
        saw = marks[seq - first_seq]
        expected = f"expected {log[seq - 1]!r}" if seq <= len(log) else "expected the end of the log"
        return seq, f"{expected}, saw {saw!r}, {self._told(name, seq, saw)}"

    def _told(self, name: str, seq: int, saw: str) -> str:
        if name not in self._seqs:
            log = self._logs.get(name, ())
            self._seqs[name] = dict(zip(reversed(log), range(len(log), 0, -1), strict=True))
        stands = self._seqs[name].get(saw)
        if stands is None:
            return "which is not in the log"
        if stands > seq:
            return f"which stands at seq {stands}: a gap of {stands - seq}"
        return f"which stands at seq {stands}: a repeat"
