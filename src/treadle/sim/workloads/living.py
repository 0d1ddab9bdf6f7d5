"""How a client of a world spends its time: one deed after the other, spread over the plan's duration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from treadle.sim.draws import Draws
from treadle.sim.world import World

_NANOSECONDS: Final = 1_000_000_000


async def spend_time(world: World, draws: Draws, deeds: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Make all of a client's operations, with pauses between them.

    Args:
        world: whose plan says how many, and over which time.
        draws: choose each pause, and each deed.
        deeds: what the client does, each as often as it is to be drawn.
    """
    pause_ns = max(1, world.plan.duration_seconds * _NANOSECONDS // world.plan.operations)
    for _ in range(world.plan.operations):
        await world.kernel.sleep(draws.exponential(pause_ns) / _NANOSECONDS)
        await draws.one_of(deeds)()
