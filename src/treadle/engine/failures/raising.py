"""From the value that a log keeps of a failure to the error that tells of it."""

from __future__ import annotations

from typing import Any

from treadle.engine.failures.values import Failure, describe, details_of
from treadle.errors import (
    ActivityError,
    ChildWorkflowError,
    QueryFailedError,
    RecordedError,
    UpdateFailedError,
    UpdateRejectedError,
    WorkflowFailedError,
)


def activity_error(failure: Failure, *, activity: str, attempts: int) -> ActivityError:
    """Make what a failed activity raises in workflow code.

    Args:
        failure: of the last attempt.
        activity: the activity's name.
        attempts: how many attempts were made.

    Returns:
        The error.
    """
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    message = f"activity {activity!r} failed after {tries}: {describe(failure)}"
    return ActivityError(
        message, activity=activity, attempts=attempts, timeout=failure.timeout, **_facts(failure)
    )


def child_workflow_error(failure: Failure, *, workflow_id: str, status: str) -> ChildWorkflowError:
    """Make what a child without a result raises in its parent.

    Args:
        failure: how the child failed; for one that was cancelled or terminated, whatever says so.
        workflow_id: the child.
        status: ``"failed"``, ``"cancelled"``, ``"terminated"`` or ``"refused"``.

    Returns:
        The error.
    """
    message = f"child workflow {workflow_id!r} {_ended(status)}: {describe(failure)}"
    return ChildWorkflowError(message, workflow_id=workflow_id, status=status, **_facts(failure))


def workflow_failed_error(failure: Failure, *, workflow_id: str) -> WorkflowFailedError:
    """Make what `result()` raises for a failed workflow.

    Args:
        failure: the exception that left its function.
        workflow_id: the workflow.

    Returns:
        The error.
    """
    message = f"workflow {workflow_id!r} failed: {describe(failure)}"
    return WorkflowFailedError(message, workflow_id=workflow_id, **_facts(failure))


def update_failed_error(failure: Failure, *, workflow_id: str, update: str) -> UpdateFailedError:
    """Make what an update raises whose handler has failed.

    Args:
        failure: what the handler raised.
        workflow_id: the workflow.
        update: the update's name.

    Returns:
        The error.
    """
    message = f"update {update!r} of workflow {workflow_id!r} failed: {describe(failure)}"
    return UpdateFailedError(message, workflow_id=workflow_id, **_facts(failure))


def update_rejected_error(failure: Failure, *, workflow_id: str, update: str) -> UpdateRejectedError:
    """Make what an update raises that its validator has refused.

    Args:
        failure: what the validator raised.
        workflow_id: the workflow.
        update: the update's name.

    Returns:
        The error.
    """
    message = f"workflow {workflow_id!r} refused update {update!r}: {describe(failure)}"
    return UpdateRejectedError(message, workflow_id=workflow_id, **_facts(failure))


def query_failed_error(failure: Failure, *, workflow_id: str, query: str) -> QueryFailedError:
    """Make what a query raises whose function has failed.

    Args:
        failure: what it raised.
        workflow_id: the workflow.
        query: the query's name.

    Returns:
        The error.
    """
    message = f"query {query!r} of workflow {workflow_id!r} failed: {describe(failure)}"
    return QueryFailedError(message, workflow_id=workflow_id, **_facts(failure))


def _ended(status: str) -> str:
    return {"failed": "failed", "refused": "was not started"}.get(status, f"was {status}")


def _facts(failure: Failure) -> dict[str, Any]:
    """The facts that every error made from a failure carries."""
    return {
        "failure_type": failure.type,
        "failure_message": failure.message,
        "details": details_of(failure),
        "cause": None if failure.cause is None else _recorded(failure.cause),
        "members": tuple(_recorded(member) for member in failure.members),
    }


def _recorded(failure: Failure) -> RecordedError:
    return RecordedError(describe(failure), **_facts(failure))
