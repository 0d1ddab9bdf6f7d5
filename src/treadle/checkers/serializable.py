"""The promise: units over several logs behave as if they happened one at a time.

This is Elle's check for lists that grow, with Adya's names. The logs at the end give the order of all events,
so `treadle.checkers.dependencies` can draw who depends on whom; the operations are serializable exactly if
that graph has no cycle. A cycle's name tells what it is made of:

============  ========================================================================================
name          what it is
============  ========================================================================================
G0            a cycle of ww: two units wrote between each other's events
G1a           an event that was refused, or never written, was seen or stands in a log
G1b           a part of a unit was seen, or is all that is there
G1c           a cycle of ww and wr: two units each saw what the other wrote
G-single      a cycle with one rw: an operation saw one log before another unit, and one after it
G2            a cycle with two or more rw: two units each decided without what the other wrote
============  ========================================================================================

Three more have Elle's names, or one in their manner: ``incompatible-order`` (events stand, or were seen, in
another order), ``duplicate-elements`` (one event at two places), ``lost-write`` (acknowledged and not there).

Every append here is strict: who begins after another's end must come after it. A cycle that needs such a
step of real time has ``-realtime`` behind its name. One such step is enough, because of two operations that
end before two others begin, one also ends before the other's begin. So a cycle is a path to an operation
that ended before the path's first began, and the least end that each operation leads to finds all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from treadle.checkers.dependencies import Dependencies
from treadle.checkers.graphs import (
    ALL_KINDS,
    KIND_BITS,
    RW,
    WR,
    WW,
    Budget,
    Graph,
    Step,
    components,
    induced,
    shortest_cycle,
    shortest_path,
)
from treadle.checkers.operations import History, Operation
from treadle.checkers.violation import VIOLATIONS_MAX, Findings, Violation

STEPS_SHOWN_MAX: Final = 8
"""How many edges of a cycle are told; a longer one says how many more it has."""


def serializable(history: History, *, real_time: bool = True) -> list[Violation]:
    """Check that all operations together are serializable, and strictly so.

    Args:
        history: what clients did and what the logs hold.
        real_time: whether an operation that ended before another began must come before it.

    Returns:
        A violation for each anomaly, with its name. Operations that hang together in cycles are one
        anomaly, told by a cycle of the first name that it fits, its shortest.
    """
    findings = Findings("serializable")
    dependencies = Dependencies(history, findings)
    cycles = _Cycles(history.operations, dependencies, findings)
    cycles.find(real_time=real_time)
    return findings.violations


class _Cycles:
    """Looks for cycles, first without real time, then with it."""

    def __init__(
        self, operations: Sequence[Operation], dependencies: Dependencies, findings: Findings
    ) -> None:
        self._operations = operations
        self._dependencies = dependencies
        self._graph: Graph = dependencies.graph
        self._findings = findings
        self._budget = Budget()

    def find(self, *, real_time: bool) -> None:
        """Report all cycles."""
        least_ends: list[float] = [math.inf] * len(self._graph) if real_time else []
        overtaken: list[int] = []
        told = 0
        for component in components(self._graph):
            if len(component) > 1 and told < VIOLATIONS_MAX:
                told += 1
                self._report(_worst_cycle(self._graph, component, self._budget))
            if real_time:
                overtaken += self._led_to(component, least_ends)
        for place in sorted(overtaken)[:VIOLATIONS_MAX]:
            self._report(self._path_back_in_time(place))
            if self._budget.spent:
                break

    def _led_to(self, component: list[int], least_ends: list[float]) -> list[int]:
        least = math.inf
        for node in component:
            operation = self._operations[node]
            if operation.outcome != "unknown" and operation.end is not None:
                least = min(least, operation.end)
            for edge in self._graph[node] or ():
                least = min(least, least_ends[edge >> KIND_BITS])
        for node in component:
            least_ends[node] = least
        if len(component) > 1:
            # These are in a cycle already, which is told without real time.
            return []
        return [node for node in component if least < self._operations[node].begin]

    def _path_back_in_time(self, place: int) -> list[Step]:
        begin = self._operations[place].begin

        def ended_before(node: int) -> bool:
            operation = self._operations[node]
            return operation.outcome != "unknown" and operation.end is not None and operation.end < begin

        path = shortest_path(self._graph, place, ended_before, ALL_KINDS, len(self._graph), self._budget)
        assert path is not None, "an operation leads to one that ended before it, and no path was found"  # noqa: S101
        return path

    def _report(self, cycle: list[Step]) -> None:
        log, seq = self._dependencies.place_of(cycle[0])
        told = [self._dependencies.told(step) for step in cycle[:STEPS_SHOWN_MAX]]
        if len(cycle) > STEPS_SHOWN_MAX:
            told.append(f"and {len(cycle) - STEPS_SHOWN_MAX:,} steps more")
        first, last = cycle[0][0], cycle[-1][1]
        name = _name(cycle)
        if first != last:
            name = f"{name}-realtime"
            told.append(
                f"{self._operations[last]} had ended when {self._operations[first]} began (real time)"
            )
        self._findings.add(log, seq, "; ".join(told), name)


def _worst_cycle(graph: Graph, component: list[int], budget: Budget) -> list[Step]:
    nodes = sorted(component)
    part = induced(graph, nodes)
    for mask, first in ((WW, WW), (WW | WR, WR)):
        for inner in components(part, mask):
            if len(inner) > 1:
                nodes = [nodes[node] for node in sorted(inner)]
                cycle = shortest_cycle(induced(part, sorted(inner), mask), first, mask, budget)
                assert cycle is not None, "each edge inside a component lies on a cycle"  # noqa: S101
                return _renamed(cycle, nodes)
    cycle = shortest_cycle(part, RW, WW | WR, budget) or shortest_cycle(part, RW, ALL_KINDS, budget)
    assert cycle is not None, "each edge inside a component lies on a cycle"  # noqa: S101
    return _renamed(cycle, nodes)


def _renamed(cycle: list[Step], nodes: list[int]) -> list[Step]:
    return [(nodes[source], nodes[target], kind) for source, target, kind in cycle]


def _name(cycle: list[Step]) -> str:
    kinds = [kind for _, _, kind in cycle]
    if kinds.count(RW) > 1:
        return "G2"
    if RW in kinds:
        return "G-single"
    return "G1c" if WR in kinds else "G0"
