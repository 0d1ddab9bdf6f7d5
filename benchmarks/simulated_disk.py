"""One append over the simulated disk, against the same store on a real file: CPU, not time.

Set BENCH_DIR to a folder in memory (/dev/shm), so that the real file costs its system calls and no disk.
"""

from __future__ import annotations

import random
import time

import trio
from common import PAYLOAD, emit, interleaved, scratch

from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.kernel import InlineKernel
from treadle.log import chain_digest
from treadle.sim import SimulatedDisk
from treadle.stores import Batch, Head, StoreOptions
from treadle.stores.sqlite import open_store

APPENDS = 4_000
WORKFLOWS = [workflow_id(f"workflow-{number}") for number in range(200)]


def batch_of(head: Head) -> Batch:
    """The next event of a log."""
    event = WorkflowEvent(head.next_seq, 1, EventKind.CUSTOM, PAYLOAD)
    digests = (chain_digest(head.digest, event),)
    return Batch(head.workflow_id, head.digest, (event,), digests, token=head.token)


async def microseconds(location: str, vfs: str | None) -> float:
    """CPU of one append of one event, each a transaction of its own."""
    store = await open_store(StoreOptions(location, location), InlineKernel(), vfs=vfs)
    heads = await store.heads(WORKFLOWS)
    began = time.process_time()
    for number in range(APPENDS):
        place = number % len(heads)
        batch = batch_of(heads[place])
        [outcome] = await store.append([batch])
        token = outcome.tokens[0] if outcome.tokens else batch.token
        heads[place] = heads[place]._replace(
            next_seq=batch.events[0].seq + 1, digest=batch.digests[0], token=token
        )
        await store.maintain()
    used = time.process_time() - began
    await store.aclose()
    return used / APPENDS * 1e6


def on_a_file() -> float:
    """A real file."""
    with scratch() as folder:
        return trio.run(microseconds, str(folder / "store.db"), None)


def on_the_disk(*, watched: bool = False) -> float:
    """The simulated disk; watched, every operation is asked about and reported."""
    with SimulatedDisk(draw=random.Random(1).random) as disk:
        if watched:
            disk.fault = lambda *_: None
            disk.report = lambda *_: None
        return trio.run(microseconds, "/db", disk.name)


def main() -> None:
    """Measure and print."""
    measures = {
        "file": on_a_file,
        "disk": on_the_disk,
        "disk_watched": lambda: on_the_disk(watched=True),
    }
    used = interleaved(measures)
    ratios = {f"{name}_per_file": round(used[name] / used["file"], 2) for name in ("disk", "disk_watched")}
    emit("simulated_disk", {**{f"{name}_us": round(value, 1) for name, value in used.items()}, **ratios})


if __name__ == "__main__":
    main()
