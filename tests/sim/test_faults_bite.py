"""Each fault is made, and bites: a program that does not know of it breaks, a careful one holds."""

import pytest
from naive_programs import BITES

from treadle.sim import FAULTS, Plan, fault_rates, run_world

SEEDS = range(12)

pytestmark = pytest.mark.slow


def worlds(kind, faults, *, careful=False):
    """Run a program in some worlds."""
    runs = []
    for seed in SEEDS:
        program = kind()
        program.careful = careful
        store = "disk" if faults and faults[0].startswith("disk_") else "memory"
        plan = Plan(workload="own", store=store, faults=fault_rates(faults))
        runs.append(run_world(seed, plan, own=program))
    return runs


def broken(runs):
    """The seeds whose promise is broken, and how."""
    return {run.seed: run.violations for run in runs if not run.holds}


def test_every_fault_has_somebody_who_does_not_know_of_it():
    assert list(FAULTS) == list(BITES)


@pytest.mark.parametrize("fault", BITES)
def test_a_fault_bites_whoever_does_not_know_of_it(fault):
    rate, others, naive = BITES[fault]
    runs = worlds(naive, [f"{fault}={rate}", *others])

    assert sum(run.faults.get(fault, 0) for run in runs) >= len(SEEDS) / 2
    assert broken(runs)
    assert {} == broken(worlds(naive, others)), "it breaks without the fault as well"
    assert {} == broken(worlds(naive, [f"{fault}={rate}", *others], careful=True))
