"""A disk that fails on purpose: power cuts, I/O errors, no room, lies and rot, all from a seed.

`simulated` has the disk itself, `mount` what SQLite calls, `medium` what is on it and what a power cut
leaves of that, `faults` the table of what may go wrong and why it must be survived, `sqlite_chance` the
seed of SQLite's own generator. `medium` and `faults` stand without SQLite; so this page, too, loads what is
asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from treadle.sim.disk.faults import FAULTS, Fault, Problem
    from treadle.sim.disk.medium import SECTOR_SIZE_BYTES, CutReport
    from treadle.sim.disk.simulated import BitFlip, DiskStatistics, PowerCutError, SimulatedDisk

__all__ = [
    "FAULTS",
    "SECTOR_SIZE_BYTES",
    "BitFlip",
    "CutReport",
    "DiskStatistics",
    "Fault",
    "PowerCutError",
    "Problem",
    "SimulatedDisk",
]
_HOMES: Final = {
    "FAULTS": "faults",
    "SECTOR_SIZE_BYTES": "medium",
    "BitFlip": "simulated",
    "CutReport": "medium",
    "DiskStatistics": "simulated",
    "Fault": "faults",
    "PowerCutError": "simulated",
    "Problem": "faults",
    "SimulatedDisk": "simulated",
}

# Hidden from type checkers, to whom a module with a `__getattr__` has any name at all.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load the page of a name when it is asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"treadle.sim.disk.{_HOMES[name]}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """Tell the names of the list, loaded or not."""
        return sorted({*globals(), *__all__})
