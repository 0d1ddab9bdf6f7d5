"""A workflow that does what its argument says: so programs can be generated, and still be found by import."""

from __future__ import annotations

from typing import Any

from treadle import activity, workflow

Program = list[Any]


class WantedError(Exception):
    """A program says so."""


@activity.define(
    retry=activity.Retry(initial_seconds=1, backoff=2, attempts=3),
    start_to_close_seconds=8,
    schedule_to_close_seconds=20,
)
async def work(number: int, seconds: int, failures: int) -> int:
    raise NotImplementedError


@activity.define(on_cancel="abandon", retry=activity.Retry(attempts=1))
async def errand(number: int, seconds: int, failures: int) -> int:
    raise NotImplementedError


@workflow.define
async def carry_out(program: Program) -> int:
    """Carry a program out, and tell how many of its steps came to an end."""
    steps = 0
    workflow.set_query("steps", lambda: steps)

    async def add(program: Program) -> int:
        await block(program)
        return steps

    async def block(program: Program) -> None:
        nonlocal steps
        for name, *rest in program:
            await STEPS[name](block, *rest)
            steps += 1

    workflow.set_update("add", add)
    await block(program)
    return steps


async def _work(_block: Any, number: int, seconds: int, failures: int) -> None:
    await workflow.activity(work, number, seconds, failures)


async def _errand(_block: Any, number: int, seconds: int, failures: int) -> None:
    await workflow.activity(errand, number, seconds, failures)


async def _sleep(_block: Any, seconds: int) -> None:
    await workflow.sleep(seconds)


async def _limit(block: Any, seconds: int, program: Program) -> None:
    with workflow.move_on_after(seconds):
        await block(program)


async def _fail_after(block: Any, seconds: int, program: Program) -> None:
    try:
        with workflow.fail_after(seconds):
            await block(program)
    except workflow.TooSlowError:
        await workflow.checkpoint()


async def _shield(block: Any, program: Program) -> None:
    with workflow.CancelScope(shield=True):
        await block(program)


async def _together(block: Any, *programs: Program) -> None:
    try:
        async with workflow.open_nursery() as nursery:
            for program in programs:
                nursery.start_soon(block, program)
    except* WantedError:
        workflow.side_effect(lambda: "wanted")


async def _race(block: Any, *programs: Program) -> None:
    async with workflow.open_nursery() as nursery:

        async def run(program: Program) -> None:
            await block(program)
            nursery.cancel_scope.cancel()

        for program in programs:
            nursery.start_soon(run, program)


async def _signal(_block: Any, name: str) -> None:
    value = await workflow.signals(name).receive()
    if value == "bad":
        raise WantedError


async def _raise(_block: Any) -> None:
    await workflow.checkpoint()
    raise WantedError


async def _finally(block: Any, first: Program, last: Program) -> None:
    try:
        await block(first)
    finally:
        with workflow.CancelScope(shield=True):
            await block(last)


async def _child(_block: Any, program: Program) -> None:
    await workflow.child(carry_out, program)


async def _left_child(_block: Any, program: Program) -> None:
    child = workflow.start_child(carry_out, program)
    child.signal("a", "good")


async def _draw(_block: Any) -> None:
    await workflow.activity(work, workflow.random().randrange(100), 1, 0)


async def _again(_block: Any, program: Program) -> None:
    await workflow.continue_as_new(program)


STEPS = {
    "work": _work,
    "errand": _errand,
    "sleep": _sleep,
    "limit": _limit,
    "fail after": _fail_after,
    "shield": _shield,
    "together": _together,
    "race": _race,
    "signal": _signal,
    "raise": _raise,
    "finally": _finally,
    "child": _child,
    "left child": _left_child,
    "draw": _draw,
    "again": _again,
}
