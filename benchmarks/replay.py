"""Replay through a reducer, as a share of a plain loop that reads the same rows and builds the same events.

The plain loop: one apsw connection, one SELECT for each log, `WorkflowEvent(...)` from each row, the same
reducer. Once for one long log, once for 10,000 logs of 30 events through `replay_all`.
"""

from __future__ import annotations

import time

import trio
from common import PAYLOAD, emit, interleaved, raw_connection, scratch

from treadle import EventKind, NewEvent, WorkflowEvent, open_runtime
from treadle.events import trusted_event

LONG = 200_000
MANY, EACH = 10_000, 30
KINDS = list(EventKind)
SELECT = "SELECT seq, timestamp, kind, payload FROM events WHERE workflow = ? ORDER BY seq"


def apply(state, event):
    """Count events by kind."""
    return state + event.kind


async def fill(path):
    """Write one long log and many short ones, interleaved as they would come."""
    async with open_runtime(path) as runtime:
        long = runtime.workflow("long")
        block = [NewEvent(EventKind.CUSTOM, PAYLOAD, 1_000_000)] * 1_000
        for _ in range(LONG // 1_000):
            await long.extend(block)
        ten = block[:10]

        async def short(number):
            await runtime.workflow(f"short-{number}").extend(ten)

        for _ in range(EACH // 10):
            for start in range(0, MANY, 1_000):
                async with trio.open_nursery() as nursery:
                    for number in range(start, start + 1_000):
                        nursery.start_soon(short, number)


def plain(path, keys, make_event) -> float:
    """Events a second of the plain loop."""
    connection = raw_connection(path)
    count = 0
    start = time.perf_counter()
    for key in keys:
        state = 0
        for seq, timestamp, kind, payload in connection.execute(SELECT, (key,)):
            state = apply(state, make_event(seq, timestamp, KINDS[kind], payload))
            count += 1
    seconds = time.perf_counter() - start
    connection.close()
    return count / seconds


def through_runtime(path, *, long: bool) -> float:
    """Events a second through `replay` or `replay_all`."""

    async def main():
        async with open_runtime(path) as runtime:
            start = time.perf_counter()
            if long:
                await runtime.workflow("long").replay(apply, 0)
                return LONG / (time.perf_counter() - start)
            count = 0
            ids = [f"short-{number}" for number in range(MANY)]
            async for replayed in runtime.replay_all(apply, int, ids):
                count += replayed.events
            return count / (time.perf_counter() - start)

    return trio.run(main)


def main() -> None:
    """Measure and print."""
    with scratch() as folder:
        path = folder / "replay.db"
        trio.run(fill, path)
        connection = raw_connection(path)
        keys = dict(connection.execute("SELECT id, key FROM workflows"))
        connection.close()
        short = [keys[f"short-{number}"] for number in range(MANY)]
        rates = interleaved(
            {
                "plain long": lambda: plain(path, [keys["long"]], WorkflowEvent),
                "plain long, unchecked events": lambda: plain(path, [keys["long"]], trusted_event),
                "treadle long": lambda: through_runtime(path, long=True),
                "plain many": lambda: plain(path, short, WorkflowEvent),
                "plain many, unchecked events": lambda: plain(path, short, trusted_event),
                "treadle many": lambda: through_runtime(path, long=False),
            }
        )
    shares = {
        f"{shape}{suffix}": round(rates[f"treadle {shape}"] / rates[f"plain {shape}{suffix}"], 3)
        for shape in ("long", "many")
        for suffix in ("", ", unchecked events")
    }
    emit(
        "replay",
        {
            "events_a_second": {name: round(rate) for name, rate in rates.items()},
            "share_of_plain_loop": shares,
        },
    )


if __name__ == "__main__":
    main()
