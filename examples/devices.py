"""Many devices report at once; a watcher follows one of them from its first reading on, live.

Each device is a workflow with its own log. The watcher starts while readings are being written, and still
sees each exactly once: history and live events come from one iterator without a seam.
"""

from __future__ import annotations

import trio

from treadle import EventKind, Runtime, open_runtime

DEVICES = 200
READINGS = 25
WATCHED = 7


async def report(runtime: Runtime, device: int) -> None:
    """Send a device's readings."""
    log = runtime.workflow(device)  # a number is a name, too
    for number in range(READINGS):
        await log.append(EventKind.SIGNAL_RECEIVED, str(20 + number % 5).encode(), seq=number + 1)


async def watch(runtime: Runtime, seen: list[int]) -> None:
    """Follow one device until its last reading."""
    async for event in runtime.workflow(WATCHED).follow():
        seen.append(event.seq)
        if event.seq == READINGS:
            return


async def main() -> None:
    """Let all devices report while one is watched."""
    seen: list[int] = []
    async with open_runtime("devices.db") as runtime:
        async with trio.open_nursery() as nursery:
            for device in range(DEVICES):
                nursery.start_soon(report, runtime, device)
                if device == DEVICES // 2:
                    nursery.start_soon(watch, runtime, seen)
        told = runtime.statistics()
    print(f"{told.events_appended} readings of {told.workflows_known} devices")
    print(f"they shared {told.groups_committed} transactions")
    assert seen == list(range(1, READINGS + 1))  # noqa: S101  # no gap and no repeat at the seam
    print(f"the watcher saw {len(seen)} readings, each once")


if __name__ == "__main__":
    trio.run(main)
