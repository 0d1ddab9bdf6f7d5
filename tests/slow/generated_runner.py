"""A process that runs the generated workflows of worlds on a real file, in real time, until it is killed."""
# ruff: noqa: T201

from __future__ import annotations

import sys

import trio

from treadle import open_runtime
from treadle.runtime.durable.activity_context import info
from treadle.sim.workloads.generated import generated, work


async def really(mean_ms: int) -> str:
    told = info()
    await trio.sleep(mean_ms / 50_000)
    return f"{told.workflow_id}:{told.seq}"


async def main(path: str) -> None:
    async with open_runtime(path, workflows=[generated], activities=[work.carried_out_by(really)]):
        print("open", flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
