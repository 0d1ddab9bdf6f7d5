"""What the peers' scripts share; only the standard library, since each runs under its peer's own Python.

A peer's script runs workflows of some trivial steps, a number of them at once, each caller beginning the next
when its last has ended, and prints one line of JSON: the rates in steps a second by name, and the versions.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

STEPS = 10
START_SECONDS_MAX = 60.0


def options(description: str, *, workflows: int, modes: tuple[str, ...]) -> argparse.Namespace:
    """What every peer's script is told on its command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("mode", choices=modes)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of a workflow")
    parser.add_argument("--at-once", type=int, default=100, help="workflows at once")
    parser.add_argument("--workflows", type=int, default=workflows, help="workflows of a round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", default=".", help="where its files go: the disk under test")
    return parser.parse_args()


def emit_rates(rates: dict[str, list[float]], packages: tuple[str, ...], **settings: object) -> None:
    """Print the line that the benchmark reads, as the last of the output."""
    versions = {package: importlib.metadata.version(package) for package in packages}
    print(json.dumps({"rates": rates, "versions": versions, "settings": settings}), flush=True)


async def closed_loop(one: Callable[[int], Awaitable[object]], workflows: int, at_once: int) -> float:
    """Seconds for so many workflows with so many callers."""
    numbers = iter(range(workflows))

    async def caller() -> None:
        for number in numbers:
            await one(number)

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    return time.perf_counter() - start


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def server(command: list[str], **popen: object) -> Iterator[subprocess.Popen[bytes]]:
    """A server of ours, ended with the block; what it says goes to stderr, so that stdout stays one line."""
    process = subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr, **popen)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
