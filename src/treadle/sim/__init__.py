"""Whole worlds from one seed: production code under a scheduler, a clock, faults and clients of its own.

From the outside in: `running` (a world from its first moment to the verdict), `plan`, `workloads` (what
clients do), `world` (processes over one place, and what happens to them), `places` (what survives them) and
`disk`, `faults` and `faulty_store`, `lives` (how processes die, stop and come back), `world_kernel` (who goes
next), `draws` and `history`.

A door: names only, and what stands behind one of them is loaded when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from treadle.checkers import Violation
    from treadle.sim.disk import PowerCutError, Problem, SimulatedDisk
    from treadle.sim.draws import Draws
    from treadle.sim.faults import FAULTS, Fault, fault_rates
    from treadle.sim.faulty_store import FaultyStore
    from treadle.sim.models import stand_in
    from treadle.sim.plan import Plan
    from treadle.sim.running import Run, run_world
    from treadle.sim.workloads import Workload
    from treadle.sim.world import Answer, Process, World, current_world

__all__ = [
    "FAULTS",
    "Answer",
    "Draws",
    "Fault",
    "FaultyStore",
    "Plan",
    "PowerCutError",
    "Problem",
    "Process",
    "Run",
    "SimulatedDisk",
    "Violation",
    "Workload",
    "World",
    "current_world",
    "fault_rates",
    "run_world",
    "stand_in",
]
_HOMES: Final = {
    "FAULTS": "faults",
    "Answer": "world",
    "Draws": "draws",
    "Fault": "faults",
    "FaultyStore": "faulty_store",
    "Plan": "plan",
    "PowerCutError": "disk",
    "Problem": "disk",
    "Process": "world",
    "Run": "running",
    "SimulatedDisk": "disk",
    "Violation": "workloads",
    "Workload": "workloads",
    "World": "world",
    "current_world": "world",
    "fault_rates": "faults",
    "run_world": "running",
    "stand_in": "models",
}

# Hidden from type checkers, to whom a module with a `__getattr__` has any name at all.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load the room of a name when it is asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"treadle.sim.{_HOMES[name]}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """Tell the names of the list, loaded or not."""
        return sorted({*globals(), *__all__})
