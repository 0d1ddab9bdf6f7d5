"""Runs worlds in the copy of the package that stands beside it; a child process of `test_sim_mutants`.

Usage: ``python mutant_worlds.py FOLDER WORKLOAD SEEDS STOP``: FOLDER holds the package, worlds 0 to SEEDS - 1
are run, and with STOP the first violation ends it. One line of JSON tells what was found.
"""

# ruff: noqa: PLC0415  # which copy of the package is imported is told first

import json
import sys
from pathlib import Path

DECISIONS_MAX = 100_000
"""How many decisions a world of these may take: ten times what those of the real code do."""


DISK_FAULTS = (
    ("power_cut=200000", "crash=100000", "duplicate=300"),
    ("restart=300000", "power_cut=200000", "duplicate=300"),
    ("disk_io_error=900000", "power_cut=300000", "duplicate"),
    ("disk_full=300000", "disk_io_error=100000", "crash=100000", "duplicate=300"),
)
"""In thousandths of an hour, in worlds of a minute: some of each."""
WORKFLOW_DISK_FAULTS = (
    ("power_cut=30000", "crash=20000"),
    ("restart=40000", "power_cut=20000"),
    ("disk_io_error=40000", "power_cut=20000"),
    ("disk_full=40000", "disk_io_error=20000", "crash=10000"),
)
"""Rarer, because these worlds last until the last timer and signal, hours of virtual time."""


def size_of_logs(seed: int) -> dict:
    """Choose how much happens in a world of logs."""
    return {"workflows": 2 + seed % 3, "clients": 6, "duration_seconds": 30, "operations": 25}


def plan_of(workload: str, seed: int):
    """Choose a world's plan: some faults in each, and every fourth without any."""
    from treadle.sim.faults import fault_rates
    from treadle.sim.plan import Plan

    if workload == "logs":
        faults = (
            (),
            ("all",),
            (
                "crash_at_append=60",
                "unknown_written=40",
                "unknown_unwritten=40",
                "duplicate=300",
                "cancelled_caller=100",
            ),
            ("slow_store=100", "unavailable_store=50", "duplicate=300", "actor_crash=20", "restart=100000"),
        )[seed % 4]
        return Plan(faults=fault_rates(faults), decisions_max=DECISIONS_MAX, **size_of_logs(seed))
    if workload == "logs on a disk":
        faults = DISK_FAULTS[seed % 4]
        size = size_of_logs(seed)
        return Plan(faults=fault_rates(faults), store="disk", decisions_max=DECISIONS_MAX, **size)
    if workload == "workflows on a disk":
        faults = (*WORKFLOW_DISK_FAULTS[seed % 4], "activity_fails")
        return Plan(
            workload="workflows",
            faults=fault_rates(faults),
            store="disk",
            workflows=4,
            duration_seconds=60,
            decisions_max=DECISIONS_MAX // 2,
        )
    if workload == "durable lifetimes":
        return durable_lifetimes_plan(seed)
    if workload.startswith("lifetimes"):
        return lifetimes_plan(seed, on_disk=workload.endswith("on disk"))
    faults = (
        (),
        ("crash=60000", "crash_at_append=40", "activity_fails=300", "duplicate"),
        ("unknown_written=60", "unknown_unwritten=30", "unavailable_store=20", "activity_fails=300"),
        ("pause=60000", "activity_fails=100"),
    )[seed % 4]
    return Plan(
        workload="workflows",
        faults=fault_rates(faults),
        workflows=4,
        duration_seconds=60,
        decisions_max=DECISIONS_MAX,
    )


def lifetimes_plan(seed: int, *, on_disk: bool):
    """Choose the plan of a world in which logs are branched, cut and deleted."""
    from treadle.sim.faults import fault_rates
    from treadle.sim.plan import Plan

    faults = (
        (),
        ("all",),
        ("crash_at_append=60", "unknown_written=40", "unknown_unwritten=40", "duplicate=300"),
        ("slow_store=100", "unavailable_store=50", "cancelled_caller=100", "restart=100000"),
        ("crash=200000", "power_cut=200000", "crash_at_append=20"),
    )[seed % 5]
    return Plan(
        workload="lifetimes",
        store="disk" if on_disk else "memory",
        faults=fault_rates(faults),
        workflows=1 + seed % 4,
        clients=2 + seed % 5,
        processes=1 if on_disk else 1 + seed % 2,
        duration_seconds=60 if seed % 2 else 600,
        operations=30,
        decisions_max=DECISIONS_MAX,
    )


def durable_lifetimes_plan(seed: int):
    """Choose the plan of a world in which durable workflows are branched and reset, under retention."""
    from treadle.sim.faults import fault_rates
    from treadle.sim.plan import Plan

    faults = (
        (),
        ("all",),
        ("crash=60000", "crash_at_append=20", "activity_fails=300", "duplicate=300"),
        ("unknown_written=40", "unavailable_store=20", "activity_fails=300", "slow_store=100"),
    )[seed % 4]
    return Plan(
        workload="durable_lifetimes",
        faults=fault_rates(faults),
        workflows=3,
        clients=4,
        operations=15,
        processes=1 + (seed % 8 == 7),
        duration_seconds=300,
        decisions_max=DECISIONS_MAX,
    )


def main(folder: str, workload: str, seeds: int, *, stops: bool) -> dict:
    sys.path.insert(0, folder)
    import treadle
    from treadle.sim.running import run_world

    assert Path(treadle.__file__).is_relative_to(folder), "another copy of the package was imported"
    sys.unraisablehook = lambda _: (
        None
    )  # what a killed process leaves is thrown away by the garbage collector
    errors = {}
    violations = []
    for seed in range(seeds):
        try:
            run = run_world(seed, plan_of(workload, seed), guard=False)
        except Exception as error:  # noqa: BLE001  # told, and not counted as found
            errors[seed] = repr(error)[:300]
            continue
        violations += [[seed, one.promise, one.message[:200]] for one in run.violations[:3]]
        if stops and violations:
            break
    return {"worlds": seed + 1, "violations": violations, "errors": errors}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), stops=sys.argv[4] == "stop")))  # noqa: T201
