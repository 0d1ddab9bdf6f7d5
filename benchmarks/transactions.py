"""What a transaction over two logs costs against two appends, and what contention does to it.

    python benchmarks/transactions.py

One caller: a transaction that reads the last seq of two logs and appends to both, in turns with one append to
each. Many callers: as many transactions as callers, each over two logs of its own, over two of a hundred, and
all over the same two.
"""

from __future__ import annotations

import random
import time

import trio
from common import PAYLOAD, ROUNDS, emit, scratch

from treadle import ConflictError, EventKind, open_runtime

ONE = 300
CALLERS, EACH = 50, 10
SHARED = {"own": None, "two of a hundred": 100, "the same two": 2}


async def transfer(runtime, one: str, other: str, counts: dict[str, int]) -> None:
    """Move something from one log to another."""

    async def decide(tx) -> None:
        counts["decided"] += 1
        await tx.next_seq(one)
        await tx.next_seq(other)
        await tx.append(one, EventKind.CUSTOM, PAYLOAD)
        await tx.append(other, EventKind.CUSTOM, PAYLOAD)

    try:
        await runtime.transact(decide)
        counts["taken"] += 1
    except ConflictError:
        counts["given up"] += 1


async def alone(runtime) -> dict[str, float]:
    """Seconds and CPU of one transaction, and of two appends, in turns."""
    seen = {"transaction": [], "two appends": []}
    cpu = {"transaction": 0.0, "two appends": 0.0}
    counts = {"decided": 0, "taken": 0, "given up": 0}
    logs = [runtime.workflow(name) for name in ("c", "d")]
    for _ in range(ROUNDS):
        for name, values in seen.items():
            start, used = time.perf_counter(), time.process_time()
            for _ in range(ONE):
                if name == "transaction":
                    await transfer(runtime, "a", "b", counts)
                else:
                    for log in logs:
                        await log.append(EventKind.CUSTOM, PAYLOAD)
            values.append((time.perf_counter() - start) / ONE)
            cpu[name] += (time.process_time() - used) / ONE / ROUNDS
    medians = {name: sorted(values)[ROUNDS // 2] for name, values in seen.items()}
    return medians | {f"{name} CPU": value for name, value in cpu.items()}


async def together(runtime, logs: int | None) -> dict[str, float]:
    """What many callers come to at once."""
    counts = {"decided": 0, "taken": 0, "given up": 0}
    draws = random.Random(7)

    async def caller(number: int) -> None:
        for _ in range(EACH):
            pair = (2 * number, 2 * number + 1) if logs is None else draws.sample(range(logs), 2)
            await transfer(runtime, *(f"{logs}-{place}" for place in pair), counts)

    start, used = time.perf_counter(), time.process_time()
    async with trio.open_nursery() as nursery:
        for number in range(CALLERS):
            nursery.start_soon(caller, number)
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    return {
        "taken_a_second": round(counts["taken"] / seconds),
        "decided_per_taken": round(counts["decided"] / max(1, counts["taken"]), 2),
        "given_up": counts["given up"],
        "microseconds_CPU_per_taken": round(cpu / max(1, counts["taken"]) * 1e6),
    }


async def measured(path) -> dict[str, object]:
    """Measure everything."""
    async with open_runtime(path) as runtime:
        seconds = await alone(runtime)
        contention = {name: await together(runtime, logs) for name, logs in SHARED.items()}
    return {
        "microseconds": {name: round(value * 1e6) for name, value in seconds.items()},
        "transaction_per_two_appends": round(seconds["transaction"] / seconds["two appends"], 2),
        "transaction_per_two_appends_CPU": round(seconds["transaction CPU"] / seconds["two appends CPU"], 2),
        f"{CALLERS}_callers": contention,
    }


def main() -> None:
    """Measure and print."""
    with scratch() as folder:
        emit("transactions", trio.run(measured, folder / "transactions.db"))


if __name__ == "__main__":
    main()
