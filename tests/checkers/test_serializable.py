"""`serializable` finds each anomaly by its name, and tells its shortest cycle edge by edge."""

import pytest
from planted import length, op, saw, wrote

from treadle.checkers import VIOLATIONS_MAX, History, serializable

PLANTED = {
    "G0": (
        [op(0, 9, wrote("a", "1"), wrote("b", "2")), op(0, 9, wrote("a", "3"), wrote("b", "4"))],
        "13",
        "42",
    ),
    "G0 in one log": ([op(0, 9, wrote("a", "12")), op(0, 9, wrote("a", "3"))], "132", ""),
    "G1a": ([op(0, 9, wrote("a", "1"), outcome="refused"), op(0, 9, saw("a", "1"))], "", ""),
    "G1a of nobody's": ([op(0, 9, saw("a", "1"))], "", ""),
    "G1a in the log": ([op(0, 9, wrote("a", "1"), outcome="refused")], "1", ""),
    "G1a of another log's": ([op(0, 9, wrote("b", "1")), op(0, 9, saw("a", "1"))], "", "1"),
    "G1a counted": ([op(0, 9, length("a", 1))], "", ""),
    "G1b": ([op(0, 9, wrote("a", "12")), op(0, 9, saw("a", "1"))], "12", ""),
    "G1b counted": ([op(0, 9, wrote("a", "12")), op(0, 9, length("a", 1))], "12", ""),
    "G1b of a torn unit": ([op(0, 9, wrote("a", "1"), wrote("b", "2"), outcome="unknown")], "1", ""),
    "G1c": (
        [op(0, 9, wrote("a", "1"), saw("b", "2")), op(0, 9, wrote("b", "2"), saw("a", "1"))],
        "1",
        "2",
    ),
    "G1c with itself": ([op(0, 9, saw("a", "1"), wrote("a", "1"))], "1", ""),
    "G-single": (
        [op(0, 9, wrote("a", "1"), wrote("b", "2")), op(0, 9, saw("a", "1"), saw("b", ""))],
        "1",
        "2",
    ),
    "G-single of a stale guard": (
        [op(0, 9, wrote("a", "1")), op(0, 9, length("a", 0), wrote("a", "2"))],
        "12",
        "",
    ),
    "G-single of a seq": ([op(0, 9, wrote("a", "1")), op(0, 9, wrote("a", "2", 1))], "12", ""),
    "G2": (
        [op(0, 9, length("a", 0), wrote("b", "1")), op(0, 9, length("b", 0), wrote("a", "2"))],
        "2",
        "1",
    ),
    "G0-realtime": ([op(0, 1, wrote("a", "1")), op(2, 3, wrote("a", "2"))], "21", ""),
    "G1c-realtime": ([op(0, 1, saw("a", "1")), op(2, 3, wrote("a", "1"))], "1", ""),
    "G-single-realtime": ([op(0, 1, wrote("a", "1")), op(2, 3, saw("a", ""))], "1", ""),
    "G2-realtime": (
        [
            op(2, 9, saw("a", "")),
            op(0, 9, saw("b", ""), wrote("a", "1")),
            op(0, 1, wrote("b", "2")),
        ],
        "1",
        "2",
    ),
    "lost-write": ([op(0, 9, wrote("a", "1"))], "", ""),
    "lost-write of a part": ([op(0, 9, wrote("a", "12"))], "1", ""),
    "duplicate-elements": ([op(0, 9, wrote("a", "1"))], "11", ""),
    "incompatible-order": (
        [op(0, 9, wrote("a", "1")), op(0, 9, wrote("a", "2")), op(0, 9, saw("a", "21"))],
        "12",
        "",
    ),
    "incompatible-order in a batch": ([op(0, 9, wrote("a", "12"))], "21", ""),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_anomaly_has_its_name(planted):
    operations, a, b = PLANTED[planted]

    found = serializable(History(tuple(operations), {"a": a, "b": b}))

    assert {planted.split()[0]} == {violation.anomaly for violation in found}


def test_a_cycle_that_needs_real_time_is_none_without_it():
    for planted, (operations, a, b) in PLANTED.items():
        if planted.endswith("-realtime"):
            assert [] == serializable(History(tuple(operations), {"a": a, "b": b}), real_time=False)


def test_a_cycle_is_told_edge_by_edge():
    one = op(0, 9, wrote("a", "1"), wrote("b", "2"))
    other = op(3, 4, saw("a", "1"), saw("b", ""))

    (found,) = serializable(History((one, other), {"a": "1", "b": "2"}))

    assert (
        f"serializable: b seq 1: G-single: {other} saw 'b' without seq 1, which {one} appended (rw);"
        f" {one} appended seq 1 of 'a', up to which {other} saw it (wr)" == str(found)
    )


def test_a_step_of_real_time_is_told_last():
    one, other = op(0, 1, wrote("a", "1")), op(2, 3, saw("a", ""))

    (found,) = serializable(History((one, other), {"a": "1"}))

    assert found.message.endswith(f"; {one} had ended when {other} began (real time)")


def ring(size, name="w", shared=()):
    """Units that each decided without the next one's event, the last one without the first one's."""
    parts = [
        [length(f"{name}{n}", 0), wrote(f"{name}{(n + 1) % size}", (f"{name}:{n}",))] for n in range(size)
    ]
    logs = {f"{name}{(n + 1) % size}": [f"{name}:{n}"] for n in range(size)}
    return [op(0, 9, *parts[0], *shared), *(op(0, 9, *part) for part in parts[1:])], logs, parts[0]


def test_the_shortest_cycle_is_told_of_those_that_hang_together():
    """A ring of three and a ring of twelve that share an operation are one anomaly, told by the three."""
    (_, *small), small_logs, shared = ring(3, "v")
    large, large_logs, _ = ring(12, "w", shared)

    (found,) = serializable(History((*large, *small), {**large_logs, **small_logs}))

    assert ("G2", 3) == (found.anomaly, found.message.count("(rw)"))


def test_a_long_cycle_is_told_in_part():
    operations, logs, _ = ring(30)

    (found,) = serializable(History(tuple(operations), logs))

    assert found.message.endswith("; and 22 steps more")


def test_an_unknown_operation_counts_if_it_is_there():
    unknown = op(0, 1, length("a", 1), wrote("a", "2"), wrote("b", "3"), outcome="unknown")
    late = op(5, 6, saw("a", "1"), saw("b", ""))
    first = op(0, 9, wrote("a", "1"))

    assert [] == serializable(History((first, unknown, late), {"a": "12", "b": "3"}))
    assert [] == serializable(History((first, unknown, late), {"a": "1", "b": ""}))
    torn = op(5, 6, saw("a", "12"), saw("b", ""))
    (found,) = serializable(History((first, unknown, torn), {"a": "12", "b": "3"}))
    assert "G-single" == found.anomaly


def test_what_an_operation_that_never_took_place_expected_was_seen_by_nobody():
    never = op(0, 1, saw("a", "x"), length("b", 7), wrote("a", "2"), outcome="unknown")

    assert [] == serializable(History((never,), {"a": "", "b": ""}))


def test_a_long_chain_needs_no_stack():
    """Each operation depends on the one before; a recursive search would end with a RecursionError."""
    operations = tuple(op(0, None, wrote("a", (f"m{n}",)), outcome="unknown") for n in range(5_000))
    marks = [f"m{n}" for n in range(5_000)]

    assert [] == serializable(History(operations, {"a": marks}))
    assert [] == serializable(History(operations[::-1], {"a": marks}))


def test_the_first_of_each_anomaly_is_told_however_many_others_there_are():
    lost = tuple(op(0, 1, wrote("a", (f"m{n}",))) for n in range(500))
    doubled = op(0, 9, wrote("c", "1"))
    operations, logs, _ = ring(3)
    stale = (op(0, 1, wrote("b", "2")), op(2, 3, saw("b", "")))

    found = serializable(
        History((*lost, doubled, *operations, *stale), {"a": (), "b": "2", "c": "11", **logs})
    )

    assert VIOLATIONS_MAX == len(found)
    assert {"lost-write", "duplicate-elements", "G2", "G-single-realtime"} == {one.anomaly for one in found}


def test_report_is_bounded():
    history = History(tuple(op(0, 1, wrote("a", (f"m{n}",))) for n in range(500)), {"a": ()})

    assert VIOLATIONS_MAX == len(serializable(history))
