"""The promise: what was cut is never seen again, nothing else is lost, and no log ever begins anew.

What is cut is a log's beginning, so one number tells it: the first kept seq. It rises only by cuts, and a
branch begins with its parent's. Between the begin and the end of a cut either number is right.

That what lies above is still there needs no check of its own: the log at the end holds it, or
`acknowledged_once` misses it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from treadle.checkers.operations import Branching, Cutting, History, Kept, Operation
from treadle.checkers.unshared import begun_logs
from treadle.checkers.violation import Findings, Violation


def retention(history: History) -> list[Violation]:
    """Hold what was read, told and kept against what was cut.

    Args:
        history: what clients did and what the logs hold.

    Returns:
        A violation for each event below the first kept seq that was read or written again once it had been
        cut, and each beginning that no cut explains.
    """
    findings = Findings("retention")
    beginnings = _Beginnings(history)
    for operation in history.operations:
        if operation.outcome != "unknown":
            _check_operation(operation, beginnings, findings)
    for name in history.logs:
        _check_told(beginnings, name, history.kept.get(name, 1), math.inf, math.inf, "at the end", findings)
    return findings.violations


class _Cuts:
    """One log's cuts, by when they surely had happened, and by when they may have."""

    def __init__(self) -> None:
        self._ended: list[tuple[int, int]] = []
        self._highest: list[int] | None = None
        self.began: dict[int, int] = {}
        """First kept seq -> when the first cut to it began."""

    def add(self, operation: Operation, first_seq: int) -> None:
        """Take a cut that was not refused."""
        self.began[first_seq] = min(operation.begin, self.began.get(first_seq, operation.begin))
        if operation.outcome == "ok" and operation.end is not None:
            self._ended.append((operation.end, first_seq))

    def least(self, before: float) -> int:
        """Tell the highest first kept seq of those that had ended before a moment."""
        if self._highest is None:
            self._ended.sort()
            self._highest = [1, *accumulate((first_seq for _, first_seq in self._ended), max)]
        return self._highest[bisect_left(self._ended, (before, 0))]


class _Beginnings:
    """Every log's cuts, and those of the logs that it is a branch of."""

    def __init__(self, history: History) -> None:
        self._cuts: dict[str, _Cuts] = {}
        self._parents: dict[str, tuple[Branching, Operation]] = {}
        begun = begun_logs(history)
        for operation in history.operations:
            for one in operation.lifetimes:
                if isinstance(one, Cutting) and operation.outcome != "refused":
                    self._cuts.setdefault(one.workflow, _Cuts()).add(operation, one.first_seq)
                elif isinstance(one, Branching) and begun.get(one.workflow) is one:
                    self._parents[one.workflow] = (one, operation)

    def least(self, name: str, begin: float) -> int:
        """Tell the first kept seq there surely was before an operation began."""
        return max(
            self._cuts[log].least(before) if log in self._cuts else 1
            for log, before in self._lineage(name, begin, surely=True)
        )

    def has(self, name: str, first_seq: int, end: float) -> bool:
        """Tell whether a first kept seq may have been there before an operation ended."""
        return first_seq == 1 or any(
            log in self._cuts and self._cuts[log].began.get(first_seq, math.inf) < before
            for log, before in self._lineage(name, end, surely=False)
        )

    def _lineage(self, name: str, moment: float, *, surely: bool) -> Iterable[tuple[str, float]]:
        """Name a log and those it is a branch of, each with the moment up to which its cuts count."""
        # A ring of branches is impossible, but a history may tell of one.
        seen: set[str] = set()
        while name not in seen:
            yield name, moment
            seen.add(name)
            if name not in self._parents:
                return
            branching, operation = self._parents[name]
            end = math.inf if operation.end is None or operation.outcome != "ok" else operation.end
            if surely and end >= moment and moment < math.inf:
                return  # the branch need not have been there yet
            moment = min(moment, operation.begin if surely else end)
            name = branching.parent


def _check_operation(operation: Operation, beginnings: _Beginnings, findings: Findings) -> None:
    end = math.inf if operation.end is None else operation.end
    for told in operation.lifetimes:
        if isinstance(told, Kept):
            _check_told(
                beginnings, told.workflow, told.first_seq, operation.begin, end, str(operation), findings
            )
    if operation.outcome != "ok":
        return
    for read in operation.reads:
        first = read.first_seq if read.marks is not None else read.next_seq or 1
        least = beginnings.least(read.workflow, operation.begin)
        if first < least:
            seen = "read" if read.marks is not None else "was told to be next"
            message = f"{operation}: seq {first} {seen}, and all below {least} had been cut"
            findings.add(read.workflow, first, message)
    for write in operation.writes:
        least = beginnings.least(write.workflow, operation.begin)
        if write.seq is not None and write.seq < least:
            message = f"{operation} wrote at seq {write.seq}, and all below {least} had been cut"
            findings.add(write.workflow, write.seq, message)


def _check_told(
    beginnings: _Beginnings,
    name: str,
    first_seq: int,
    begin: float,
    end: float,
    who: str,
    findings: Findings,
) -> None:
    if first_seq < (least := beginnings.least(name, begin)):
        message = f"{who}: it was kept from seq {first_seq} on, and all below {least} had been cut"
        findings.add(name, first_seq, message)
    elif not beginnings.has(name, first_seq, end):
        message = f"{who}: it was kept from seq {first_seq} on, and nobody had cut it there"
        findings.add(name, first_seq, message)
