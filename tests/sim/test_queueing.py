"""What a report says of queueing is what the theory of queues says of the same arrivals and services."""

from __future__ import annotations

import heapq
import json
from math import factorial, sqrt

import pytest
import trio

from treadle import activity, workflow
from treadle.sim import Plan, Workload, run_world, stand_in
from treadle.sim.arrivals import arriving
from treadle.sim.reporting import NANOSECONDS, report

SERVICE_SECONDS = 2


@activity.define(start_to_close_seconds=3_600)
async def serve() -> None:
    await stand_in(1_000 * SERVICE_SECONDS)


@workflow.define
async def customer() -> None:
    await workflow.activity(serve)


class Counter(Workload):
    """Customers come, each is served once, by one of some servers."""

    workflows = (customer,)
    activities = (serve,)

    async def clients(self, world):
        async with trio.open_nursery() as nursery:
            number = 0
            async for _ in arriving(world):
                world.kernel.spawn(nursery, self.come, world, f"c{number}")
                number += 1

    async def come(self, world, name):
        process = world.processes[0]
        await world.insist(process, lambda runtime: runtime.start(customer, id=name))
        await world.insist(process, lambda runtime: runtime.workflow(name).result())

    async def check(self, _world, _store):
        return []


def world(seed, *, servers, customers, busy):
    """One in which servers are busy for a share of their time, in the mean."""
    seconds = round(customers * SERVICE_SECONDS / (busy * servers))
    plan = Plan(
        workload="own",
        workflows=customers,
        duration_seconds=seconds,
        limits="usual",
        activities_max=servers,
    )
    return run_world(seed, plan, own=Counter())


def waits(lines, servers):
    """How long each customer waits, by its arrival and its service: who is first takes the first server."""
    told = [json.loads(line) for line in lines]
    came = {line["wrote"]: line["at"] for line in told if "scheduled" in line}
    took = {line["workflow"]: line["ends"] - line["begins"] for line in told if "attempt" in line}
    free = [0] * servers
    waited = []
    for name, at in came.items():
        begins = max(at, heapq.heappop(free))
        waited.append(begins - at)
        heapq.heappush(free, begins + took[name])
    return waited


@pytest.mark.parametrize("servers", [1, 3])
def test_each_wait_is_that_of_first_come_first_served(servers):
    lines = world(5, servers=servers, customers=100, busy=0.9).lines
    told, expected = report(lines).queueing, sorted(waits(lines, servers))

    assert 100 == told.count
    assert abs(told.max - expected[-1]) <= 1_000  # a wait is rounded up to a microsecond
    assert abs(told.p50 - expected[49]) <= 1_000
    assert abs(told.mean - sum(expected) / 100) <= 1_000


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "busy"), [(1, 0.5), (1, 0.7), (3, 0.7)])
def test_waits_are_those_of_erlangs_formula(servers, busy):
    """Within three standard errors, of twelve worlds; the drawn times vary a twentieth less than his."""
    means = [
        report(world(seed, servers=servers, customers=400, busy=busy).lines).queueing.mean / NANOSECONDS
        for seed in range(12)
    ]
    mean = sum(means) / len(means)
    error = sqrt(sum((one - mean) ** 2 for one in means) / (len(means) - 1) / len(means))
    load = servers * busy
    everybody_busy = load**servers / factorial(servers) / (1 - busy)
    some_free = sum(load**number / factorial(number) for number in range(servers))
    expected = everybody_busy / (everybody_busy + some_free) * SERVICE_SECONDS / (servers * (1 - busy))

    assert abs(mean - 0.95 * expected) < 3 * error
