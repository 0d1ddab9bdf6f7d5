"""Worlds of durable workflows' whole lives hold, and do what they are there for."""

import gc
import json
import sys
from collections import Counter

import pytest

from treadle.sim import Plan, fault_rates, run_world

SMALL = {"workflows": 2, "clients": 4, "operations": 8, "duration_seconds": 120}
FEWER = fault_rates(["all", "crash=4000", "restart=2000", "pause=2000", "power_cut=1000"])


def world(seed, **changes):
    plan = Plan(workload="durable_lifetimes", **{**SMALL, "faults": FEWER, **changes})
    return run_world(seed, plan, guard=False)  # tests/sim/test_world_runs.py watches its waits


@pytest.mark.parametrize("changes", [{"store": "disk"}, {"processes": 3}], ids=["on a disk", "several"])
def test_a_world_of_branches_resets_and_retention_holds(changes):
    assert () == world(1, **changes).violations


def test_all_that_can_become_of_a_workflow_becomes_of_some():
    """A workload in which everything is refused would hold every promise."""
    done, cut = Counter(), 0
    for seed in range(3):
        for line in map(json.loads, world(seed, faults={}, operations=20).lines):
            done[line.get("note")] += line.get("outcome") == "ok"
            cut += line.get("kept", 1) > 1

    assert {
        *("signal", "transact", "branch", "resume", "play", "reset"),
        *("append", "baseline", "replay", "snapshot", "prune", "branch log", "begin", "close"),
    } <= {what for what, count in done.items() if count}
    assert cut


def test_no_code_is_left_to_the_garbage_collector(monkeypatch):
    """In this world a log is read again while code of before its reset is still in memory."""
    left = []
    monkeypatch.setattr(sys, "unraisablehook", left.append)
    size = {"workflows": 3, "clients": 4, "operations": 15, "duration_seconds": 300}
    assert () == world(41620, **size, faults=fault_rates(["all"])).violations
    gc.collect()

    assert [] == left
