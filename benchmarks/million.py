"""A million workflows of five events: written, listed and replayed in one run, with bounded memory.

treadle's own CPU for each append is the total minus that of the raw rows at the same number of workflows,
in the same run; it must not grow with the number of workflows, as the file's own cost does.

    python benchmarks/million.py                          # takes some minutes
    python benchmarks/million.py --workflows 100000
"""

from __future__ import annotations

import argparse
import gc
import time

import trio
from common import PAYLOAD, RawLog, emit, scratch
from memory import resident_bytes

from treadle import EventKind, open_runtime

EVENTS = 5
CALLERS = 1_000


def raw_cpu_us(workflows: int, rounds: int) -> float:
    """CPU microseconds for each raw row, every workflow once a round, in transactions of a thousand rows."""
    with scratch() as folder:
        raw = RawLog(folder / "raw.db", workflows)
        start = time.process_time()
        for _ in range(rounds):
            for first in range(1, workflows + 1, CALLERS):
                raw.transaction(range(first, min(first + CALLERS, workflows + 1)))
            raw.connection.wal_checkpoint()
        seconds = time.process_time() - start
        raw.close()
    return seconds / (workflows * rounds) * 1e6


async def write(path, workflows: int, rounds: int) -> tuple[float, list[int]]:
    """CPU microseconds for each append; resident bytes after each round."""
    resident = []

    async def caller(runtime, first: int) -> None:
        for number in range(first, workflows, CALLERS):
            await runtime.workflow(f"workflow-{number}").append(EventKind.CUSTOM, PAYLOAD)

    async with open_runtime(path) as runtime:
        start = time.process_time()
        for _ in range(rounds):
            async with trio.open_nursery() as nursery:
                for first in range(min(CALLERS, workflows)):
                    nursery.start_soon(caller, runtime, first)
            resident.append(resident_bytes())
        return (time.process_time() - start) / (workflows * rounds) * 1e6, resident


async def list_and_replay(path) -> tuple[int, int, float, float]:
    """Count by listing and by replaying; seconds for each."""
    async with open_runtime(path) as runtime:
        start = time.perf_counter()
        listed = 0
        async for _ in runtime.workflow_ids():
            listed += 1
        between = time.perf_counter()
        events = 0
        async for replayed in runtime.replay_all(lambda count, _: count + 1, int):
            events += replayed.state
        return listed, events, between - start, time.perf_counter() - between


def measure(workflows: int, rounds: int) -> dict[str, object]:
    """All of it at one number of workflows."""
    with scratch() as folder:
        path = folder / "treadle.db"
        total, resident = trio.run(write, path, workflows, rounds)
        gc.collect()
        listed, events, list_seconds, replay_seconds = trio.run(list_and_replay, path)
        size = sum(file.stat().st_size for file in folder.iterdir())
    assert (listed, events) == (workflows, workflows * rounds)
    raw = raw_cpu_us(workflows, rounds)
    return {
        "cpu_us_an_append": round(total, 2),
        "raw_cpu_us_a_row": round(raw, 2),
        "own_cpu_us_an_append": round(total - raw, 2),
        "resident_mb_now_and_then": [value // 1_000_000 for value in resident[:: max(1, len(resident) // 5)]],
        "list_seconds": round(list_seconds, 1),
        "replay_events_a_second": round(events / replay_seconds),
        "file_mb": size // 1_000_000,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workflows", type=int, default=1_000_000)
    options = parser.parse_args()
    # The same number of appends at both sizes, so that only the number of workflows differs... within reason.
    few = measure(1_000, min(500, options.workflows * EVENTS // 1_000))
    many = measure(options.workflows, EVENTS)
    emit(
        "million",
        {
            "1000 workflows": few,
            f"{options.workflows} workflows": many,
            "own_cpu_ratio": round(many["own_cpu_us_an_append"] / few["own_cpu_us_an_append"], 2),
        },
    )


if __name__ == "__main__":
    main()
