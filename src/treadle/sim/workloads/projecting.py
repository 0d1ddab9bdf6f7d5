"""The `logs` workload with projections beside it: every process keeps them up, one of them at a time does.

They live through what the logs live through: kills, pauses in which another process takes over, refused
writes, writes of unknown outcome. At every time, and at the end, what is kept must be what a rebuild gives:
two that mix their states agree again as soon as both have caught up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import trio

from treadle.checkers import Violation
from treadle.projections import Difference, Projection, Projections
from treadle.runtime import Runtime
from treadle.sim.workloads.logs import Logs
from treadle.sim.world import World
from treadle.stores import FeedEvent, Store

EVERY_EVENTS: Final = 7
"""Few, so that there are many writes to go wrong."""
EVERY_SECONDS: Final = 5.0
STANDBY_SECONDS: Final = 60.0
"""Shorter than many a pause, so that whoever was paused finds itself overtaken."""
LOOK_SECONDS_MAX: Final = 20
"""How long nobody looks at them, at most."""

COUNT: Final = Projection[int]("count", int, lambda state, _: state + 1)


def _chained(state: list[int], event: FeedEvent) -> list[int]:
    """Tell order, repeats and gaps apart, in little room."""
    count, total = state
    return [count + 1, (total * 31 + event.position) % 1_000_003]


EACH: Final = Projection[Any]("each", lambda: [0, 0], _chained, key=lambda event: str(event.workflow_id))


class Projecting(Logs):
    """The workload."""

    promises: Mapping[str, str] = {
        **Logs.promises,
        "duality": "what is kept of a projection is what a rebuild gives, whoever has kept it up",
    }

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[Difference, str] = {}

    async def clients(self, world: World) -> None:
        """Let clients write and read, and somebody look at the projections all the time.

        Args:
            world: where.
        """
        async with trio.open_nursery() as nursery:
            world.kernel.spawn(nursery, self._look, world)
            await super().clients(world)
            nursery.cancel_scope.cancel()

    async def _look(self, world: World) -> None:
        draws = world.draws("looking at projections")
        while True:
            await world.kernel.sleep(draws.between(1, LOOK_SECONDS_MAX * 1_000) / 1_000)
            await world.ask(draws.one_of(world.processes), self._verify)

    async def _verify(self, runtime: Runtime) -> None:
        views = self.projections()
        kept = [name for name in views.names if await views.shelf(runtime.store).find(name) is not None]
        for verdict in await views.verify(*kept, store=runtime.store) if kept else ():
            self.found.update(dict.fromkeys(verdict.differences, verdict.name))

    def projections(self) -> Projections:
        """Make what each life of a process keeps up.

        Returns:
            A set of its own.
        """
        return Projections(
            COUNT,
            EACH,
            every_events=EVERY_EVENTS,
            every_seconds=EVERY_SECONDS,
            standby_seconds=STANDBY_SECONDS,
        )

    async def check(self, world: World, store: Store) -> list[Violation]:
        """Hold every promise against what is left, and write the logs into the history.

        Args:
            world: where it happened.
            store: what is left.

        Returns:
            What was broken.
        """
        violations = await super().check(world, store)
        violations += [_violation(name, found) for found, name in self.found.items()]
        views = self.projections()
        kept = [name for name in views.names if await views.shelf(store).find(name) is not None]
        for verdict in await views.verify(*kept, store=store) if kept else ():
            world.recorder.write({"projection": verdict.name, "position": verdict.position})
            violations += [_violation(verdict.name, found) for found in verdict.differences]
        return violations


def _violation(name: str, found: Difference) -> Violation:
    return Violation("duality", found.workflow_id, found.seq or None, f"{name}: {found.why}")


def make_workload() -> Projecting:
    """Make the workload.

    Returns:
        A new one.
    """
    return Projecting()
