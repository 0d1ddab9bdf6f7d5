"""A process that kills itself before or behind an append of a branch, a play or a reset."""
# ruff: noqa: T201

from __future__ import annotations

import os
import signal
import sys

import trio

from treadle import RuntimeConfig, activity, open_runtime, workflow
from treadle.stores import open_store


@activity.define
async def double(number: int) -> int:
    return 2 * number


@workflow.define
async def doubles(count: int) -> int:
    total = 0
    for number in range(count):
        total += await workflow.activity(double, number)
    return total


async def main(path: str, what: str, appends: int, side: str) -> None:
    async with (
        open_store(path) as store,
        open_runtime(
            store, workflows=[doubles], activities=[double], config=RuntimeConfig(batch_events_max=2)
        ) as runtime,
    ):
        handle = await runtime.start(doubles, 3, id="a")
        await handle.result()
        branch = None if what != "what_if" else await handle.branch(at=2, to="b")
        append, left = store.append, appends

        async def append_and_die(units):
            nonlocal left
            left -= 1
            if not left and side == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            outcomes = await append(units)
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return outcomes

        store.append = append_and_die
        print("ready", flush=True)
        if branch is not None:
            await branch.what_if(lambda call: call.args[0] * 2)
        elif what == "branch":
            await (await handle.branch(at=2, to="b", mode="real")).resume()
            await runtime.workflow("b").result()
        else:
            await handle.reset(at=2)
            await handle.result()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
