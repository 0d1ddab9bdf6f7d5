"""Shrinking: what it may give up, what it keeps, and when it ends. Most of its worlds here are made up."""

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from treadle.checkers import Violation
from treadle.errors import UsageError
from treadle.sim import Plan, fault_rates
from treadle.sim.exploring import shrink
from treadle.sim.exploring.smaller import size, smaller_plans
from treadle.sim.running import SEED_MAX, Run, run_world
from treadle.sim.workloads import Workload

BROKEN = Violation("isolation", "w0", 1, "a planted one")
FAULTS = {"crash": 20_000, "duplicate": 50, "delay": 100}
LARGE = Plan(
    workflows=4,
    clients=5,
    operations=6,
    processes=3,
    faults=FAULTS,
    kills=((3, True), (17, False)),
    forced=((40, 2), (90, 1)),
)


def made(seed, plan, *violations, lines=20):
    """A run of a world that nobody has lived in."""
    content = [b"{}"] * lines
    return Run(seed, plan, {}, violations, "", content, lines, 100, 1.0, 3, {})


def breaking(breaks, *violations):
    """Run worlds of which those that fit break a promise."""

    def run(seed, plan, *, own=None, **_watch):
        assert own is None
        return made(seed, plan, *((violations or (BROKEN,)) if breaks(seed, plan) else ()))

    return run


def test_all_that_a_bug_does_not_need_is_given_up():
    """And what it needs is kept."""
    run = breaking(lambda seed, plan: plan.clients >= 2 and "duplicate" in plan.faults and seed == 8)

    shrunk = shrink(run(8, LARGE), examples_max=20, run=run)

    assert Plan(workflows=1, clients=2, operations=1, duration_seconds=1, faults={"duplicate": 50}) == (
        shrunk.run.plan
    )
    assert (8, (BROKEN,)) == (shrunk.run.seed, shrunk.run.violations)
    assert "nothing smaller" == shrunk.ended


@pytest.mark.parametrize(
    ("needs", "kept"),
    [
        (lambda plan: (7, True) in plan.kills, {"kills": ((7, True),)}),
        (lambda plan: len({number for number, _ in plan.kills}) == 2, {"kills": ((1, False), (2, False))}),
        (lambda plan: bool(plan.forced), {"forced": ((1, 0),)}),
        (lambda plan: dict(plan.forced or ()).get(90) == 1, {"forced": ((90, 1),)}),
        (lambda plan: plan.forced is not None, {"forced": ()}),
        (lambda plan: plan.processes > 1, {"processes": 2}),
        (lambda plan: plan.duration_seconds > 30, {"duration_seconds": 31}),
    ],
    ids=["a kill", "two kills", "an order", "this order", "first come, first served", "processes", "time"],
)
def test_kills_and_orders_and_processes_shrink_as_well(needs, kept):
    """The seed's own order comes before any that is forced."""
    smallest = Plan(workflows=1, clients=1, operations=1, duration_seconds=1)
    run = breaking(lambda _seed, plan: needs(plan))
    large = attrs.evolve(
        smallest,
        processes=3,
        duration_seconds=60,
        kills=((7, True), (17, False)),
        forced=((40, 2), (90, 1)),
    )

    shrunk = shrink(run(3, large), examples_max=60, run=run)

    assert attrs.evolve(smallest, **kept) == shrunk.run.plan


def test_a_disk_is_given_up_where_memory_shows_the_same():
    run = breaking(lambda _seed, _plan: True)

    assert "memory" == shrink(run(3, Plan(store="disk")), run=run).run.plan.store


def test_fewer_faults_are_looked_for_not_lower_rates():
    """A rate goes down where that makes fewer of them."""

    def run(seed, plan, *, own=None, **_watch):
        assert own is None
        rate = plan.faults.get("duplicate", 0)
        return made(seed, plan, *([BROKEN] if rate else []), lines=20 + rate)

    shrunk = shrink(run(3, Plan(faults={"duplicate": 80})), examples_max=30, run=run)

    assert {"duplicate": 10} == shrunk.run.plan.faults


def test_what_is_smaller_and_breaks_another_promise_does_not_count():
    other = Violation("chain", "w0", 1, "another")

    def run(seed, plan, *, own=None, **_watch):
        assert own is None
        return made(seed, plan, BROKEN if plan.clients > 2 else other)

    assert 3 == shrink(run(3, LARGE), examples_max=30, run=run).run.plan.clients


def test_what_is_smaller_and_raises_another_error_does_not_count():
    def run(seed, plan, *, own=None, **_watch):
        assert own is None
        name = "KeyError" if plan.clients > 2 else "ValueError"
        return made(seed, plan, Violation("raises_nothing", "", None, f"{name}: 3 at shop.py:7 in clients"))

    assert 3 == shrink(run(3, LARGE), examples_max=30, run=run).run.plan.clients


def test_a_smaller_world_that_does_not_end_is_given_up_and_its_plan_says_nothing_of_that():
    """Otherwise one such world takes the half-hour that a world may take, and breaks another promise."""

    class Own(Workload):
        async def clients(self, world):
            while world.plan.clients == 1:
                await world.kernel.sleep(1)

        async def check(self, _world, _store):
            return [Violation("mine", "", None, "not so")]

    plan = Plan(workflows=1, clients=2, operations=1, duration_seconds=1)
    shrunk = shrink(run_world(3, plan, own=Own()), own=Own, examples_max=5)

    assert plan == shrunk.run.plan


def test_it_ends_when_its_time_is_over_with_the_smallest_so_far():
    times = iter(range(1_000))
    run = breaking(lambda _seed, plan: plan.clients > 1)

    shrunk = shrink(run(3, LARGE), seconds=9, clock=lambda: next(times), run=run)

    assert ("time", 8) == (shrunk.ended, shrunk.tried)
    assert size(shrunk.run) <= size(run(3, LARGE))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BaseExceptionGroup("", [KeyboardInterrupt()])])
def test_ctrl_c_ends_it_with_the_smallest_so_far(error):
    """Also where a world's nursery has wrapped it."""
    worlds = []
    seen = []

    def run(seed, plan, *, own=None, **_watch):
        assert own is None
        worlds.append(plan)
        if len(worlds) > 5:
            raise error
        return made(seed, plan, *([BROKEN] if plan.clients > 1 else []))

    shrunk = shrink(run(3, LARGE), run=run, told=lambda tried, smallest: seen.append((tried, smallest)))

    assert "interrupted" == shrunk.ended
    assert (shrunk.tried, shrunk.run) == seen[-1]


def test_another_error_of_a_world_is_nobodys_to_swallow():
    def run(seed, plan, *, own=None, **_watch):
        assert own is None
        if plan.clients < 5:
            raise UsageError("not with so few")
        return made(seed, plan, BROKEN)

    with pytest.raises(UsageError, match="not with so few"):
        shrink(run(3, LARGE), run=run)


def test_a_second_shrink_begins_with_what_the_first_has_found(tmp_path):
    def run(seed, plan, *, own=None, **_watch):
        assert own is None
        return made(seed, plan, *([BROKEN] if plan.clients > 2 and "delay" in plan.faults else []))

    first = shrink(run(3, LARGE), database=tmp_path, examples_max=30, run=run)
    seen = []
    second = shrink(
        run(3, LARGE),
        database=tmp_path,
        examples_max=30,
        run=run,
        told=lambda _tried, best: seen.append(best),
    )

    assert first.run == second.run == seen[0]
    assert second.tried < first.tried


def test_seeds_end_where_they_end():
    run = breaking(lambda seed, _plan: seed == SEED_MAX)

    assert SEED_MAX == shrink(run(SEED_MAX, LARGE), examples_max=20, run=run).run.seed


def test_what_holds_cannot_be_shrunk():
    with pytest.raises(UsageError, match="nothing to shrink; `treadle sim soak` looks for a seed"):
        shrink(run_world(1, Plan(workflows=2, clients=2, operations=4, duration_seconds=20)))


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_no_plan_that_is_tried_asks_for_more_than_the_first_did(data):
    """Hypothesis may choose any: each is a plan, and none of its parts has grown."""
    large = attrs.evolve(LARGE, faults=fault_rates(["all"]), store="memory")
    plan = data.draw(smaller_plans(large, large.faults))

    assert plan == Plan.from_json(plan.as_json())
    for name in ("workflows", "clients", "operations", "processes", "duration_seconds"):
        assert 1 <= getattr(plan, name) <= getattr(large, name)
    assert all(0 < rate <= large.faults[fault] for fault, rate in plan.faults.items())
    assert len(plan.kills) <= 2
    assert all(number <= 17 for number, _ in plan.kills)
    assert len(plan.forced or ()) <= 2
    assert (plan.workload, plan.limits, plan.arrivals) == (large.workload, large.limits, large.arrivals)
