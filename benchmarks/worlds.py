"""Decisions of a world per second of CPU: bare, and with runtime, faults and checks.

Bare is a program on the kernel alone: tasks that take turns, sleep and hand values on, few of them and many.
The worlds are the built-in workloads; their figure counts runtime, store, faults, history and checks.
"""

from __future__ import annotations

from functools import partial
from time import process_time

import trio
from common import emit, interleaved

from treadle.sim import Plan, fault_rates, run_world
from treadle.sim.kernel_guard import run_in_world
from treadle.sim.lives import Life, LifeKernel, inside

WANTED = {"bare": 60_000, "everything": 20_000}
TASKS = 50
ROUNDS = 200


async def turns(kernel, within=None, tasks=TASKS, rounds=ROUNDS):
    """Tasks of which each takes turns, sleeps now and then, and hands a value on."""
    sender, receiver = kernel.open_memory_channel(10)

    async def give():
        for number in range(rounds):
            await kernel.turn()
            if number % 10 == 0:
                await kernel.sleep(0.001)
            await sender.send(number)

    async def take():
        for _ in range(rounds):
            await receiver.receive()

    async def all_of_them():
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                kernel.spawn(nursery, give)
                kernel.spawn(nursery, take)

    if within is None:
        await all_of_them()
    else:
        with inside(within):
            await all_of_them()
    return kernel.decisions


def bare(guard):
    """Decisions a second of the kernel alone."""
    begun = process_time()
    return run_in_world(turns, seed=1, guard=guard) / (process_time() - begun)


def crowded():
    """The same with forty thousand tasks that are ready at once."""
    begun = process_time()
    return run_in_world(turns, None, 20_000, 4, seed=1, guard=False) / (process_time() - begun)


def with_lives():
    """The same inside a life that may be severed."""
    kernel = LifeKernel(1)
    begun = process_time()
    decisions = trio.run(kernel.run_main, turns, (Life("p"),), clock=kernel)
    return decisions / (process_time() - begun)


def world(plan):
    """Decisions a second of a whole world, checks included."""
    begun = process_time()
    run = run_world(1, plan)
    assert run.holds, run.violations
    return run.decisions / (process_time() - begun)


def main():
    """Measure and print."""
    large = {"workflows": 50, "clients": 50, "operations": 50}
    calm, all_faults = {}, fault_rates(["all"])
    rates = interleaved(
        {
            "bare": partial(bare, guard=False),
            "bare, guarded": partial(bare, guard=True),
            "bare, 40,000 tasks": crowded,
            "bare, in a life": with_lives,
            "logs, calm": partial(world, Plan(workload="logs", faults=calm, **large)),
            "logs, all faults": partial(world, Plan(workload="logs", faults=all_faults, **large)),
            "workflows, calm": partial(world, Plan(workload="workflows", faults=calm, workflows=100)),
            "workflows, all faults": partial(
                world, Plan(workload="workflows", faults=all_faults, workflows=20)
            ),
        }
    )
    emit(
        "worlds",
        {
            "decisions_per_cpu_second": {name: round(rate) for name, rate in rates.items()},
            "wanted": WANTED,
        },
    )


if __name__ == "__main__":
    main()
