"""What a workflow has begun and not ended: activities, children, updates. State that `machines` moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from treadle.engine.definitions import ActivityOptions, WorkflowDefinition
from treadle.engine.driver import CancelScope, Task
from treadle.engine.failures import Failure
from treadle.engine.learning import Choice
from treadle.engine.machines import ActivityState, ChildState, UpdateState
from treadle.engine.records import ActivityScheduled, options_of
from treadle.engine.retrying import NO_FAILURES, PLAINLY_MADE, Made


@attrs.define(slots=True)
class Attempts:
    """The attempts of an activity that have failed so far; most activities never have any.

    Attributes:
        failed: how many.
        lost: how many of them because their process was lost.
        failure: of the last one.
        next_due_ns: when the next one begins.
        choice: how it is made, by a policy that chooses.
        failed_on: for such a policy, how many have failed on each route.
    """

    failed: int
    lost: int
    failure: Failure
    next_due_ns: int
    choice: Choice | None = None
    failed_on: Mapping[str, int] = NO_FAILURES


class PendingActivity(msgspec.Struct, eq=False):
    """An activity that has not ended.

    Attributes:
        task: who waits for it.
        seq: of its ACTIVITY_SCHEDULED.
        payload: of its ACTIVITY_SCHEDULED; what follows is read from it.
        scheduled_ns: when it was scheduled.
        state: where it stands.
        attempts: those that have failed, or None.
        number: which of the run's calls it is whose attempts a policy chooses; 0 for any other.
    """

    # A struct and no attrs class: replay makes one for each activity ever run, and this one is made in C.
    task: Any
    seq: int
    payload: bytes
    scheduled_ns: int
    state: ActivityState = ActivityState.SCHEDULED
    attempts: Attempts | None = None
    number: int = 0

    def __repr__(self) -> str:
        return f"activity {self.name!r} (seq {self.seq})"

    @property
    def record(self) -> ActivityScheduled:
        """Its ACTIVITY_SCHEDULED."""
        return msgspec.json.decode(self.payload, type=ActivityScheduled)

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def args_json(self) -> bytes:
        """Its arguments, as `decode_arguments` takes them."""
        return bytes(self.record.args)

    @property
    def options(self) -> ActivityOptions:
        """How it is run; as recorded."""
        return options_of(self.record)

    @property
    def choice(self) -> Choice | None:
        """How its next attempt, or the one in flight, is made; None for a policy that does not choose."""
        return self.record.choice if self.attempts is None else self.attempts.choice

    @property
    def failed_on(self) -> Mapping[str, int]:
        """How many attempts have failed on each route, for a policy that chooses."""
        return NO_FAILURES if self.attempts is None else self.attempts.failed_on

    @property
    def attempts_failed(self) -> int:
        """How many attempts have failed; the next one is this plus one."""
        return 0 if self.attempts is None else self.attempts.failed

    @property
    def attempts_lost(self) -> int:
        """How many of the failed attempts were lost with their process."""
        return 0 if self.attempts is None else self.attempts.lost

    def made(self, seed: bytes) -> Made:
        """Tell what its next attempt is made with.

        Args:
            seed: of the run.

        Returns:
            What a policy that chooses is asked by, once the attempt has ended.
        """
        choice = self.choice
        return PLAINLY_MADE if choice is None else Made(choice, self.failed_on, seed, self.number)

    @property
    def next_due_ns(self) -> int | None:
        """When the next attempt begins; None while one may be in flight."""
        return None if self.attempts is None else self.attempts.next_due_ns

    @property
    def is_cancelling(self) -> bool:
        """Whether it was asked to end: then no other attempt begins."""
        return self.state is ActivityState.CANCELLING

    def abort(self) -> bool:
        """Cancel the wait for it; see `Scheduler` on what the answer means."""
        scheduler: Any = self.task.scheduler
        cancelled: bool = scheduler.execution.cancel_activity(self)
        return cancelled


class PendingChild:
    """A child that has not ended.

    Attributes:
        seq: of its CHILD_SCHEDULED.
        id: its workflow id.
        name: its workflow's name.
        parent_close: what becomes of it when the parent closes first.
        definition: its workflow.
        state: where it stands.
        waiting: tasks that wait for its end, in order; a dict for its order.
        outcome: how it ended, once it has.
    """

    __slots__ = (
        "definition", "id", "name", "outcome", "parent_close", "seq", "state", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        definition: WorkflowDefinition[..., Any],
        seq: int,
        workflow_id: str,
        parent_close: str,
    ) -> None:
        self.definition = definition
        self.seq = seq
        self.id = workflow_id
        self.name = definition.name
        self.parent_close = parent_close
        self.state = ChildState.SCHEDULED
        self.waiting: dict[Task, None] = {}
        self.outcome: object = None

    def __repr__(self) -> str:
        return f"child {self.name!r} {self.id!r} (seq {self.seq})"


class PendingUpdate:
    """An update that was accepted and whose handler has not ended.

    Attributes:
        seq: of its UPDATE_ACCEPTED.
        id: under which its sender knows it.
        name: of its handler.
        state: where it stands.
        scope: round its handler, once that runs. It is shielded: a continue-as-new unwinds main, and lets
            what was accepted come to its end; who cancels the workflow cancels this scope as well.
    """

    __slots__ = ("id", "name", "scope", "seq", "state")

    def __init__(self, seq: int, update_id: str, name: str) -> None:
        self.seq = seq
        self.id = update_id
        self.name = name
        self.state = UpdateState.ACCEPTED
        self.scope = CancelScope(shield=True)

    def __repr__(self) -> str:
        return f"update {self.name!r} {self.id!r} (seq {self.seq})"


class SentSignal:
    """A signal or cancel request that was sent to another workflow.

    Attributes:
        seq: of its SIGNAL_SENT or CANCEL_SENT.
        workflow_id: to whom.
        failure: why nobody took it, once that is known.
    """

    __slots__ = ("__weakref__", "failure", "seq", "workflow_id")

    def __init__(self, seq: int, workflow_id: str) -> None:
        self.seq = seq
        self.workflow_id = workflow_id
        self.failure: Failure | None = None

    def __repr__(self) -> str:
        return f"<sent to {self.workflow_id!r} (seq {self.seq})>"
