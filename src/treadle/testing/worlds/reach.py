"""Whether a workflow's code can call an activity at all: what its functions name, and what those name.

Read from compiled code, so nothing runs. It errs on the side of "can": whatever is named counts.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from treadle.engine import ActivityDefinition, WorkflowDefinition

VISITS_MAX: Final = 20_000
"""After so many values everything counts as reachable: a search that is longer than a run helps nobody."""


def reaches(start: WorkflowDefinition[..., Any], wanted: ActivityDefinition[..., Any]) -> bool:
    """Tell whether code names an activity.

    Args:
        start: the workflow.
        wanted: the activity.

    Returns:
        False only when nothing that its code names, however far away, is the activity.
    """
    todo: list[Any] = [start.function]
    seen: dict[int, Any] = {}
    while todo:
        value = todo.pop()
        if isinstance(value, ActivityDefinition):
            if value.origin is wanted.origin or value.name == wanted.name:
                return True
            continue
        if id(value) in seen:
            continue
        if len(seen) >= VISITS_MAX:
            return True
        seen[id(value)] = value
        todo += _named_by(value)
    return False


def _named_by(value: Any) -> Iterator[Any]:
    if isinstance(value, WorkflowDefinition):
        yield value.function
    elif isinstance(value, types.FunctionType):
        yield from _named_by_function(value)
    elif isinstance(value, types.MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif isinstance(value, type):
        yield from vars(value).values()
    elif not isinstance(value, types.ModuleType) and type(value).__module__ != "builtins":
        # An object: what it holds, and what its methods name.
        yield type(value)
        yield from getattr(value, "__dict__", {}).values()


def _named_by_function(function: types.FunctionType) -> Iterator[Any]:
    if function.__module__.split(".")[0] == "treadle":
        return  # the engine names no activity of a user's
    names = set(_names(function.__code__))
    for name in names & set(function.__globals__):
        value = function.__globals__[name]
        yield value
        if isinstance(value, types.ModuleType):
            # `shop.charge`: the module by its name, and what is taken from it by another.
            yield from (vars(value)[inner] for inner in names & set(vars(value)))
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # not filled yet
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    if hasattr(function, "__wrapped__"):
        yield function.__wrapped__


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
