"""Running activities from workflow code."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from treadle.engine.api.host import writing_task
from treadle.engine.arguments import decode_result
from treadle.engine.commands import schedule_activity, unusual_call
from treadle.engine.definitions import ActivityDefinition
from treadle.engine.driver import checkpoint, park
from treadle.engine.driver.tasks import RUNNING
from treadle.engine.failures import activity_error
from treadle.engine.records import ActivityCompleted, ActivityFailed
from treadle.errors import InternalError

P = ParamSpec("P")
R = TypeVar("R")


@overload
async def activity(
    definition: ActivityDefinition[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
) -> R: ...
@overload
async def activity(definition: ActivityDefinition[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
async def activity(definition: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Run an activity and wait for its result.

    It runs at least once, its result is recorded once: a replay gets it from the log. When the scope round
    this call is cancelled, the activity is cancelled and the call waits until it has ended (it may still
    return, or raise); with ``on_cancel="abandon"`` the call ends at once.

    Args:
        definition: what `activity.define` has made; ``charge.with_options(...)`` for other options.
        *args: the activity's arguments.
        **kwargs: likewise.

    Returns:
        What the activity has returned, made by its annotation.

    Raises:
        ActivityError: it has failed and is not tried again.
        InvalidValueError: the arguments do not fit its signature, or the result its annotation.
        Cancelled: a scope around was cancelled.
        WorkflowHeldError: this runtime does not know the activity; the workflow is held.
        UsageError: called outside workflow code, or with something that is no activity.
    """
    task = RUNNING.get()
    if task is None:
        task = writing_task("activity")
    if task._scope._is_cancelled:
        await checkpoint()
    execution = task.scheduler.execution  # type: ignore[attr-defined]  # a HostedScheduler, see `host`
    call = execution.calls.get(definition) or unusual_call(execution, definition)
    pending = schedule_activity(execution, task, call, definition, args, kwargs)
    ended = await park(pending.abort, pending)
    if type(ended) is ActivityCompleted:
        try:
            return call.read(ended.result)
        except Exception:  # noqa: BLE001  # whatever it is, this says it in words
            return decode_result(definition, bytes(ended.result), execution.converter)
    if type(ended) is ActivityFailed:
        raise activity_error(ended.failure, activity=definition.name, attempts=ended.attempt)
    # Cancelled: the scope that asked for it still is, so this raises.
    await checkpoint()
    raise InternalError(
        f"{pending!r} was cancelled, and no scope around it is (any more): do not shield a scope that was"
        " cancelled before"
    )
