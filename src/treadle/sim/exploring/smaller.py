"""Smaller plans: what hypothesis may choose from when a run is shrunk, and which of two runs is smaller.

A smaller plan is another world, so nothing is sure to break in it again. What can be given up is therefore
chosen apart from how far: most plans keep all but one thing of the largest, or nothing of it, and the rest
lie between.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import attrs

from treadle.sim.plan import Plan
from treadle.sim.running import Run

RATE_PARTS: Final = (0, 8, 4, 2, 1)
"""Eighths of a rate, the simplest first: a fault that is gone, then one that is as it was. Lower rates are
taken where they make fewer faults; the number itself says nothing to a reader."""
_WORD_LINES: Final = 3
"""How many lines of a history one more fault, kill or forced decision of the plan is worth to a reader."""
_SIZES: Final = ("workflows", "clients", "operations", "processes", "duration_seconds")


def size(run: Run) -> tuple[int, ...]:
    """Tell how much somebody has to take in who looks at a run.

    Args:
        run: which.

    Returns:
        Less for a smaller one: first the lines of its history and the words of its plan together; then its
        time, and how late its kills and forced decisions are. Of two that are alike in all this, the one with
        the higher rates is smaller: those that somebody has wished for.
    """
    plan = run.plan
    words = len(plan.faults) + len(plan.kills) + (0 if plan.forced is None else 1 + len(plan.forced))
    numbers = plan.workflows + plan.clients + plan.operations + plan.processes
    return (
        run.lines_made + numbers + _WORD_LINES * (words + (plan.store != "memory")),
        plan.duration_seconds,
        sum(number + late for number, late in (*plan.kills, *(plan.forced or ()))),
        -sum(plan.faults.values()),
    )


def smaller_plans(largest: Plan, rates: Mapping[str, int]) -> Any:
    """Make the strategy of all plans that are no larger than one; the simplest is the smallest.

    Args:
        largest: the one.
        rates: name of a fault -> the rate of which it gets some part.

    Returns:
        A strategy of hypothesis.
    """
    st = importlib.import_module("hypothesis.strategies")
    ways = _ways(st, largest, rates)
    names = tuple(ways)
    kept = [
        (),
        *((name,) for name in names),
        *(tuple(other for other in names if other != name) for name in names),
        names,
    ]
    return st.builds(
        lambda kept, drawn: _plan(largest, {name: drawn[name] for name in names if name not in kept}),
        st.sampled_from(kept),
        st.fixed_dictionaries(ways),
    )


_Name: TypeAlias = str | tuple[str, str | int]


def _ways(st: Any, largest: Plan, rates: Mapping[str, int]) -> dict[_Name, Any]:
    """For each part of a plan that may be smaller, the strategy of what it may be."""
    ways: dict[_Name, Any] = {
        name: st.integers(1, most) for name in _SIZES if (most := getattr(largest, name)) > 1
    }
    if largest.store != "memory":
        ways["store"] = st.sampled_from(("memory", largest.store))
    for fault in largest.faults:
        ways["fault", fault] = st.sampled_from(
            [rates[fault] * part // max(RATE_PARTS) for part in RATE_PARTS]
        )
    for place, (number, _) in enumerate(largest.kills):
        ways["kill", place] = st.none() | st.tuples(st.integers(1, number), st.booleans())
    if largest.forced is not None:
        ways["in order"] = st.booleans()
    for place, (number, late) in enumerate(largest.forced or ()):
        ways["forced", place] = st.none() | st.tuples(st.integers(1, number), st.integers(0, late))
    return ways


def _plan(largest: Plan, drawn: Mapping[_Name, Any]) -> Plan:
    """Make the plan that has what was drawn, and all the rest from the largest."""
    faults = {fault: drawn.get(("fault", fault), rate) for fault, rate in largest.faults.items()}
    forced = _left(drawn, "forced", largest.forced or ())
    return attrs.evolve(
        largest,
        **{str(name): value for name, value in drawn.items() if name in {*_SIZES, "store"}},
        faults={fault: rate for fault, rate in faults.items() if rate},
        kills=_left(drawn, "kill", largest.kills),
        forced=forced if largest.forced is not None and drawn.get("in order", True) else None,
    )


def _left(
    drawn: Mapping[_Name, Any], kind: str, pairs: tuple[tuple[int, Any], ...]
) -> tuple[tuple[int, Any], ...]:
    left = [drawn.get((kind, place), pair) for place, pair in enumerate(pairs)]
    return tuple(sorted({pair for pair in left if pair is not None}))
