"""`treadle sim run`: one world from one seed, and whether every promise held."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from treadle.cli.exits import OK, VIOLATION
from treadle.cli.options import WHOLE, OutputOption
from treadle.cli.output import counted, show_facts
from treadle.cli.sim.own import maker
from treadle.cli.sim.plans import PlanOptions, WorkloadArgument
from treadle.cli.sim.worlds import (
    again_of,
    fault_lines,
    keep_history,
    record,
    tell_violations,
    timed,
    verdict_rows,
    virtual,
)

USAGE: Final = "Usage: treadle sim run [OPTIONS] [WORKLOAD]"
EXAMPLES: Final = """Examples:

  treadle sim run
  treadle sim run workflows --workflows 50 --seed 7
  treadle sim run logs --faults crash=60000 pause --duration 3600
  treadle sim run logs --faults none --processes 3
  treadle sim run shop:Reservations --seed 17 --history 17.jsonl

Rates are thousandths: of calls, or of an hour (crash=60000 is 60 in a
virtual hour). `treadle sim faults` lists the faults, each with its reason.
"""
_SEED_MAX: Final = 2**32
_DEFAULTS: Final = PlanOptions()


def run(
    workload: WorkloadArgument = "logs",
    /,
    *,
    seed: Annotated[int | None, WHOLE, Parameter(show_default=False)] = None,
    options: PlanOptions = _DEFAULTS,
    history: Annotated[Path | None, Parameter(show_default=False, metavar="FILE")] = None,
    output: OutputOption = "table",
) -> int:
    """Run one world from one seed: real code, virtual time, faults; then hold every promise against it.

    The seed decides everything the other options leave open, so the same command gives the same history,
    byte for byte. When a promise is broken the exit code is 4, the history is saved, and the command that
    shows it again is printed.

    Args:
        workload: what clients and workflows do.
        seed: decides everything that is left open; drawn and printed if left out.
        options: the plan.
        history: where to save the history; in the current folder, and only after a violation, if left out.
        output: how the result is printed.

    Returns:
        The exit code, by the verdict.

    Raises:
        UsageError: an unknown workload or fault, an impossible rate or number.
        FailedError: the workload's module could not be imported.
        OSError: the history could not be written.
    """
    plan = options.plan(workload)
    drawn = random.SystemRandom().randrange(_SEED_MAX) if seed is None else seed
    done = timed(drawn, plan, maker(plan), watched=True)
    ran = done.run
    kept = keep_history(ran, history)
    again = again_of(ran, kept)
    tell_violations(ran, kept, again)
    told = record(done, kept, again)
    rows = {
        "world": f"{told['workload']}, seed {ran.seed}",
        "lived": f"{virtual(ran.virtual_seconds)} of virtual time, {counted(ran.appends, 'append')}",
        "decided": f"{counted(ran.decisions, 'decision')}, {done.decisions_per_second:,} a second of CPU",
        "faults made": fault_lines(ran.faults),
        **verdict_rows(ran.promises, told["promises"]),
        "history": f"{ran.digest}, {counted(ran.lines_made, 'line')}" + (f", {kept}" if kept else ""),
        "again": again,
    }
    show_facts(output, "world", told, rows)
    return OK if ran.holds else VIOLATION
