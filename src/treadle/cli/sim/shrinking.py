"""`treadle sim shrink`: a world that breaks a promise, made small."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from treadle.cli.exits import INTERRUPTED, VIOLATION
from treadle.cli.notes import note
from treadle.cli.options import WHOLE, OutputOption
from treadle.cli.output import counted, show_facts
from treadle.cli.sim.chosen import DEFAULTS, Chosen, choose
from treadle.cli.sim.plans import MINUTES_MAX, PlanOptions, WorkloadArgument
from treadle.cli.sim.worlds import (
    Timed,
    again_of,
    fault_lines,
    keep_history,
    record,
    shown_live,
    tell_violations,
    timed,
    verdict_rows,
    virtual,
)
from treadle.sim.exploring.shrinking import Shrunk
from treadle.sim.exploring.shrinking import shrink as shrink_run
from treadle.sim.running import Run

SHRINK_USAGE: Final = "Usage: treadle sim shrink [OPTIONS] [SEED] [WORKLOAD]"
SHRINK_EXAMPLES: Final = """Examples:

  treadle sim shrink --history sim-17-3f2a90c1.jsonl
  treadle sim shrink 17 shop:Reservations --faults none
  treadle sim shrink 7 workflows --workflows 50 --minutes 30

With a history its header says seed and plan, and kills and forced decisions
if there are any. Ctrl-C ends it with the smallest world that was found so far.
"""
DATABASE: Final = Path(".hypothesis/examples")
"""Where hypothesis keeps its examples anyway, in the folder of whoever tests with it."""
_MINUTES: Final = 5
_ENDED: Final = {
    "nothing smaller": "nothing smaller was found",
    "time": "the time was over; --minutes gives it more",
    "interrupted": "interrupted",
}


def shrink(
    seed: Annotated[int | None, WHOLE, Parameter(show_default=False)] = None,
    workload: WorkloadArgument = "logs",
    *,
    history: Annotated[Path | None, Parameter(show_default=False, metavar="FILE")] = None,
    minutes: Annotated[float, Parameter(validator=Number(gt=0, lte=MINUTES_MAX))] = _MINUTES,
    database: Annotated[Path, Parameter(metavar="FOLDER")] = DATABASE,
    options: PlanOptions = DEFAULTS,
    output: OutputOption = "table",
) -> int:
    """Make a world that breaks a promise small: few workflows, operations, faults, forced decisions.

    The world is run, and then many smaller ones, until none is found that breaks the same promise. The
    history of the smallest is saved in the current folder, and the command that shows it again is printed.
    The exit code is 4, because a promise is broken; 130 after Ctrl-C, with the smallest so far; 2 when the
    world breaks none.

    Args:
        seed: which world; a saved history says it itself.
        workload: what clients and workflows do; a saved history says it itself.
        history: the saved history.
        minutes: for how long smaller worlds are tried.
        database: where plans that broke a promise are kept, so that the next time begins with them.
        options: the plan; a saved history says it itself.
        output: how the result is printed.

    Returns:
        The exit code.

    Raises:
        UsageError: the world breaks no promise; an unknown workload or fault, an impossible number, options
            beside a history; or hypothesis is not installed.
        FormatError: the file is no history.
        FailedError: the workload's module could not be imported.
        OSError: a file could not be read or written.
    """
    wanted = choose(seed, workload, history, options)
    failing = timed(wanted.seed, wanted.plan, wanted.make, watched=True)
    begun = perf_counter()
    shrunk = _shrink(failing.run, wanted, minutes, database)
    _show(failing.run, shrunk, perf_counter() - begun, wanted, output)
    return INTERRUPTED if shrunk.ended == "interrupted" else VIOLATION


def _shrink(failing: Run, wanted: Chosen, minutes: float, database: Path) -> Shrunk:
    if not failing.holds:
        database.mkdir(parents=True, exist_ok=True)  # what is wrong with it is told here, not by hypothesis
    seen: list[tuple[int, Run]] = [(0, failing)]

    def told(tried: int, smallest: Run) -> None:
        seen[0] = (tried, smallest)

    with shown_live(lambda: _picture(*seen[0])):
        return shrink_run(failing, own=wanted.make, seconds=minutes * 60, database=database, told=told)


def _picture(tried: int, smallest: Run) -> str:
    plan = smallest.plan
    return (
        f"{counted(tried, 'world')} tried; smallest so far: {counted(plan.workflows, 'workflow')},"
        f" {counted(plan.clients, 'client')}, {counted(plan.operations, 'operation')} each,"
        f" {counted(len(plan.faults), 'kind')} of faults, {counted(smallest.lines_made, 'line')}"
    )


def _show(failing: Run, shrunk: Shrunk, seconds: float, wanted: Chosen, output: Any) -> None:
    run = shrunk.run
    kept = keep_history(run, None)
    again = again_of(run, kept)
    tell_violations(run, kept, again)
    if shrunk.ended == "interrupted":
        note("interrupted; this is the smallest so far")
    told = {
        **record(Timed(run, 0), kept, again),
        "tried": shrunk.tried,
        "ended": shrunk.ended,
        "seconds": round(seconds, 3),
        "sizes": {name: {"from": big, "to": small} for name, big, small in _sizes(failing, run)},
    }
    del told["decisions_per_second"]
    rows = {
        "world": f"{told['workload']}, seed {failing.seed}"
        + (f", from {wanted.saved.path}" if wanted.saved else ""),
        "tried": f"{counted(shrunk.tried, 'world')} in {seconds:.1f} s; {_ENDED[shrunk.ended]}",
        **{name: f"{big:,} -> {small:,}" for name, big, small in _sizes(failing, run) if big or small},
        "lives": f"{virtual(run.virtual_seconds)} of virtual time",
        "faults made": fault_lines(run.faults),
        **verdict_rows(run.promises, told["promises"]),
        "history": f"{run.digest}, {counted(run.lines_made, 'line')}, {kept}",
        "again": again,
    }
    show_facts(output, "shrunk", told, rows)


def _sizes(failing: Run, small: Run) -> list[tuple[str, int, int]]:
    """List what a world is measured by, before and after."""
    first, second = _measures(failing), _measures(small)
    return [(name, size, second[name]) for name, size in first.items()]


def _measures(run: Run) -> dict[str, int]:
    plan = run.plan
    return {
        "seed": run.seed,
        "workflows": plan.workflows,
        "clients": plan.clients,
        "operations each": plan.operations,
        "processes": plan.processes,
        "seconds": plan.duration_seconds,
        "kinds of faults": len(plan.faults),
        "faults": sum(run.faults.values()),
        "kills": len(plan.kills),
        "forced decisions": len(plan.forced or ()),
        "appends": run.appends,
        "decisions": run.decisions,
        "lines": run.lines_made,
    }
