"""How fast projections follow, against an empty loop over the same feed pages; and a rebuild."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import trio
from common import PAYLOAD, ROUNDS, emit, interleaved, scratch

from treadle import NewEvent, Projection, Projections, open_runtime, open_store

EVENTS = int(os.environ.get("EVENTS", "100000"))
REBUILD_EVENTS = int(os.environ.get("REBUILD_EVENTS", "1000000"))
WORKFLOWS = 1_000
BATCH = 100
SHARING = 10


def count(name: str) -> Projection[int]:
    """One state: a number."""
    return Projection(name, int, lambda state, _: state + 1)


def each(name: str) -> Projection[int]:
    """A state for each of a thousand workflows."""
    return Projection(name, int, lambda state, _: state + 1, key=lambda event: event.workflow_id)


async def fill(path: Path, events: int) -> None:
    """Write events, interleaved over the workflows, without keeping anything up."""
    async with open_runtime(path) as runtime:
        handles = [runtime.workflow(f"workflow-{number}") for number in range(WORKFLOWS)]
        batch = [NewEvent("custom", PAYLOAD)] * BATCH
        for start in range(0, events // BATCH, WORKFLOWS):
            async with trio.open_nursery() as nursery:
                for number in range(start, min(start + WORKFLOWS, events // BATCH)):
                    nursery.start_soon(handles[number % WORKFLOWS].extend, batch)


async def read_only(path: Path) -> None:
    """The empty loop: every page of the feed, every event touched."""
    async with open_store(path, read_only=True) as store:
        after = 0
        while page := await store.feed(after):
            for _event in page:
                pass
            after = page[-1].position


async def follow(path: Path, *projections: Projection[int]) -> None:
    """Let projections read the whole feed, and be written."""
    views = Projections(*projections)
    async with open_runtime(path, projections=views):
        await views.caught_up()


def timed(function: object, path: Path, *projections: Projection[int]) -> tuple[float, float]:
    """Run one measure on a copy of the file; seconds, and seconds of CPU."""
    copy = Path(shutil.copy(path, path.with_suffix(".copy")))
    begun, cpu = time.perf_counter(), time.process_time()
    trio.run(function, copy, *projections)
    taken = time.perf_counter() - begun, time.process_time() - cpu
    copy.unlink()
    return taken


def measure(path: Path) -> dict[str, object]:
    """Take each in turns."""
    sharing = [count(f"count {number}") for number in range(SHARING)]
    cases = {
        "empty loop": (read_only,),
        "1 projection": (follow, count("count")),
        "1 keyed projection": (follow, each("each")),
        f"{SHARING} projections": (follow, *sharing),
    }
    seconds = {name: [] for name in cases}
    cpu = {name: [] for name in cases}

    def turn(name: str) -> float:
        taken = timed(cases[name][0], path, *cases[name][1:])
        seconds[name].append(taken[0])
        cpu[name].append(taken[1])
        return taken[1]

    medians = interleaved({name: lambda name=name: turn(name) for name in cases}, ROUNDS)
    empty = medians["empty loop"]
    table = {}
    print(f"{EVENTS:,} events; CPU, medians of {ROUNDS}", file=sys.stderr)
    print(f"{'':<22}{'events/s':>12}{'us an event':>14}{'of the empty loop':>20}", file=sys.stderr)
    for name, value in medians.items():
        table[name] = {
            "events_per_second": round(EVENTS / value),
            "cpu_us_per_event": round(1e6 * value / EVENTS, 2),
            "share_of_empty_loop": round(empty / value, 2),
            "wall_seconds": round(sorted(seconds[name])[len(seconds[name]) // 2], 2),
        }
        row = table[name]
        print(
            f"{name:<22}{row['events_per_second']:>12,}{row['cpu_us_per_event']:>14}"
            f"{row['share_of_empty_loop']:>20}",
            file=sys.stderr,
        )
    return table


async def rebuild(path: Path) -> dict[str, object]:
    """Rebuild a keyed projection, and tell how often its progress was told."""
    told: list[tuple[int, int]] = []
    views = Projections(each("each"))

    def progress(position: int, until: int) -> None:
        told.append((position, until))
        if sys.stderr.isatty():
            print(f"\r{position:>12,} of {until:,}", end="", file=sys.stderr)

    async with open_runtime(path) as runtime:
        begun, cpu = time.perf_counter(), time.process_time()
        rebuilt = await views.rebuild("each", host=runtime.host(), progress=progress)
        taken = {"wall_seconds": round(time.perf_counter() - begun, 1)}
        taken["cpu_seconds"] = round(time.process_time() - cpu, 1)
        begun = time.process_time()
        (verdict,) = await views.verify(store=runtime.store)
        assert verdict.same
        taken["verify_cpu_seconds"] = round(time.process_time() - begun, 1)
    return {"events": rebuilt.events, "keys": rebuilt.keys, "progress_told": len(told), **taken}


def main() -> None:
    """Print the figures."""
    with scratch() as folder:
        trio.run(fill, folder / "store.db", EVENTS)
        results: dict[str, object] = {"following": measure(folder / "store.db")}
        trio.run(fill, folder / "large.db", REBUILD_EVENTS)
        results["rebuild"] = trio.run(rebuild, folder / "large.db")
        emit("projections", results)


if __name__ == "__main__":
    main()
