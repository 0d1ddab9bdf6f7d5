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
        await trio.to_thread.run_sync(sys.stdin.readline)
        seen = {name: [] for name in kept.names}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, kept, seen)
            async with trio.open_nursery() as writers:
                for number in range(WORKFLOWS):
                    writers.start_soon(write, runtime.workflow(f"w{number}"), appends)
            nursery.cancel_scope.cancel()
        print(json.dumps(seen), flush=True)  # noqa: T201


async def look(kept, seen):
    """Note each status when it is another one than before."""
    while True:
        for one in kept.statistics():
            if seen[one.name][-1:] != [one.status]:
                seen[one.name].append(one.status)
        await trio.sleep(0.01)


async def write(handle, appends):
    for number in range(appends):
        await handle.append("custom", b"%d" % number)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
