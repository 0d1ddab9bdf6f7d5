"""The durable workload of worlds and its checks, on a real file: several processes, and SIGKILL."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from treadle import open_runtime
from treadle.engine import Status
from treadle.errors import TreadleError, WorkflowClosedError, WorkflowError
from treadle.sim import Plan
from treadle.sim.draws import Draws
from treadle.sim.history import Recorder
from treadle.sim.workloads.generated import Generated, draw_program

pytestmark = pytest.mark.slow

RUNNER = Path(__file__).with_name("generated_runner.py")
RUNNERS = 2
"""One runs the workflows, the other stands by."""
WORKFLOWS = 60
KILLS = 15
PATIENCE_SECONDS = 3
"""After how long a caller that was not answered asks again."""


def hurried(program):
    """The same program for people who wait: a drawn second takes a hundredth of one."""
    return [_hurried(*step) for step in program]


def _hurried(step, *rest):
    if step == "sleep":
        return [step, rest[0] / 100]
    if step == "within":
        return [step, rest[0] / 100, hurried(rest[1])]
    if step == "child":
        return [step, hurried(rest[0])]
    if step == "all":
        return [step, [hurried(program) for program in rest[0]]]
    return [step, *rest]


class Clients:
    """Begin workflows, signal everything that runs, and wait for results, whatever happens to the runners."""

    def __init__(self, path, seed):
        self.load = Generated()
        self._path = path
        self._seed = seed
        self._moment = 0
        self.done = False

    def _now(self):
        self._moment += 1
        return self._moment

    async def run(self):
        async with open_runtime(self._path) as runtime, trio.open_nursery() as nursery:
            nursery.start_soon(self._signal_all, runtime)
            async with trio.open_nursery() as callers:
                for number in range(WORKFLOWS):
                    callers.start_soon(self._one, runtime, f"g{number}")
            nursery.cancel_scope.cancel()
        self.done = True

    async def _one(self, runtime, name):
        program = hurried(draw_program(Draws(self._seed, name)))
        await self._until(
            lambda: runtime.start("treadle.sim.generated", program, id=name, id_policy="use_existing")
        )
        self.load.told[name] = await self._until(lambda: runtime.workflow(name).result())

    async def _signal_all(self, runtime):
        for count in range(10_000):
            names = await runtime.store.list_workflows(status=int(Status.RUNNING), limit=1_000)
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(self._signal, runtime, name, f"{name}.{count}")
            await trio.sleep(0.2)

    async def _signal(self, runtime, name, mark):
        begin = self._now()
        answer = await self._until(lambda: runtime.workflow(name).signal("go", mark, key=mark.encode()))
        if not isinstance(answer, TreadleError):
            self.load.signalled.setdefault(name, []).append((mark, begin, self._now()))

    async def _until(self, call):
        while True:
            with trio.move_on_after(PATIENCE_SECONDS):
                try:
                    return await call()
                except (WorkflowError, WorkflowClosedError) as error:
                    return error
                except TreadleError:
                    await trio.sleep(0.1)

    async def check(self):
        # As of a world whose clock jumps: nobody knows how late a busy machine is.
        world = SimpleNamespace(plan=Plan(faults={"clock_jump": 1}), recorder=Recorder({}), processes=())
        async with open_runtime(self._path) as runtime:
            return await self.load.check(world, runtime.store)


def begin(path):
    return subprocess.Popen([sys.executable, RUNNER, str(path)], stdout=subprocess.DEVNULL)


def end(child):
    child.kill()  # SIGKILL
    child.wait()


@pytest.mark.parametrize("seed", [1, 2])
async def test_whoever_is_killed_every_promise_of_the_generated_workflows_holds(tmp_path, seed):
    path, chance, kills = tmp_path / "generated.db", random.Random(seed), 0
    async with open_runtime(path):
        pass  # the file is there before anybody looks for it
    clients = Clients(path, seed)
    runners = [begin(path) for _ in range(RUNNERS)]
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.run)
            with trio.fail_after(120):
                while not clients.done:
                    await trio.sleep(chance.uniform(0.3, 1.5))
                    if kills < KILLS:
                        place, kills = chance.randrange(RUNNERS), kills + 1
                        end(runners[place])
                        runners[place] = begin(path)
    finally:
        for runner in runners:
            end(runner)
    found = await clients.check()

    assert [] == found
    assert kills >= KILLS // 3
    assert all(isinstance(clients.load.told[f"g{number}"], list) for number in range(WORKFLOWS))
