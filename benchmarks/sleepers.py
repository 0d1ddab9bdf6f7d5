"""Durable workflows that wait: bytes in memory and out of it, opening a store full of them, timers at once.

    python benchmarks/sleepers.py                       # all of it, some minutes
    python benchmarks/sleepers.py --only parked         # or: opening, timers

Parked: what a workflow takes that has run an activity and waits for a signal under a deadline of 30 days; in
memory, and put away because `instances_max` is small. Opening: a file with 100,000 of those, until the block
is entered and until a new workflow has run in it. Timers: 10,000 workflows whose deadlines lie in the same
second, all in memory or nearly all put away; CPU from the first deadline to the last workflow's durable end.
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import trio
from common import ROUNDS, emit, scratch
from memory import resident_bytes

from treadle import RuntimeConfig, activity, open_runtime, workflow

DAYS_30_SECONDS = 30 * 24 * 3_600
CALLERS = 1_000
PARKED = 10_000
SLEEPERS = 100_000
TIMERS = 10_000
LEAD_SECONDS = 40.0
"""Time to begin all the sleepers before the first of them is due."""


@activity.define
async def step(value: int) -> int:
    """Do next to nothing."""
    return value + 1


@workflow.define
async def parked(value: int) -> str:
    """Run an activity, and wait for a decision that never comes."""
    await workflow.activity(step, value)
    with workflow.move_on_after(DAYS_30_SECONDS):
        return str(await workflow.signals("decision").receive())
    return "too late"


@workflow.define
async def sleeper(until: float) -> int:
    """Wait until a wall time."""
    await workflow.sleep(until - workflow.now().timestamp())
    return 1


def open_with(path, instances_max: int):
    """A runtime that keeps so many workflows in memory."""
    config = RuntimeConfig(instances_max=instances_max)
    return open_runtime(path, workflows=[parked, sleeper], activities=[step], config=config)


async def begin(runtime, definition, prefix: str, arguments) -> None:
    """Begin one workflow for each argument, a thousand callers at a time."""
    numbered = iter(list(enumerate(arguments)))

    async def caller() -> None:
        for number, argument in numbered:
            await runtime.start(definition, argument, id=f"{prefix}-{number}")

    async with trio.open_nursery() as nursery:
        for _ in range(CALLERS):
            nursery.start_soon(caller)


async def begin_parked(runtime, prefix: str, count: int) -> None:
    """Begin workflows and wait until all of them wait: each has five events then."""
    before = runtime.statistics().events_appended
    await begin(runtime, parked, prefix, range(count))
    # WORKFLOW_STARTED and ACTIVITY_SCHEDULED, ACTIVITY_COMPLETED and TIMER_STARTED.
    await appended(runtime, before + 4 * count)


async def appended(runtime, events: int) -> None:
    """Wait until so many events are durable."""
    while runtime.statistics().events_appended < events:  # noqa: ASYNC110  # no event tells of a count
        await trio.sleep(0.005)


async def parked_bytes(path, instances_max: int) -> float:
    """Resident bytes for each workflow more."""
    async with open_with(path, instances_max) as runtime:
        await begin_parked(runtime, "warm", 2_000)
        gc.collect()
        before = resident_bytes()
        await begin_parked(runtime, "parked", PARKED)
        gc.collect()
        return (resident_bytes() - before) / PARKED


def measure_parked() -> dict[str, object]:
    """Bytes in memory and put away; a process for each, or one would live on what the other has freed."""
    with scratch() as folder:
        in_memory = in_own_process("parked_bytes", folder / "memory.db", 10 * PARKED)
        away = in_own_process("parked_bytes", folder / "away.db", 100)
        size = sum(file.stat().st_size for file in folder.glob("away.db*"))
    return {
        "parked_in_memory_bytes": round(in_memory),
        "parked_put_away_bytes": round(away),
        "in_the_file_bytes": round(size / (PARKED + 2_000)),
    }


def in_own_process(function: str, path: Path, argument: int) -> float:
    """Call an async function of this file in a fresh interpreter; it returns a number."""
    code = f"import sys, trio, sleepers; print(trio.run(sleepers.{function}, sys.argv[1], int(sys.argv[2])))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(argument)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    return float(done.stdout)


async def fill(path, count: int) -> float:
    """Write a store full of parked workflows; seconds."""
    start = time.perf_counter()
    async with open_with(path, 1_000) as runtime:
        await begin_parked(runtime, "parked", count)
    return time.perf_counter() - start


async def opening_seconds(path, number: int) -> tuple[float, float]:
    """Seconds until the block is entered, and until a new workflow has run its activity and a signal."""
    start = time.perf_counter()
    async with open_with(path, 1_000) as runtime:
        entered = time.perf_counter()
        handle = await runtime.start(parked, 1, id=f"new-{number}")
        await handle.signal("decision", "yes")
        assert await handle.result() == "yes"
        return entered - start, time.perf_counter() - start


def measure_opening() -> dict[str, object]:
    """Opening a store with very many sleepers."""
    with scratch() as folder:
        path = folder / "opening.db"
        filled = trio.run(fill, path, SLEEPERS)
        seen = [trio.run(opening_seconds, path, number) for number in range(ROUNDS)]
    entered, ran = (statistics.median(values) for values in zip(*seen, strict=True))
    return {
        "sleepers": SLEEPERS,
        "begun_a_second": round(SLEEPERS / filled),
        "open_seconds": round(entered, 3),
        "open_and_run_one_seconds": round(ran, 3),
    }


async def timers_cpu_seconds(path, instances_max: int) -> float:
    """CPU seconds from just before the first timer is due until the last workflow's end is durable."""
    async with open_with(path, instances_max) as runtime:
        due = time.time() + LEAD_SECONDS
        await begin(runtime, sleeper, "sleeper", [due + number / TIMERS for number in range(TIMERS)])
        left = due - time.time()
        assert left > 0, "beginning them took too long; raise LEAD_SECONDS"
        await trio.sleep(left - 0.1)
        before = resource.getrusage(resource.RUSAGE_SELF)
        await appended(runtime, 4 * TIMERS)
        after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_timers() -> dict[str, object]:
    """Very many timers in one second."""
    found: dict[str, object] = {"timers": TIMERS}
    for name, instances_max in (("in_memory", 2 * TIMERS), ("put_away", 100)):
        with scratch() as folder:
            seconds = in_own_process("timers_cpu_seconds", folder / "timers.db", instances_max)
        found[f"{name}_cpu_seconds"] = round(seconds, 2)
    return found


MEASURES = {"parked": measure_parked, "opening": measure_opening, "timers": measure_timers}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=MEASURES)
    told = parser.parse_args()
    chosen = [told.only] if told.only else list(MEASURES)
    emit("sleepers", {name: MEASURES[name]() for name in chosen})


if __name__ == "__main__":
    main()
