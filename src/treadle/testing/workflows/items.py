"""What stands on the agenda of a rehearsal, and what it is put through."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import attrs

from treadle.engine import (
    ChildDone,
    Execution,
    Input,
    ParentLink,
    PutMessage,
    Start,
    Status,
    WorkflowDefinition,
)
from treadle.events import BATCH_EVENTS_MAX, WorkflowEvent
from treadle.testing.workflows.dated import Dated
from treadle.testing.workflows.plans import Plan

TIMER_RANK, OUTSIDE_RANK, MAIL_RANK, ACTIVITY_RANK, CHILD_RANK = range(5)
"""Who comes first at equal times. Timers do anyway: the engine fires what is due before any other input."""


class CrashError(Exception):
    """The process has died, as far as the rehearsal is concerned."""


# -- dated things --------------------------------------------------------------------------------------


@attrs.frozen
class Begin:
    """A workflow is to begin."""

    definition: WorkflowDefinition[..., Any]
    workflow_id: str
    start: Start


@attrs.frozen
class Outside:
    """A message of the script's."""

    message: Dated


@attrs.frozen
class Mail:
    """A message from one workflow to another."""

    put: PutMessage


@attrs.frozen
class Given:
    """An input that is known already."""

    workflow_id: str
    input: Input


@attrs.frozen
class TimerDue:
    """A workflow's next timer may be over."""

    workflow_id: str


@attrs.frozen
class PlanDue:
    """An attempt begins, or ends."""

    plan: Plan


@attrs.frozen
class ChildEnds:
    """A scripted child ends, or one could not be started."""

    parent: ParentLink
    done: ChildDone
    ignores_cancel: bool = False


# -- who lives there -----------------------------------------------------------------------------------


@attrs.define(eq=False)
class Instance:
    """One workflow of the world.

    Attributes:
        workflow_id: its id.
        definition: its code.
        events: its log.
        run_start_seq: where a replay begins.
        status: where it stands, as its log says.
        timer_ns: the timer that is on the agenda, or None.
        execution: its code in memory, or None.
        learned: how many of its events policies that learn have learned from.
    """

    workflow_id: str
    definition: WorkflowDefinition[..., Any]
    events: list[WorkflowEvent] = attrs.Factory(list)
    run_start_seq: int = 1
    status: Status = Status.RUNNING
    timer_ns: int | None = None
    execution: Execution | None = None
    learned: int = 0

    def evict(self) -> None:
        """Throw its code away; the log stays."""
        execution, self.execution = self.execution, None
        if execution is not None:
            execution.evict()


@attrs.frozen
class Sent:
    """A signal or a cancel request to a workflow that does not live in the rehearsal.

    Attributes:
        workflow_id: to whom.
        signal: the signal's name; None for a cancel request.
        args: the signal's values.
        reason: of the cancel request.
    """

    workflow_id: str
    signal: str | None
    args: tuple[Any, ...] = ()
    reason: str = ""


# -- what it is put through ----------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Trials:
    """What a rehearsal is put through besides its script.

    Attributes:
        crashes: told of every append by its number, counted from 1; True lets the process die behind it.
        loses_attempts: whether attempts in flight die with it.
        evicts: whether code is thrown away behind every activation, and replayed before the next.
        batch_events_max: how many events are appended at once; a longer activation is cut.
        guard: stands round everything that runs workflow code.
        check: looks at every workflow behind each of its activations.
    """

    crashes: Callable[[int], bool] | None = None
    loses_attempts: bool = False
    evicts: bool = False
    batch_events_max: int = BATCH_EVENTS_MAX
    guard: Callable[[], AbstractContextManager[object]] = nullcontext
    check: Callable[[Instance], object] | None = None


PLAIN: Final = Trials()
