"""`treadle sim replay`: the same world again, held against itself byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from treadle.cli.exits import OK, VIOLATION
from treadle.cli.notes import note
from treadle.cli.options import WHOLE, OutputOption
from treadle.cli.output import counted, show_facts
from treadle.cli.sim.chosen import DEFAULTS, choose
from treadle.cli.sim.histories import Parting, Saved, parting
from treadle.cli.sim.plans import PlanOptions, WorkloadArgument
from treadle.cli.sim.worlds import (
    Timed,
    again_of,
    fault_lines,
    record,
    tell_violations,
    timed,
    verdict_rows,
    virtual,
)

REPLAY_USAGE: Final = "Usage: treadle sim replay [OPTIONS] [SEED] [WORKLOAD]"
REPLAY_EXAMPLES: Final = """Examples:

  treadle sim replay --history sim-17-3f2a90c1.jsonl
  treadle sim replay 17 shop:Reservations
  treadle sim replay 7 workflows --workflows 50 --faults none

With a history its header says seed and plan. Without one the world is run
twice, which shows whether a workload of your own is the seed's alone.
"""


def replay(
    seed: Annotated[int | None, WHOLE, Parameter(show_default=False)] = None,
    workload: WorkloadArgument = "logs",
    *,
    history: Annotated[Path | None, Parameter(show_default=False, metavar="FILE")] = None,
    options: PlanOptions = DEFAULTS,
    output: OutputOption = "table",
) -> int:
    """Run a world again and hold it, byte for byte, against its saved history, or against a second run.

    Tells the first line at which they part, and whether other code made the saved one: a seed means the
    same only with the same code. The exit code is 4 when they part, or when a promise is broken again.

    Args:
        seed: which world; a saved history says it itself.
        workload: what clients and workflows do; a saved history says it itself.
        history: the saved history.
        options: the plan; a saved history says it itself.
        output: how the result is printed.

    Returns:
        The exit code.

    Raises:
        UsageError: an unknown workload or fault, an impossible number, or options beside a history.
        FormatError: the file is no history.
        FailedError: the workload's module could not be imported.
        OSError: the file could not be read.
    """
    wanted = choose(seed, workload, history, options)
    if wanted.saved is None:
        first = timed(wanted.seed, wanted.plan, wanted.make, watched=True)
        done = timed(wanted.seed, wanted.plan, wanted.make, watched=True)
        return _show(done, parting(first.run.lines, done.run.lines), None, [], output)
    saved, changed = wanted.saved, wanted.changed
    done = timed(wanted.seed, wanted.plan, wanted.make, watched=True)
    # Other code writes another header, and that was told.
    return _show(
        done, parting(saved.lines, done.run.lines, begin=1 if changed else 0), saved, changed, output
    )


def _show(done: Timed, parted: Parting | None, saved: Saved | None, changed: list[str], output: Any) -> int:
    run = done.run
    against = "a second run" if saved is None else str(saved.path)
    again = again_of(run, saved.path if saved else None)
    tell_violations(run, saved.path if saved else None, again)
    if parted is not None:
        note(f"parted at line {parted.line:,}\n  {against}: {parted.first}\n  this run: {parted.second}")
        note(
            "other code: the seed means another world to it"
            if changed
            else "the same code and seed gave two histories: something in the world is not the seed's"
        )
    told = {
        **record(done, saved.path if saved else None, again),
        "same": parted is None,
        "parted_at_line": None if parted is None else parted.line,
        "same_code": not changed,
        "code_differences": changed,
    }
    rows = {
        "world": f"{told['workload']}, seed {run.seed}, against {against}",
        "lived": f"{virtual(run.virtual_seconds)} of virtual time, {counted(run.appends, 'append')}",
        "decided": f"{counted(run.decisions, 'decision')}, {done.decisions_per_second:,} a second of CPU",
        "faults made": fault_lines(run.faults),
        **verdict_rows(run.promises, told["promises"]),
        "code": "another version" if changed else "the same",
        "histories": (
            f"the same, {counted(run.lines_made, 'line')}, {run.digest}"
            if parted is None
            else f"part at line {parted.line:,}"
        ),
    }
    show_facts(output, "replay", told, rows)
    return OK if parted is None and run.holds else VIOLATION
