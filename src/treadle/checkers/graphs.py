"""What is asked of a graph of operations: its strongly connected parts, and its shortest cycles.

A graph is a list: for each node its edges as whole numbers, ``target << KIND_BITS | kind``, or None where it
has none. Kinds are single bits, so that a mask chooses among them. Nothing here recurses: a chain of a
million operations is a usual graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

WW: Final = 1
WR: Final = 2
RW: Final = 4
KIND_BITS: Final = 3
ALL_KINDS: Final = WW | WR | RW

Graph: TypeAlias = list[list[int] | None]
Step: TypeAlias = tuple[int, int, int]
"""From a node, to a node, by an edge of a kind."""

STEPS_MAX: Final = 2_000_000
"""How many edges are looked at in search of the shortest cycles. It takes a search from each edge of a
component; without a bound, one of a hundred thousand operations would take hours."""


class Budget:
    """How many edges may still be looked at.

    Attributes:
        steps: how many.
    """

    def __init__(self, steps: int = STEPS_MAX) -> None:
        self.steps = steps

    @property
    def spent(self) -> bool:
        """Whether none may."""
        return self.steps <= 0


def add_edge(graph: Graph, source: int, target: int, kind: int) -> None:
    """Add an edge, unless it leads back to where it begins.

    Args:
        graph: changed.
        source: from where.
        target: to where.
        kind: a bit.
    """
    if source == target:
        return
    edges = graph[source]
    if edges is None:
        graph[source] = [target << KIND_BITS | kind]
    else:
        edges.append(target << KIND_BITS | kind)


def components(graph: Graph, mask: int = ALL_KINDS) -> Iterator[list[int]]:
    """Tarjan's strongly connected components, in Pearce's form, which needs one number for each node.

    Args:
        graph: the graph.
        mask: the kinds of edges that count.

    Yields:
        The nodes of each component; whatever can be reached from it has come before it.
    """
    done = len(graph) + 1
    low = [0] * len(graph)
    entered = 0
    waiting: list[int] = []
    for root in range(len(graph)):
        if low[root]:
            continue
        entered += 1
        low[root] = entered
        # A node, when it was entered, and its edges that were not looked at yet.
        path = [(root, entered, iter(graph[root] or ()))]
        while path:
            node, number, edges = path[-1]
            lowest = low[node]
            for edge in edges:
                if not edge & mask:
                    continue
                target = edge >> KIND_BITS
                reached = low[target]
                if not reached:
                    low[node] = lowest
                    entered += 1
                    low[target] = entered
                    path.append((target, entered, iter(graph[target] or ())))
                    break
                lowest = min(lowest, reached)
            else:
                path.pop()
                if path:
                    parent = path[-1][0]
                    low[parent] = min(low[parent], lowest)
                if lowest < number:
                    low[node] = lowest
                    waiting.append(node)
                    continue
                component = [node]
                low[node] = done
                while waiting and number <= low[waiting[-1]] < done:
                    component.append(waiting.pop())
                    low[component[-1]] = done
                yield component


def induced(graph: Graph, nodes: Sequence[int], mask: int = ALL_KINDS) -> Graph:
    """Cut out some nodes and the edges among them.

    Args:
        graph: the graph.
        nodes: which; their places are the nodes of the new graph.
        mask: the kinds of edges that count.

    Returns:
        The part.
    """
    places = {node: place for place, node in enumerate(nodes)}
    return [
        [
            places[edge >> KIND_BITS] << KIND_BITS | edge & ALL_KINDS
            for edge in graph[node] or ()
            if edge & mask and edge >> KIND_BITS in places
        ]
        for node in nodes
    ]


def shortest_cycle(graph: Graph, first: int, mask: int, budget: Budget) -> list[Step] | None:
    """Find the shortest cycle that goes through an edge of some kinds, and else through others.

    Args:
        graph: the graph.
        first: the kinds of which one edge must be.
        mask: the kinds of all other edges.
        budget: when it is spent, the shortest cycle found so far is given; one search is always made.

    Returns:
        Its edges in order, or None when there is none, or none was found.
    """
    best: list[Step] | None = None
    for source, edges in enumerate(graph):
        for edge in edges or ():
            if not edge & first:
                continue
            target = edge >> KIND_BITS
            longest = len(graph) if best is None else len(best) - 2
            back = shortest_path(graph, target, source.__eq__, mask, longest, budget)
            if back is not None:
                best = [(source, target, edge & ALL_KINDS), *back]
            if budget.spent or (best is not None and len(best) == 2):
                return best
    return best


def shortest_path(
    graph: Graph, source: int, ends: Callable[[int], bool], mask: int, longest: int, budget: Budget
) -> list[Step] | None:
    """Find a shortest path.

    Args:
        graph: the graph.
        source: from where.
        ends: whether it may end at a node.
        mask: the kinds of edges that count.
        longest: how many edges it may have.
        budget: charged, but not obeyed.

    Returns:
        Its edges in order, at least one, or None when there is none.
    """
    came: dict[int, tuple[int, int]] = {}
    frontier = [source]
    for _ in range(longest):
        reached = []
        for node in frontier:
            edges = graph[node] or ()
            budget.steps -= len(edges)
            for edge in edges:
                target = edge >> KIND_BITS
                if not edge & mask or target in came:
                    continue
                came[target] = node, edge & ALL_KINDS
                if ends(target):
                    return _back(came, source, target)
                reached.append(target)
        if not reached:
            return None
        frontier = reached
    return None


def _back(came: dict[int, tuple[int, int]], source: int, target: int) -> list[Step]:
    steps: list[Step] = []
    while not steps or target != source:
        node, kind = came[target]
        steps.append((node, target, kind))
        target = node
    return steps[::-1]
