"""Looking for the world that breaks a promise: seed after seed, crash after crash, order after order."""

from treadle.sim.exploring.crashes import Crashed, crash_everywhere
from treadle.sim.exploring.schedules import Searched, search_schedules
from treadle.sim.exploring.shrinking import Shrunk, shrink
from treadle.sim.exploring.soaking import Soaked, soak

__all__ = [
    "Crashed",
    "Searched",
    "Shrunk",
    "Soaked",
    "crash_everywhere",
    "search_schedules",
    "shrink",
    "soak",
]
