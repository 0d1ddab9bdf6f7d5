"""Looking at a workflow without changing it: queries, and the validators of updates.

Both run beside the workflow's tasks: what waits or commands finds no task and is refused. What still can
be changed from there (an event that tasks wait for, say) is noticed afterwards, and spoils the workflow in
memory, not its log.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from treadle.engine.api.host import READING
from treadle.engine.arguments import decode_arguments
from treadle.engine.failures import Failure, failure_of, query_failed_error
from treadle.engine.run import Handler
from treadle.errors import UsageError

if TYPE_CHECKING:
    from treadle.engine.execution import Execution


def ask(execution: Execution, name: str, args_json: bytes) -> bytes:
    """Answer a query.

    Args:
        execution: the workflow.
        name: of the query.
        args_json: its arguments, a JSON array.

    Returns:
        The answer, one JSON document.

    Raises:
        QueryFailedError: there is no such query, the arguments do not fit, its function has raised, or it
            has tried to command, wait or change.
    """
    handler = execution.run.queries.get(name)
    if handler is None:
        known = ", ".join(sorted(execution.run.queries)) or "none"
        failure = Failure("UnknownQuery", f"there is no query {name!r}; known are: {known}")
        raise query_failed_error(failure, workflow_id=execution.workflow_id, query=name)
    try:
        args, kwargs = decode_arguments(handler, args_json, execution.converter)
        return execution.converter.encode(look(execution, handler.function, args, kwargs))
    except KeyboardInterrupt:
        raise  # the program is stopped, not this query
    except BaseException as error:
        failure = failure_of(error, execution.converter)
        raise query_failed_error(failure, workflow_id=execution.workflow_id, query=name) from error


def validate(execution: Execution, handler: Handler, args_json: bytes) -> Failure | None:
    """Ask whether an update may be carried out.

    Args:
        execution: the workflow.
        handler: of the update.
        args_json: its arguments, a JSON array.

    Returns:
        Why not, or None.
    """
    try:
        # Classes of the user's may raise anything when they are made; it says no more than that these
        # arguments do not fit, and must not stop the workflow.
        args, kwargs = decode_arguments(handler, args_json, execution.converter)
        if handler.validator is not None:
            look(execution, handler.validator, args, kwargs)
    except KeyboardInterrupt:
        raise  # the program is stopped, not this update
    except BaseException as error:  # noqa: BLE001  # whatever it raises, that is its way to refuse
        return failure_of(error, execution.converter)
    return None


def look(
    execution: Execution, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function that may look at a workflow and not change it.

    Args:
        execution: the workflow.
        function: the function.
        args: its arguments.
        kwargs: likewise.

    Returns:
        What it returns.

    Raises:
        UsageError: it has woken a task, or returned something to wait for.
    """
    scheduler = execution.run.scheduler
    name = getattr(function, "__qualname__", type(function).__name__)
    try:
        value = copy_context().run(_called, execution, function, args, kwargs)
    except BaseException:
        if scheduler._ready or scheduler.deadline_changes:
            execution.spoil()  # whatever it raised, it has changed something before
        raise
    if scheduler._ready or scheduler.deadline_changes:
        execution.spoil()
        raise UsageError(
            f"{name} has changed the workflow (woken a task, or cancelled a scope); a query or a"
            " validator only looks: change things in an update's handler"
        )
    if hasattr(value, "__await__"):
        value.close()
        raise UsageError(f"{name} has returned something to wait for; a query or a validator cannot wait")
    return value


def _called(
    execution: Execution, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    READING.set(execution)
    return function(*args, **kwargs)
