"""Folding by kind: the ergonomic way to write a reducer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from treadle.events import EventKind, WorkflowEvent

S = TypeVar("S")


class Visitor(Generic[S]):
    """A reducer with one method for each kind: override those you care about.

    A visitor is called like any reducer, so every `replay` takes it. Methods that are not overridden
    lead to `visit_other`, which leaves the state as it is. The kinds that only the engine writes have
    methods of the same form (``visit_timer_started``, ``visit_child_scheduled``, ...) once a subclass
    defines them.

    Example:
        >>> class Total(Visitor[int]):
        ...     def visit_signal_received(self, state: int, event: WorkflowEvent) -> int:
        ...         return state + int(event.payload)
    """

    _visits: ClassVar[dict[EventKind, Callable[..., Any]]]

    def __call__(self, state: S, event: WorkflowEvent) -> S:
        """Fold one event: go to the method of its kind.

        Args:
            state: the state before the event.
            event: the event.

        Returns:
            The state after it.
        """
        folded: S = self._visits[event.kind](self, state, event)
        return folded

    def visit_workflow_started(self, state: S, event: WorkflowEvent) -> S:
        """Fold a WORKFLOW_STARTED event."""
        return self.visit_other(state, event)

    def visit_activity_scheduled(self, state: S, event: WorkflowEvent) -> S:
        """Fold an ACTIVITY_SCHEDULED event."""
        return self.visit_other(state, event)

    def visit_activity_completed(self, state: S, event: WorkflowEvent) -> S:
        """Fold an ACTIVITY_COMPLETED event."""
        return self.visit_other(state, event)

    def visit_activity_failed(self, state: S, event: WorkflowEvent) -> S:
        """Fold an ACTIVITY_FAILED event."""
        return self.visit_other(state, event)

    def visit_timer_fired(self, state: S, event: WorkflowEvent) -> S:
        """Fold a TIMER_FIRED event."""
        return self.visit_other(state, event)

    def visit_signal_received(self, state: S, event: WorkflowEvent) -> S:
        """Fold a SIGNAL_RECEIVED event."""
        return self.visit_other(state, event)

    def visit_workflow_completed(self, state: S, event: WorkflowEvent) -> S:
        """Fold a WORKFLOW_COMPLETED event."""
        return self.visit_other(state, event)

    def visit_workflow_failed(self, state: S, event: WorkflowEvent) -> S:
        """Fold a WORKFLOW_FAILED event."""
        return self.visit_other(state, event)

    def visit_custom(self, state: S, event: WorkflowEvent) -> S:
        """Fold a CUSTOM event."""
        return self.visit_other(state, event)

    def visit_other(self, state: S, event: WorkflowEvent) -> S:  # noqa: ARG002  # overridden by users
        """Fold an event of a kind without a method of its own; the state stays as it is."""
        return state

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # Looked up once for each class, not once for each event: replay runs through here.
        cls._visits = _visits_of(cls)


def _visits_of(cls: type[Visitor[Any]]) -> dict[EventKind, Callable[..., Any]]:
    return {kind: getattr(cls, f"visit_{kind.name.lower()}", cls.visit_other) for kind in EventKind}


Visitor._visits = _visits_of(Visitor)
