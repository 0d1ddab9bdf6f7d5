"""Running a workflow in virtual time: `run_workflow`, and what it hands back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import attrs

from treadle.engine import Status, WorkflowDefinition
from treadle.engine.arguments import decode_result
from treadle.engine.execution import ExecutionLimits
from treadle.engine.failures import update_failed_error, update_rejected_error, workflow_failed_error
from treadle.engine.records import (
    COMMAND_KINDS,
    CancelRequest,
    UpdateCompleted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    decode_record,
)
from treadle.errors import WorkflowCancelledError, WorkflowError, WorkflowTerminatedError
from treadle.events import EventKind, WorkflowEvent
from treadle.payloads import Converter, JsonConverter
from treadle.testing.workflows.cast import ActivityCall
from treadle.testing.workflows.dated import Dated, UpdateAt
from treadle.testing.workflows.entropy import forbid_entropy
from treadle.testing.workflows.histories import write_history
from treadle.testing.workflows.items import Instance, Sent, Trials
from treadle.testing.workflows.paranoia import check_instance
from treadle.testing.workflows.plans import NANOSECONDS
from treadle.testing.workflows.scenario import START_NS, Scenario, make_scenario, make_start
from treadle.testing.workflows.world import World

R = TypeVar("R")

PARANOID_VARIABLE: Final = "TREADLE_PARANOID"
"""The environment variable that makes every rehearsal paranoid; the pytest option sets it."""


class StillRunningError(AssertionError):
    """The workflow has not ended, and nothing in its script would let it.

    Attributes:
        waiting_for: what it waits for, in words.
    """

    def __init__(self, message: str, *, waiting_for: tuple[str, ...]) -> None:
        super().__init__(message)
        self.waiting_for = waiting_for


@attrs.frozen(kw_only=True, eq=False)
class Rehearsal(Generic[R]):
    """What a workflow has come to.

    Attributes:
        workflow_id: its id.
        definition: the workflow.
        status: where it stands: ``Status.COMPLETED``, ``FAILED``, ``CANCELLED``, ``TERMINATED``, or
            ``RUNNING``
            when it waits for something that does not come.
        error: what `WorkflowHandle.result` would raise, or None.
        events: its log.
        logs: the logs of all workflows that ran, by id; its own first.
        seconds: how much virtual time has passed.
        signals_unread: name and values of each signal that nobody has read.
        updates: by id the result of each update, or the error it came to.
        answers: of the queries in order, or the errors they came to.
        calls: the attempts at activities, in order.
        sent: signals and cancel requests to workflows outside.
        undelivered: messages that came when it had ended.
        waiting_for: what it waits for, in words; empty when it has ended.
        appends: how many appends its log was written in.
    """

    workflow_id: str
    definition: WorkflowDefinition[..., Any]
    status: Status
    error: WorkflowError | None
    events: tuple[WorkflowEvent, ...] = attrs.field(repr=False)
    logs: Mapping[str, tuple[WorkflowEvent, ...]] = attrs.field(repr=False)
    seconds: float
    signals_unread: tuple[tuple[str, tuple[Any, ...]], ...]
    updates: Mapping[str, Any]
    answers: tuple[Any, ...]
    calls: tuple[ActivityCall, ...] = attrs.field(repr=False)
    sent: tuple[Sent, ...]
    undelivered: tuple[Dated, ...]
    waiting_for: tuple[str, ...]
    appends: int
    scenario: Scenario = attrs.field(repr=False)
    _value: Any = None

    @property
    def result(self) -> R:
        """What the workflow has returned.

        Raises:
            WorkflowFailedError: it has failed.
            WorkflowCancelledError: it was cancelled.
            WorkflowTerminatedError: it was terminated.
            StillRunningError: it has not ended; the message tells what it waits for.
        """
        if self.error is not None:
            raise self.error
        if self.status is Status.RUNNING:
            waits = "; ".join(self.waiting_for) or "something nobody knows"
            raise StillRunningError(
                f"workflow {self.workflow_id!r} is to have ended after {self.seconds:g} s, and waits for"
                f" {waits}; give messages=[...] or activities={...} what it waits for",
                waiting_for=self.waiting_for,
            )
        value: R = self._value
        return value

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write its log as a JSON Lines file, which `replay` and the command line read.

        Args:
            path: of the file; what is there is replaced.

        Returns:
            The path.

        Raises:
            OSError: the file cannot be written.
        """
        return write_history(path, self.workflow_id, self.events)

    @property
    def inputs(self) -> tuple[WorkflowEvent, ...]:
        """The events that told the workflow something."""
        return tuple(event for event in self.events if event.kind not in COMMAND_KINDS)

    @property
    def commands(self) -> tuple[WorkflowEvent, ...]:
        """The events by which the workflow asked for something."""
        return tuple(event for event in self.events if event.kind in COMMAND_KINDS)


def run_workflow(
    definition: WorkflowDefinition[..., Any],
    *args: Any,
    keywords: Mapping[str, Any] | None = None,
    activities: Mapping[Any, Any] | None = None,
    children: Mapping[Any, Any] | None = None,
    workflows: Iterable[WorkflowDefinition[..., Any]] = (),
    messages: Iterable[Dated] = (),
    absent: Iterable[str] = (),
    id: str | int = "rehearsal",  # noqa: A002  # the word users know
    seed: int = 0,
    start_ns: int = START_NS,
    until_seconds: float | None = None,
    converter: Converter | None = None,
    limits: ExecutionLimits | None = None,
    paranoid: bool | None = None,
    guard: bool = True,
) -> Rehearsal[Any]:
    """Run a workflow in virtual time with scripted activities: no Trio, no store, no waiting, no chance.

    The workflow's own code runs, driven by the engine that drives it in production; 30 days pass in a
    millisecond. The same call gives the same log, byte for byte.

    Args:
        definition: what `workflow.define` has made.
        *args: its arguments.
        keywords: more of them, by name.
        activities: by definition (or name) what each activity does: a value it returns, an exception it
            raises, a plain function that is called with its arguments, or `attempts`. Retries, time-outs and
            cancellation follow the activity's own options.
        children: likewise for child workflows. One that is not here runs its own code, with the same
            activities.
        workflows: children that cannot be found otherwise; seldom needed.
        messages: `SignalAt`, `UpdateAt`, `QueryAt`, `CancelAt` and `TerminateAt`, in any order.
        absent: ids of other workflows that messages do not reach. What is sent to others that do not live
            here is noted in `Rehearsal.sent`.
        id: its workflow id.
        seed: from which everything random in it is derived.
        start_ns: when it begins, in nanoseconds since 1970.
        until_seconds: when to stop at the latest; needed for workflows that never end.
        converter: values to JSON and back; the usual one unless given.
        limits: what one run may grow to; the usual ones unless given.
        paranoid: whether every activation is also replayed from scratch and compared. Unless given, what
            the pytest option ``--treadle-paranoid`` or TREADLE_PARANOID=1 says.
        guard: whether code that asks a clock, chance or the world fails on the spot; see `forbid_entropy`.

    Returns:
        What it has come to. A workflow that has failed is no error here; `Rehearsal.result` raises it.

    Raises:
        EntropyError: the code has taken something from outside its log.
        ReplayDifferenceError: paranoid, and a replay came out otherwise.
        WorkflowHeldError: what the code has raised would hold it (a NameError, say).
        InvalidValueError: the arguments do not fit its signature.
        UsageError: nothing says what an activity does, or it goes on for ever.
    """
    used = JsonConverter() if converter is None else converter
    scenario = make_scenario(
        definition,
        make_start(definition, args, keywords or {}, seed, used),
        activities=activities or {},
        children=children or {},
        workflows=workflows,
        messages=messages,
        absent=absent,
        workflow_id=id,
        start_ns=start_ns,
        until_seconds=until_seconds,
        converter=converter,
        limits=limits,
    )
    is_paranoid = is_paranoid_by_default() if paranoid is None else paranoid
    guarding: Callable[[], AbstractContextManager[object]] = forbid_entropy if guard else nullcontext
    check = check_instance if is_paranoid else None
    return rehearse(scenario, Trials(guard=guarding, check=check))[0]


def is_paranoid_by_default() -> bool:
    """Tell whether rehearsals are paranoid unless they are told.

    Returns:
        What the environment says.
    """
    return os.environ.get(PARANOID_VARIABLE, "") not in {"", "0"}


def rehearse(scenario: Scenario, trials: Trials) -> tuple[Rehearsal[Any], World]:
    """Run a scenario once.

    Args:
        scenario: what happens.
        trials: what else it is put through.

    Returns:
        What it has come to, and the world in which it did; all code is gone.
    """
    world = World(scenario, trials)
    try:
        world.run()
        return _told(scenario, world), world
    finally:
        world.close()


# -- telling -------------------------------------------------------------------------------------------


def _told(scenario: Scenario, world: World) -> Rehearsal[Any]:
    root = world.root
    execution = world.execution_of(root)
    decode = execution.converter.decode
    unread = tuple(
        (queue.name, tuple(decode(args))) for queue in execution.signals.values() for args in queue.unread
    )
    value, error = _outcome(root, execution.converter)
    return Rehearsal(
        workflow_id=root.workflow_id,
        definition=root.definition,
        status=root.status,
        error=error,
        events=tuple(root.events),
        logs={instance.workflow_id: tuple(instance.events) for instance in world.instances.values()},
        seconds=(world.now_ns - scenario.start_ns) / NANOSECONDS,
        signals_unread=unread,
        updates=_updates(root, world, execution.converter),
        answers=tuple(world.answers),
        calls=tuple(world.cast.calls),
        sent=tuple(world.neighbours.sent),
        undelivered=tuple(world.undelivered),
        waiting_for=execution.describe().waiting_for,
        appends=world.appends,
        scenario=scenario,
        value=value,
    )


def _outcome(root: Instance, converter: Converter) -> tuple[Any, WorkflowError | None]:
    event, name = root.events[-1], root.workflow_id
    if root.status is Status.COMPLETED:
        result = bytes(decode_record(event, WorkflowCompleted).result)
        return decode_result(root.definition, result, converter), None
    if root.status is Status.FAILED:
        failure = decode_record(event, WorkflowFailed).failure
        return None, workflow_failed_error(failure, workflow_id=name)
    if root.status is Status.CANCELLED:
        reason = decode_record(event, WorkflowCancelled).reason
        return None, WorkflowCancelledError(
            f"workflow {name!r} was cancelled{_because(reason)}", workflow_id=name, reason=reason
        )
    if root.status is Status.TERMINATED:
        reason = decode_record(event, CancelRequest).reason
        return None, WorkflowTerminatedError(
            f"workflow {name!r} was terminated{_because(reason)}", workflow_id=name, reason=reason
        )
    return None, None


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _updates(root: Instance, world: World, converter: Converter) -> dict[str, Any]:
    names = {message.id: message.name for message in world.scenario.messages if isinstance(message, UpdateAt)}
    found: dict[str, Any] = {}
    for event in root.events:
        if event.kind is EventKind.UPDATE_COMPLETED:
            record = decode_record(event, UpdateCompleted)
            found[record.id] = (
                converter.decode(bytes(record.result))
                if record.failure is None
                else update_failed_error(
                    record.failure, workflow_id=root.workflow_id, update=names.get(record.id, record.id)
                )
            )
    for name, failure in world.rejected.items():
        found.setdefault(
            name,
            update_rejected_error(failure, workflow_id=root.workflow_id, update=names.get(name, name)),
        )
    return found
