"""A process that kills itself behind the so-manyth append of a fan-out; for the tests of cut activations."""
# ruff: noqa: T201

from __future__ import annotations

import os
import signal
import sys

import trio

from treadle import activity, open_runtime, workflow
from treadle.stores import open_store


@activity.define
async def double(number: int) -> int:
    return 2 * number


@workflow.define
async def fans_out(count: int) -> int:
    """Its first activation is longer than a batch may be, and sends a message besides."""
    workflow.signal_external("listener", "first", count)
    doubles: list[int] = []

    async def one(number: int) -> None:
        doubles.append(await workflow.activity(double, number))

    async with workflow.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    workflow.signal_external("listener", "last", sum(doubles))
    return sum(doubles)


@workflow.define
async def listener() -> list[int]:
    return [await workflow.signals("first").receive(), await workflow.signals("last").receive()]


FLOWS = [fans_out, listener]


async def main(path: str, count: int, appends: int) -> None:
    async with (
        open_store(path) as store,
        open_runtime(store, workflows=FLOWS, activities=[double]) as runtime,
    ):
        await runtime.start(listener, id="listener")
        append, left = store.append, appends

        async def append_and_die(units):
            nonlocal left
            outcomes = await append(units)
            left -= 1
            if not left:
                print("killed", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            return outcomes

        store.append = append_and_die
        print(await (await runtime.start(fans_out, count, id="a")).result(), flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
