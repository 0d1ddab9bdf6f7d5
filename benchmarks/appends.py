"""Durable appends on SQLite FULL, as a share of the raw ceiling, and against `eventsourcing`.

Raw: the same schema, indices, rows and digests through one plain apsw connection in a plain loop, in
transactions of as many rows as there are callers. All measures take turns in one run.

    python benchmarks/appends.py                 # the ratios
    pip install eventsourcing==9.5.6 && python benchmarks/appends.py --peer
"""

from __future__ import annotations

import argparse
import time
import uuid
from functools import cache

import trio
from common import PAYLOAD, RawLog, emit, interleaved, scratch

from treadle import EventKind, NewEvent, open_runtime

EVENTS = {1: 1_500, 100: 30_000, 1_000: 60_000, 10_000: 60_000}


def raw_appends(callers: int, batch: int = 1) -> float:
    """Events a second of the raw ceiling."""
    events = EVENTS[callers] if batch == 1 else 100_000
    rounds = max(1, events // (callers * batch))
    with scratch() as folder:
        raw = RawLog(folder / "raw.db", callers)
        raw.transaction(range(1, callers + 1))
        start = time.perf_counter()
        for _ in range(rounds):
            raw.transaction(range(1, callers + 1), batch)
        seconds = time.perf_counter() - start
        raw.close()
    return rounds * callers * batch / seconds


def treadle_appends(callers: int, batch: int = 1) -> float:
    """Acknowledged durable events a second through handles."""
    events = EVENTS[callers] if batch == 1 else 100_000
    rounds = max(1, events // (callers * batch))
    new_events = [NewEvent(EventKind.CUSTOM, PAYLOAD, 1_000_000)] * batch

    async def caller(handle, count):
        if batch == 1:
            for _ in range(count):
                await handle.append(EventKind.CUSTOM, PAYLOAD)
        else:
            for _ in range(count):
                await handle.extend(new_events)

    async def everybody(handles, count):
        async with trio.open_nursery() as nursery:
            for handle in handles:
                nursery.start_soon(caller, handle, count)

    async def main(path):
        async with open_runtime(path) as runtime:
            handles = [runtime.workflow(f"workflow-{number}") for number in range(callers)]
            await everybody(handles, 1)
            start = time.perf_counter()
            await everybody(handles, rounds)
            return time.perf_counter() - start

    with scratch() as folder:
        seconds = trio.run(main, folder / "treadle.db")
    return rounds * callers * batch / seconds


@cache
def peer() -> tuple[type, type]:
    """The peer's application and an aggregate of one field; made once, since it names classes by topic."""
    from eventsourcing.application import Application  # noqa: PLC0415  # a peer, only when asked for
    from eventsourcing.domain import Aggregate, event  # noqa: PLC0415

    class Workflow(Aggregate):
        @event("Step")
        def step(self, body: str) -> None:
            self.last = body

    return Application, Workflow


def eventsourcing_saves() -> float:
    """`app.save` a second: one event each, as durable as the library makes it, from one caller."""
    application, workflow_class = peer()
    with scratch() as folder:
        app = application(
            env={
                "PERSISTENCE_MODULE": "eventsourcing.sqlite",
                "SQLITE_DBNAME": str(folder / f"{uuid.uuid4().hex}.db"),
            }
        )
        workflows = [workflow_class() for _ in range(1_000)]
        app.save(*workflows)
        start = time.perf_counter()
        for workflow in workflows:
            workflow.step("x" * 100)
            app.save(workflow)
        seconds = time.perf_counter() - start
        app.close()
    return len(workflows) / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", action="store_true", help="measure eventsourcing too (must be installed)")
    parser.add_argument("--all", action="store_true", help="also 1 and 10,000 callers")
    options = parser.parse_args()
    measures = {}
    for callers in (1, 100, 1_000, 10_000) if options.all else (100, 1_000):
        measures[f"raw {callers}"] = lambda callers=callers: raw_appends(callers)
        measures[f"treadle {callers}"] = lambda callers=callers: treadle_appends(callers)
    measures["raw batches"] = lambda: raw_appends(100, 100)
    measures["treadle batches"] = lambda: treadle_appends(100, 100)
    if options.peer:
        measures["eventsourcing app.save"] = eventsourcing_saves
    rates = interleaved(measures)
    ratios = {
        name.removeprefix("treadle "): round(rate / rates[name.replace("treadle", "raw")], 3)
        for name, rate in rates.items()
        if name.startswith("treadle")
    }
    results = {"events_a_second": {name: round(rate) for name, rate in rates.items()}, "share_of_raw": ratios}
    if options.peer:
        results["times_eventsourcing"] = round(rates["treadle 1000"] / rates["eventsourcing app.save"], 1)
    emit("appends", results)


if __name__ == "__main__":
    main()
