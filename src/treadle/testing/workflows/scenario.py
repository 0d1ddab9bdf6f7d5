"""Everything a rehearsal is made from: frozen, so that it can be run again and must come out the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from treadle.engine import SEED_SIZE_BYTES, Start, WorkflowDefinition
from treadle.engine.definitions import encode_arguments
from treadle.engine.execution import ExecutionLimits
from treadle.errors import UsageError
from treadle.events import workflow_id as make_workflow_id
from treadle.payloads import Converter
from treadle.testing.workflows.dated import Dated, check_messages
from treadle.testing.workflows.scripts import Played, Script, check_seconds, script_of

START_NS: Final = 1_750_000_000_000_000_000
"""When a rehearsal begins unless it is told: some day in June 2025, the same one always."""
ACTIVATIONS_MAX: Final = 100_000
"""How many turns a rehearsal takes before it is taken for one that never ends."""


@attrs.frozen(kw_only=True, eq=False)
class Scenario:
    """A workflow and what happens to it.

    Attributes:
        definition: the workflow.
        workflow_id: its id.
        start: its first input.
        activities: scripts by name.
        children: scripts by name; a child without one runs its own code.
        workflows: children by name, that run their own code and cannot be found otherwise.
        messages: from outside, earliest first.
        absent: ids of other workflows that messages do not reach.
        start_ns: when it begins.
        until_ns: when the rehearsal ends at the latest, or None.
        converter: values to JSON and back, or None for the usual one.
        limits: what one run may grow to, or None for the usual ones.
        memory: what each attempt has come to.
    """

    definition: WorkflowDefinition[..., Any]
    workflow_id: str
    start: Start
    activities: Mapping[str, Script]
    children: Mapping[str, Script]
    workflows: Mapping[str, WorkflowDefinition[..., Any]]
    messages: tuple[Dated, ...]
    absent: frozenset[str]
    start_ns: int
    until_ns: int | None
    converter: Converter | None
    limits: ExecutionLimits | None
    memory: dict[Any, Played] = attrs.field(factory=dict, repr=False)


def make_start(
    definition: WorkflowDefinition[..., Any],
    args: tuple[Any, ...],
    keywords: Mapping[str, Any],
    seed: int,
    converter: Converter,
) -> Start:
    """Make a workflow's first input.

    Args:
        definition: the workflow.
        args: its arguments.
        keywords: likewise, by name.
        seed: from which everything random in it is derived.
        converter: encodes the arguments.

    Returns:
        The input.

    Raises:
        UsageError: this is no workflow, or the seed no small number.
        InvalidValueError: the arguments do not fit its signature.
    """
    if not isinstance(definition, WorkflowDefinition):
        raise UsageError(
            f"a rehearsal is of what workflow.define has made, got {definition!r}; put @workflow.define"
            " above it"
        )
    if type(seed) is not int or not 0 <= seed < 2**64:
        raise UsageError(f"seed is an int from 0 to 2**64-1, got {seed!r}")
    args_json = encode_arguments(definition, args, keywords, converter)
    return Start(args_json, seed.to_bytes(SEED_SIZE_BYTES, "big"))


def make_scenario(
    definition: WorkflowDefinition[..., Any],
    start: Start,
    *,
    activities: Mapping[Any, Any],
    children: Mapping[Any, Any],
    workflows: Iterable[WorkflowDefinition[..., Any]],
    messages: Iterable[Dated],
    absent: Iterable[str],
    workflow_id: str | int,
    start_ns: int,
    until_seconds: float | None,
    converter: Converter | None,
    limits: ExecutionLimits | None,
) -> Scenario:
    """Check what a caller has given and freeze it; see `run_workflow` for the arguments.

    Returns:
        The scenario.

    Raises:
        UsageError: something is not what its word says.
    """
    if until_seconds is not None:
        check_seconds(until_seconds, "until_seconds")
    return Scenario(
        definition=definition,
        workflow_id=make_workflow_id(workflow_id),
        start=start,
        activities=_scripts(activities, "activities"),
        children=_scripts(children, "children"),
        workflows={one.name: one for one in (definition, *workflows)},
        messages=check_messages(messages),
        absent=frozenset(absent),
        start_ns=start_ns,
        until_ns=None if until_seconds is None else start_ns + round(until_seconds * 1_000_000_000),
        converter=converter,
        limits=limits,
    )


def _scripts(given: Any, what: str) -> dict[str, Script]:
    if not isinstance(given, Mapping):
        raise UsageError(f"{what}= is a dict from definitions (or names) to what they do, got {given!r:.80}")
    found: dict[str, Script] = {}
    for key, value in given.items():
        name = key if isinstance(key, str) else getattr(key, "name", None)
        if not isinstance(name, str):
            raise UsageError(f"{what}= has definitions or their names as keys, got {key!r}")
        if name in found:
            raise UsageError(f"{what}= says twice what {name!r} does; leave one of them out")
        found[name] = script_of(value)
    return found
