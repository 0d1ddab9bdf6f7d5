"""Models: what stands for an activity in a world, because the outer world is not in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, Final

from treadle.engine import ActivityDefinition
from treadle.errors import UsageError
from treadle.runtime.durable.activity_context import info
from treadle.sim.draws import Draws
from treadle.sim.world import current_world

HANG_SECONDS: Final = 600
"""How long an attempt stands still that hangs: ten times what one of a built-in workload may take."""
_MILLE: Final = 1_000


class SimulatedFailureError(Exception):
    """What an activity of the outer world raises now and then."""


async def stand_in(duration: int | Sequence[tuple[int, int]]) -> None:
    """Stand for whatever an activity does: it takes its time, and fails or hangs as often as the plan says.

    Args:
        duration: how long it takes in the mean, in thousandths of a second, spread exponentially; or a table
            of shares and durations: ``[(90, 200), (9, 1_500), (1, 30_000)]`` is 200 ms nine times in ten,
            and half a minute once in a hundred.

    Raises:
        SimulatedFailureError: it fails this time, because of ``activity_fails``.
        UsageError: outside any world, or a duration that is none.
    """
    world = current_world()
    _check(duration)
    draws, rates = world.draws_of("activity"), world.plan.faults
    place = info().workflow_id
    if not world.calm and draws.happens(rates.get("activity_hangs", 0)):
        world.note_fault("activity_hangs", place)
        await world.kernel.sleep(HANG_SECONDS)
    await world.kernel.sleep(_drawn_ms(draws, duration) / _MILLE)
    if not world.calm and draws.happens(rates.get("activity_fails", 0)):
        world.note_fault("activity_fails", place)
        raise SimulatedFailureError


def repeated(definition: ActivityDefinition[..., Any]) -> ActivityDefinition[..., Any]:
    """Let an activity's model be carried out twice in one attempt, as often as the plan says.

    Args:
        definition: the activity, with its model.

    Returns:
        The same activity; what the first of two does stays done, and how it has ended is not seen.
    """
    function: Callable[..., Any] = definition.function
    if definition.is_async:

        @wraps(function)
        async def run(*args: Any, **options: Any) -> Any:
            if _happens_twice():
                with suppress(Exception):
                    await function(*args, **options)
            return await function(*args, **options)
    else:

        @wraps(function)
        def run(*args: Any, **options: Any) -> Any:
            if _happens_twice():
                with suppress(Exception):
                    function(*args, **options)
            return function(*args, **options)

    return definition.carried_out_by(run)


def _happens_twice() -> bool:
    world = current_world()
    rate = world.plan.faults.get("activity_twice", 0)
    if world.calm or not world.draws_of("activity twice").happens(rate):
        return False
    world.note_fault("activity_twice", info().workflow_id)
    return True


def _check(duration: object) -> None:
    if type(duration) is int and duration >= 0:
        return
    rows = list(duration) if isinstance(duration, list | tuple) else []
    numbers = [number for row in rows if isinstance(row, list | tuple) and len(row) == 2 for number in row]
    is_table = all(type(number) is int and number >= 0 for number in numbers) and sum(numbers[::2])
    if not is_table or len(numbers) != 2 * len(rows):
        raise UsageError(
            "a duration is a whole number of milliseconds, or a table of (share, milliseconds) such as"
            f" [(90, 200), (10, 1_500)], got {duration!r}"
        )


def _drawn_ms(draws: Draws, duration: int | Sequence[tuple[int, int]]) -> int:
    if isinstance(duration, int):
        return draws.exponential(duration)
    left = draws.below(sum(share for share, _ in duration))
    for share, milliseconds in duration:
        left -= share
        if left < 0:
            return milliseconds
    return duration[-1][1]
