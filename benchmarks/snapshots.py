"""Replay from a snapshot after more and more events: it must not depend on what came before it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import trio
from common import PAYLOAD, ROUNDS, emit, scratch

from treadle import Fold, NewEvent, WorkflowHandle, open_runtime

LENGTHS = [int(length) for length in os.environ.get("LENGTHS", "1000,10000,100000,1000000").split(",")]
TAIL = 100
BATCH = 1_000
TOTAL = Fold("total", 1, int, lambda total, event: total + len(event.payload))


async def timed(handle: WorkflowHandle, rounds: int) -> tuple[float, float]:
    """The best of some replays, in seconds, and in seconds of CPU."""
    best = cpu = float("inf")
    for _ in range(rounds):
        begun, cpu_begun = time.perf_counter(), time.process_time()
        await handle.replay(TOTAL)
        best = min(best, time.perf_counter() - begun)
        cpu = min(cpu, time.process_time() - cpu_begun)
    return best, cpu


async def measure(path: Path) -> dict[str, object]:
    """Grow one log, and replay it with and without a snapshot at each length."""
    results: dict[str, object] = {}
    async with open_runtime(path) as runtime:
        handle, there = runtime.workflow("log"), 0
        for length in LENGTHS:
            while there < length:
                await handle.extend([NewEvent("custom", PAYLOAD)] * min(BATCH, length - there))
                there += min(BATCH, length - there)
            whole = await timed(handle, 2)
            begun = time.perf_counter()
            await handle.snapshot(TOTAL)
            taken = time.perf_counter() - begun
            await handle.extend([NewEvent("custom", PAYLOAD)] * TAIL)
            there += TAIL
            short = await timed(handle, 20 * ROUNDS)
            results[f"{length:,}"] = {
                "from_events_ms": round(1e3 * whole[0], 2),
                "take_ms": round(1e3 * taken, 2),
                f"from_snapshot_and_{TAIL}_events_ms": round(1e3 * short[0], 2),
                "cpu_ms": round(1e3 * short[1], 2),
            }
    return results


def main() -> None:
    """Print the figures."""
    with scratch() as folder:
        emit("snapshots", trio.run(measure, folder / "store.db"))


if __name__ == "__main__":
    main()
