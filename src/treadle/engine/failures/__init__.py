"""Exceptions as values: how a failure crosses the log, and what it comes back as.

The log keeps an exception's words (type, text, details, causes), never the object: its class may be gone
when it is read, and unpickling one would run code. On the way back it is an `ActivityError` or another of
`treadle.errors`, whose causes are `RecordedError`.

What is kept is the same whenever the same thing fails: addresses of objects are left out of texts, and the
traceback, full of lines and paths, is made by `traceback_of` and kept apart.
"""

from treadle.engine.failures.raising import (
    activity_error,
    child_workflow_error,
    query_failed_error,
    update_failed_error,
    update_rejected_error,
    workflow_failed_error,
)
from treadle.engine.failures.recording import ApplicationError, failure_of, traceback_of
from treadle.engine.failures.values import (
    Failure,
    describe,
    details_of,
    process_lost_failure,
    timeout_failure,
)

__all__ = [
    "ApplicationError",
    "Failure",
    "activity_error",
    "child_workflow_error",
    "describe",
    "details_of",
    "failure_of",
    "process_lost_failure",
    "query_failed_error",
    "timeout_failure",
    "traceback_of",
    "update_failed_error",
    "update_rejected_error",
    "workflow_failed_error",
]
