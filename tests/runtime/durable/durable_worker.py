"""A process that runs workflows until it is killed; for the tests of recovery."""
# ruff: noqa: T201

from __future__ import annotations

import sys

import trio

from treadle import activity, open_runtime, workflow


@activity.define(retry=activity.Retry(initial_seconds=0, attempts=None))
async def slow_step(number: int) -> int:
    await trio.sleep(0.01)
    return number + 1


@workflow.define
async def climb(steps: int) -> int:
    number = 0
    for _ in range(steps):
        number = await workflow.activity(slow_step, number)
    return number


async def main(path: str, flows: int) -> None:
    async with open_runtime(path, workflows=[climb], activities=[slow_step]) as runtime:
        for number in range(flows):
            await runtime.start(climb, 20, id=f"w{number}")
        print("running", flush=True)
        async for name in runtime.workflow_ids():
            await runtime.workflow(name).result()
            print("finished", flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
