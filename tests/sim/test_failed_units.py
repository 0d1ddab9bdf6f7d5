"""Durable workflows over a store that refuses and forgets: what failed is begun anew from the log, whole."""

import gc

import pytest

from treadle.sim.plan import Plan
from treadle.sim.running import run_world

pytestmark = pytest.mark.slow


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


def test_code_in_memory_is_never_there_twice():
    """A runner that closes throws all code away; what it has lost sight of would complain when collected.

    It lost sight of workflows that were read, and had taken a turn, when one read with them failed.
    """
    faults = {"restart": 60_000, "unavailable_store": 30}
    plan = Plan(workload="workflows", faults=faults, decisions_max=200_000)
    for seed in range(500, 520):
        assert () == run_world(seed, plan, guard=False).violations
    gc.collect()  # pytest makes an error of what is told there


def test_a_turn_that_was_cut_before_its_last_unit_is_over_when_it_is_read_again():
    """Its interim head facts said that somebody must look at it, and nobody ever took that back."""
    faults = {"crash": 60_000, "crash_at_append": 40, "activity_fails": 300, "duplicate": 50}
    plan = Plan(workload="workflows", workflows=4, duration_seconds=60, faults=faults, decisions_max=100_000)
    for seed in (141, *range(20)):
        assert () == run_world(seed, plan, guard=False).violations
