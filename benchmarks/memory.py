"""The pure log's cost for each append, and what an idle and an awake workflow take in memory."""

from __future__ import annotations

import gc
import time

import trio
import trio.testing
from common import PAYLOAD, emit, interleaved, scratch

from treadle import EventKind, RuntimeConfig, WorkflowEvent, WorkflowLog, open_runtime

APPENDS = 100_000
WORKFLOWS = 100_000
AWAKE = 5_000


def resident_bytes() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm") as file:  # noqa: PTH123  # not a file worth a Path
        return int(file.read().split()[1]) * 4096


def log_append_us(*, making_events: bool) -> float:
    """CPU microseconds for each `WorkflowLog.append`, with or without making the event."""
    log = WorkflowLog()
    events = [WorkflowEvent(seq, seq, EventKind.CUSTOM, PAYLOAD) for seq in range(1, APPENDS + 1)]
    start = time.process_time()
    if making_events:
        for seq in range(1, APPENDS + 1):
            log.append("workflow", WorkflowEvent(seq, seq, EventKind.CUSTOM, PAYLOAD))
    else:
        for event in events:
            log.append("workflow", event)
    return (time.process_time() - start) / APPENDS * 1e6


async def idle_workflow_bytes(path: str) -> float:
    """Resident bytes for each workflow that was appended to once and is idle now."""
    async with open_runtime(path) as runtime:
        await append_to(runtime, "warm", 2_000)
        gc.collect()
        before = resident_bytes()
        await append_to(runtime, "idle", WORKFLOWS)
        gc.collect()
        return (resident_bytes() - before) / WORKFLOWS


async def append_to(runtime, prefix: str, count: int) -> None:
    """Append once to each of many workflows, a thousand callers at a time."""

    async def one(number: int) -> None:
        await runtime.workflow(f"{prefix}-{number}").append(EventKind.CUSTOM, b"x", timestamp=1)

    for start in range(0, count, 1_000):
        async with trio.open_nursery() as nursery:
            for number in range(start, start + 1_000):
                nursery.start_soon(one, number)


async def awake_workflow_bytes() -> float:
    """Resident bytes for each workflow whose actor has a task and an inbox."""
    # They sleep longer than closing waits for them.
    async with open_runtime("memory:", config=RuntimeConfig(close_timeout_seconds=0.1)) as runtime:
        supervisor = runtime._supervisor
        gc.collect()
        before = resident_bytes()
        # A task that waits out a backoff is as awake as one that waits for the store.
        for number in range(AWAKE):
            supervisor._awaken(supervisor.actor(f"awake-{number}"), backoff_seconds=30.0)
        await trio.testing.wait_all_tasks_blocked()
        return (resident_bytes() - before) / AWAKE


def main() -> None:
    """Measure and print."""
    with scratch() as folder:
        idle = trio.run(idle_workflow_bytes, str(folder / "idle.db"))
    costs = interleaved(
        {
            "append": lambda: log_append_us(making_events=False),
            "event and append": lambda: log_append_us(making_events=True),
        }
    )
    emit(
        "memory",
        {
            "log_append_us_cpu": {name: round(cost, 2) for name, cost in costs.items()},
            "idle_workflow_bytes": round(idle),
            "awake_workflow_bytes": round(trio.run(awake_workflow_bytes)),
        },
    )


if __name__ == "__main__":
    main()
