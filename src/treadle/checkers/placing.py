"""Where the events of a history have come to stand: for each log, who wrote what stands at each place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from treadle.checkers.operations import History, Read, Write

NOBODY: Final = -1
"""Stands for the operation where no operation has written a mark to this log."""


@attrs.frozen(eq=False)
class PlacedLog:
    """One log at the end of a history.

    Attributes:
        name: its workflow id.
        marks: what it holds; place 0 is seq 1.
        owners: for each place the operation, by its place in the history, that has written or wanted to
            write the mark to this log; `NOBODY` where there is none.
        seqs: each mark to the first seq at which it stands.
        repeats: the seqs at which a mark stands again.
    """

    name: str
    marks: tuple[str, ...]
    owners: Sequence[int]
    seqs: dict[str, int]
    repeats: Sequence[int]

    def landing(self, write: Write) -> tuple[list[int], list[str]]:
        """Tell where a write's marks stand.

        Args:
            write: a write to this log.

        Returns:
            The seqs of the marks that are there, in the order written, and the marks that are not.
        """
        seqs = self.seqs
        found = [seqs[mark] for mark in write.marks if mark in seqs]
        return found, [] if len(found) == len(write.marks) else [m for m in write.marks if m not in seqs]

    def misread(self, read: Read) -> int | None:
        """Find the first seq at which a read shows something else than the log holds.

        Args:
            read: a read of this log.

        Returns:
            The seq, or None when it shows a stretch of the log as it is.
        """
        if not read.marks:
            return None
        start = read.first_seq - 1
        return first_difference(self.marks, start, read.marks)


def first_difference(log: tuple[str, ...], start: int, marks: tuple[str, ...]) -> int | None:
    """Compare a stretch of a log with what somebody saw of it.

    Args:
        log: all of it.
        start: the place of the first event seen, from 0.
        marks: what was seen.

    Returns:
        The first seq at which they differ, or None.
    """
    if log[start : start + len(marks)] == marks:
        return None
    return next(
        start + place + 1
        for place, mark in enumerate(marks)
        if start + place >= len(log) or log[start + place] != mark
    )


def seen_length(read: Read) -> tuple[int, int]:
    """Tell how long the log was when it was read.

    Args:
        read: what was seen.

    Returns:
        The least and the greatest length. They differ only when a stretch was empty: the log then ended
        somewhere before it.
    """
    if read.next_seq is not None:
        return read.next_seq - 1, read.next_seq - 1
    if read.marks:
        length = read.first_seq - 1 + len(read.marks)
        return length, length
    return 0, read.first_seq - 1


def placed_logs(history: History) -> dict[str, PlacedLog]:
    """Find out who wrote what stands in the logs.

    Args:
        history: the history.

    Returns:
        Workflow id to its log; also those that are only named, which are empty.
    """
    writers: dict[str, dict[str, int]] = {name: {} for name in history.logs}
    for place, operation in enumerate(history.operations):
        for write in operation.writes:
            of_log = writers.setdefault(write.workflow, {})
            for mark in write.marks:
                of_log[mark] = place
        for read in operation.reads:
            if read.workflow not in writers:
                writers[read.workflow] = {}
    return {name: _placed(name, history.logs.get(name, ()), of_log) for name, of_log in writers.items()}


def _placed(name: str, marks: tuple[str, ...], writers: dict[str, int]) -> PlacedLog:
    owners = [writers.get(mark, NOBODY) for mark in marks]
    seqs = dict(zip(reversed(marks), range(len(marks), 0, -1), strict=True))
    repeats = []
    if len(seqs) < len(marks):
        repeats = [seq for seq, mark in enumerate(marks, 1) if seqs[mark] != seq]
    return PlacedLog(name, marks, owners, seqs, repeats)
