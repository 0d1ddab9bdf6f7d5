"""How work arrives: when each of many workflows begins, over a stretch of virtual time.

- ``constant``: one every so often, to the nanosecond;
- ``uniform``: each at any moment, all moments alike;
- ``exponential``: each some time after the one before, as calls do that know nothing of one another;
- ``bursts``: nothing for long, and then many at once, as after a nightly job or an outage.

Times are integers from integer tables, so they are the same on every machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final, Literal

from treadle.sim.draws import Draws

if TYPE_CHECKING:
    from treadle.sim.world import World

Arrivals = Literal["exponential", "constant", "uniform", "bursts"]

BURST_MAX: Final = 50
"""How many arrive at the same moment at most; half as many in the mean."""
_NANOSECONDS: Final = 1_000_000_000


def arrival_times(kind: Arrivals, count: int, duration_ns: int, draws: Draws) -> Iterator[int]:
    """Tell when each of many arrives.

    Args:
        kind: how they are spread.
        count: how many; all of them arrive.
        duration_ns: over how long; those spread by chance from one to the next may take longer.
        draws: decides.

    Returns:
        The times, none below the one before.
    """
    if kind == "uniform":
        return iter(sorted(draws.below(duration_ns) for _ in range(count)))
    if kind == "constant":
        return (number * duration_ns // count for number in range(count))
    if kind == "bursts":
        return _bursts(count, duration_ns, draws)
    return _exponential(count, duration_ns, draws)


def _exponential(count: int, duration_ns: int, draws: Draws) -> Iterator[int]:
    at, mean = 0, max(1, duration_ns // count)
    for _ in range(count):
        at += draws.exponential(mean)
        yield at


def _bursts(count: int, duration_ns: int, draws: Draws) -> Iterator[int]:
    at, left = 0, count
    while left:
        size = min(left, draws.between(1, BURST_MAX))
        at += draws.exponential(max(1, duration_ns * size // count))
        yield from (at for _ in range(size))
        left -= size


async def arriving(world: World) -> AsyncIterator[int]:
    """Wait for one arrival after another, as a world's plan has them.

    Args:
        world: which.

    Yields:
        The virtual time of each, in nanoseconds.
    """
    plan = world.plan
    duration_ns = plan.duration_seconds * _NANOSECONDS
    for at in arrival_times(plan.arrivals, plan.workflows, duration_ns, world.draws("arrivals")):
        # Once for each burst: a wait of no time would be a turn.
        if (left := at - world.now_ns()) > 0:
            await world.kernel.sleep(left / _NANOSECONDS)
        yield at
