"""Durable workflows' whole lives, beside plain logs, while retention removes all that it may.

Workflows are branched anywhere, played, resumed, reset and continued as new; signals come by themselves and
in transactions. Plain logs get baselines and snapshots, begin in the middle and are closed. Every runtime has
a retention policy. At the end everything that waits is told to come to its end, and must.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import trio

from treadle.checkers import Violation
from treadle.errors import WorkflowClosedError, WorkflowError, WorkflowNotFoundError
from treadle.runtime import Runtime
from treadle.runtime.retention import PROJECTIONS
from treadle.sim.workloads.durable_clients import DurableClient
from treadle.sim.workloads.durable_lifetime_checks import check_durable_lifetimes
from treadle.sim.workloads.durable_notes import Notes
from treadle.sim.workloads.retained_logs import POLICY, RetainingClient
from treadle.sim.workloads.rewritten import FINISH, draw_programs, rewritten, touch
from treadle.sim.world import Process, World
from treadle.stores import FeedEvent, Store

TELLINGS_MAX: Final = 200
"""How often a workflow is told to come to its end."""
RESULT_SECONDS_MAX: Final = 600
"""How long each telling waits for that: all of them longer than clocks that jumped back have to catch up."""
PROJECTION_SECONDS_MAX: Final = 40
"""How long whoever reads everything is away between two looks: longer than between two sweeps."""
LAST_LOOK_SECONDS: Final = 60
"""How long the runner has to take what clients have sent, before anything is told to come to its end."""
STARTS_MAX: Final = 100
_MILLE: Final = 1_000


class DurableLifetimes:
    """The workload."""

    workflows = (rewritten,)
    activities = (touch,)
    foreign_writers = True
    retention = POLICY
    shares_one_runner = True
    promises: Mapping[str, str] = {
        "branches": "a branch is its parent as it was, then its own",
        "effects": "what a branch or a reset workflow does is its own, and nothing is done again",
        "shown": "nobody meets what is only played",
        "views": "behind a reset only what counts is gone on from",
        "unaltered": "what was read stays as it was, abandoned or shared, as long as it is kept",
        "delivered_once": "a signal comes once, and one in a transaction if that was taken",
        "retention": "what is kept begins where a replay can, and gives the same state",
        "replay_equals_live": "each workflow replays to its end from what is kept",
        "gap_free": "every log's seqs follow one another, from the first that it keeps",
        "chain": "every log's digests lead to its head",
        "structure": "the store finds nothing wrong in itself",
    }

    def __init__(self) -> None:
        self.notes = Notes()

    async def clients(self, world: World) -> None:
        """Begin workflows, let clients do what they do, and bring everything to its end.

        Args:
            world: where.
        """
        # Before anything may be cut: who is not registered is not waited for.
        await world.insist(world.processes[0], lambda runtime: _register(runtime, 0))
        await world.kernel.sleep(1)
        async with trio.open_nursery() as nursery:
            world.kernel.spawn(nursery, self._project, world)
            async with trio.open_nursery() as clients:
                for number in range(world.plan.workflows):
                    world.kernel.spawn(clients, self._begin, world, f"w{number}")
                    world.kernel.spawn(clients, self._begin, world, f"s{number}")
                for number in range(world.plan.clients):
                    kind = RetainingClient if number % 2 else DurableClient
                    world.kernel.spawn(clients, kind(world, number, self.notes).live)
            world.be_calm()
            # Only what one sender sends comes in its order: nobody else's may still be under way.
            await world.kernel.sleep(LAST_LOOK_SECONDS)
            async with trio.open_nursery() as ends:
                for name in list(self.notes.durable):
                    world.kernel.spawn(ends, self._finish, world, name)
            nursery.cancel_scope.cancel()

    async def _begin(self, world: World, name: str) -> None:
        draws, waits = world.draws(f"workflow {name}"), name[0] == "w"
        programs, process = draw_programs(draws, waits=waits), _any_process(world, name)
        if not waits:
            span = world.plan.duration_seconds * _MILLE
            await world.kernel.sleep(draws.between(0, span) / _MILLE)
        for _ in range(STARTS_MAX):
            answer = await world.ask(
                process,
                lambda runtime: runtime.start(
                    "treadle.sim.rewritten", programs, waits, [], id=name, id_policy="use_existing"
                ),
            )
            # That it has ended meanwhile is an answer as well.
            if answer.outcome == "ok" or isinstance(answer.error, WorkflowError):
                break
            await world.kernel.sleep(1)
        self.notes.durable[name] = None
        if waits:
            self.notes.waiting[name] = None

    async def _finish(self, world: World, name: str) -> None:
        """Tell a workflow to come to its end until it has, which a branch does once it was resumed."""
        process = _any_process(world, name)
        for _ in range(TELLINGS_MAX):
            ended: list[Any] = []

            async def call(runtime: Runtime) -> bool:
                handle = runtime.workflow(name)
                if await handle.status() == "held":
                    await handle.resume()
                with suppress(WorkflowClosedError):
                    await handle.signal("go", FINISH)
                with trio.move_on_after(RESULT_SECONDS_MAX):
                    ended.append(await handle.result())  # noqa: B023  # called before the loop goes on
                return True

            answer = await world.ask(process, call)
            if isinstance(answer.error, WorkflowError | WorkflowNotFoundError):
                return  # it failed, which its log will tell; or it never began, or is deleted
            if ended:
                self.notes.results[name] = ended[0]
                return
        self.notes.lie("comes_to_an_end", name, f"it was told {TELLINGS_MAX} times, and has not")

    async def _project(self, world: World) -> None:
        """Read all events, and say how far: what was not read must not go."""
        draws, position = world.draws("projection"), 0
        while True:
            process = draws.one_of(world.processes)

            async def call(runtime: Runtime) -> Sequence[FeedEvent]:
                # Only what has arrived here was read: the answer to this may be lost.
                await _register(runtime, position)  # noqa: B023
                return await runtime.store.feed(position, limit=runtime.config.page_events)  # noqa: B023

            answer = await world.ask(process, call)
            for one in answer.value or ():
                position = one.position
                self.notes.fed.setdefault(one.workflow_id, []).append(one.event.seq)
            self.notes.meets("the feed", (one.workflow_id for one in answer.value or ()))
            await world.kernel.sleep(draws.between(0, PROJECTION_SECONDS_MAX * _MILLE) / _MILLE)

    async def check(self, world: World, store: Store) -> list[Violation]:
        """Hold every promise against what is left.

        Args:
            world: where it happened.
            store: what is left.

        Returns:
            What was broken.
        """
        return self.notes.lies + await check_durable_lifetimes(world, store, self.notes)


async def _register(runtime: Runtime, position: int) -> None:
    await runtime.set_record(PROJECTIONS, b"sim", msgspec.json.encode({"position": position}))


def _any_process(world: World, name: str) -> Process:
    return world.processes[sum(name.encode()) % len(world.processes)]


def make_workload() -> DurableLifetimes:
    """Make this workload."""
    return DurableLifetimes()
