"""`treadle stress`: isolation under load, and whether every promise holds afterwards."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Annotated, Any, Final

import trio
from cyclopts import Parameter
from cyclopts.validators import Number

from treadle.cli.exits import OK, VIOLATION, CommandError
from treadle.cli.fresh import MEMORY, FreshStore, fresh_store
from treadle.cli.notes import note
from treadle.cli.options import WHOLE, Flag, OutputFormat, OutputOption, Positive, Share
from treadle.cli.output import counted, show_facts
from treadle.cli.stress.acts import Outcome, perform
from treadle.cli.stress.load import Load
from treadle.events import BATCH_EVENTS_MAX

EXAMPLES: Final = """Examples:

  treadle stress
  treadle stress --processes 2 --writers 2
  treadle stress --workflows 1000 --events 100 --batch 10 --duplicates 0.5
  treadle stress --duration 30 --processes 2
  treadle stress --duration 30 --processes 3 --history history.jsonl --kill 2
  treadle stress --store memory: --cancel 0.3 --seed 7 -o json
"""
DURATION_SECONDS_MAX: Final = 600
"""Every acknowledged event is remembered until it is checked; ten minutes of that fit into memory."""
PROCESSES_MAX: Final = 64
"""Each is a Python of its own; more of them measure the machine's memory."""
WRITERS_MAX: Final = 1_000_000
"""All writers of a process are tasks at once."""
_EVENTS: Final = 100
_SEED_MAX: Final = 2**32


def stress(
    *,
    workflows: Annotated[int, WHOLE, Parameter(validator=Positive)] = 100,
    events: Annotated[int | None, WHOLE, Parameter(validator=Positive)] = None,
    duration: Annotated[
        float | None, Parameter(metavar="SECONDS", validator=Number(gt=0, lte=DURATION_SECONDS_MAX))
    ] = None,
    writers: Annotated[int, WHOLE, Parameter(validator=Positive)] = 4,
    batch: Annotated[int, WHOLE, Parameter(validator=Positive)] = 1,
    duplicates: Annotated[float, Parameter(validator=Share)] = 0.1,
    cancel: Annotated[float, Parameter(validator=Share)] = 0.05,
    processes: Annotated[int, WHOLE, Parameter(validator=Number(gte=1, lte=PROCESSES_MAX))] = 1,
    seed: Annotated[int | None, WHOLE, Parameter(show_default=False)] = None,
    history: Annotated[str | None, Parameter(show_default=False, metavar="FILE")] = None,
    kill: Annotated[float | None, Parameter(metavar="SECONDS", validator=Number(gt=0, lte=600))] = None,
    keep: Flag = False,
    output: OutputOption = "table",
    store: Annotated[str | None, Parameter(show_default=False)] = None,
) -> int:
    """Write under load from many writers at once, then check that every promise holds.

    Several writers share each workflow and know nothing of each other. Some send a batch twice, some are
    cancelled while they wait and send again; with --processes, several processes do so on one file.
    Prints throughput, latency and a verdict; the exit code is 4 if a promise is broken.

    Args:
        workflows: how many workflows.
        events: how many events each workflow gets in all; 100 if left out.
        duration: write for so many seconds instead, at most 600, however many events that are.
        writers: how many writers each workflow has in each process; at most 1,000,000 over all workflows.
        batch: how many events a writer sends at once.
        duplicates: which share of the batches is sent again after its answer, from 0 to 1.
        cancel: which share of the batches has its caller cancelled, from 0 to 1.
        processes: how many processes write, at most 64.
        seed: decides who sends twice and who is cancelled; drawn and printed if left out.
        history: record what every writer did and saw in a new file, check it too, and keep it for
            treadle check.
        kill: kill each process with SIGKILL after about so many seconds, and start it again; with
            --processes and --history.
        keep: keep the temporary store, and tell where it is.
        output: how the result is printed.
        store: where to make and keep the store, or memory:; a temporary folder if left out.

    Returns:
        The exit code, by the verdict.

    Raises:
        CommandError: the options cannot be right, or the store exists.
        FailedError: a writing process ended by itself.
        StoreError: the store could not be used.
    """
    if batch > BATCH_EVENTS_MAX:
        raise CommandError(f"a batch has at most {BATCH_EVENTS_MAX} events, got --batch {batch}")
    if workflows * writers > WRITERS_MAX:
        raise CommandError(
            f"a process has at most {WRITERS_MAX:,} writers, got {workflows:,} workflows with {writers:,};"
            " lower --workflows or --writers"
        )
    if events is not None and duration is not None:
        raise CommandError("either --events or --duration tells when the writers are done, got both")
    _check_recording(history, kill, processes)
    drawn = random.SystemRandom().randrange(_SEED_MAX) if seed is None else seed
    number = _EVENTS if events is None else events
    load = Load(
        workflows, number, writers, batch, duplicates, cancel, processes, drawn, duration, history or "", kill
    )
    if store is not None and store.lower().startswith(MEMORY):
        if processes > 1:
            raise CommandError("processes do not share memory; leave --store out, or --processes")
        outcome = _run(FreshStore(store, keep=False), load, output)
    else:
        with fresh_store(store, keep=keep) as fresh:
            outcome = _run(fresh, load, output)
    return OK if outcome.verdict.holds else VIOLATION


def _check_recording(history: str | None, kill: float | None, processes: int) -> None:
    if kill is not None and processes == 1:
        raise CommandError(
            "--kill kills processes of their own, and this run has none; give --processes 2 or more"
        )
    if kill is not None and history is None:
        raise CommandError(
            "what a killed process was told is known from the history alone; give --history FILE with --kill"
        )
    if history is not None and os.path.lexists(history):
        raise CommandError(f"{history} exists; give --history another file, or delete it")
    if history is not None and not Path(history).absolute().parent.is_dir():
        raise CommandError(f"there is no folder for {history}; make it, or give --history another file")


def _run(fresh: FreshStore, load: Load, output: OutputFormat) -> Outcome:
    outcome = trio.run(perform, fresh.url, load)
    # Whoever meets a broken promise wants to look at it.
    fresh.keep = fresh.keep or not outcome.verdict.holds
    for found in outcome.verdict.violations[:10]:
        note(f"violation: {found}")
    facts = _facts(outcome, load)
    rows = {
        "load": f"{counted(load.workflows, 'workflow')}{_amount(load)},"
        f" {counted(load.writers, 'writer')} each"
        f" in {load.processes} process{'es' if load.processes > 1 else ''}, seed {load.seed}",
        "written": f"{counted(facts['events'], 'event')} in {outcome.seconds:.2f} s,"
        f" {facts['events_per_second']:,} events/s",
        "latency": f"p50 {facts['latency_p50_ms']:.1f} ms, p99 {facts['latency_p99_ms']:.1f} ms",
        "sent twice": facts["duplicates"],
        "cancelled": facts["cancelled"],
        "overtaken, sent again": facts["overtaken"] or None,
        "killed": outcome.kills or None,
        "recorded": f"{counted(outcome.operations, 'operation')}, {outcome.unknown:,} without an answer"
        if load.history
        else None,
        **outcome.verdict.rows(),
    }
    show_facts(output, "stress", facts, rows)
    return outcome


def _amount(load: Load) -> str:
    return f" of {counted(load.events, 'event')}" if load.seconds is None else f" for {load.seconds:g} s"


def _facts(outcome: Outcome, load: Load) -> dict[str, Any]:
    reports = outcome.reports
    events = sum(len(report.acknowledged) for report in reports)
    latencies = sorted(latency for report in reports for latency in report.latencies_us)
    return {
        **outcome.verdict.record(),
        "workflows": load.workflows,
        "events": events,
        "writers": load.writers,
        "batch": load.batch,
        "processes": load.processes,
        "seed": load.seed,
        "events_per_second": round(events / outcome.seconds) if outcome.seconds else 0,
        "latency_p50_ms": _percentile_ms(latencies, 50),
        "latency_p99_ms": _percentile_ms(latencies, 99),
        "duplicates": sum(report.duplicates for report in reports),
        "cancelled": sum(report.cancelled for report in reports),
        "overtaken": sum(report.overtaken for report in reports),
        **(
            {"kills": outcome.kills, "operations": outcome.operations, "unknown": outcome.unknown}
            if load.history
            else {}
        ),
    }


def _percentile_ms(ordered_us: list[int], percent: int) -> float:
    if not ordered_us:
        return 0.0
    place = min(len(ordered_us) - 1, len(ordered_us) * percent // 100)
    return ordered_us[place] / 1_000
