"""Durable workflows over a store that refuses and forgets: what failed is begun anew from the log, whole."""

import pytest

from treadle.sim.plan import Plan
from treadle.sim.running import run_world


@pytest.mark.parametrize("block", range(5))
def test_nothing_is_carried_out_that_a_failed_unit_has_decided(block):
    """No attempt is begun twice, or before the failure of the one before is in the log.

    Twice it was not so: a turn that waited on the stage ran on code that was ahead of its log, and a cut
    activation started what had ended meanwhile.
    """
    faults = {"unknown_unwritten": 100, "unavailable_store": 30, "activity_fails": 400}
    plan = Plan(workload="workflows", workflows=6, duration_seconds=30, faults=faults, decisions_max=100_000)
    for seed in range(block * 10, block * 10 + 10):
        assert () == run_world(seed, plan, guard=False).violations
