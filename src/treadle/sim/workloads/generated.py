"""Durable workflows with programs drawn from the seed: activities, timers, signals, children, nurseries.

The workflow is an interpreter, and its program an argument; so every world runs other workflows with the same
code, and their logs can be replayed by it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import trio

from treadle.checkers import Violation, chain, gap_free
from treadle.engine import Registry, Retry, Status
from treadle.engine import api as workflow
from treadle.engine.definitions import define_activity, define_workflow
from treadle.engine.driver import move_on_after, open_nursery, sleep
from treadle.errors import ActivityError, TreadleError, WorkflowError
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.runtime import Runtime
from treadle.runtime.durable.activity_context import info
from treadle.sim.arrivals import arriving
from treadle.sim.draws import Draws
from treadle.sim.models import stand_in
from treadle.sim.paging import all_workflows, whole_log
from treadle.sim.workloads.generated_checks import (
    answered_once,
    carried_out_as_told,
    children_are_own,
    children_of,
    head_tells,
    replays,
    result_is_own,
    result_of,
    results_are_own,
    signals_once,
    timers_in_time,
)
from treadle.sim.world import Answer, Process, World, current_world
from treadle.stores import Store

DEPTH_MAX: Final = 3
STEPS_MAX: Final = 4
"""How many steps a drawn program has on each level, and how many levels: some dozen commands at most."""
SENDS_MAX: Final = 1_000
WORK_SECONDS_MAX: Final = 60
"""How long an attempt may take; one that hangs takes ten times as long."""
CHILDREN_PATIENCE_SECONDS: Final = 900
"""How often everything that still runs is sent a signal: nobody knows which child waits for one."""
LATE_SECONDS_MAX: Final = 1_800
"""How late a timer may fire: all faults at once take a process away for some minutes."""
LATE_WITHOUT_FAULTS_SECONDS_MAX: Final = 1
_MILLE: Final = 1_000
_NANOSECONDS: Final = 1_000_000_000


@define_activity(
    name="treadle.sim.work",
    start_to_close_seconds=WORK_SECONDS_MAX,
    retry=Retry(initial_seconds=1, backoff=2, maximum_seconds=30, attempts=None),
)
async def work(mean_ms: int) -> str:
    """Stand for whatever an activity does: it takes its time, fails, or hangs.

    Returns:
        Whose activity it is: the workflow's id and the activity's seq.
    """
    told, counts = info(), carried_out(current_world())
    counts[told.workflow_id, told.seq] = counts.get((told.workflow_id, told.seq), 0) + 1
    await stand_in(mean_ms)
    return f"{told.workflow_id}:{told.seq}"


def carried_out(world: World) -> dict[tuple[str, int], int]:
    """Count how often each activity was begun.

    Args:
        world: where.

    Returns:
        Workflow and seq -> how often so far; the same dict each time.
    """
    counts: dict[tuple[str, int], int] = world.notes.setdefault("carried out", {})
    return counts


@define_workflow(name="treadle.sim.generated")
async def generated(program: list[Any]) -> list[Any]:
    """Carry a drawn program out; tell what it has seen, in the order in which it saw it."""
    seen: list[Any] = []
    await _carry_out(program, seen)
    return seen


async def _carry_out(program: Sequence[Any], seen: list[Any]) -> None:
    for step, *rest in program:
        await STEPS[step](rest, seen)


async def _work(rest: list[Any], seen: list[Any]) -> None:
    try:
        seen.append(await workflow.activity(work, rest[0]))
    except ActivityError as error:
        seen.append(f"failed {error.attempts}")


async def _sleep(rest: list[Any], _seen: list[Any]) -> None:
    await sleep(rest[0])


async def _signal(_rest: list[Any], seen: list[Any]) -> None:
    seen.append(await workflow.signals("go").receive())


async def _child(rest: list[Any], seen: list[Any]) -> None:
    seen.append(await workflow.child(generated, rest[0]))


async def _all(rest: list[Any], seen: list[Any]) -> None:
    async with open_nursery() as nursery:
        for program in rest[0]:
            nursery.start_soon(_carry_out, program, seen)


async def _within(rest: list[Any], seen: list[Any]) -> None:
    with move_on_after(rest[0]) as scope:
        await _carry_out(rest[1], seen)
    seen.append(scope.cancelled_caught)


STEPS: Final[dict[str, Callable[[list[Any], list[Any]], Awaitable[None]]]] = {
    "work": _work,
    "sleep": _sleep,
    "signal": _signal,
    "child": _child,
    "all": _all,
    "within": _within,
}


def draw_program(draws: Draws, depth: int = 0) -> list[Any]:
    """Draw a program.

    Args:
        draws: from where.
        depth: how deep inside another one.

    Returns:
        Steps, as JSON has them.
    """
    leaves = ("work", "work", "work", "sleep", "signal")
    nodes = leaves if depth >= DEPTH_MAX else (*leaves, "child", "all", "within")
    return [_draw_step(draws, draws.one_of(nodes), depth) for _ in range(draws.between(1, STEPS_MAX))]


def _draw_step(draws: Draws, step: str, depth: int) -> list[Any]:
    if step == "work":
        return [step, draws.between(1, 5 * _MILLE)]
    if step == "sleep":
        return [step, draws.between(0, 120)]
    if step == "child":
        return [step, draw_program(draws, depth + 1)]
    if step == "all":
        return [step, [draw_program(draws, depth + 1) for _ in range(draws.between(1, 3))]]
    if step == "within":
        return [step, draws.between(0, 60), draw_program(draws, depth + 1)]
    return [step]


def _signals_wanted(program: Sequence[Any]) -> int:
    count = 0
    for step, *rest in program:
        if step == "signal":
            count += 1
        elif step == "all":
            count += sum(_signals_wanted(inner) for inner in rest[0])
        elif step == "within":
            count += _signals_wanted(rest[1])
    return count


class Generated:
    """The workload."""

    workflows = (generated,)
    activities = (work,)
    foreign_writers = False
    promises: Mapping[str, str] = {
        "gap_free": "every log's seqs are 1, 2, 3 ...",
        "isolation": "every activity's result is its own",
        "acknowledged_once": "what was begun is there; each signal that was taken is there once",
        "answered_once": "every activity has one end",
        "chain": "every log's digests lead to its head",
        "replay_equals_live": "each log replays to its end, and ends with what its caller was told",
    }

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.signalled: dict[str, list[tuple[str, int, int]]] = {}

    async def clients(self, world: World) -> None:
        """Begin workflows as they arrive, signal them, and wait for their results.

        Args:
            world: where.
        """
        async with trio.open_nursery() as nursery:
            number = 0
            # Begun as they arrive: a hundred thousand tasks that only sleep would fill the memory.
            async for _ in arriving(world):
                world.kernel.spawn(nursery, self._one, world, number)
                number += 1

    async def _one(self, world: World, number: int) -> None:
        draws = world.draws(f"workflow {number}")
        name, program = f"g{number}", draw_program(draws)
        process = world.processes[number % len(world.processes)]
        await self._until(
            world,
            process,
            "start",
            name,
            lambda runtime: runtime.start(generated, program, id=name, id_policy="use_existing"),
        )
        async with trio.open_nursery() as nursery:
            world.kernel.spawn(nursery, self._feed, world, process, name, draws, program)
            self.told[name] = await self._until(
                world, process, "result", name, lambda runtime: runtime.workflow(name).result()
            )
            nursery.cancel_scope.cancel()

    async def _feed(
        self, world: World, process: Process, name: str, draws: Draws, program: list[Any]
    ) -> None:
        # Children are signalled as well: nobody knows before which of them there will be.
        for count in range(_signals_wanted(program)):
            await world.kernel.sleep(draws.between(0, 120 * _MILLE) / _MILLE)
            await self._signal(world, process, name, f"{name}.{count}")
        count = 0
        while True:
            await world.kernel.sleep(CHILDREN_PATIENCE_SECONDS)
            for waiting in await _running(world, process, name):
                count += 1
                await self._signal(world, process, waiting, f"{waiting}.late.{name}.{count}")

    async def _signal(self, world: World, process: Process, name: str, mark: str) -> None:
        begin = world.recorder.now()
        answer = await self._until(
            world,
            process,
            "signal",
            name,
            lambda runtime: runtime.workflow(name).signal("go", mark, key=mark.encode()),
        )
        if not isinstance(answer, TreadleError):
            self.signalled.setdefault(name, []).append((mark, begin, world.recorder.now()))

    async def _until(
        self,
        world: World,
        process: Process,
        what: str,
        name: str,
        call: Callable[[Runtime], Awaitable[Any]],
    ) -> Any:
        begin, answer = world.recorder.now(), Answer[Any]("unknown")
        for _ in range(SENDS_MAX):
            answer = await world.ask(process, call)
            if answer.outcome == "ok" or isinstance(answer.error, WorkflowError):
                break
            await world.kernel.sleep(1)
        world.recorder.write(
            {
                "op": begin,
                "client": name,
                "call": what,
                "begin": begin,
                "end": world.recorder.now() if answer.outcome == "ok" else None,
                "at": world.now_ns(),
                "outcome": "ok" if answer.outcome == "ok" else "unknown",
                "error": type(answer.error).__name__ if answer.error is not None else "",
                "reads": [],
                "writes": [],
            }
        )
        return answer.value if answer.outcome == "ok" else answer.error

    async def check(self, world: World, store: Store) -> list[Violation]:
        """Hold every promise against what is left, and write the logs into the history.

        Args:
            world: where it happened.
            store: what is left.

        Returns:
            What was broken.
        """
        violations: list[Violation] = []
        registry = Registry([generated], [work])
        names = await all_workflows(store)
        known = set(names)
        late_ns_max = None if "clock_jump" in world.plan.faults else LATE_SECONDS_MAX * _NANOSECONDS
        if world.plan.is_calm:
            late_ns_max = LATE_WITHOUT_FAULTS_SECONDS_MAX * _NANOSECONDS
        world.logs_to_check = len(names)
        for number, name in enumerate(names):
            world.logs_checked = number
            # One log at a time, and its children's: those of a long world would not fit beside it.
            events = await whole_log(store, name)
            logs: dict[str, Sequence[WorkflowEvent]] = {
                child: await whole_log(store, child) for child in children_of(events)
            }
            (head,) = await store.heads([name])
            world.recorder.write({"durable": name, "digest": head.digest.hex(), "events": len(events)})
            violations += gap_free(name, events, next_seq=head.next_seq)
            violations += chain(name, await store.audit(name, limit=len(events) + 1), head=head[1:3])
            violations += answered_once(name, events)
            violations += results_are_own(name, events)
            if sum(process.lives for process in world.processes) == 1:
                violations += carried_out_as_told(name, events, carried_out(world))
            violations += timers_in_time(name, events, late_ns_max=late_ns_max)
            violations += signals_once(name, events, self.signalled.get(name, ()))
            violations += children_are_own(name, events, logs)
            violations += result_is_own(name, events)
            violations += head_tells(name, events, head.facts)
            violations += self._as_told(name, events)
            violations += replays(name, events, generated, registry)
        for told, result in sorted(self.told.items()):
            if isinstance(result, list):
                world.recorder.write({"result": result, "workflow": told})
        violations += [
            Violation("acknowledged_once", name, None, "it was begun and has no log")
            for name in self.told
            if name not in known
        ]
        return violations

    def _as_told(self, name: str, events: Sequence[WorkflowEvent]) -> list[Violation]:
        if name not in self.told:
            return []
        last = events[-1]
        if last.kind is not EventKind.WORKFLOW_COMPLETED:
            return [Violation("comes_to_an_end", name, last.seq, f"it ends with {last.kind.name}")]
        result = result_of(events)
        if result != self.told[name]:
            return [
                Violation("replay_equals_live", name, last.seq, f"told {self.told[name]!r}, has {result!r}")
            ]
        return []


async def _running(world: World, process: Process, name: str) -> list[WorkflowId]:
    # Its own family alone: others have clients of their own, and asking for all of them would be quadratic.
    running = int(Status.RUNNING)
    own = await world.ask(process, lambda runtime: runtime.store.list_workflows(prefix=name, status=running))
    return [found for found in own.value or () if found == name or found.startswith(f"{name}/")]


def make_workload() -> Generated:
    """Make this workload."""
    return Generated()
