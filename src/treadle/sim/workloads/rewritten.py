"""The workflow of a world in which durable workflows are branched, played, reset and continued.

Like that of `generated`, it is an interpreter of a program drawn from the seed. It hands what it has seen on
from run to run, so that at its end all of it is there, whatever was cut from its log meanwhile; and each
thing it has seen is there once, or something was done twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from treadle.checkers.durable import Attempted
from treadle.engine import Retry
from treadle.engine import api as workflow
from treadle.engine.definitions import define_activity, define_workflow
from treadle.engine.driver import open_nursery, sleep
from treadle.errors import ActivityError, ChildWorkflowError
from treadle.runtime.durable.activity_context import info
from treadle.sim.draws import Draws
from treadle.sim.models import stand_in
from treadle.sim.world import World, current_world

FINISH: Final = "finish"
"""The signal value at which a workflow goes straight to its end; what came before it, it has seen by then."""
RUNS_MAX: Final = 3
STEPS_MAX: Final = 3
WORK_SECONDS_MAX: Final = 60
TOLD: Final = "w0"
"""Whom workflows send signals to."""
_MILLE: Final = 1_000


@define_activity(
    name="treadle.sim.touch",
    start_to_close_seconds=WORK_SECONDS_MAX,
    retry=Retry(initial_seconds=1, backoff=2, maximum_seconds=30, attempts=None),
)
async def touch(mean_ms: int) -> str:
    """Stand for what touches the outer world, which remembers each attempt.

    Returns:
        The activity's idempotency key.
    """
    world, told = current_world(), info()
    attempts = attempts_in(world)
    attempts.append(Attempted(told.workflow_id, told.seq, told.idempotency_key, world.recorder.now()))
    await stand_in(mean_ms)
    return told.idempotency_key


def attempts_in(world: World) -> list[Attempted]:
    """Give all attempts at activities that the outer world has seen.

    Args:
        world: where.

    Returns:
        The attempts; the same list each time.
    """
    attempts: list[Attempted] = world.notes.setdefault("attempts", [])
    return attempts


class _Finished(Exception):  # noqa: N818  # no error: it is how the rest of a program is left out
    pass


@define_workflow(name="treadle.sim.rewritten")
async def rewritten(programs: list[Any], waits: bool, seen: list[str]) -> list[str]:  # noqa: FBT001  # JSON
    """Carry out one program in each run; then, if it waits, take signals until one says that it is enough."""
    seen = list(seen)
    try:
        for step, *rest in programs[0]:
            await STEPS[step](rest, seen)
        if len(programs) == 1 and waits:
            while True:
                await _signal([], seen)
    except _Finished:
        return seen
    if len(programs) > 1:
        await workflow.continue_as_new(programs[1:], waits, seen)
    return seen


async def _touch(rest: list[Any], seen: list[str]) -> None:
    try:
        seen.append(await workflow.activity(touch, rest[0]))
    except ActivityError as error:
        seen.append(f"failed {error.attempts}")


async def _both(rest: list[Any], seen: list[str]) -> None:
    async with open_nursery() as nursery:
        for mean_ms in rest:
            nursery.start_soon(_touch, [mean_ms], seen)


async def _sleep(rest: list[Any], _seen: list[str]) -> None:
    await sleep(rest[0])


async def _signal(_rest: list[Any], seen: list[str]) -> None:
    value = await workflow.signals("go").receive()
    if value == FINISH:
        raise _Finished
    seen.append(f"signal {value}")


async def _child(rest: list[Any], seen: list[str]) -> None:
    try:
        found: list[str] = await workflow.child(rewritten, [rest[0]], False, [])
        seen += found
    except ChildWorkflowError:
        # Its log was deleted before a branch of this one asked for its end, or it was reset under its parent.
        seen.append("child failed")


async def _tell(_rest: list[Any], _seen: list[str]) -> None:
    workflow.signal_external(TOLD, "go", f"{workflow.info().workflow_id}>{workflow.uuid4().hex}")


async def _chance(_rest: list[Any], seen: list[str]) -> None:
    seen.append(f"chance {workflow.random().randrange(_MILLE)}")


STEPS: Final[dict[str, Callable[[list[Any], list[str]], Awaitable[None]]]] = {
    "touch": _touch,
    "both": _both,
    "sleep": _sleep,
    "signal": _signal,
    "child": _child,
    "tell": _tell,
    "chance": _chance,
}
_OF_CHILDREN: Final = ("touch", "touch", "sleep", "chance")
_OF_ALL: Final = (*_OF_CHILDREN, "both", "signal", "child", "tell")


def draw_programs(draws: Draws, *, waits: bool) -> list[Any]:
    """Draw the programs of a workflow's runs.

    Args:
        draws: from where.
        waits: whether it waits for signals: one that does not comes to its end by itself.

    Returns:
        Programs, as JSON has them.
    """
    steps = _OF_ALL if waits else tuple(step for step in _OF_ALL if step != "signal")
    return [_draw_program(draws, steps) for _ in range(draws.between(1, RUNS_MAX))]


def _draw_program(draws: Draws, steps: Sequence[str]) -> list[Any]:
    return [_draw_step(draws, draws.one_of(steps)) for _ in range(draws.between(1, STEPS_MAX))]


def _draw_step(draws: Draws, step: str) -> list[Any]:
    if step == "touch":
        return [step, draws.between(1, 20 * _MILLE)]
    if step == "both":
        return [step, draws.between(1, 20 * _MILLE), draws.between(1, 20 * _MILLE)]
    if step == "sleep":
        return [step, draws.between(0, 60)]
    if step == "child":
        return [step, _draw_program(draws, _OF_CHILDREN)]
    return [step]
