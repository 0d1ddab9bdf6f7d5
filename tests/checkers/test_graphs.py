"""The graph's two questions are answered as a plain search answers them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.checkers.graphs import (
    ALL_KINDS,
    KIND_BITS,
    RW,
    WR,
    WW,
    Budget,
    add_edge,
    components,
    induced,
    shortest_cycle,
)

NODES_MAX = 7
edges_of_graphs = st.lists(
    st.tuples(st.integers(0, NODES_MAX - 1), st.integers(0, NODES_MAX - 1), st.sampled_from((WW, WR, RW))),
    max_size=20,
)


def graph_of(edges):
    graph = [None] * NODES_MAX
    for source, target, kind in edges:
        add_edge(graph, source, target, kind)
    return graph


def distances(edges, mask):
    """The least number of edges from each node to each, over the kinds of a mask; by Floyd and Warshall."""
    far = 1_000
    least = {(a, b): far for a in range(NODES_MAX) for b in range(NODES_MAX)}
    for source, target, kind in edges:
        if kind & mask and source != target:
            least[source, target] = 1
    for middle in range(NODES_MAX):
        for a in range(NODES_MAX):
            for b in range(NODES_MAX):
                least[a, b] = min(least[a, b], least[a, middle] + least[middle, b])
    return {pair: length for pair, length in least.items() if length < far}


@given(edges_of_graphs, st.sampled_from((WW, WW | WR, ALL_KINDS)))
@settings(max_examples=200)
def test_components_are_what_reaches_each_other(edges, mask):
    reach = distances(edges, mask)

    found = list(components(graph_of(edges), mask))

    assert list(range(NODES_MAX)) == sorted(node for component in found for node in component)
    place = {node: number for number, component in enumerate(found) for node in component}
    for a in range(NODES_MAX):
        for b in range(NODES_MAX):
            if a != b:
                assert (place[a] == place[b]) == ((a, b) in reach and (b, a) in reach)
                # What is reached has come before.
                assert (a, b) not in reach or place[b] <= place[a]


@given(edges_of_graphs, st.sampled_from((WW, WR, RW)), st.sampled_from((WW, WW | WR, ALL_KINDS)))
@settings(max_examples=200)
def test_no_cycle_is_shorter_than_the_one_found(edges, first, mask):
    reach = distances(edges, mask)
    lengths = [
        1 + reach[target, source]
        for source, target, kind in edges
        if kind & first and source != target and (target, source) in reach
    ]

    cycle = shortest_cycle(graph_of(edges), first, mask, Budget())

    assert min(lengths, default=0) == len(cycle or ())
    for (_, end, _), (begin, _, _) in zip(cycle or (), [*(cycle or ())[1:], *(cycle or ())[:1]], strict=True):
        assert end == begin
    assert all(step in edges for step in cycle or ())
    assert not cycle or cycle[0][2] == first


def test_the_search_for_the_shortest_cycle_ends_when_its_budget_is_spent():
    """A ring takes as many steps from each of its edges, and there are as many edges."""
    size, budget = 3_000, Budget(10_000)
    ring = [[(node + 1) % size << KIND_BITS | WW] for node in range(size)]

    cycle = shortest_cycle(ring, WW, WW, budget)

    assert size == len(cycle)
    assert -size < budget.steps <= 0


def test_a_spent_budget_still_gives_a_cycle():
    ring = [[(node + 1) % 5 << KIND_BITS | WW] for node in range(5)]

    assert 5 == len(shortest_cycle(ring, WW, WW, Budget(0)))


def test_an_induced_part_has_the_edges_inside_it():
    graph = graph_of([(0, 2, WW), (2, 4, WR), (4, 0, RW), (2, 0, RW)])

    part = induced(graph, [0, 2], WW | WR)

    assert [[1 << KIND_BITS | WW], []] == part
