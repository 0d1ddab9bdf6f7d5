"""Models: what stands for an activity in a world, because the outer world is not in it."""

from __future__ import annotations

from typing import Final

from treadle.runtime.durable.activity_context import info
from treadle.sim.world import current_world

HANG_SECONDS: Final = 600
"""How long an attempt stands still that hangs: ten times what one of a built-in workload may take."""
_MILLE: Final = 1_000


class SimulatedFailureError(Exception):
    """What an activity of the outer world raises now and then."""


async def stand_in(mean_ms: int) -> None:
    """Stand for whatever an activity does: it takes its time, and fails or hangs as often as the plan says.

    Args:
        mean_ms: how long it takes in the middle, in thousandths of a second.

    Raises:
        SimulatedFailureError: it fails this time, because of ``activity_fails``.
        UsageError: outside any world.
    """
    world = current_world()
    draws, rates = world.draws_of("activity"), world.plan.faults
    place = info().workflow_id
    if not world.calm and draws.happens(rates.get("activity_hangs", 0)):
        world.note_fault("activity_hangs", place)
        await world.kernel.sleep(HANG_SECONDS)
    await world.kernel.sleep(draws.exponential(mean_ms) / _MILLE)
    if not world.calm and draws.happens(rates.get("activity_fails", 0)):
        world.note_fault("activity_fails", place)
        raise SimulatedFailureError
