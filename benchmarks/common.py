"""What every benchmark here needs: a place on disk, medians, the raw ceiling, and a plain way to print."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from struct import Struct

import apsw
import trio

from treadle import open_store

PAYLOAD = b"x" * 100
ROUNDS = int(os.environ.get("ROUNDS", "5"))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk under test (BENCH_DIR, or the system's temporary folder)."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def interleaved(measures: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """Medians of measures taken in turns, so that a noisy minute hits all of them."""
    seen: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            seen[name].append(measure())
    return {name: statistics.median(values) for name, values in seen.items()}


def emit(name: str, results: dict[str, object]) -> None:
    """Print one JSON object: what was measured, on what."""
    machine = {
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    json.dump(
        {"benchmark": name, "machine": machine, "rounds": ROUNDS, "results": results}, sys.stdout, indent=1
    )
    print()


def make_store(path: Path) -> None:
    """Make an empty treadle file, so that the raw ceiling uses the very same schema and settings."""

    async def make() -> None:
        async with open_store(path):
            pass

    trio.run(make)


def raw_connection(path: Path) -> apsw.Connection:
    """A plain connection with the settings of the store."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
    return connection


INSERT = (
    "INSERT INTO events(workflow, seq, timestamp, kind, payload, digest, key) VALUES (?, ?, ?, ?, ?, ?, NULL)"
)
_pack = Struct(">16sqqI").pack


class RawLog:
    """The raw ceiling: the same rows and digests through one plain connection in a plain loop."""

    def __init__(self, path: Path, workflows: int) -> None:
        make_store(path)
        self.connection = raw_connection(path)
        self.heads = [[1, b"\0" * 16] for _ in range(workflows + 1)]
        with self.connection:
            self.connection.executemany(
                "INSERT INTO workflows(key, id) VALUES (?, ?)",
                ((key, f"workflow-{key}") for key in range(1, workflows + 1)),
            )

    def transaction(self, workflows: range, events_each: int = 1) -> None:
        """Write `events_each` events to each workflow in one transaction."""
        rows = []
        for key in workflows:
            head = self.heads[key]
            for _ in range(events_each):
                seq, digest = head
                digest = blake2b(_pack(digest, seq, 1_000_000, 8) + PAYLOAD, digest_size=16).digest()
                rows.append((key, seq, 1_000_000, 8, PAYLOAD, digest))
                head[0], head[1] = seq + 1, digest
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(INSERT, rows)
        self.connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
