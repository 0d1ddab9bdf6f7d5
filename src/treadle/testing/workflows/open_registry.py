"""Executions for tests: every activity is known that the code names, for a script or a log answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from treadle.engine import ActivityDefinition, Execution, Registry, WorkflowDefinition
from treadle.engine.commands import Call, call_of
from treadle.engine.execution import ExecutionLimits
from treadle.engine.learning import NOTHING_KNOWN, Known
from treadle.payloads import Converter, JsonConverter


class OpenActivities(dict[ActivityDefinition[..., Any], Call]):
    """What a call of each activity begins with, for whichever one is asked.

    Args:
        converter: reads results.

    Attributes:
        by_name: the activities that were asked for.
    """

    def __init__(self, converter: Converter) -> None:
        super().__init__()
        self.by_name: dict[str, ActivityDefinition[..., Any]] = {}
        self._converter = converter

    def get(self, definition: Any, default: Any = None) -> Any:
        """Tell what its calls begin with.

        Args:
            definition: what workflow code has called as an activity.
            default: for what is none; the engine says what is wrong with it.

        Returns:
            The call without its arguments.
        """
        found = super().get(definition)
        if found is None and isinstance(definition, ActivityDefinition):
            found = self[definition] = call_of(definition, self._converter)
            self.by_name.setdefault(definition.name, definition)
        return default if found is None else found


class Executions:
    """Makes executions that share one converter and one table of activities.

    Args:
        activities: the only ones that are known; none given means that all are.
        converter: values to JSON and back.
        limits: what one run may grow to.
        known: what was learned of arms.

    Attributes:
        converter: values to JSON and back.
        activities: those the code has named so far, when all are known.
    """

    def __init__(
        self,
        activities: Iterable[ActivityDefinition[..., Any]] = (),
        converter: Converter | None = None,
        limits: ExecutionLimits | None = None,
        known: Known = NOTHING_KNOWN,
    ) -> None:
        self.converter = JsonConverter() if converter is None else converter
        self.activities = OpenActivities(self.converter)
        self._registry = Registry([], activities, self.converter)
        self._is_open = not self._registry.activities
        if self._is_open:
            # Arguments are compared by the annotations of these.
            self._registry.activities = self.activities.by_name
        self._known = known
        self._limits = ExecutionLimits() if limits is None else limits

    def make(
        self, definition: WorkflowDefinition[..., Any], workflow_id: str, first_seq: int = 1
    ) -> Execution:
        """Make an execution.

        Args:
            definition: its code.
            workflow_id: its id.
            first_seq: the seq of its first event.

        Returns:
            The execution; nothing of it has happened yet.
        """
        execution = Execution(
            definition,
            workflow_id,
            self._registry,
            self.converter,
            limits=self._limits,
            first_seq=first_seq,
            known=self._known,
        )
        if self._is_open:
            execution.calls = self.activities
        return execution
