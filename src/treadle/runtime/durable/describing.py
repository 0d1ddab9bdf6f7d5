"""What is told about workflows and the runner: frozen, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from treadle.engine import Status
from treadle.events import WorkflowId
from treadle.stores import Head

if TYPE_CHECKING:
    from treadle.runtime.durable.runner import Runner


@attrs.frozen(slots=True)
class WorkflowDescription:
    """A durable workflow, at one instant.

    Attributes:
        workflow_id: its id.
        name: the name its code is known by.
        status: ``"running"``, ``"completed"``, ``"failed"``, ``"cancelled"``, ``"terminated"`` or ``"held"``.
        run: the seq that names its run.
        events: how many events its log has.
        wake_up_ns: when it wants to be looked at again, in nanoseconds since 1970, or None.
        held: why it is held; empty when it is not.
        waits_for: what it waits for, in words, a line each.
    """

    workflow_id: WorkflowId
    name: str
    status: str
    run: int
    events: int
    wake_up_ns: int | None
    held: str
    waits_for: tuple[str, ...]

    @classmethod
    def of(cls, head: Head, held: str, waits_for: tuple[str, ...]) -> WorkflowDescription:
        """Make it from a head with facts.

        Args:
            head: the log's.
            held: why it is held, or an empty string.
            waits_for: what it waits for.

        Returns:
            The description.
        """
        facts = head.facts
        assert facts is not None  # noqa: S101  # the caller has looked
        return cls(
            head.workflow_id,
            facts.name,
            Status(facts.status).name.lower(),
            facts.run_start_seq,
            head.next_seq - 1,
            facts.wake_up_ns,
            held,
            waits_for,
        )


@attrs.frozen(slots=True)
class RunnerStatistics:
    """What the runner of this runtime is doing, at one instant.

    Attributes:
        state: ``"none"`` (opened without workflows), ``"standby"``, ``"running"`` or ``"stopped"``.
        epoch: the runner's epoch; 0 while it is none.
        instances: how many workflows are in memory or about to be.
        resting: how many of them have nothing to do.
        held: how many workflows are known to be held.
        recovering: how many are being read and replayed.
        attempts_running: how many attempts at activities run.
        attempts_waiting: how many wait until they are due or there is a slot.
        attempts_started: how many have been started.
        wake_ups: how many wake-ups are kept in memory.
        units_under_way: how many units of the engine are not decided.
        drifting: how many replayed workflows have drifted from their log without harm.
        stages_discarded: how often workflow code has spoilt the task it ran in.
    """

    state: str
    epoch: int = 0
    instances: int = 0
    resting: int = 0
    held: int = 0
    recovering: int = 0
    attempts_running: int = 0
    attempts_waiting: int = 0
    attempts_started: int = 0
    wake_ups: int = 0
    units_under_way: int = 0
    drifting: int = 0
    stages_discarded: int = 0

    @classmethod
    def of(cls, state: str, runner: Runner | None) -> RunnerStatistics:
        """Take a snapshot.

        Args:
            state: of the runner.
            runner: the runner, or None while there is none.

        Returns:
            The figures.
        """
        if runner is None:
            return cls(state)
        attempts = runner.attempts
        return cls(
            state,
            epoch=runner.flights.epoch,
            instances=len(runner.instances),
            resting=len(runner.resting),
            held=len(runner.held),
            recovering=len(runner.loading),
            attempts_running=attempts.running,
            attempts_waiting=max(0, len(attempts.known) - attempts.running),
            attempts_started=attempts.started,
            wake_ups=len(runner.timetable),
            units_under_way=runner.flights.under_way,
            drifting=len(runner.drifts),
            stages_discarded=runner.stage.tasks_discarded,
        )
