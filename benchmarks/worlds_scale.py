"""What one world of many workflows over many days costs: CPU, memory at its peak, decisions a second.

Generated workflows arrive at random over the days, in memory: without faults, and with the default faults
scaled to so many an hour (their defaults are some dozens an hour, thousands of openings a week). Checks and
report are part of it. `WORKFLOWS` sets how many (10000), `DAYS` over how many virtual days (9), `FAULTS`
divides the rates by the hour (20).
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import time

from common import emit

from treadle.sim import FAULTS, Plan, fault_rates, run_world
from treadle.sim.reporting import report

WORKFLOWS = int(os.environ.get("WORKFLOWS", "10000"))
DAYS = int(os.environ.get("DAYS", "9"))
DIVISOR = int(os.environ.get("FAULTS", "20"))


def rates() -> dict[str, int]:
    """The default faults, those by the hour at a part of their rate."""
    return {
        name: rate // DIVISOR if FAULTS[name].per == "hour" else rate
        for name, rate in fault_rates(["all"]).items()
    }


def one(kind: str) -> None:
    """Run one world in this process, and tell what it took."""
    faults = rates() if kind == "faults" else {}
    plan = Plan(
        workload="workflows",
        workflows=WORKFLOWS,
        duration_seconds=DAYS * 86_400,
        faults=faults,
        limits="usual",
        decisions_max=1_000_000_000,
    )
    gc.set_threshold(100_000, 20, 50)  # as the command sets it
    begun = time.process_time()
    run = run_world(7, plan)
    lived = time.process_time()
    told = report(run.lines)
    done = time.process_time()
    results = {
        "workflows": told.begun,
        "cpu_seconds": round(lived - begun, 1),
        "report_seconds": round(done - lived, 1),
        "decisions": run.decisions,
        "decisions_per_second": round(run.decisions / (lived - begun)),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "lines": run.lines_made,
        "violations": [str(found) for found in run.violations[:3]],
    }
    emit(kind, results)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(sys.argv[1])
    else:
        for kind in ("no faults", "faults"):
            subprocess.run([sys.executable, __file__, kind], check=True)  # each with a peak of its own
