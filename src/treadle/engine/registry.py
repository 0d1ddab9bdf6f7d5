"""The workflows and activities that one runtime knows, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from treadle.engine.arguments import check_annotations
from treadle.errors import DefinitionError
from treadle.payloads import Converter, JsonConverter

if TYPE_CHECKING:
    from treadle.engine.definitions import ActivityDefinition, WorkflowDefinition

_D = TypeVar("_D")


class Registry:
    """Definitions by name, checked when it is made.

    Args:
        workflows: what `workflow.define` has made.
        activities: what `activity.define` has made.
        converter: what arguments and results go through; their annotations are checked with it.

    Attributes:
        workflows: by name.
        activities: by name.

    Raises:
        DefinitionError: something else is among them, two have one name, or an annotation cannot be used.
    """

    workflows: Mapping[str, WorkflowDefinition[..., Any]]
    activities: Mapping[str, ActivityDefinition[..., Any]]

    def __init__(
        self,
        workflows: Iterable[WorkflowDefinition[..., Any]] = (),
        activities: Iterable[ActivityDefinition[..., Any]] = (),
        converter: Converter | None = None,
    ) -> None:
        self.workflows = _by_name(workflows, "workflow")
        self.activities = _by_name(activities, "activity")
        used = JsonConverter() if converter is None else converter
        for definition in (*self.workflows.values(), *self.activities.values()):
            check_annotations(definition, used)

    def __repr__(self) -> str:
        return f"<registry of workflows {_listed(self.workflows)}; activities {_listed(self.activities)}>"

    def workflow(self, name: str) -> WorkflowDefinition[..., Any]:
        """Find a workflow.

        Args:
            name: its name.

        Returns:
            The definition.

        Raises:
            DefinitionError: there is none; near names are told.
        """
        return _find(self.workflows, name, "workflow")

    def activity(self, name: str) -> ActivityDefinition[..., Any]:
        """Find an activity.

        Args:
            name: its name.

        Returns:
            The definition.

        Raises:
            DefinitionError: there is none; near names are told.
        """
        return _find(self.activities, name, "activity")


def _by_name(definitions: Iterable[_D], what: str) -> Mapping[str, _D]:
    found: dict[str, Any] = {}
    plural = {"workflow": "workflows", "activity": "activities"}[what]
    if isinstance(definitions, str | Mapping) or not isinstance(definitions, Iterable):
        raise DefinitionError(f"{plural}= is a list of definitions, got {definitions!r:.80}")
    for definition in definitions:
        if getattr(definition, "what", None) != what:
            raise DefinitionError(
                f"{plural}= holds what @{what}.define has made, got {definition!r:.120};"
                f" put @{what}.define above it"
            )
        name = definition.name  # type: ignore[attr-defined]
        other = found.setdefault(name, definition)
        if other is not definition:
            raise DefinitionError(
                f"each {what} has its own name, got {name!r} twice: {other!r} and {definition!r};"
                " give one of them name='...'"
            )
    return MappingProxyType(found)


def _find(known: Mapping[str, _D], name: str, what: str) -> _D:
    found = known.get(name)
    if found is None:
        near = difflib.get_close_matches(str(name), known, n=3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
        raise DefinitionError(f"no {what} is registered as {name!r}{hint} Registered are: {_listed(known)}")
    return found


def _listed(known: Mapping[str, Any]) -> str:
    names = sorted(known)
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(repr(name) for name in names[:20]) or "none") + more
