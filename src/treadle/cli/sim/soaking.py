"""`treadle sim soak`: one world for each of many seeds, until one breaks a promise."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated, Any, Final

import trio
from cyclopts import Parameter
from cyclopts.validators import Number

from treadle.cli.exits import OK, VIOLATION, CommandError
from treadle.cli.notes import note
from treadle.cli.options import WHOLE, OutputOption, Positive
from treadle.cli.output import counted, progress, show_facts
from treadle.cli.sim.own import maker
from treadle.cli.sim.plans import MINUTES_MAX, PlanOptions, WorkloadArgument
from treadle.cli.sim.soak import Report, Seeds, Soak, soak_apart, soak_here
from treadle.cli.sim.worlds import fault_lines, verdict_rows, virtual
from treadle.sim.running import SEED_MAX

SOAK_USAGE: Final = "Usage: treadle sim soak [OPTIONS] [WORKLOAD]"
SOAK_EXAMPLES: Final = """Examples:

  treadle sim soak
  treadle sim soak workflows --seeds 1000 --jobs 2
  treadle sim soak logs --minutes 30 --jobs 4 --first 5000
  treadle sim soak shop:Reservations --stop-after 3 -o json
"""
JOBS_MAX: Final = 64
"""Each is a Python of its own; more of them measure the machine's memory."""
_SEEDS: Final = 100
_DEFAULTS: Final = PlanOptions()


def soak(
    workload: WorkloadArgument = "logs",
    /,
    *,
    seeds: Annotated[int | None, WHOLE, Parameter(validator=Positive, show_default=False)] = None,
    minutes: Annotated[
        float | None, Parameter(validator=Number(gt=0, lte=MINUTES_MAX), show_default=False)
    ] = None,
    first: Annotated[int, WHOLE, Parameter(validator=Number(gte=0, lte=SEED_MAX))] = 0,
    jobs: Annotated[int, WHOLE, Parameter(validator=Number(gte=1, lte=JOBS_MAX))] = 1,
    stop_after: Annotated[int, WHOLE, Parameter(validator=Positive)] = 1,
    options: PlanOptions = _DEFAULTS,
    output: OutputOption = "table",
) -> int:
    """Run one world for each of many seeds, and stop at the first that breaks a promise.

    For each world that breaks one the history is saved in the current folder, and the command that shows
    it again is printed; the exit code is then 4.

    Args:
        workload: what clients and workflows do.
        seeds: how many seeds; 100 if neither this nor --minutes is given.
        minutes: for how long seeds are tried; with --seeds, whichever comes first.
        first: the first seed; the others follow it.
        jobs: how many processes try seeds at once.
        stop_after: after how many worlds with a violation it stops.
        options: the plan of all worlds.
        output: how the result is printed.

    Returns:
        The exit code, by the verdict.

    Raises:
        UsageError: an unknown workload or fault, an impossible rate or number.
        FailedError: the workload's module could not be imported, or a process ended before it was done.
        OSError: a history could not be written.
    """
    plan = options.plan(workload)
    number = _SEEDS if seeds is None and minutes is None else seeds
    if number is not None and first + number - 1 > SEED_MAX:
        raise CommandError(f"seeds go up to {SEED_MAX}, got --first {first} with {number:,} of them")
    maker(plan)()  # what is wrong with it is told here, not by each process
    wanted = Seeds(first, number, None if minutes is None else minutes * 60)
    found, begun = Soak(stop_after), perf_counter()
    with progress("worlds", number) as advance:

        def told(report: Report) -> None:
            advance(1)
            if any(report.counts.values()):
                _tell(report)

        if jobs == 1:
            soak_here(plan, wanted, found, told)
        else:
            trio.run(soak_apart, plan, wanted, jobs, found, told)
    _show(found, workload, wanted, perf_counter() - begun, output)
    return VIOLATION if found.broken else OK


def _tell(report: Report) -> None:
    for violation in report.violations:
        note(f"violation: seed {report.seed}: {violation}")
    note(f"history: {report.history}\nreproduce: {report.again}")


def _show(found: Soak, workload: str, wanted: Seeds, seconds: float, output: Any) -> None:
    rate = round(found.decisions / found.cpu_seconds) if found.cpu_seconds else 0
    told = {
        "ok": not found.broken,
        "workload": workload,
        "worlds": found.worlds,
        "first_seed": wanted.first,
        "promises": found.counts,
        "broken": [
            {
                "seed": report.seed,
                "violations": report.violations,
                "history": report.history,
                "reproduce": report.again,
            }
            for report in found.broken
        ],
        "faults": found.faults,
        "decisions": found.decisions,
        "decisions_per_second": rate,
        "virtual_seconds": found.virtual_seconds,
        "seconds": round(seconds, 3),
    }
    rows = {
        "worlds": f"{counted(found.worlds, 'world')} of {workload}, seeds from {wanted.first},"
        f" in {seconds:.1f} s",
        "lived": f"{virtual(found.virtual_seconds)} of virtual time",
        "decided": f"{counted(found.decisions, 'decision')}, {rate:,} a second of CPU",
        "faults made": fault_lines(found.faults),
        **verdict_rows(found.promises, found.counts),
        "seeds that break a promise": ", ".join(str(report.seed) for report in found.broken) or "none",
        "again": [report.again for report in found.broken] or None,
    }
    show_facts(output, "soak", told, rows)
