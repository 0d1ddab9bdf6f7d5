"""Pruning: how long appends stop for it, how small the file gets, and what each step costs.

One runtime appends from a few callers without pause: alone, while retention cuts and gives back EVENTS
events, and while the file is compacted. Before and between that the commit of a full group is measured,
for which any append may have to wait anyway; the longest wait of an append is held against the longest of
them in the same run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import trio
from common import PAYLOAD, emit, scratch

from treadle import Fold, NewEvent, RetentionPolicy, RetentionRule, Runtime, open_runtime, open_store
from treadle.runtime.retention import Sweep, compact
from treadle.stores.sqlite import SqliteStore
from treadle.stores.sqlite.writer import Writer

EVENTS = int(os.environ.get("EVENTS", "1000000"))
LOGS = 1_000
BATCH = 1_000
CALLERS = 8
GROUPS = 5
COUNT = Fold("count", 1, int, lambda count, _: count + 1)


class Appender:
    """Appends from a few callers, and notes how long each append took."""

    def __init__(self, runtime: Runtime) -> None:
        self.waits: list[float] = []
        self._runtime = runtime
        self._stop = False

    async def __aenter__(self) -> Self:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        for number in range(CALLERS):
            self._nursery.start_soon(self._append, f"live-{number}")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop = True
        await self._manager.__aexit__(*error)

    async def _append(self, name: str) -> None:
        handle = self._runtime.workflow(name)
        while not self._stop:
            begun = time.perf_counter()
            await handle.append("custom", PAYLOAD)
            self.waits.append(time.perf_counter() - begun)

    def told(self) -> dict[str, float]:
        """Median, 99th of a hundred and longest, in milliseconds."""
        waits = sorted(self.waits)
        return {
            "appends": len(waits),
            "median_ms": round(1e3 * waits[len(waits) // 2], 2),
            "p99_ms": round(1e3 * waits[len(waits) * 99 // 100], 2),
            "longest_ms": round(1e3 * waits[-1], 2),
        }


async def fill(runtime: Runtime) -> None:
    """Interleave LOGS logs two events at a time, so that no page belongs to one log.

    A quarter is then closed and will be deleted, half have a baseline and will be cut, a quarter stays.
    """
    for _ in range(EVENTS * 4 // 3 // LOGS // 2):
        async with trio.open_nursery() as nursery:
            for number in range(LOGS):
                events = [NewEvent("custom", PAYLOAD)] * 2
                nursery.start_soon(runtime.workflow(f"log-{number}").extend, events)
    async with trio.open_nursery() as nursery:
        for number in range(LOGS):
            handle = runtime.workflow(f"log-{number}")
            if number % 4 == 1:
                nursery.start_soon(handle.append, "workflow_completed")
            elif number % 4 > 1:
                nursery.start_soon(handle.baseline, COUNT)


async def full_groups(runtime: Runtime, when: str) -> float:
    """The longest group commit: as many events as a group holds, at once."""
    longest = 0.0
    for number in range(GROUPS):
        begun = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for caller in range(8):
                events = [NewEvent("custom", PAYLOAD)] * BATCH
                nursery.start_soon(runtime.workflow(f"group-{when}-{number}-{caller}").extend, events)
        longest = max(longest, time.perf_counter() - begun)
    return longest


def size(path: Path) -> int:
    """The file's bytes."""
    return path.stat().st_size


async def live_rows_bytes(path: Path) -> int:
    """What the rows that are left take by themselves, in a file written anew."""
    async with open_store(path) as store:
        assert isinstance(store, SqliteStore)
        await store.vacuum()
    return size(path)


class Steps:
    """Notes how long each step of reclaiming or compacting takes, the wait for its turn left out."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        for name in ("reclaim", "compact"):
            setattr(Writer, name, self._timed(getattr(Writer, name)))

    def _timed(self, step: Callable[..., object]) -> Callable[..., object]:
        def timed(*args: object) -> object:
            begun = time.perf_counter()
            answer = step(*args)
            self.seconds.append(time.perf_counter() - begun)
            return answer

        return timed

    def told(self) -> dict[str, float]:
        """Count, median and longest of those since the last time."""
        seconds, self.seconds = sorted(self.seconds), []
        return {
            "steps": len(seconds),
            "median_ms": round(1e3 * seconds[len(seconds) // 2], 2),
            "longest_ms": round(1e3 * seconds[-1], 2),
        }


async def measure(path: Path) -> dict[str, object]:
    """Fill, prune, compact and vacuum one file."""
    results: dict[str, object] = {"events": EVENTS}
    groups: list[float] = []
    async with open_runtime(path) as runtime:
        steps = Steps()
        await fill(runtime)
        groups.append(await full_groups(runtime, "first"))
        results["bytes_before"] = size(path)
        async with Appender(runtime) as alone:
            await trio.sleep(5)
        results["appends_alone"] = alone.told()
        sweep = Sweep(runtime, RetentionPolicy(RetentionRule(closed_count_max=0)))
        begun, cpu = time.perf_counter(), time.process_time()
        async with Appender(runtime) as cutting:
            await sweep.look()
        results["cut_seconds"] = round(time.perf_counter() - begun, 1)
        results["appends_while_cutting"] = cutting.told()
        async with Appender(runtime) as pruning:
            await sweep.reclaim()
        results["prune_seconds"] = round(time.perf_counter() - begun, 1)
        results["prune_cpu_us_an_event"] = round(1e6 * (time.process_time() - cpu) / EVENTS, 1)
        results["events_reclaimed"] = sweep.swept.events_reclaimed
        results["appends_while_pruning"] = pruning.told()
        results["steps_of_pruning"] = steps.told()
        results["bytes_pruned"] = size(path)
        groups.append(await full_groups(runtime, "second"))
        begun = time.perf_counter()
        async with Appender(runtime) as compacting:
            await compact(sweep)
        results["compact_seconds"] = round(time.perf_counter() - begun, 1)
        results["appends_while_compacting"] = compacting.told()
        results["steps_of_compacting"] = steps.told()
        results["bytes_compacted"] = compacted = size(path)
    results["full_group_longest_ms"] = [round(1e3 * seconds, 1) for seconds in groups]
    results["longest_wait_per_full_group"] = {
        name: round(max(appender.waits) / max(groups), 2)
        for name, appender in {
            "alone": alone,
            "cutting": cutting,
            "pruning": pruning,
            "compacting": compacting,
        }.items()
    }
    results["compacted_to_live"] = round(compacted / await live_rows_bytes(path), 2)
    return results


def main() -> None:
    """Print the figures."""
    with scratch() as folder:
        emit("pruning", trio.run(measure, folder / "store.db"))


if __name__ == "__main__":
    main()
