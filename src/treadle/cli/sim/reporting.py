"""`treadle sim report`: what a world, run now or saved before, says about capacity."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
from cyclopts import Parameter

from treadle.cli.exits import OK, VIOLATION, CommandError
from treadle.cli.notes import note
from treadle.cli.options import WHOLE, OutputOption
from treadle.cli.output import counted, show_facts
from treadle.cli.sim.histories import load
from treadle.cli.sim.own import maker
from treadle.cli.sim.plans import WORKLOAD_NAMES, PlanOptions, one_workload
from treadle.cli.sim.worlds import again_of, keep_history, tell_violations, timed, virtual
from treadle.sim.plotting import draw, picture_kind
from treadle.sim.reporting import NANOSECONDS, ActivityTimes, Report, Spread
from treadle.sim.reporting import report as report_of

REPORT_USAGE: Final = "Usage: treadle sim report [OPTIONS] [FILE|WORKLOAD]"
REPORT_EXAMPLES: Final = """Examples:

  treadle sim report workflows --workflows 500 --duration 3600 --faults none
  treadle sim report workflows --limits usual --activities 4 --plot size.svg
  treadle sim report sim-17-3f2a90c1.jsonl --plot size.png
  treadle sim report shop:Reservations --arrivals bursts -o json

A history is a file that exists, or ends in .jsonl. Without --limits usual a
world draws small limits from its seed, which find bugs and size nothing.
"""
_DEFAULTS: Final = PlanOptions()
_SEED_MAX: Final = 2**32


def report(
    target: Annotated[
        str,
        Parameter(name=WORKLOAD_NAMES, validator=one_workload, show_default=True, allow_leading_hyphen=False),
    ] = "workflows",
    /,
    *,
    seed: Annotated[int | None, WHOLE, Parameter(show_default=False)] = None,
    options: PlanOptions = _DEFAULTS,
    history: Annotated[Path | None, Parameter(show_default=False, metavar="FILE")] = None,
    plot: Annotated[Path | None, Parameter(show_default=False, metavar="FILE")] = None,
    output: OutputOption = "table",
) -> int:
    """Tell what a world says about capacity: latency, queueing, retries, and what time was lost to what.

    The world is one that was saved, or is run now with the options of `treadle sim run`. Times are virtual.

    Args:
        target: a saved history, or what clients and workflows do: workflows, or MODULE:name of your own.
        seed: decides everything that is left open; drawn and printed if left out.
        options: the plan; a saved history says it itself.
        history: where to save the history of a world that is run now.
        plot: where to draw a picture, by its end a PNG or an SVG.
        output: how the result is printed.

    Returns:
        The exit code; 4 when a world that was run now has broken a promise.

    Raises:
        UsageError: an unknown workload or fault, an impossible number, options beside a history, or a
            picture of another kind.
        FormatError: the file is no history.
        FailedError: the workload's module could not be imported, or what draws pictures is missing.
        OSError: a file could not be read or written.
    """
    if plot is not None:
        picture_kind(plot)
    code, again = OK, None
    if target.endswith(".jsonl") or Path(target).is_file():
        if options != _DEFAULTS or seed is not None or history is not None:
            raise CommandError(f"{target} says seed and plan itself; leave the options out")
        saved = load(Path(target))
        told = report_of(saved.lines, source=target)
        name, of_seed = saved.plan.module or saved.plan.workload, saved.seed
    else:
        plan = options.plan(target)
        drawn = random.SystemRandom().randrange(_SEED_MAX) if seed is None else seed
        run = timed(drawn, plan, maker(plan), watched=True).run
        kept = keep_history(run, history)
        again = again_of(run, kept)
        tell_violations(run, kept, again)
        code = OK if run.holds else VIOLATION
        told = report_of(run.lines)
        name, of_seed = target, run.seed
    if not told.whole:
        note("the history has no end: what follows is about its first part")
    if plot is not None:
        draw(told, plot, title=f"{name}, seed {of_seed}")
    record = {
        "workload": name,
        "seed": of_seed,
        **attrs.asdict(told, filter=lambda field, _: field.name not in {"curve", "stretches"}),
        "plot": None if plot is None else str(plot),
        "reproduce": again,
    }
    show_facts(output, "report", record, _rows(told, name, of_seed, plot, again))
    return code


def _rows(told: Report, name: str, seed: int, plot: Path | None, again: str | None) -> dict[str, Any]:
    at_once = told.at_once
    allowed = "as many as may" if at_once.allowed is None else f"{at_once.allowed:,} may"
    share = at_once.saturated / told.virtual if told.virtual else 0
    return {
        "world": f"{name}, seed {seed}",
        "lived": f"{virtual(told.virtual / NANOSECONDS)} of virtual time",
        "workflows": (
            f"{told.begun:,} began ({told.begun_per_hour:,.1f} an hour),"
            f" {_outcomes(told.ended, told.unfinished)} ({told.ended_per_hour:,.1f} an hour)"
        ),
        "workflow latency": _spread(told.latency),
        "activity latency": _spread(told.activity_latency),
        "queueing": _spread(told.queueing),
        **{one.name: list(_activity(one)) for one in told.activities},
        "at once": (
            f"{at_once.most:,} attempts at most, {at_once.mean:,.2f} in the mean; {allowed},"
            f" reached for {share:.1%} of the time"
        ),
        "activities' time": _pieces(told.pieces) or ["none"],
        "no process alive": duration(told.away),
        "store made late": f"{duration(told.store_late)}, all calls together",
        "faults": [f"{count:,} {fault}" for fault, count in told.faults.items()] or ["none"],
        "unseen": counted(told.unseen, "attempt") if told.unseen else None,
        "plot": None if plot is None else str(plot),
        "again": again,
    }


def _activity(one: ActivityTimes) -> Iterator[str]:
    yield (
        f"{one.scheduled:,} scheduled, {_outcomes(one.ended, one.unfinished)};"
        f" {counted(one.attempts, 'attempt')}, {one.retries:,} of them again"
    )
    yield f"latency {_spread(one.latency)}"
    yield f"queueing {_spread(one.queueing)}"
    yield f"running {_spread(one.running)}"


def _outcomes(ended: Mapping[str, int], unfinished: int) -> str:
    words = [f"{count:,} {outcome}" for outcome, count in ended.items()]
    return ", ".join([*words, f"{unfinished:,} unfinished"] if unfinished or not words else words)


def _spread(of: Spread) -> str:
    if not of.count:
        return "of none"
    values = (("p50", of.p50), ("p90", of.p90), ("p99", of.p99), ("max", of.max))
    return ", ".join(f"{word} {duration(value)}" for word, value in values)


def _pieces(pieces: Mapping[str, int]) -> list[str]:
    total = sum(pieces.values())
    return [f"{spent / total:.1%} {cause} ({duration(spent)})" for cause, spent in pieces.items()]


def duration(nanoseconds: int) -> str:
    """Word a time.

    Args:
        nanoseconds: how long.

    Returns:
        ``350 ms``, ``12.4 s``, or ``1:02:03`` from ten minutes on.
    """
    if nanoseconds < NANOSECONDS:
        return f"{nanoseconds / 1_000_000:.0f} ms"
    seconds = nanoseconds / NANOSECONDS
    return f"{seconds:.1f} s" if seconds < 600 else virtual(seconds)
