"""`treadle sim search`: one world in many orders, each a few decisions away from first come, first served."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from treadle.cli.options import WHOLE, OutputOption
from treadle.cli.output import counted
from treadle.cli.sim.chosen import DEFAULTS, choose
from treadle.cli.sim.exploring import KEPT_MAX, Tried, picture
from treadle.cli.sim.plans import PlanOptions, WorkloadArgument
from treadle.cli.sim.worlds import shown_live
from treadle.sim.exploring.schedules import search_schedules

SEARCH_USAGE: Final = "Usage: treadle sim search [OPTIONS] SEED [WORKLOAD]"
SEARCH_EXAMPLES: Final = """Examples:

  treadle sim search 7 --clients 2 --operations 2 --duration 1 --faults none
  treadle sim search 7 workflows --workflows 1 --faults none --runs 5000
  treadle sim search 3 shop:Reservations --deviations 2 --faults none

Small worlds, please: each decision of a world is one at which another task
may go first. `treadle sim shrink --history FILE` makes what it finds small.
"""
DEVIATIONS_MAX: Final = 10
"""What needs more tasks to be late than this is found by seeds, in random orders."""
RUNS_WISHED_MAX: Final = 100_000_000
"""Weeks of CPU."""
_RUNS: Final = 1_000


def search(
    seed: Annotated[int, WHOLE],
    workload: WorkloadArgument = "logs",
    *,
    deviations: Annotated[int, WHOLE, Parameter(validator=Number(gte=0, lte=DEVIATIONS_MAX))] = 1,
    runs: Annotated[int, WHOLE, Parameter(validator=Number(gte=1, lte=RUNS_WISHED_MAX))] = _RUNS,
    stop_after: Annotated[int, WHOLE, Parameter(validator=Number(gte=1, lte=KEPT_MAX))] = 1,
    options: PlanOptions = DEFAULTS,
    output: OutputOption = "table",
) -> int:
    """Run a world in every order that leaves first come, first served, at most so often.

    The seed decides everything but the order. What leads to where another run has been is not gone on from.
    For each world that breaks a promise the history is saved in the current folder, and the command that
    shows it again is printed; the exit code is then 4.

    Args:
        seed: which world.
        workload: what clients and workflows do.
        deviations: how many decisions may be otherwise.
        runs: how many worlds are run at most.
        stop_after: after how many worlds with a violation it stops.
        options: the plan.
        output: how the result is printed.

    Returns:
        The exit code, by the verdict.

    Raises:
        UsageError: an unknown workload or fault, an impossible rate or number.
        FailedError: the workload's module could not be imported.
        OSError: a history could not be written.
    """
    wanted = choose(seed, workload, None, options)
    tried = Tried()
    with shown_live(lambda: picture(tried, seed, runs)):
        searched = search_schedules(
            seed,
            wanted.plan,
            deviations_max=deviations,
            runs_max=runs,
            broken_max=stop_after,
            own=wanted.make,
            told=tried.take,
        )
    facts = {
        "seed": seed,
        "workload": workload,
        "deviations": deviations,
        "states": searched.states,
        "passed_over": searched.passed_over,
        "exhausted": searched.exhausted,
    }
    left = "all there are" if searched.exhausted else "and there are more"
    rows = {
        "world": f"{workload}, seed {seed}, at most {counted(deviations, 'deviation')}",
        "orders": f"{counted(searched.runs, 'world')}, {left}",
        "states": f"{searched.states:,} met, {searched.passed_over:,} times met again and passed over",
    }
    return tried.show(output, "search", facts, rows)
