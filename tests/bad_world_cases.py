"""Cases of bad input about simulated worlds, for `test_bad_input.py`: each is refused before it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from treadle import TreadleError
from treadle.sim import Plan, fault_rates, run_world

Case = Callable[[Path], Awaitable[list[TreadleError]]]
CASES: dict[str, Case] = {}


def refused(name: str, attempt: Callable[[], object]) -> None:
    """A case that asks for a world, and leaves nothing behind."""

    async def run(folder: Path) -> list[TreadleError]:
        with pytest.raises(TreadleError) as caught:
            attempt()

        assert [] == sorted(folder.iterdir())  # noqa: ASYNC240  # a small folder of the test's own
        return [caught.value]

    CASES[name] = run


refused("world-fault-unknown", lambda: fault_rates(["crsh"]))
refused("world-plan-fault-unknown", lambda: Plan(faults={"crsh": 20_000}))
refused("world-rate-impossible", lambda: fault_rates(["delay=1001"]))
refused("world-workload-unknown", lambda: run_world(1, Plan(workload="lgs")))
refused("world-seed-out-of-range", lambda: run_world(-1, Plan()))
refused("world-disk-of-two-processes", lambda: Plan(processes=2, store="disk"))
refused("world-workflows-of-two-processes", lambda: run_world(1, Plan(workload="workflows", processes=2)))
refused("world-runs-inside-a-run", lambda: run_world(1, Plan()))
refused("world-count-out-of-range", lambda: Plan(clients=0))
refused("world-plan-of-something-else", lambda: Plan.from_json({"wheels": 4}))
