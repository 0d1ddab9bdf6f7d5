"""Crashing everywhere: a plan is run once, and then once for each append and each side of its write.

Between a write and its answer lies the moment that loses or doubles, and there are only so many of them, so
they are all tried, not sampled. Pairs of crashes are too many to try all; a sample of them finds what a
recovery does to the recovery before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import attrs

from treadle.sim.draws import Draws
from treadle.sim.plan import Plan
from treadle.sim.running import Run, run_world
from treadle.sim.workloads import Workload

PAIRS_MAX: Final = 100
APPENDS_MAX: Final = 10_000
"""How many appends a run may have, so that crashing at each of them ends: hours of CPU."""


@attrs.frozen(slots=True)
class Crashed:
    """What crashing everywhere has come to.

    Attributes:
        appends: how many appends the run without crashes had.
        runs: how many runs were made with crashes.
        broken: the runs that have broken a promise; their plans hold the crashes.
        differing: the runs whose workflows have come to other results than without crashes.
    """

    appends: int
    runs: int
    broken: tuple[Run, ...]
    differing: tuple[Run, ...] = ()


def crash_everywhere(
    seed: int,
    plan: Plan,
    *,
    pairs_max: int = PAIRS_MAX,
    broken_max: int = 1,
    same_results: bool = False,
    own: Callable[[], Workload | None] = lambda: None,
    told: Callable[[Run], object] = lambda _run: None,
) -> Crashed:
    """Run a plan once, and then kill the process at every append, before and after its write.

    Args:
        seed: of all these worlds.
        plan: of all of them, but for the crashes.
        pairs_max: how many pairs of crashes are tried, drawn from the seed.
        broken_max: how many broken runs end it.
        same_results: whether workflows must return what they return without crashes. Theirs must then depend
            on nothing but their own steps: no scope that time ends, no order of tasks.
        own: makes the user's own workload, anew for each world; None where the plan's name says it all.
        told: called with each run.

    Returns:
        What it has come to.

    Raises:
        UsageError: the seed or the plan is none.
        KernelViolationError: something waited outside the kernel.
    """
    first = run_world(seed, attrs.evolve(plan, kills=()), own=own())
    told(first)
    if not first.holds:
        return Crashed(first.appends, 0, (first,))
    expected = results_of(first)
    broken: list[Run] = []
    differing: list[Run] = []
    runs = 0
    for kills in all_kills(seed, first.appends, pairs_max):
        if len(broken) + len(differing) >= broken_max:
            break
        run = run_world(seed, attrs.evolve(plan, kills=kills), own=own())
        runs += 1
        told(run)
        if not run.holds:
            broken.append(run)
        elif same_results and results_of(run) != expected:
            differing.append(run)
    return Crashed(first.appends, runs, tuple(broken), tuple(differing))


def all_kills(seed: int, appends: int, pairs_max: int = PAIRS_MAX) -> list[tuple[tuple[int, bool], ...]]:
    """List where a world is crashed, one run after the other.

    Args:
        seed: draws the pairs.
        appends: how many the run without crashes had; the first `APPENDS_MAX` are crashed at.
        pairs_max: how many pairs are drawn.

    Returns:
        The kills of each run: the number of an append, and whether after its write.
    """
    last = min(appends, APPENDS_MAX)
    single = [(number, after) for number in range(1, last + 1) for after in (False, True)]
    kills: list[tuple[tuple[int, bool], ...]] = [(one,) for one in single]
    draws = Draws(seed, "pairs of crashes")
    if len(single) > 1:
        for _ in range(pairs_max):
            one, other = sorted((draws.one_of(single), draws.one_of(single)))
            if one[0] < other[0]:
                kills.append((one, other))
    return kills


def results_of(run: Run) -> dict[str, str]:
    """Read from a history what its clients were told their workflows have returned.

    Args:
        run: of a workload that writes ``result`` lines.

    Returns:
        Workflow -> its result, as JSON.
    """
    found: dict[str, str] = {}
    for line in run.lines:
        if line.startswith(b'{"result":'):
            told = json.loads(line)
            found[told["workflow"]] = json.dumps(told["result"])
    return found
