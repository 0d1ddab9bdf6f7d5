"""What the driver costs per step of workflow code, against `coro.send` alone.

One workflow waits 2,000 times in a row and is resumed each time, as replay does it: plainly, with the
hooks set round each run, and with a time limit round each wait. Then a nursery of 1,000 tasks that wait
once each, and what a parked workflow of one task and one scope weighs.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
import types

from common import emit, interleaved

from treadle.engine.driver import Scheduler, current_task, fail_after, open_nursery, park

STEPS, TASKS, PARKED = 2_000, 1_000, 500


@types.coroutine
def bare_wait():
    """The least a wait can be."""
    return (yield None)


def floor() -> float:
    """Nanoseconds a step of `coro.send` alone."""

    async def main():
        for _ in range(STEPS):
            await bare_wait()

    send = main().send
    start = time.perf_counter()
    try:
        while True:
            send(None)
    except StopIteration:
        return (time.perf_counter() - start) / STEPS * 1e9


def host(main, count, *, hooked):
    """Nanoseconds a wait of a workflow whose every wait is answered."""
    scheduler, waiting = Scheduler(), []

    async def wait():
        waiting.append(current_task())
        return await park(bool, "activity")

    def answer():
        scheduler.run()
        while waiting:
            scheduler.resume(waiting.pop(), "answer")
            scheduler.run()

    scheduler.start_main(main, wait)
    start = time.perf_counter()
    if hooked:
        with scheduler.hooked():
            answer()
    else:
        answer()
    seconds = time.perf_counter() - start
    assert scheduler.main_outcome is not None
    scheduler.evict()
    return seconds / count * 1e9


async def in_a_row(wait):
    """Wait after wait."""
    for _ in range(STEPS):
        await wait()


async def limited(wait):
    """Wait after wait, each with a time limit."""
    for _ in range(STEPS):
        with fail_after(30):
            await wait()


async def side_by_side(wait):
    """A task for each wait."""
    async with open_nursery() as nursery:
        for _ in range(TASKS):
            nursery.start_soon(wait)


async def asleep():
    """One task and one scope."""
    with fail_after(30):
        await park(bool, "activity")


def park_one():
    """One workflow that waits."""
    scheduler = Scheduler()
    scheduler.start_main(asleep)
    scheduler.run()
    return scheduler


def weight() -> int:
    """Bytes of a parked workflow."""
    gc.collect()
    tracemalloc.start()
    parked = [park_one() for _ in range(PARKED)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for scheduler in parked:
        scheduler.evict()
    return round(size / PARKED)


def main() -> None:
    """Measure and print."""
    nanoseconds = interleaved(
        {
            "coro.send alone": floor,
            "in a row": lambda: host(in_a_row, STEPS, hooked=True),
            "in a row, hooks each time": lambda: host(in_a_row, STEPS, hooked=False),
            "in a row, with a time limit": lambda: host(limited, STEPS, hooked=True),
            "side by side": lambda: host(side_by_side, TASKS, hooked=True),
        }
    )
    emit(
        "driver",
        {
            "nanoseconds": {name: round(value) for name, value in nanoseconds.items()},
            "times_coro_send": {
                name: round(value / nanoseconds["coro.send alone"], 1) for name, value in nanoseconds.items()
            },
            "bytes_parked": weight(),
        },
    )


if __name__ == "__main__":
    main()
