"""Who plays the activities and the children of a rehearsal: their scripts, and what they have been asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Any

import attrs

from treadle.engine import ActivityDefinition, WorkflowDefinition, message_id
from treadle.engine.arguments import decode_arguments
from treadle.engine.pending import PendingActivity
from treadle.errors import TreadleError, UsageError
from treadle.payloads import Converter
from treadle.runtime.durable.activity_context import ActivityInfo, current_attempt
from treadle.testing.workflows.open_registry import Executions
from treadle.testing.workflows.plans import NANOSECONDS, Misfit, Plan, begin
from treadle.testing.workflows.scripts import Played, Script, play

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
PartKey = tuple[str, str, bytes, int, int]
"""Workflow, name, arguments, which call with these arguments, which attempt."""


@attrs.frozen
class ActivityCall:
    """One attempt that was made.

    Attributes:
        name: the activity's name.
        args: its positional arguments.
        kwargs: its arguments by name.
        attempt: which attempt it was, counted from 1.
        seconds: when it began, counted from the start of the rehearsal.
        workflow_id: the workflow that has scheduled it.
        seq: of its ACTIVITY_SCHEDULED.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    attempt: int
    seconds: float
    workflow_id: str
    seq: int


class Cast:
    """The scripts of a rehearsal.

    Args:
        activities: by name.
        children: by name.
        executions: knows the activities that the code has named.
        start_ns: when the rehearsal began.
        memory: what each attempt has come to: a rehearsal that is run again, with a crash in it, asks the
            same questions and gets the same answers, also from a function that counts.

    Attributes:
        children: by name.
        calls: the attempts that were made.
    """

    def __init__(
        self,
        activities: Mapping[str, Script],
        children: Mapping[str, Script],
        executions: Executions,
        start_ns: int,
        memory: dict[PartKey, Played],
    ) -> None:
        self.children = children
        self.calls: list[ActivityCall] = []
        self._activities = activities
        self._executions = executions
        self._start_ns = start_ns
        self._memory = memory
        self._counts: dict[tuple[str, str, bytes], int] = {}
        self._numbers: dict[tuple[str, int], int] = {}

    def begin(self, plan: Plan, pending: PendingActivity) -> None:
        """Let an attempt at an activity begin.

        Args:
            plan: the attempt.
            pending: the activity.

        Raises:
            UsageError: nothing says what this activity does.
        """
        name, converter = pending.name, self._executions.converter
        script, definition = self.script(name), self._executions.activities.by_name[name]
        arguments = _decoded(definition, pending.args_json, converter)
        if isinstance(arguments, TreadleError):
            played = Played(0, error=Misfit(arguments))
        else:
            self._note(plan, name, arguments)
            key = self._key(plan.workflow_id, plan.seq, name, pending.args_json, plan.policy_number)
            attempt = _Attempt(plan, name, converter)
            played = self._played(key, lambda: _called(attempt, script, arguments))
        begin(plan, script, played, definition, converter)

    def script(self, name: str) -> Script:
        """Find an activity's script.

        Args:
            name: the activity.

        Returns:
            The script.

        Raises:
            UsageError: there is none.
        """
        found = self._activities.get(name)
        if found is None:
            known = ", ".join(sorted(self._activities)) or "nothing"
            raise UsageError(
                f"the workflow runs activity {name!r}, and nothing says what it does here (activities= has"
                f" {known}); give activities={{{name}: ...}} a value, an exception, a function or"
                " attempts(...)"
            )
        return found

    def play_child(
        self, definition: WorkflowDefinition[..., Any], workflow_id: str, args_json: bytes
    ) -> Played:
        """Let a scripted child happen.

        Args:
            definition: its workflow.
            workflow_id: its id.
            args_json: its arguments.

        Returns:
            What it comes to.
        """
        script = self.children[definition.name]
        arguments = _decoded(definition, args_json, self._executions.converter)
        if isinstance(arguments, TreadleError):
            return Played(0, error=arguments)
        key = self._key(workflow_id, 0, definition.name, args_json, 1)
        return self._played(key, lambda: play(script.step(1), *arguments))

    def _note(self, plan: Plan, name: str, arguments: Arguments) -> None:
        seconds = (plan.due_ns - self._start_ns) / NANOSECONDS
        self.calls.append(ActivityCall(name, *arguments, plan.number, seconds, plan.workflow_id, plan.seq))

    def _key(self, workflow_id: str, seq: int, name: str, args_json: bytes, number: int) -> PartKey:
        # By the count of equal calls, not by seq: a lost attempt writes an event and moves all later ones.
        count = self._numbers.get((workflow_id, seq))
        if count is None:
            call = (workflow_id, name, args_json)
            count = self._numbers[workflow_id, seq] = self._counts.get(call, 0) + 1
            self._counts[call] = count
        return workflow_id, name, args_json, count, number

    def _played(self, key: PartKey, ask: Callable[[], Played]) -> Played:
        found = self._memory.get(key)
        if found is None:
            found = self._memory[key] = ask()
        return found


def _decoded(
    definition: ActivityDefinition[..., Any] | WorkflowDefinition[..., Any],
    args_json: bytes,
    converter: Converter,
) -> Arguments | TreadleError:
    try:
        return decode_arguments(definition, args_json, converter)
    except TreadleError as error:
        return error


def _called(attempt: _Attempt, script: Script, arguments: Arguments) -> Played:
    def called() -> Played:
        current_attempt.set(attempt)
        return play(script.step(attempt.plan.policy_number), *arguments)

    return copy_context().run(called)


class _Attempt:
    """What a scripted function can ask with `activity.info` and tell with `activity.heartbeat`."""

    def __init__(self, plan: Plan, name: str, converter: Converter) -> None:
        self.plan = plan
        self._converter = converter
        self._info = ActivityInfo(
            name,
            plan.workflow_id,
            plan.run,
            plan.seq,
            plan.number,
            message_id(plan.workflow_id, plan.run, plan.seq).decode(),
            plan.details,
            plan.scheduled_ns,
            plan.made.route,
        )

    def info(self) -> ActivityInfo:
        return self._info

    def beat(self, details: tuple[Any, ...]) -> None:
        if details:
            self.plan.details = tuple(self._converter.decode(self._converter.encode(list(details))))
