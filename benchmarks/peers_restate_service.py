"""The service of `peers_restate.py`, served by hypercorn."""

from __future__ import annotations

import restate

steps = restate.Service("steps")


@steps.handler()
async def one_by_one(ctx: restate.Context, count: int) -> int:
    """Each durable step with the result of the one before."""
    value = 0

    def step() -> int:
        return value + 1

    for _ in range(count):
        value = await ctx.run_typed("step", step)
    return value


app = restate.app([steps])
