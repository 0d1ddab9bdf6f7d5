"""What clients of raw logs were told, held against the logs that are left. Pure.

Every check takes what clients have noted, and marks with their seqs; none asks the code under test.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

import attrs

from treadle.checkers import Violation


@attrs.frozen(slots=True, kw_only=True)
class Told:
    """One operation as its client has seen it.

    Attributes:
        begin: the moment at which it began.
        end: the moment at which it was answered; None when it never was.
        outcome: ``"ok"``, ``"refused"`` (surely not written) or ``"unknown"``.
        at_ns: the virtual time of its end.
        writes: log, marks, and the seq of the first when it was told.
        seen: log, and how many events it was seen to have: by reading, or because it was told so.
        reads: log, first seq, and the marks that were read from there.
        guarded: log, and how many events it had when the unit guarded it.
        readmitted: whether it asked for no place, so that the actor tries again when others are faster.
        error: the name of what was raised.
    """

    begin: int
    end: int | None
    outcome: str
    at_ns: int = 0
    writes: Sequence[tuple[str, Sequence[str], int | None]] = ()
    seen: Sequence[tuple[str, int]] = ()
    reads: Sequence[tuple[str, int, Sequence[str]]] = ()
    guarded: Sequence[tuple[str, int]] = ()
    readmitted: bool = False
    error: str = ""


def nothing_twice(name: str, marks: Sequence[str]) -> list[Violation]:
    """Check that no mark stands in a log twice: unacknowledged means at most once.

    Args:
        name: the log.
        marks: all of its marks, in order.

    Returns:
        What was broken.
    """
    first: dict[str, int] = {}
    return [
        Violation("at_most_once", name, seq, f"{mark!r} stands at seq {first[mark]} and again")
        for seq, mark in enumerate(marks, 1)
        if first.setdefault(mark, seq) != seq
    ]


def whole_or_not_there(told: Iterable[Told], logs: Mapping[str, Sequence[str]]) -> list[Violation]:
    """Check that each operation's events are there together, side by side and in order, or not at all.

    Args:
        told: all operations.
        logs: each log's marks, in order.

    Returns:
        What was broken.
    """
    seq_of = {(name, mark): seq for name, marks in logs.items() for seq, mark in enumerate(marks, 1)}
    violations: list[Violation] = []
    for one in told:
        there: set[bool] = set()
        for name, marks, _ in one.writes:
            found = [seq_of.get((name, mark)) for mark in marks]
            first = found[0]
            there.add(first is not None)
            expected = [None if first is None else first + place for place in range(len(marks))]
            if found != expected:
                message = f"{list(marks)} belong together, and stand at {found}"
                violations.append(Violation("all_or_nothing", name, first, message))
        if len(there) > 1:
            names = [name for name, _, _ in one.writes]
            violations.append(
                Violation("all_or_nothing", names[0], None, f"a unit over {names} is there half")
            )
    return violations


def read_as_stored(told: Iterable[Told], logs: Mapping[str, Sequence[str]]) -> list[Violation]:
    """Check that what was read is what stands there: nothing is shown that can still vanish.

    Args:
        told: all operations.
        logs: each log's marks, in order.

    Returns:
        What was broken.
    """
    violations: list[Violation] = []
    for one in told:
        for name, first, marks in one.reads:
            stored = list(logs[name][first - 1 : first - 1 + len(marks)])
            if stored != list(marks):
                message = f"{list(marks)} was read from seq {first}, {stored} stands there"
                violations.append(Violation("read_order", name, first, message))
        for name, length in one.seen:
            if length > len(logs[name]):
                message = f"{length} events were seen, {len(logs[name])} are there"
                violations.append(Violation("read_order", name, length, message))
    return violations


def in_real_time(told: Iterable[Told]) -> list[Violation]:
    """Check that whatever one client was told is seen by everybody who asks afterwards.

    Args:
        told: all operations.

    Returns:
        What was broken.
    """
    ended: dict[str, list[tuple[int, int]]] = {}
    asked: list[tuple[int, str, int]] = []
    for one in told:
        lengths = [
            *one.seen,
            *((name, first - 1 + len(marks)) for name, first, marks in one.reads if marks or first == 1),
        ]
        asked += [(one.begin, name, length) for name, length in lengths]
        if one.end is not None:
            known = lengths
            if one.outcome == "ok":
                known = lengths + [
                    (name, seq - 1 + len(marks)) for name, marks, seq in one.writes if seq is not None
                ]
            for name, length in known:
                ended.setdefault(name, []).append((one.end, length))
    highest: dict[str, list[int]] = {}
    for name, answers in ended.items():
        answers.sort()
        highest[name] = [0, *accumulate((length for _, length in answers), max)]
    violations: list[Violation] = []
    for begin, name, length in asked:
        least = highest[name][bisect_left(ended[name], (begin, -1))] if name in ended else 0
        if length < least:
            message = f"{least} events had been told of, and who asked later saw {length}"
            violations.append(Violation("real_time", name, length + 1, message))
    return violations


def guards_held(
    told: Iterable[Told], positions: Mapping[str, Sequence[int]], logs: Mapping[str, Sequence[str]]
) -> list[Violation]:
    """Check that a unit was written only while the logs it guards were as it had seen them.

    Args:
        told: all operations.
        positions: for each log the position of each of its events in the order of all commits.
        logs: each log's marks, in order.

    Returns:
        What was broken.
    """
    violations: list[Violation] = []
    places: dict[str, dict[str, int]] = {}
    for one in told:
        if not one.guarded:
            continue
        name, marks, _ = one.writes[0]
        if name not in places:
            # From behind, so that of a mark that stands there twice the first place is told.
            places[name] = {mark: place for place, mark in reversed(list(enumerate(logs[name])))}
        place = places[name].get(marks[0])
        if place is None:
            continue
        if place >= len(positions.get(name, ())):
            violations.append(
                Violation("guards", name, place + 1, "the feed of all commits has no such event")
            )
            continue
        written_at = positions[name][place]
        for guarded, length in one.guarded:
            then = bisect_left(positions.get(guarded, ()), written_at)
            if then != length:
                message = f"a unit that has seen {length} events was written when there were {then}"
                violations.append(Violation("guards", guarded, length + 1, message))
    return violations


def refused_for_a_reason(told: Sequence[Told], *, readmissions_max: int) -> list[Violation]:
    """Check that who asked for no place is turned away only when others were faster often enough.

    Args:
        told: all operations.
        readmissions_max: how often the actor tries again.

    Returns:
        What was broken.
    """
    violations: list[Violation] = []
    rivals_of = _Rivals(told)
    for one in told:
        if not one.readmitted or one.outcome != "refused":
            continue
        name = one.writes[0][0]
        if one.error in {"SequenceGapError", "StaleSequenceError", "EventsPrunedError"}:
            message = f"{one.error} was told to one who had asked for no place"
            violations.append(Violation("refusals", name, None, message))
        elif one.error == "ConflictError":
            rivals = rivals_of.count(name, one)
            if rivals < readmissions_max:
                message = f"others were faster at most {rivals} times, expected {readmissions_max}"
                violations.append(Violation("refusals", name, None, message))
    return violations


class _Rivals:
    """Counts who was under way with the same log at the same time, in two look-ups.

    Args:
        told: all operations.
    """

    def __init__(self, told: Iterable[Told]) -> None:
        self._begins: dict[str, list[int]] = {}
        self._ends: dict[str, list[int]] = {}
        for one in told:
            for name in {written for written, _, _ in one.writes}:
                self._begins.setdefault(name, []).append(one.begin)
                if one.end is not None:
                    self._ends.setdefault(name, []).append(one.end)
        for moments in (*self._begins.values(), *self._ends.values()):
            moments.sort()

    def count(self, name: str, one: Told) -> int:
        """Count those that began before an operation ended, less those that had ended when it began.

        Args:
            name: the log.
            one: the operation; it writes to that log, and is no rival of itself.

        Returns:
            How many.
        """
        if one.end is None:
            return 0
        ended = bisect_right(self._ends.get(name, ()), one.begin)
        return bisect_left(self._begins[name], one.end) - ended - 1
