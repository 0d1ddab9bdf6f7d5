"""Who depends on whom: the graph of a history's operations, as Adya and Elle draw it for lists that grow.

The logs at the end tell the order in which events were appended, so each edge is known and none is guessed:

====  ================================================================================================
edge  what it says
====  ================================================================================================
ww    the one's event stands right before the other's in a log
wr    the other saw the log at just the length to which the one had brought it
rw    the one saw the log at just the length from which the other took it on
====  ================================================================================================

Only neighbours are joined; all other dependencies follow from these, and so there are at most two edges for
each read and one for each event. What an append was told as its seq counts as a read: it tells how long the
log was. What cannot be drawn as an edge is an anomaly by itself, and reported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from treadle.checkers.graphs import RW, WR, WW, Graph, Step, add_edge
from treadle.checkers.operations import History, Operation, Read
from treadle.checkers.placing import NOBODY, PlacedLog, placed_logs, seen_length
from treadle.checkers.violation import Findings

ABORTED: Final = "G1a"
INTERMEDIATE: Final = "G1b"
CIRCULAR: Final = "G1c"
LOST: Final = "lost-write"
DUPLICATE: Final = "duplicate-elements"
ORDER: Final = "incompatible-order"


class Dependencies:
    """The graph of a history.

    Args:
        history: the history.
        findings: told what is an anomaly by itself.

    Attributes:
        graph: a node for each operation, by its place in the history.
        took_place: for each operation whether it counts.
    """

    def __init__(self, history: History, findings: Findings) -> None:
        self.graph: Graph = [None] * len(history.operations)
        self.took_place = bytearray(len(history.operations))
        self._operations = history.operations
        self._findings = findings
        self._logs = placed_logs(history)
        self._spoilt: dict[str, set[int]] = {}
        """For each log the seqs of events that belong to nobody's order."""
        self._parts: dict[str, dict[int, int]] = {}
        """For each log and length at which a part of a batch would be there: whose batch."""
        for place, operation in enumerate(history.operations):
            self._land(place, operation)
        self._writers = {name: self._writers_of(log) for name, log in self._logs.items()}
        for writers in self._writers.values():
            self._join_neighbours(writers)
        for place, operation in enumerate(history.operations):
            if self.took_place[place]:
                self._join_seen(place, operation)

    # -- what was written -------------------------------------------------------------------------------

    def _land(self, place: int, operation: Operation) -> None:
        found = missing = 0
        for write in operation.writes:
            log = self._logs[write.workflow]
            seqs, lost = log.landing(write)
            found += len(seqs)
            missing += len(lost)
            if operation.outcome == "refused":
                self._say_aborted_write(operation, log, seqs)
            elif operation.outcome == "ok" and lost:
                message = f"{operation} was acknowledged, and its {lost[0]!r} is not in the log"
                self._findings.add(log.name, None, message, LOST)
            if len(seqs) > 1 and operation.outcome != "refused":
                self._land_batch(place, operation, log, seqs)
        if operation.outcome == "unknown" and found and missing:
            message = f"of the unit of {operation} {found} events are in the logs, and {missing} are not"
            self._findings.add(operation.writes[0].workflow, None, message, INTERMEDIATE)
        self.took_place[place] = operation.outcome != "unknown" or found > 0

    def _say_aborted_write(self, operation: Operation, log: PlacedLog, seqs: list[int]) -> None:
        for seq in seqs:
            message = f"{operation} was refused, and its {log.marks[seq - 1]!r} is in the log"
            self._findings.add(log.name, seq, message, ABORTED)
            self._spoilt.setdefault(log.name, set()).add(seq)

    def _land_batch(self, place: int, operation: Operation, log: PlacedLog, seqs: list[int]) -> None:
        if seqs != sorted(seqs):
            message = f"the events of {operation} stand in another order than they were appended in"
            self._findings.add(log.name, min(seqs), message, ORDER)
        elif seqs[-1] - seqs[0] == len(seqs) - 1:
            self._parts.setdefault(log.name, {}).update(dict.fromkeys(range(seqs[0], seqs[-1]), place))

    def _writers_of(self, log: PlacedLog) -> Sequence[int]:
        spoilt = self._spoilt.setdefault(log.name, set())
        for seq in log.repeats:
            mark = log.marks[seq - 1]
            message = f"{mark!r} stands at seq {log.seqs[mark]}, and here again"
            self._findings.add(log.name, seq, message, DUPLICATE)
        spoilt.update(log.repeats)
        if NOBODY in log.owners:
            for seq, owner in enumerate(log.owners, 1):
                if owner == NOBODY:
                    message = f"{log.marks[seq - 1]!r} stands here, which nobody appended to this log"
                    self._findings.add(log.name, seq, message, ABORTED)
        if not spoilt:
            return log.owners
        return [NOBODY if seq in spoilt else owner for seq, owner in enumerate(log.owners, 1)]

    def _join_neighbours(self, writers: Sequence[int]) -> None:
        graph, before = self.graph, NOBODY
        for writer in writers:
            if writer not in (before, NOBODY):
                if before != NOBODY:
                    add_edge(graph, before, writer, WW)
                before = writer

    # -- what was seen ----------------------------------------------------------------------------------

    def _join_seen(self, place: int, operation: Operation) -> None:
        for read in operation.reads:
            log = self._logs[read.workflow]
            differs = log.misread(read)
            if differs is None:
                self._join(place, operation, log, *seen_length(read))
            else:
                self._say_misread(operation, log, read, differs)
        for write in operation.writes:
            # A write that did not take place was told nothing that anybody promised.
            if write.seq is not None and operation.outcome != "refused":
                self._join(place, operation, self._logs[write.workflow], write.seq - 1, write.seq - 1)

    def _join(self, place: int, operation: Operation, log: PlacedLog, least: int, greatest: int) -> None:
        writers = self._writers[log.name]
        if least > len(writers):
            message = f"{operation} saw {least} events, and the log ends at seq {len(writers)}"
            self._findings.add(log.name, least, message, ABORTED)
            return
        if least == greatest and least:
            before = writers[least - 1]
            if before == place:
                message = f"{operation} saw {least} events before it appended, among them its own"
                self._findings.add(log.name, least, message, CIRCULAR)
                return
            if least in self._parts.get(log.name, ()):
                message = f"{operation} saw {least} events, which is a part of the batch of"
                whose = self._operations[self._parts[log.name][least]]
                self._findings.add(log.name, least, f"{message} {whose}", INTERMEDIATE)
                return
            if before != NOBODY:
                add_edge(self.graph, before, place, WR)
        if greatest < len(writers) and writers[greatest] != NOBODY:
            add_edge(self.graph, place, writers[greatest], RW)

    def _say_misread(self, operation: Operation, log: PlacedLog, read: Read, seq: int) -> None:
        saw = (read.marks or ())[seq - read.first_seq]
        if saw in log.seqs:
            message = f"{operation} saw {saw!r} here, which stands at seq {log.seqs[saw]}"
            self._findings.add(log.name, seq, message, ORDER)
        else:
            message = f"{operation} saw {saw!r} here, which is not in the log: it was refused, lost or never"
            self._findings.add(log.name, seq, f"{message} written", ABORTED)

    # -- edges in words ---------------------------------------------------------------------------------

    def place_of(self, step: Step) -> tuple[str, int]:
        """Tell in which log an edge shows.

        Args:
            step: an edge of the graph.

        Returns:
            The workflow id, and the seq: of the other's event for ww and rw, of the one's for wr.
        """
        source, target, kind = step
        reader = self._operations[target if kind == WR else source]
        if kind == WW:
            return self._joint(source, target)
        for log, least, greatest in self._seen(reader):
            writers = self._writers[log]
            if kind == WR and least == greatest and least > 0 and writers[least - 1 : least] == [source]:
                return log, least
            if kind == RW and writers[greatest : greatest + 1] == [target]:
                return log, greatest + 1
        raise AssertionError(f"no edge of kind {kind} from {source} to {target}")

    def _joint(self, source: int, target: int) -> tuple[str, int]:
        for write in self._operations[source].writes:
            writers = self._writers[write.workflow]
            for seq in self._logs[write.workflow].landing(write)[0]:
                after = next((at for at in range(seq, len(writers)) if writers[at] != NOBODY), None)
                if after is not None and writers[after] == target:
                    return write.workflow, after + 1
        raise AssertionError(f"no joint of {source} and {target}")

    def _seen(self, operation: Operation) -> Iterator[tuple[str, int, int]]:
        for read in operation.reads:
            if self._logs[read.workflow].misread(read) is None:
                yield read.workflow, *seen_length(read)
        for write in operation.writes:
            if write.seq is not None:
                yield write.workflow, write.seq - 1, write.seq - 1

    def told(self, step: Step) -> str:
        """Word an edge.

        Args:
            step: an edge of the graph.

        Returns:
            One clause.
        """
        source, target, kind = step
        log, seq = self.place_of(step)
        one, other = self._operations[source], self._operations[target]
        if kind == WW:
            return f"{one} appended to {log!r} right before {other} appended seq {seq} (ww)"
        if kind == WR:
            return f"{one} appended seq {seq} of {log!r}, up to which {other} saw it (wr)"
        return f"{one} saw {log!r} without seq {seq}, which {other} appended (rw)"
