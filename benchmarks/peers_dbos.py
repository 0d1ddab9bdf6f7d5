"""DBOS on SQLite: steps a second. Run by `durable.py` under the Python that has dbos.

    python benchmarks/peers_dbos.py threads --workflows 200
    python benchmarks/peers_dbos.py tasks --workflows 200

`threads`: plain functions through `DBOS.start_workflow`; `tasks`: coroutines under asyncio. The file is as
DBOS makes it (rollback journal, synchronous=FULL); `-wal` sets the journal to WAL first, which it then keeps.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dbos import DBOS
from peers_common import closed_loop, emit_rates, options


@DBOS.step()
def step(value: int) -> int:
    """Do next to nothing."""
    return value + 1


@DBOS.step()
async def step_async(value: int) -> int:
    """Do next to nothing."""
    return value + 1


@DBOS.workflow()
def steps_one_by_one(steps: int) -> int:
    """Each step with the result of the one before."""
    value = 0
    for _ in range(steps):
        value = step(value)
    return value


@DBOS.workflow()
async def steps_one_by_one_async(steps: int) -> int:
    """Each step with the result of the one before."""
    value = 0
    for _ in range(steps):
        value = await step_async(value)
    return value


def threads(workflows: int, at_once: int, steps: int) -> float:
    """Seconds, with one caller to a thread."""

    def one(_: int) -> None:
        assert DBOS.start_workflow(steps_one_by_one, steps).get_result() == steps

    with ThreadPoolExecutor(at_once) as callers:
        start = time.perf_counter()
        list(callers.map(one, range(workflows)))
        return time.perf_counter() - start


def tasks(workflows: int, at_once: int, steps: int) -> float:
    """Seconds, with one caller to an asyncio task."""

    async def one(_: int) -> None:
        assert await steps_one_by_one_async(steps) == steps

    return asyncio.run(closed_loop(one, workflows, at_once))


def main() -> None:
    """Measure and print."""
    told = options(__doc__, workflows=200, modes=("threads", "tasks", "threads-wal", "tasks-wal"))
    path = Path(told.folder) / f"dbos-{uuid.uuid4().hex}.db"
    if told.mode.endswith("-wal"):
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
    DBOS(
        config={
            "name": "peer",
            "system_database_url": f"sqlite:///{path}",
            "log_level": "ERROR",
            "console_log_level": "ERROR",
            "application_version": "1",
            "executor_id": "one",
        }
    )
    DBOS.launch()
    measure = threads if told.mode.startswith("threads") else tasks
    measure(told.at_once, told.at_once, 1)
    rates = [
        told.workflows * told.steps / measure(told.workflows, told.at_once, told.steps)
        for _ in range(told.rounds)
    ]
    emit_rates({told.mode: rates}, ("dbos", "sqlalchemy"), at_once=told.at_once)
    # Its own threads would be waited for; the figures are out.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
