"""A clock that was set back delays what waits for a time of day, and nothing else."""

from __future__ import annotations

import pytest

from treadle import activity, workflow
from treadle.sim import Plan, Workload, run_world, stand_in

HOUR_NS = 3_600_000_000_000


@activity.define
async def step() -> None:
    await stand_in(1_000)


@workflow.define
async def steps() -> None:
    for _ in range(3):
        await workflow.signals("go").receive()
        await workflow.activity(step)


class ClockIsSet(Workload):
    """The clock goes an hour ahead, the workflow sees it, and then it is set right again."""

    workflows = (steps,)
    activities = (step,)

    def __init__(self, *, killed):
        self.killed = killed
        self.took_seconds = None

    async def clients(self, world):
        process = world.processes[0]
        await world.insist(process, lambda runtime: runtime.start(steps, id="w"))
        world.kernel.jump(HOUR_NS)
        await self.go(world, "1")
        world.kernel.jump(-HOUR_NS)
        begun = world.now_ns()
        await self.go(world, "2")
        await self.go(world, "3", killed=self.killed)
        answer = await world.insist(process, lambda runtime: runtime.workflow("w").result())
        assert answer.outcome == "ok"
        self.took_seconds = (world.now_ns() - begun) / 1_000_000_000

    async def go(self, world, key, *, killed=False):
        await world.insist(
            world.processes[0], lambda runtime: runtime.workflow("w").signal("go", key=key.encode())
        )
        if killed:
            await world.kernel.sleep(0.01)
            world._kill(world.processes[0].life)  # in the middle of the attempt
        await world.kernel.sleep(20)

    async def check(self, _world, _store):
        return []


@pytest.mark.parametrize("killed", [False, True])
def test_an_activity_begins_at_once_though_the_workflow_has_seen_a_later_time(killed):
    """Its event has the workflow's time, which never goes back; its first attempt waited for the wall's."""
    own = ClockIsSet(killed=killed)
    ran = run_world(1, Plan(workload="own", faults={}), own=own)

    assert ran.holds, ran.violations
    assert own.took_seconds < 100
