"""What clients and workflows do in a world: one file for each kind, and a line for it here."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from treadle.checkers import Violation
from treadle.engine import ActivityDefinition, WorkflowDefinition
from treadle.errors import UsageError
from treadle.runtime.retention import RetentionPolicy
from treadle.sim.world import World
from treadle.stores import Store

WORKLOADS: Final = {
    "logs": "treadle.sim.workloads.logs",
    "projections": "treadle.sim.workloads.projecting",
    "lifetimes": "treadle.sim.workloads.lifetimes",
    "workflows": "treadle.sim.workloads.generated",
    "durable_lifetimes": "treadle.sim.workloads.durable_lifetimes",
}
"""Name -> module with a `Workload()`. Imported when asked for."""


class Workload(Protocol):
    """What happens in a world beside its faults; a class of your own may inherit from it, for its defaults.

    It is made anew for every world, and may keep what its `check` needs.

    Attributes:
        workflows: the durable workflows its processes run.
        activities: models of the activities they call.
        foreign_writers: whether clients write past the runtimes, as other processes do.
        retention: what its runtimes remove in the background; None for nothing.
        shares_one_runner: whether there may be several processes, of which the first runs the workflows and
            the others send to it; otherwise there is one at a time as soon as there are workflows.
        promises: what `check` holds against what is left: name -> in words.
    """

    workflows: Sequence[WorkflowDefinition[..., Any]] = ()
    activities: Sequence[ActivityDefinition[..., Any]] = ()
    foreign_writers: bool = False
    retention: RetentionPolicy | None = None
    shares_one_runner: bool = False
    promises: Mapping[str, str] = {}  # a default to be replaced, not to be changed

    async def clients(self, world: World) -> None:
        """Do all that clients do."""

    async def check(self, world: World, store: Store) -> list[Violation]:
        """Look at what is left, and write the logs into the history; nothing happens any more."""


def workload(name: str) -> Workload:
    """Make a workload by name.

    Args:
        name: one of `WORKLOADS`.

    Returns:
        The workload.

    Raises:
        UsageError: an unknown name.
    """
    if name not in WORKLOADS:
        near = difflib.get_close_matches(name, WORKLOADS, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"no workload is called {name!r}; {guess}expected one of {', '.join(WORKLOADS)}, or MODULE:name"
        )
    made: Callable[[], Workload] = importlib.import_module(WORKLOADS[name]).make_workload
    return made()


__all__ = ["WORKLOADS", "Workload", "workload"]
