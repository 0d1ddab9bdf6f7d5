"""Soaking: seed after seed, until something breaks or enough have held."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import attrs

from treadle.sim.plan import Plan
from treadle.sim.running import SEED_MAX, Run, run_world
from treadle.sim.workloads import Workload

SEEDS_MAX: Final = 1_000_000_000
"""How many worlds a soak runs at most: years of CPU."""


@attrs.frozen(slots=True)
class Soaked:
    """What a soak has come to.

    Attributes:
        worlds: how many were run.
        decisions: how many decisions they took together.
        broken: the runs that have broken a promise, each with its seed and its plan.
    """

    worlds: int
    decisions: int
    broken: tuple[Run, ...]


def soak(
    plan_of: Callable[[int], Plan],
    *,
    first_seed: int = 0,
    worlds_max: int = SEEDS_MAX,
    seconds: float = float("inf"),
    broken_max: int = 1,
    own: Callable[[], Workload | None] = lambda: None,
    told: Callable[[Run], object] = lambda _run: None,
    clock: Callable[[], float] = time.monotonic,
) -> Soaked:
    """Run worlds until enough are broken, enough have held, or the time is over.

    Args:
        plan_of: gives the plan for a seed; so one soak may go through many kinds of worlds.
        first_seed: the first seed; the others follow by ones.
        worlds_max: how many worlds at most.
        seconds: how long at most; looked at between two worlds.
        broken_max: how many broken runs end it.
        own: makes the user's own workload, anew for each world; None where the plan's name says it all.
        told: called with each run.
        clock: tells how long it has taken.

    Returns:
        What it has come to.

    Raises:
        UsageError: a seed or a plan is none.
        KernelViolationError: something waited outside the kernel.
    """
    began, worlds, decisions = clock(), 0, 0
    broken: list[Run] = []
    for seed in range(first_seed, min(first_seed + worlds_max, SEED_MAX + 1)):
        if len(broken) >= broken_max or clock() - began >= seconds:
            break
        run = run_world(seed, plan_of(seed), own=own())
        worlds, decisions = worlds + 1, decisions + run.decisions
        told(run)
        if not run.holds:
            broken.append(run)
    return Soaked(worlds, decisions, tuple(broken))
