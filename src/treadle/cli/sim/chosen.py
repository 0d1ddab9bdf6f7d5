"""Which world is meant: a seed with the options of a plan, or a saved history, which says both itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from treadle.cli.exits import CommandError
from treadle.cli.notes import note
from treadle.cli.sim.histories import Saved, load
from treadle.cli.sim.own import Maker, maker
from treadle.cli.sim.plans import PlanOptions
from treadle.sim.plan import Plan
from treadle.sim.running import header

DEFAULTS: Final = PlanOptions()


@attrs.frozen
class Chosen:
    """A world that is to be run again.

    Attributes:
        seed: its seed.
        plan: its plan.
        make: makes its workload, anew each time.
        saved: its history, or None when nobody has saved it.
        changed: in what the code that made that history differs from this one's; empty for the same.
    """

    seed: int
    plan: Plan
    make: Maker
    saved: Saved | None = None
    changed: list[str] = attrs.Factory(list)


def choose(seed: int | None, workload: str, history: Path | None, options: PlanOptions) -> Chosen:
    """Find out which world is meant; what other code has made is told on stderr.

    Args:
        seed: its seed, or None.
        workload: its workload, or the default.
        history: its saved history, or None.
        options: its plan, or the defaults.

    Returns:
        The world.

    Raises:
        UsageError: an unknown workload or fault, an impossible number, or options beside a history.
        FormatError: the file is no history.
        FailedError: the workload's module could not be imported.
        OSError: the file could not be read.
    """
    if history is None:
        if seed is None:
            raise CommandError("give a SEED, or a saved history with --history FILE")
        plan = options.plan(workload)
        return Chosen(seed, plan, maker(plan))
    saved = load(history)
    if seed is not None and seed != saved.seed:
        raise CommandError(f"{history} is the history of seed {saved.seed}, got {seed}; leave one out")
    if options != DEFAULTS or workload not in {"logs", saved.plan.module or saved.plan.workload}:
        raise CommandError(f"{history} says workload and plan itself; leave the options out")
    make = maker(saved.plan)
    changed = saved.other_code(header(saved.seed, saved.plan, make()))
    for difference in changed:
        note(f"other code made this history: {difference}")
    return Chosen(saved.seed, saved.plan, make, saved, changed)
