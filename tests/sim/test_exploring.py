"""Exploring: what it tries, what it finds when there is something, and where it stops."""

import attrs
import pytest

from treadle.checkers import Violation
from treadle.sim.exploring import crash_everywhere, search_schedules, soak
from treadle.sim.plan import Plan
from treadle.sim.running import run_world
from treadle.sim.workloads import Workload

LOGS = Plan(workflows=2, clients=2, operations=4, duration_seconds=20)
FLOWS = Plan(workload="workflows", workflows=2, duration_seconds=20)
BROKEN = Violation("isolation", "w0", 1, "a planted one")


def breaking(breaks):
    """Run worlds, and let those that fit break a promise."""

    def run(seed, plan, **options):
        made = run_world(seed, plan, **options)
        return attrs.evolve(made, violations=(BROKEN,) if breaks(made) else made.violations)

    return run


def test_a_soak_goes_from_seed_to_seed_and_counts():
    told = []

    soaked = soak(lambda _seed: LOGS, first_seed=5, worlds_max=3, told=told.append)

    assert [5, 6, 7] == [run.seed for run in told]
    assert (3, ()) == (soaked.worlds, soaked.broken)
    assert soaked.decisions == sum(run.decisions for run in told)


def test_a_soak_ends_when_its_time_is_over():
    times = iter(range(100))

    soaked = soak(lambda _seed: LOGS, seconds=3, clock=lambda: next(times))

    assert 2 == soaked.worlds


def test_a_soak_stops_at_the_first_broken_run_and_gives_its_seed_and_plan(monkeypatch):
    monkeypatch.setattr("treadle.sim.exploring.soaking.run_world", breaking(lambda run: run.seed >= 2))

    soaked = soak(lambda _seed: LOGS, worlds_max=9)

    assert 3 == soaked.worlds
    assert [(2, LOGS)] == [(run.seed, run.plan) for run in soaked.broken]


@pytest.mark.slow
@pytest.mark.parametrize("plan", [LOGS, FLOWS])
def test_a_crash_at_any_append_breaks_nothing(plan):
    """Each append, each side of its write, and pairs."""
    runs = []

    crashed = crash_everywhere(3, plan, pairs_max=5, told=runs.append)

    assert () == crashed.broken
    assert runs[0].plan.kills == ()
    single = [run.plan.kills[0] for run in runs if len(run.plan.kills) == 1]
    assert single == [(n, after) for n in range(1, crashed.appends + 1) for after in (False, True)]
    assert any(len(run.plan.kills) == 2 for run in runs)
    assert all(run.faults == {} or run.plan.kills for run in runs)


def test_a_crash_that_breaks_a_promise_is_told_with_its_place(monkeypatch):
    broken = breaking(lambda run: (2, True) in run.plan.kills)
    monkeypatch.setattr("treadle.sim.exploring.crashes.run_world", broken)

    crashed = crash_everywhere(3, LOGS)

    assert [((2, True),)] == [run.plan.kills for run in crashed.broken]


def test_a_search_runs_each_deviation_once_and_passes_over_what_it_has_seen():
    tiny = Plan(workflows=1, clients=2, operations=1, duration_seconds=1)

    searched = search_schedules(1, tiny, runs_max=300)

    assert () == searched.broken
    assert 1 < searched.runs <= 300
    assert searched.states > 0


def test_a_search_finds_the_one_order_that_breaks():
    """What needs one deviation is found with one, and not without."""
    tiny = Plan(workflows=1, clients=2, operations=2, duration_seconds=1)
    usual = run_world(1, attrs.evolve(tiny, forced=())).lines[1:]
    run = breaking(lambda made: made.lines[1:] != usual)

    found = search_schedules(1, tiny, runs_max=300, run=run)
    without = search_schedules(1, tiny, deviations_max=0, run=run)

    assert 1 == len(found.broken)
    assert 1 == len(found.broken[0].plan.forced)
    assert (1, ()) == (without.runs, without.broken)


def test_who_explores_may_bring_a_workload_of_their_own_made_anew_for_each_world():
    made = []

    class Own(Workload):
        def __init__(self):
            made.append(self)

        async def clients(self, world):
            await world.insist(world.processes[0], lambda runtime: runtime.workflow("a").append("custom"))

        async def check(self, _world, _store):
            return []

    runs = []
    explored = {"own": Own, "told": runs.append}
    soak(lambda _seed: LOGS, worlds_max=2, **explored)
    crash_everywhere(3, LOGS, pairs_max=0, **explored)
    search_schedules(3, LOGS, runs_max=3, **explored)

    assert all(run.holds for run in runs)
    assert len(runs) == len(set(map(id, made))) >= 8


def test_the_same_forced_decisions_give_the_same_run():
    forced = attrs.evolve(LOGS, forced=((9, 1), (30, 2)))
    runs = [run_world(4, forced) for _ in range(2)]

    assert runs[0].digest == runs[1].digest
    assert runs[0].digest != run_world(5, forced).digest
