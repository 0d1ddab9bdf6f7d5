"""The promise: each log behaves as if its operations happened one at a time, in the order of real time.

Finding such an order is hard for registers and easy for logs, because the log at the end tells the order of
the appends. What an operation did or saw gives it its *rank* in that order: an append that begins at seq s
stands at 2s-1, whoever saw k events stands at 2k, behind the append of seq k and before that of seq k+1. A
batch is appended at once, so nobody may have seen a part of it.

An order that keeps ranks and real time exists exactly if no operation ended before another one began that
has a lower rank. Suppose real time and ranks contradict each other in a longer ring: as ranks only rise
along the one, some step of the other must lead from a higher rank to a lower one, and that step alone is
a pair. So one sweep over begins and ends is enough, with the greatest rank that has ended so far.

An empty stretch read from seq f says only that the log was not longer than f-1: it has a greatest rank and
no least one, and is held against those that ended before it, since behind the last of them it may stand.
An operation without an answer has no end, and counts only if its marks are there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from treadle.checkers.operations import History, Operation, Read, Write
from treadle.checkers.placing import NOBODY, PlacedLog, placed_logs, seen_length
from treadle.checkers.violation import Findings, Violation


def linearizable(history: History) -> list[Violation]:
    """Check that each log is linearizable.

    Units over several logs are looked at log by log; whether they are atomic is `serializable`'s to say.

    Args:
        history: what clients did and what the logs hold.

    Returns:
        A violation for each mark that is not where it belongs, each read that shows what never was, and
        each operation that stands behind one that began only after its end.
    """
    findings = Findings("linearizable")
    logs = placed_logs(history)
    parts: dict[str, list[_Part]] = {name: [] for name in logs}
    for operation in history.operations:
        for name, reads, write in _by_log(operation):
            parts[name].append((operation, reads, write))
    for name, log in logs.items():
        _check_contents(log, findings)
        _check_log(log, parts.pop(name), findings)
        if findings.full:
            break
    return findings.violations


_Part: TypeAlias = tuple[Operation, Sequence[Read], Write | None]
"""An operation, and what it saw and wrote of one log."""


def _by_log(operation: Operation) -> Iterable[tuple[str, Sequence[Read], Write | None]]:
    reads, writes = operation.reads, operation.writes
    if len(writes) == 1 and not reads:
        return ((writes[0].workflow, (), writes[0]),)
    if len(reads) == 1 and not writes:
        return ((reads[0].workflow, reads, None),)
    seen: dict[str, list[Read]] = {write.workflow: [] for write in writes}
    for read in reads:
        seen.setdefault(read.workflow, []).append(read)
    written = {write.workflow: write for write in writes}
    return [(name, of_log, written.get(name)) for name, of_log in seen.items()]


def _check_contents(log: PlacedLog, findings: Findings) -> None:
    for seq in log.repeats:
        mark = log.marks[seq - 1]
        findings.add(log.name, seq, f"{mark!r} was appended at seq {log.seqs[mark]} and stands there again")
    if NOBODY in log.owners:
        for seq, owner in enumerate(log.owners, 1):
            if owner == NOBODY:
                findings.add(
                    log.name, seq, f"{log.marks[seq - 1]!r} stands here, which nobody appended to it"
                )


class _Ranked(NamedTuple):
    """An operation's place among those of one log.

    Args:
        operation: the operation.
        least: the least rank it can have; what it forces later ones to be behind of.
        greatest: the greatest rank it can have.
    """

    operation: Operation
    least: int
    greatest: int

    def did(self, name: str) -> str:
        """Word what gives it its rank in a log."""
        if self.greatest % 2:
            return f"appended at seq {(self.greatest + 1) // 2}"
        seen = [seen_length(read) for read in self.operation.reads if read.workflow == name]
        exact = [most for fewest, most in seen if fewest == most]
        if exact:
            return f"saw {_events(exact[0])}"
        return f"saw nothing from seq {min(most for _, most in seen) + 1} on"


def _check_log(log: PlacedLog, parts: list[_Part], findings: Findings) -> None:
    ranking = _Ranking(log, findings)
    # All batches are placed before anybody's read is judged, which may have seen a part of one.
    for operation, _, write in parts:
        if write is not None:
            ranking.place(operation, write)
    for operation, reads, _ in parts:
        ranking.add(operation, reads)
    _sweep(log, ranking.ranked, findings)


class _Ranking:
    """Gives the operations of one log their ranks, and reports what can have none."""

    def __init__(self, log: PlacedLog, findings: Findings) -> None:
        self.ranked: list[_Ranked] = []
        self._log = log
        self._findings = findings
        self._anywhere = (0, 2 * len(log.marks))
        self._appended: dict[int, int] = {}
        """The operations that took place: their number, and at which seq they appended."""
        self._batch_starts: dict[int, int] = {}
        """For each length at which only a part of a batch would be there: where the batch begins."""

    def place(self, operation: Operation, write: Write) -> None:
        """Find out where an operation's batch stands."""
        log = self._log
        seqs, missing = log.landing(write)
        if operation.outcome == "refused":
            for seq in seqs:
                self._say(seq, f"{operation} was refused, and its {log.marks[seq - 1]!r} is there")
            return
        if missing and (seqs or operation.outcome == "ok"):
            answered = "was acknowledged" if operation.outcome == "ok" else "took place in part"
            end = f"the log ends at seq {len(log.marks)} without its {missing[0]!r}"
            self._say(None, f"{operation} {answered}, and {end}")
        if not seqs:
            return
        start, size = seqs[0], len(seqs)
        if size > 1 and seqs != list(range(start, start + size)):
            self._say(start, f"{operation} appended one batch, which stands apart at seqs {_listed(seqs)}")
            return
        if write.seq is not None and write.seq != start:
            self._say(start, f"{operation} was told seq {write.seq}, and its events begin at seq {start}")
        self._appended[operation.op] = start
        for length in range(start, start + size - 1):
            self._batch_starts[length] = start

    def add(self, operation: Operation, reads: Sequence[Read]) -> None:
        """Rank an operation, if it took place and something is known of its place."""
        start = self._appended.get(operation.op)
        if start is None and operation.outcome == "unknown":
            return
        seen = self._seen_by(operation, reads)
        if seen is None:
            return
        least, greatest = seen
        if start is not None:
            if not least <= 2 * start - 2 <= greatest:
                self._say(start, f"{operation} appended at seq {start} when it saw {_events(greatest // 2)}")
                return
            least = greatest = 2 * start - 1
        elif (least, greatest) == self._anywhere:
            return
        self.ranked.append(_Ranked(operation, least, greatest))

    def _seen_by(self, operation: Operation, reads: Sequence[Read]) -> tuple[int, int] | None:
        least, greatest = self._anywhere
        for read in reads:
            seen = self._seen(operation, read)
            if seen is None:
                return None
            least, greatest = max(least, seen[0]), min(greatest, seen[1])
        if least > greatest:
            self._say(None, f"{operation} saw two lengths of this log at one moment")
            return None
        return least, greatest

    def _seen(self, operation: Operation, read: Read) -> tuple[int, int] | None:
        log = self._log
        differs = log.misread(read)
        if differs is not None:
            saw = (read.marks or ())[differs - read.first_seq]
            self._say(differs, f"{operation} saw {saw!r} here, and {_standing(log, differs)}")
            return None
        least, greatest = seen_length(read)
        if least > len(log.marks):
            self._say(least, f"{operation} saw {_events(least)}, and the log ends at seq {len(log.marks)}")
            return None
        if least == greatest and least in self._batch_starts:
            start = self._batch_starts[least]
            self._say(start, f"{operation} saw {_events(least)}, a part of the batch that begins at {start}")
            return None
        greatest = min(greatest, len(log.marks))
        # At most as many as a part of a batch are at most as many as before the batch.
        start = self._batch_starts.get(greatest, greatest + 1)
        return 2 * least, 2 * (start - 1)

    def _say(self, seq: int | None, message: str) -> None:
        self._findings.add(self._log.name, seq, message)


def _sweep(log: PlacedLog, operations: list[_Ranked], findings: Findings) -> None:
    ends = iter(sorted(operations, key=_end))
    candidate = next(ends, None)
    highest = None
    for ranked in sorted(operations, key=_begin):
        while candidate is not None and _end(candidate) < ranked.operation.begin:
            if highest is None or candidate.least > highest.least:
                highest = candidate
            candidate = next(ends, None)
        if highest is not None and highest.least > ranked.greatest:
            seq = (ranked.greatest + 1) // 2 if ranked.greatest % 2 else ranked.greatest // 2 or None
            findings.add(
                log.name,
                seq,
                f"{ranked.operation} {ranked.did(log.name)}, though {highest.operation}, which had ended"
                f" before, {'had ' if highest.least % 2 else ''}{highest.did(log.name)}",
            )


def _begin(ranked: _Ranked) -> int:
    return ranked.operation.begin


def _end(ranked: _Ranked) -> float:
    operation = ranked.operation
    return math.inf if operation.outcome == "unknown" or operation.end is None else operation.end


def _events(length: int) -> str:
    return f"{length:,} event{'' if length == 1 else 's'}"


def _listed(seqs: list[int]) -> str:
    shown = ", ".join(str(seq) for seq in seqs[:10])
    return shown if len(seqs) <= 10 else f"{shown} ..."


def _standing(log: PlacedLog, seq: int) -> str:
    if seq > len(log.marks):
        return f"the log ends at seq {len(log.marks)}"
    return f"{log.marks[seq - 1]!r} stands there"
