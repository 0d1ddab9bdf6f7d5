"""A process that appends and keeps projections up until it is killed, or has appended enough."""

import json
import sys

import trio

from treadle import Projection, Projections, open_runtime

WORKFLOWS = 7
COUNT = Projection("count", lambda: 0, lambda state, _: state + 1)
EACH = Projection("each", lambda: 0, lambda state, _: state + 1, key=lambda event: event.workflow_id)


def views():
    """Projections that are written as often as it goes."""
    return Projections(COUNT, EACH, every_events=5, every_seconds=0.01, standby_seconds=2)


async def main(path, appends):
    kept = views()
    async with open_runtime(path, projections=kept) as runtime:
        print("up", flush=True)  # noqa: T201  # the parent waits for it
        async with trio.open_nursery() as nursery:
            for number in range(WORKFLOWS):
                nursery.start_soon(write, runtime.workflow(f"w{number}"), appends)
        statuses = {one.name: one.status for one in kept.statistics()}
        print(json.dumps(statuses), flush=True)  # noqa: T201


async def write(handle, appends):
    for number in range(appends):
        await handle.append("custom", b"%d" % number)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
