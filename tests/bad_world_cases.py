"""Cases of bad input about simulated worlds, for `test_bad_input.py`: each is refused before it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from treadle import TreadleError
from treadle.sim import Plan, fault_rates, run_world
from treadle.sim.exploring import shrink
from treadle.sim.plotting import picture_kind
from treadle.sim.reporting import report

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
refused("world-forced-before-the-first", lambda: Plan(forced=((0, 1),)))
refused("world-report-of-a-changed-line", lambda: report([b'{"attempt":"one"}']))
refused("world-picture-of-another-kind", lambda: picture_kind(Path("size.pdf")))


async def nothing_to_shrink(folder: Path) -> list[TreadleError]:
    """A world is a run of Trio of its own, so it is one thread away from the test's."""

    def attempt() -> TreadleError:
        with pytest.raises(TreadleError) as caught:
            shrink(run_world(1, Plan(workflows=1, clients=1, operations=1, duration_seconds=1)))
        return caught.value

    error = await trio.to_thread.run_sync(attempt)

    assert [] == sorted(folder.iterdir())  # noqa: ASYNC240  # a small folder of the test's own
    return [error]


CASES["world-nothing-to-shrink"] = nothing_to_shrink
