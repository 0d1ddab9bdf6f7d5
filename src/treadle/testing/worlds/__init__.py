"""For tests of durable workflows in worlds: any schedule, any fault, any single crash, from a seed.

From the outside in: `simulating` (one call, one world), `simulated` (what it hands back), `conditions` (which
world, and the strategy that draws one), `client` (what happens to the workflow from outside), `models` and
`reach` (what stands for activities, and whether it can be called at all).
"""

from treadle.testing.worlds.conditions import Conditions, any_world
from treadle.testing.worlds.models import lasting
from treadle.testing.worlds.simulated import Simulated, SimulationFailedError
from treadle.testing.worlds.simulating import simulate

__all__ = [
    "Conditions",
    "Simulated",
    "SimulationFailedError",
    "any_world",
    "lasting",
    "simulate",
]
