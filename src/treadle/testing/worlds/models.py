"""What stands for activities in a world: an async function, a plain one, an exception, or a value."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import attrs

from treadle.engine import ActivityDefinition, WorkflowDefinition
from treadle.errors import UsageError
from treadle.sim.models import stand_in
from treadle.testing.workflows.scripts import Script, Step, check_seconds

_MILLE: Final = 1_000


@attrs.frozen
class _Lasting:
    seconds: float
    then: Any


def lasting(seconds: float, then: Any = None) -> Any:
    """Make a model that takes its time, and fails or hangs as often as the world's faults say.

    Args:
        seconds: how long it takes in the middle; each attempt's time is drawn.
        then: what it does at its end: a value, an exception, or a function; see `simulate`.

    Returns:
        A model, for ``activities={...}``.

    Raises:
        UsageError: the time is none.
    """
    check_seconds(seconds, "seconds")
    return _Lasting(seconds, then)


def stand_ins(activities: Mapping[Any, Any]) -> list[ActivityDefinition[..., Any]]:
    """Put a model behind each activity.

    Args:
        activities: definition -> model.

    Returns:
        Definitions for a runtime.

    Raises:
        UsageError: a key is no activity, a model none that a world can run, or one stands there twice.
    """
    if not isinstance(activities, Mapping):
        raise UsageError(
            f"activities= is a dict from what activity.define has made to models, got {activities!r:.80}"
        )
    found: dict[str, ActivityDefinition[..., Any]] = {}
    for definition, model in activities.items():
        if not isinstance(definition, ActivityDefinition):
            raise UsageError(_no_activity(definition))
        if definition.name in found:
            raise UsageError(f"activities= says twice what {definition.name!r} does; leave one of them out")
        found[definition.name] = definition.carried_out_by(_function(definition, model))
    return list(found.values())


def _no_activity(key: object) -> str:
    if isinstance(key, WorkflowDefinition):
        return (
            f"activities= has activities as keys, got {key!r}; a child workflow runs its own code in a world:"
            " give it as workflows=[...]"
        )
    return (
        f"activities= has what activity.define has made as keys, got {key!r:.80}; import the activity and"
        " give it itself"
    )


def _function(definition: ActivityDefinition[..., Any], model: Any) -> Callable[..., Awaitable[Any]]:
    act = _act(definition.name, model)

    # Arguments and results go through the activity's own annotations, as in production.
    @functools.wraps(definition.origin)
    async def modelled(*args: Any, **kwargs: Any) -> Any:
        return await act(args, kwargs)

    return modelled


def _act(name: str, model: Any) -> Callable[[Iterable[Any], Mapping[str, Any]], Awaitable[Any]]:
    if isinstance(model, Script | Step):
        raise UsageError(
            f"the model of {name!r} is a script, which run_workflow plays without a world, got"
            f" {model!r:.80}; give an async function, a value, an exception, or lasting(seconds, ...)"
        )
    if isinstance(model, ActivityDefinition):
        raise UsageError(
            f"the model of {name!r} is an activity itself, got {model!r}; the outer world is not in a world:"
            " give an async function that stands for it"
        )
    if isinstance(model, _Lasting):
        return _lasting(model.seconds, _act(name, model.then))
    return functools.partial(_do, model)


def _lasting(seconds: float, act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def last(args: Iterable[Any], kwargs: Mapping[str, Any]) -> Any:
        await stand_in(round(seconds * _MILLE))
        return await act(args, kwargs)

    return last


async def _do(model: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Any:
    if isinstance(model, BaseException):
        raise _anew(model)
    if isinstance(model, type) and issubclass(model, BaseException):
        raise model
    if not callable(model):
        return model
    value = model(*args, **kwargs)
    return await value if inspect.isawaitable(value) else value


def _anew(error: BaseException) -> BaseException:
    """Copy an exception with all it says: raised by many attempts, one would carry all their tracebacks."""
    try:
        copied: BaseException = copy.copy(error)
    except TypeError:
        # Its class takes other arguments than an exception keeps, so that no copy can be made.
        return error.with_traceback(None)
    return copied
