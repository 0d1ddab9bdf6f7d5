"""What a branch costs, however long the history: time against one append, bytes, and reading it back.

    python benchmarks/branches.py

One history of 50,000 events is branched at many places, in turns with appends to another log, and with
appends that begin a log each, in the same run. Then all branches are read back; what a branch adds to the
file is told table by table, beside a log begun with an event of the same payload and one more event of it;
and a log at the end of a chain of 100 branches is read in turns with a plain log of the same length.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import count

import apsw
import trio
from common import PAYLOAD, ROUNDS, emit, scratch

from treadle import EventKind, NewEvent, open_runtime

EVENTS = 50_000
BRANCHES = 1_000
DEPTH = 100
EACH = 20
READS = 20
PLACES = [1 + number * (EVENTS - 1) // (BRANCHES - 1) for number in range(BRANCHES)]


async def fill(runtime, name: str, events: int) -> None:
    """Write a long log."""
    block = [NewEvent(EventKind.CUSTOM, PAYLOAD, 1_000_000)] * 1_000
    for start in range(0, events, 1_000):
        await runtime.workflow(name).extend(block[: events - start])


async def timed(call, times: int) -> float:
    """Seconds for each call."""
    start = time.perf_counter()
    for _ in range(times):
        await call()
    return (time.perf_counter() - start) / times


async def branching(runtime) -> dict[str, float]:
    """Seconds for a branch, for an append, for one that begins a log, and of CPU for each, in turns."""
    kinds = ("branch", "append", "begin")
    names, begun = count(), count()
    seen = {name: [] for kind in kinds for name in (kind, f"{kind} CPU")}
    parent, other = runtime.workflow("parent"), runtime.workflow("other")

    async def branch() -> None:
        number = next(names)
        await parent.branch(at=PLACES[number], to=f"branch-{number:04}")

    async def append() -> None:
        await other.append(EventKind.CUSTOM, PAYLOAD)

    async def begin() -> None:
        await runtime.workflow(f"begun-{next(begun):04}").append(EventKind.CUSTOM, PAYLOAD)

    for _ in range(BRANCHES // EACH):
        for name, call in zip(kinds, (branch, append, begin), strict=True):
            cpu = time.process_time()
            seen[name].append(await timed(call, EACH))
            seen[f"{name} CPU"].append((time.process_time() - cpu) / EACH)
    return {name: sorted(values)[len(values) // 2] for name, values in seen.items()}


async def read_back(runtime) -> float:
    """Read the end of each branch, and all of some; tell how many were read in a second."""
    start = time.perf_counter()
    for number, at in enumerate(PLACES):
        log = runtime.workflow(f"branch-{number:04}")
        events = await log.read(max(1, at - 5)).list()
        assert [event.seq for event in events] == list(range(max(1, at - 5), at + 2))
        assert events[-1].kind is EventKind.BRANCHED
    seconds = time.perf_counter() - start
    some = [f"branch-{number:04}" for number in range(0, BRANCHES, 100)]
    async for replayed in runtime.replay_all(lambda seen, event: seen + event.seq, int, some):
        events = replayed.events
        assert replayed.state == events * (events + 1) // 2
    return BRANCHES / seconds


async def chained(runtime) -> None:
    """Make a branch of a branch of a branch, each with events of its own, and a plain log as long."""
    block = [NewEvent(EventKind.CUSTOM, PAYLOAD, 1_000_000)] * (EACH - 1)
    await runtime.workflow("link-0").extend([*block, block[0]])
    for depth in range(1, DEPTH + 1):
        link = await runtime.workflow(f"link-{depth - 1}").branch(at=depth * EACH, to=f"link-{depth}")
        await link.extend(block)
    await fill(runtime, "plain", (DEPTH + 1) * EACH)


async def reading(runtime, name: str) -> float:
    """Seconds to read a log once."""
    log = runtime.workflow(name)
    return await timed(lambda: log.read().list(), READS)


def contents_bytes(path) -> Counter[str]:
    """Bytes of rows and index entries in the file, by table and index."""
    connection = apsw.Connection(str(path))
    found = Counter(
        dict(connection.execute("SELECT name, sum(payload) FROM dbstat('main', 1) GROUP BY name"))
    )
    connection.close()
    return found


async def spaces(path, runtime) -> dict[str, dict[str, int]]:
    """What each of a few things adds to the file, by what it is added to."""
    parent = runtime.workflow("parent")
    payload = (await runtime.workflow("branch-0500").read(PLACES[500] + 1).list())[0].payload
    found: dict[str, dict[str, int]] = {}

    async def branch(number: int) -> None:
        await parent.branch(at=PLACES[number], to=f"space-0-{number:04}")

    async def begin(number: int) -> None:
        await runtime.workflow(f"space-1-{number:04}").append(EventKind.CUSTOM, payload)

    async def append(_: int) -> None:
        await runtime.workflow("row").append(EventKind.CUSTOM, payload)

    kinds = {"branch": branch, "log begun with one event": begin, "event": append}
    for kind, call in kinds.items():
        before = contents_bytes(path)
        for number in range(BRANCHES):
            await call(number)
        added = contents_bytes(path) - before
        found[kind] = {"all": round(added.total() / BRANCHES)}
        found[kind] |= {name: round(size / BRANCHES) for name, size in sorted(added.items())}
    return found


async def measured(path) -> dict[str, object]:
    """Measure everything, in the order in which the file grows."""
    async with open_runtime(path) as runtime:
        await fill(runtime, "parent", EVENTS)
        await runtime.workflow("other").append(EventKind.CUSTOM, PAYLOAD)
        seconds = await branching(runtime)
        rate = await read_back(runtime)
        space = await spaces(path, runtime)
        await chained(runtime)
        deep, plain = f"link-{DEPTH}", "plain"
        found = {name: [] for name in (deep, plain)}
        for _ in range(ROUNDS):
            for name, values in found.items():
                values.append(await reading(runtime, name))
        lengths = {await runtime.workflow(name).next_seq() for name in found}
        assert len(lengths) == 1, lengths
        chain_seconds, plain_seconds = (sorted(values)[ROUNDS // 2] for values in found.values())
    return {
        "history_events": EVENTS,
        "microseconds": {name: round(value * 1e6) for name, value in seconds.items()},
        **{
            f"branch_per_{kind}{unit}": round(seconds[f"branch{unit}"] / seconds[f"{kind}{unit}"], 2)
            for kind in ("append", "begin")
            for unit in ("", " CPU")
        },
        "bytes": space,
        "branches_read_back_a_second": round(rate),
        "depth": DEPTH,
        "chain_per_plain_log": round(chain_seconds / plain_seconds, 2),
    }


def main() -> None:
    """Measure and print."""
    with scratch() as folder:
        emit("branches", trio.run(measured, folder / "branches.db"))


if __name__ == "__main__":
    main()
