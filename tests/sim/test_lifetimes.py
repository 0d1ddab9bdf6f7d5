"""Worlds of logs' whole lives hold, do what they are there for, and know what they have cut."""

import json
from collections import Counter

import pytest

from treadle.checkers import Branching
from treadle.sim import Plan, fault_rates, run_world
from treadle.sim.workloads.known import Known, mark_of_branch

FEWER = fault_rates(["all", "crash=2000", "restart=2000", "pause=2000", "power_cut=1000"])


def world(seed, store="memory", faults=FEWER):
    plan = Plan(
        workload="lifetimes",
        store=store,
        faults=faults,
        workflows=2,
        clients=4,
        operations=25,
        duration_seconds=60,
    )
    return run_world(seed, plan)


@pytest.mark.parametrize("store", ["memory", "disk"])
@pytest.mark.parametrize("seed", range(2))
def test_a_world_of_branches_cuts_and_transactions_holds(store, seed):
    assert () == world(seed, store).violations


def test_all_that_can_become_of_a_log_becomes_of_some():
    """A workload in which everything is refused would hold every promise."""
    done = Counter()
    for seed in range(8):
        for line in map(json.loads, world(seed, faults={}).lines):
            if "op" in line:
                done[line["outcome"]] += 1
                done["branched"] += line["outcome"] == "ok" and "branches" in line
                done["cut"] += line["outcome"] == "ok" and "cuts" in line
                done["told"] += "kept" in line
                done["transacted"] += line["outcome"] == "ok" and len(line["reads"]) > 1
                done[line["error"]] += 1
            done["kept in part"] += line.get("kept", 1) != 1 and "log" in line

    lacking = {"branched", "cut", "told", "transacted", "kept in part", "EventsPrunedError"} - {
        what for what, count in done.items() if count > 0
    }
    assert set() == lacking
    assert {"EventsSharedError", "WorkflowExistsError", "SequenceGapError"} <= set(done)


def test_what_was_cut_is_put_together_from_what_clients_have_read():
    known = Known()
    known.saw("a", 1, ["1", "2"])
    known.saw("a", 4, ["4"])

    assert ["1", "2", "? a 3", "4"] == known.whole("a", 5)


def test_what_a_branch_shares_and_has_cut_is_known_by_its_parent():
    known = Known()
    known.saw("a", 1, ["1", "2", "3"])
    known.tries(Branching("b", "a", 1, "never began"))
    known.tries(Branching("b", "a", 2, mark_of_branch("a", 2)))
    known.saw("b", 3, ["a@2", "5"])
    known.tries(Branching("c", "b", 4, mark_of_branch("b", 4)))
    known.saw("c", 5, ["b@4"])

    assert ["1", "2", "a@2", "5", "b@4"] == known.whole("c", 6)
