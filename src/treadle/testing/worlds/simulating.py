"""`simulate`: a user's workflow in one world."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import trio

from treadle.engine import WorkflowDefinition
from treadle.engine.records import ActivityScheduled, ChildScheduled, decode_record
from treadle.errors import TreadleError, UsageError, WorkflowError, WorkflowHeldError
from treadle.events import EventKind
from treadle.events import workflow_id as make_workflow_id
from treadle.sim.faults import fault_rates
from treadle.sim.plan import Plan
from treadle.sim.running import run_world
from treadle.testing.workflows.dated import SignalAt
from treadle.testing.worlds.client import FAULTS_SECONDS, Client
from treadle.testing.worlds.conditions import Conditions, Keeps, When
from treadle.testing.worlds.models import stand_ins
from treadle.testing.worlds.reach import reaches
from treadle.testing.worlds.simulated import Simulated, SimulationFailedError

DECISIONS_MAX: Final = 5_000_000
"""How many choices a world takes before its workflow counts as one that never ends: a minute or two."""


def simulate(
    workflow: WorkflowDefinition[..., Any],
    *args: Any,
    activities: Mapping[Any, Any] | None = None,
    signals: Iterable[SignalAt] = (),
    workflows: Iterable[WorkflowDefinition[..., Any]] = (),
    id: str | int = "simulated",  # noqa: A002  # the word users know
    seed: int = 0,
    faults: Iterable[str] = (),
    crash: tuple[int, When] | None = None,
    store: Keeps = "memory",
    world: Conditions | None = None,
) -> Simulated[Any]:
    """Run a workflow in a world: the production runtime and store, under a schedule, faults and a crash.

    One seed decides who goes next and when what happens; time is virtual. The same call gives the same run,
    byte for byte. Besides, what treadle promises about any workflow is checked.

    Args:
        workflow: what `workflow.define` has made.
        *args: its arguments.
        activities: by definition what stands for each activity: an async function (called with the
            activity's arguments, each wait through ``treadle.sim.current_world().kernel``), a plain function,
            an exception, a value, or `lasting`.
        signals: what it is sent, each a `SignalAt`; sent again until it is answered, and taken once.
        workflows: children that its code starts; they run their own code.
        id: its workflow id.
        seed: decides the world.
        faults: which faults may happen, in the first virtual hour: names of `treadle.sim.FAULTS`,
            ``"name=rate"``, or ``"all"``.
        crash: at which append, from 1, the process is killed, and whether ``"before"`` or ``"after"`` it.
        store: ``"memory"``, or ``"disk"`` for SQLite over a simulated disk, which faults can befall.
        world: seed, faults, crash and store in one, as the fixture ``world`` and `any_world` give them.

    Returns:
        What it has come to.

    Raises:
        UsageError: an argument is not what its word says, an activity has no model, or a model stands for an
            activity that the workflow cannot call.
        WorkflowHeldError: the workflow is held; the message tells why.
        KernelViolationError: a model or workflow code does real I/O, or waits round the kernel; its line is
            named.
        SimulationFailedError: it has not ended, or a promise was broken.
        TreadleError: the workflow could not be started with these arguments.
    """
    if trio.lowlevel.in_trio_run():
        raise UsageError(
            "a world is a run of Trio of its own, and simulate() was called inside another one; call it from"
            " a plain test function, without async"
        )
    conditions = _conditions(world, Conditions(seed, faults, crash, store))
    client = _client(workflow, args, activities or {}, signals, workflows, id)
    call = f"simulate({', '.join([workflow.name, *map(repr, args)])}, ..., world={conditions!r})"
    _note(call)
    kills = () if conditions.crash is None else ((conditions.crash[0], conditions.crash[1] == "after"),)
    run = run_world(
        conditions.seed,
        Plan(
            workload="own",
            store=conditions.store,
            workflows=1,
            clients=1,
            duration_seconds=FAULTS_SECONDS,
            faults=fault_rates(conditions.faults),
            decisions_max=DECISIONS_MAX,
            kills=kills,
        ),
        own=client,
    )
    if client.held is not None:
        raise _cannot(client.held)
    if run.violations:
        told = "\n".join(f"  {violation}" for violation in run.violations)
        raise SimulationFailedError(
            f"in this world:\n{told}\n  again: {call}", conditions=conditions, run=run
        )
    _check_children(client)
    _check_models(client)
    answer = client.answer
    assert answer is not None  # noqa: S101  # otherwise it has come to no end, which is a violation
    error = answer.error if isinstance(answer.error, WorkflowError) else None
    value = None if answer.value is None else answer.value[0]
    return Simulated(
        log=client.logs[client.workflow_id],
        logs=client.logs,
        notes=client.notes,
        error=error,
        run=run,
        conditions=conditions,
        call=call,
        value=value,
    )


def _conditions(world: Any, own: Conditions) -> Conditions:
    if world is None:
        return own
    if not isinstance(world, Conditions):
        raise UsageError(
            f"world= is a Conditions, as the fixture world and any_world() give it, got {world!r:.80}"
        )
    if own != Conditions():
        raise UsageError(
            f"world= says seed, faults, crash and store, got others beside it: {own!r}; leave one of the two"
            " out"
        )
    return world


def _client(
    workflow: Any,
    args: tuple[Any, ...],
    activities: Mapping[Any, Any],
    signals: Iterable[SignalAt],
    workflows: Iterable[Any],
    given_id: str | int,
) -> Client:
    children = list(workflows)
    for definition in (workflow, *children):
        if not isinstance(definition, WorkflowDefinition):
            raise UsageError(
                f"a simulation is of what workflow.define has made, got {definition!r}; put"
                " @workflow.define above it"
            )
    messages = list(signals)
    for message in messages:
        if not isinstance(message, SignalAt):
            raise UsageError(
                f"signals= holds what SignalAt makes, got {message!r:.80}; write SignalAt(seconds, name, ...)"
            )
    return Client(
        workflow,
        args,
        make_workflow_id(given_id),
        children=[child for child in children if child is not workflow],
        activities=stand_ins(activities),
        signals=messages,
    )


def _cannot(held: TreadleError) -> TreadleError:
    reason = getattr(held, "reason", "")
    if isinstance(held, WorkflowHeldError) and reason.endswith("is not registered"):
        return UsageError(
            f"the world has no model for what the workflow calls: {reason}; give simulate"
            " activities={definition: model} with every activity, and workflows=[...] with every child"
        )
    return held


def _check_children(client: Client) -> None:
    known = {workflow.name for workflow in client.workflows}
    for log in client.logs.values():
        for event in log:
            if event.kind is EventKind.CHILD_SCHEDULED:
                name = decode_record(event, ChildScheduled).name
                if name not in known:
                    raise UsageError(
                        f"the world has no code for the child workflow {name!r}; give simulate"
                        " workflows=[...] with every workflow that is started as a child"
                    )


def _check_models(client: Client) -> None:
    called = {
        decode_record(event, ActivityScheduled).name
        for log in client.logs.values()
        for event in log
        if event.kind is EventKind.ACTIVITY_SCHEDULED
    }
    for model in client.activities:
        # Not called in this run may be called in another; what no code names never is.
        if model.name not in called and not any(reaches(one, model) for one in client.workflows):
            raise UsageError(
                f"activities= has a model for {model.name!r} ({model.code_place}), which workflow"
                f" {client.workflows[0].name!r} has no line to call; leave it out, or see which activity was"
                " meant"
            )


def _note(call: str) -> None:
    """Let hypothesis tell the call of the example that it reports, when it runs the test."""
    hypothesis = sys.modules.get("hypothesis")
    if hypothesis is not None and hypothesis.currently_in_test_context():
        hypothesis.note(call)
