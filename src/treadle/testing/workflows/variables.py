"""The variables of workflow code, as plain text: what a query or a validator may read and must not change.

Nothing in a log tells what stands in a list of the author's, and a query runs on no replay. So whoever
changes one there is found by comparing the variables with those that a replay gives.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from treadle.engine import Execution
from treadle.engine.driver import Task
from treadle.engine.driver.whereabouts import awaiting_frames, is_ours

DEPTH_MAX: Final = 12
"""How deep values are looked into: deeper ones, and those that hold themselves, are told by their type."""
_ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]+\b")
_PLAIN: Final = (str, bytes, bytearray, int, float, complex, type(None))


def variables(execution: Execution) -> dict[str, str]:
    """Tell the variables of all calls of workflow code that wait.

    Args:
        execution: in memory, between two activations.

    Returns:
        Texts by task, function and name.
    """
    found: dict[str, str] = {}
    for number, task in enumerate(_tasks(execution.run.scheduler.children)):
        for frame in awaiting_frames(task._coro):
            if not is_ours(frame.f_code):
                where = f"task {number} ({task.name}), {frame.f_code.co_qualname}"
                for name, value in list(frame.f_locals.items()):
                    found[f"{where}: {name}"] = shown(value)
    return found


def _tasks(tasks: Any) -> Iterator[Task]:
    for task in tasks:
        yield task
        for nursery in task._nurseries or ():
            yield from _tasks(nursery.children)


def shown(value: object, depth: int = 0) -> str:
    """Write a value so that two equal ones give the same text, whichever objects they are made of.

    Args:
        value: any value.
        depth: how deep it stands in another.

    Returns:
        The text. Of what belongs to treadle, and of code, only what it is.
    """
    kind = type(value)
    name = kind.__qualname__
    if isinstance(value, _PLAIN):
        return repr(value)
    if (
        depth >= DEPTH_MAX
        or str(kind.__module__).partition(".")[0] in {"treadle", "types"}
        or callable(value)
    ):
        return f"<{name}>"
    inner: Callable[[object], str] = lambda one: shown(one, depth + 1)  # noqa: E731  # shorter to read below
    if isinstance(value, set | frozenset):
        return f"{name}({', '.join(sorted(map(inner, value)))})"
    if isinstance(value, Mapping):
        return f"{name}({', '.join(f'{inner(key)}: {inner(one)}' for key, one in value.items())})"
    if isinstance(value, list | tuple | deque):
        return f"{name}({', '.join(map(inner, value))})"
    return _of_object(value, name, inner)


def _of_object(value: object, name: str, inner: Callable[[object], str]) -> str:
    fields = getattr(value, "__dict__", None)
    kind: Any = type(value)
    if attrs.has(kind):
        fields = {field.name: getattr(value, field.name, None) for field in attrs.fields(kind)}
    if fields:
        return f"{name}({', '.join(f'{key}={inner(one)}' for key, one in dict(fields).items())})"
    try:
        return _ADDRESS.sub("0x...", repr(value))
    except Exception as error:  # noqa: BLE001  # a user's repr that does not work hides one value, no more
        return f"<{name}, whose repr() raises {type(error).__name__}>"
