"""A process that appends, makes baselines, prunes, compacts and vacuums until it is killed."""
# ruff: noqa: T201

from __future__ import annotations

import sys

import trio

from treadle import Fold, NewEvent, RetentionPolicy, RetentionRule, open_runtime, open_store
from treadle.runtime.retention import Sweep, compact

LOGS = 6
EVENTS = 40


def count_on(state, event):
    """Count numbered events, and notice one that is missing or comes twice."""
    if event.kind.name != "CUSTOM":
        return state
    return [state[0] + 1, state[1] and event.payload.startswith(b"%d " % state[0])]


NUMBERED = Fold("numbered", 1, lambda: [0, True], count_on)


async def main(path: str) -> None:
    async with open_store(path) as store, open_runtime(store) as runtime:
        policy = RetentionPolicy(RetentionRule(closed_count_max=2))
        for number in range(10_000):
            async with trio.open_nursery() as nursery:
                for log in range(LOGS):
                    nursery.start_soon(one_log, runtime, log)
            closed = runtime.workflow(f"closed-{number}")
            await closed.append("custom", b"x" * 500)
            await closed.append("workflow_completed")
            print("kept", number, flush=True)
            sweep = Sweep(runtime, policy)
            await sweep.run()
            print("swept", number, flush=True)
            await compact(sweep)
            if number % 3 == 2:
                await store.vacuum()
            print("compacted", number, flush=True)


async def one_log(runtime, log: int) -> None:
    handle = runtime.workflow(f"log-{log}")
    count, _ = await handle.replay(NUMBERED)
    await handle.extend([NewEvent("custom", b"%d " % (count + at) + b"y" * 300) for at in range(EVENTS)])
    if log % 2:
        await handle.snapshot(NUMBERED)
    await handle.baseline(NUMBERED)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
