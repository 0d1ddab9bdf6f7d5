"""What a simulation hands back, and the error of one in which a promise was broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import attrs

from treadle.errors import WorkflowError
from treadle.events import WorkflowEvent
from treadle.sim.running import Run
from treadle.testing.worlds.conditions import Conditions

R = TypeVar("R")


class SimulationFailedError(AssertionError):
    """A promise was broken in a world, or the workflow has come to no end.

    Attributes:
        conditions: the world; the same workflow in it fails again.
        run: what became of it.
    """

    def __init__(self, message: str, *, conditions: Conditions, run: Run) -> None:
        super().__init__(message)
        self.conditions = conditions
        self.run = run


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Simulated(Generic[R]):
    """What a workflow has come to in a world.

    Attributes:
        log: its events.
        logs: the logs of all workflows of the world, by id.
        notes: what models have put into `treadle.sim.current_world().notes`, the same dict.
        error: what `WorkflowHandle.result` has raised, or None.
        run: the world: its history and digest, the faults that happened, virtual seconds.
        conditions: which world it was.
        call: the call that runs the same world again.
    """

    log: tuple[WorkflowEvent, ...]
    logs: Mapping[str, tuple[WorkflowEvent, ...]]
    notes: Mapping[str, Any]
    error: WorkflowError | None
    run: Run
    conditions: Conditions
    call: str
    _value: Any = None

    @property
    def result(self) -> R:
        """What the workflow has returned.

        Raises:
            WorkflowFailedError: it has failed.
            WorkflowCancelledError: it was cancelled.
            WorkflowTerminatedError: it was terminated.
        """
        if self.error is not None:
            raise self.error
        value: R = self._value
        return value

    def __repr__(self) -> str:
        # A failing assertion shows this: it is the place to tell how to see it again.
        return f"<what came of {self.call}>"
