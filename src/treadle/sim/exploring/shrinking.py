"""Shrinking: a failing run made small, by hypothesis, which chooses the plan; the seed decides the rest.

Hypothesis (the extra `sim`) finds the smallest plan that still breaks a promise: few workflows, clients and
operations, few faults, a short time. Of each plan several seeds are tried, because a smaller world is another
world, and what a bug needs comes about in one of some of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from treadle.errors import UsageError
from treadle.sim.plan import Plan
from treadle.sim.running import Run, run_world

EXAMPLES_MAX: Final = 300
"""How many plans are tried before shrinking begins; hypothesis ends that after five minutes."""
SEEDS_TRIED: Final = 4
"""How many seeds a plan is tried with: the failing one first, then those behind it."""


@attrs.frozen(slots=True)
class Shrunk:
    """What shrinking has come to.

    Attributes:
        run: the smallest failing run that was found; the given one when none was smaller.
        tried: how many worlds were run.
    """

    run: Run
    tried: int


def shrink(
    failing: Run,
    *,
    examples_max: int = EXAMPLES_MAX,
    database: str | Path | None = None,
    run: Callable[[int, Plan], Run] = run_world,
) -> Shrunk:
    """Find a small run that breaks the same promise.

    Args:
        failing: a run that has broken one.
        examples_max: how many plans are tried before shrinking begins.
        database: the folder of hypothesis' database, in which failing plans are kept for the next time.
        run: makes a run of seed and plan; another one in tests.

    Returns:
        The smallest failing run.

    Raises:
        UsageError: the run holds all its promises, or hypothesis is not installed.
    """
    if failing.holds:
        raise UsageError(f"seed {failing.seed} breaks no promise with this plan: there is nothing to shrink")
    hypothesis = _hypothesis()
    promises = {one.promise for one in failing.violations}
    found: list[Run] = []
    tried = 0

    def breaks(plan: Plan) -> None:
        nonlocal tried
        for seed in range(failing.seed, failing.seed + SEEDS_TRIED):
            made = run(seed, plan)
            tried += 1
            if promises & {one.promise for one in made.violations}:
                found.append(made)
                raise _StillBrokenError

    settings = hypothesis.settings(
        max_examples=examples_max,
        database=None if database is None else _database(database),
        deadline=None,
        derandomize=database is None,
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    search: Any = hypothesis.given(_plans(failing.plan))(breaks)
    try:
        settings(search)()
    except _StillBrokenError:
        return Shrunk(min((failing, *found), key=_size), tried)
    return Shrunk(failing, tried)


class _StillBrokenError(Exception):
    """Tells hypothesis that a plan breaks the promise."""


def _size(run: Run) -> tuple[int, int]:
    plan = run.plan
    return (plan.workflows + plan.clients + plan.operations + len(plan.faults), run.decisions)


def _hypothesis() -> Any:
    try:
        return importlib.import_module("hypothesis")
    except ImportError:
        raise UsageError("shrinking needs hypothesis; install treadle[sim]") from None


def _database(folder: str | Path) -> Any:
    return importlib.import_module("hypothesis.database").DirectoryBasedExampleDatabase(folder)


def _plans(largest: Plan) -> Any:
    """Make the strategy of all plans that are no larger than one; the simplest is the smallest."""
    st = importlib.import_module("hypothesis.strategies")

    names = tuple(largest.faults)

    def plan(kept: tuple[bool, ...], **sizes: Any) -> Plan:
        faults = {name: largest.faults[name] for name, keeps in zip(names, kept, strict=True) if keeps}
        return attrs.evolve(largest, faults=faults, **sizes)

    return st.builds(
        plan,
        st.tuples(*(st.booleans() for _ in names)),
        workflows=st.integers(1, largest.workflows),
        clients=st.integers(1, largest.clients),
        operations=st.integers(1, largest.operations),
        duration_seconds=st.integers(1, largest.duration_seconds),
    )
