"""The limits of a world's runtimes, drawn from its seed: small ones, because bugs live where limits bite."""

from __future__ import annotations

from typing import Final

import attrs

from treadle.runtime import RuntimeConfig
from treadle.sim.draws import Draws
from treadle.sim.plan import Plan

LONG_SECONDS: Final = 12 * 3_600
LONG_POLL_SECONDS: Final = 10
"""How often runtimes look for what others have written, in worlds that last longer than `LONG_SECONDS`."""
POLLS_MAX: Final = 100_000
"""How often they do so in one world, as far as `LONG_POLL_SECONDS_MAX` lets them: in one of months, looking
would be most of what happens."""
LONG_POLL_SECONDS_MAX: Final = 300
"""How seldom they do so at most: nothing may be later than that for want of looking, however long a world."""


def limits_of(plan: Plan, draws: Draws) -> RuntimeConfig:
    """Give the limits of all runtimes of a world.

    Args:
        plan: says whether they are what users have, and how many activities run at once.
        draws: decides the rest.

    Returns:
        The limits.
    """
    config = RuntimeConfig() if plan.limits == "usual" else draw_config(draws)
    if plan.duration_seconds > LONG_SECONDS:
        # Whoever polls takes decisions in every second of months in which nothing else happens.
        poll_seconds = min(max(LONG_POLL_SECONDS, plan.duration_seconds // POLLS_MAX), LONG_POLL_SECONDS_MAX)
        config = attrs.evolve(config, poll_seconds=poll_seconds, standby_seconds=poll_seconds)
    return attrs.evolve(config, activities_max=plan.activities_max) if plan.activities_max else config


def draw_config(draws: Draws) -> RuntimeConfig:
    """Draw the limits of all runtimes of a world.

    Args:
        draws: from where.

    Returns:
        The limits; half of them are what users have, so that ordinary worlds are common as well.
    """
    return RuntimeConfig(
        poll_seconds=0.5,
        standby_seconds=1,
        group_events_max=draws.one_of((1, 2, 5, 100, 8_192)),
        inbox_messages_max=draws.one_of((1, 2, 64, 64)),
        page_events=draws.one_of((1, 3, 100, 2_000)),
        readmissions_max=draws.one_of((1, 3, 16, 16)),
        close_timeout_seconds=draws.one_of((0.0001, 1.0, 10.0, 10.0)),
        idle_actors_max=draws.one_of((1, 2, 100, 100)),
        instances_max=draws.one_of((1, 3, 100, 100)),
        recoveries_max=draws.one_of((1, 2, 64, 64)),
        activities_max=draws.one_of((1, 3, 1_000, 1_000)),
        batch_events_max=draws.one_of((1, 3, 1_000, 1_000)),
    )
