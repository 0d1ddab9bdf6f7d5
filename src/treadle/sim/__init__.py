"""Whole worlds from a seed, for tests: what production code meets there is simulated, and may fail.

A door: names only, and what stands behind one of them is loaded when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from treadle.sim.disk import PowerCutError, Problem, SimulatedDisk

__all__ = [
    "PowerCutError",
    "Problem",
    "SimulatedDisk",
]
_HOMES: Final = {
    "PowerCutError": "disk",
    "Problem": "disk",
    "SimulatedDisk": "disk",
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
