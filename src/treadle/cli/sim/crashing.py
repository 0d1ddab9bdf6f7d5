"""`treadle sim crash`: one world, killed at every append."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from treadle.cli.options import WHOLE, Flag, OutputOption
from treadle.cli.output import counted
from treadle.cli.sim.chosen import DEFAULTS, choose
from treadle.cli.sim.exploring import KEPT_MAX, Tried, picture
from treadle.cli.sim.plans import PlanOptions, WorkloadArgument
from treadle.cli.sim.worlds import shown_live
from treadle.sim.exploring.crashes import APPENDS_MAX, PAIRS_MAX, all_kills, crash_everywhere
from treadle.sim.running import Run

CRASH_USAGE: Final = "Usage: treadle sim crash [OPTIONS] SEED [WORKLOAD]"
CRASH_EXAMPLES: Final = """Examples:

  treadle sim crash 7 --faults none
  treadle sim crash 7 workflows --workflows 2 --faults none --pairs 500
  treadle sim crash 3 shop:Reservations --faults none --same-results

Each append is crashed at twice, just before its write and just after, and
then pairs of appends that are drawn from the seed. Small worlds end sooner.
"""
PAIRS_WISHED_MAX: Final = 1_000_000
"""Days of CPU."""


def crash(
    seed: Annotated[int, WHOLE],
    workload: WorkloadArgument = "logs",
    *,
    pairs: Annotated[int, WHOLE, Parameter(validator=Number(gte=0, lte=PAIRS_WISHED_MAX))] = PAIRS_MAX,
    same_results: Flag = False,
    stop_after: Annotated[int, WHOLE, Parameter(validator=Number(gte=1, lte=KEPT_MAX))] = 1,
    options: PlanOptions = DEFAULTS,
    output: OutputOption = "table",
) -> int:
    """Run a world, then kill its process at every append, before and after its write, and at pairs.

    For each world that breaks a promise the history is saved in the current folder, and the command that
    shows it again is printed; the exit code is then 4.

    Args:
        seed: which world.
        workload: what clients and workflows do.
        pairs: how many pairs of appends are tried.
        same_results: whether workflows must return what they return without crashes, which holds only
            where nothing in them depends on time or order.
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
    totals: list[int] = []

    def told(run: Run) -> None:
        if not totals:
            totals.append(1 + len(all_kills(seed, run.appends, pairs)))
        tried.take(run)

    with shown_live(lambda: picture(tried, seed, totals[0] if totals else None)):
        crashed = crash_everywhere(
            seed,
            wanted.plan,
            pairs_max=pairs,
            broken_max=stop_after,
            same_results=same_results,
            own=wanted.make,
            told=told,
        )
    for run in crashed.differing:
        tried.keep(run, ["same_results: a workflow has returned something else than without crashes"])
    facts = {
        "seed": seed,
        "workload": workload,
        "appends": crashed.appends,
        "differing": len(crashed.differing),
    }
    cut = f", the first {APPENDS_MAX:,} of them" if crashed.appends > APPENDS_MAX else ""
    rows = {
        "world": f"{workload}, seed {seed}, of {counted(crashed.appends, 'append')}{cut}",
        "crashed": f"{counted(crashed.runs, 'world')} with crashes, of {totals[0] - 1:,}",
        "same_results": _same(len(crashed.differing)) if same_results else None,
    }
    return tried.show(output, "crash", facts, rows)


def _same(differing: int) -> str:
    how = f"BROKEN {differing:,} times" if differing else "holds"
    return f"{how}: workflows return what they return without crashes"
