"""How a command ends: one literal table from what was raised to the process's exit code.

====  =================================================================================================
   0  done
   1  failed: a file that is not what its format says, a full disk, a workflow that ended without a result,
      a bug
   2  the command line cannot be right as it stands
   3  not found: a workflow, an event, a file to import, a module
   4  a violation: a promise does not hold, what is stored is not what was written, or a workflow's code no
      longer does what its log says
   5  a conflict with what is stored: another event at that seq, a gap, a stale batch, an id in use, a
      message to a workflow that has ended
  69  the store cannot be reached or used: missing, locked, foreign, poisoned; or nobody runs its workflows
 130  interrupted with Ctrl-C
 141  whoever read stdout went away
 143  ended by SIGTERM
====  =================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from treadle.errors import (
    AdmissionError,
    CorruptStoreError,
    EventsNeededError,
    EventsPrunedError,
    FencedError,
    FormatError,
    NondeterminismError,
    RecordChangedError,
    RuntimeClosedError,
    StoreFormatError,
    StorePoisonedError,
    StoreUnavailableError,
    TreadleError,
    UsageError,
    WorkflowClosedError,
    WorkflowExistsError,
    WorkflowNotFoundError,
)

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
VIOLATION: Final = 4
CONFLICT: Final = 5
STORE_UNREACHABLE: Final = 69
INTERRUPTED: Final = 130
READER_GONE: Final = 141
TERMINATED: Final = 143


class NotFoundError(UsageError):
    """What the command names is not there."""


class FailedError(TreadleError):
    """The command could not do its work, through no fault of its options."""


class ViolationError(TreadleError):
    """The command has found that what should agree does not."""


class CommandError(UsageError):
    """The options contradict each other, or a value is not one; each alone may have been right."""


EXIT_BY_ERROR: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (KeyboardInterrupt, INTERRUPTED),
    (BrokenPipeError, READER_GONE),
    (NotFoundError, NOT_FOUND),
    (WorkflowNotFoundError, NOT_FOUND),
    (FileNotFoundError, NOT_FOUND),
    (IsADirectoryError, USAGE),
    (FormatError, FAILED),
    (RuntimeClosedError, FAILED),
    (CorruptStoreError, VIOLATION),
    (ViolationError, VIOLATION),
    (NondeterminismError, VIOLATION),
    (StoreUnavailableError, STORE_UNREACHABLE),
    (StoreFormatError, STORE_UNREACHABLE),
    (StorePoisonedError, STORE_UNREACHABLE),
    (EventsPrunedError, NOT_FOUND),
    (AdmissionError, CONFLICT),
    (EventsNeededError, CONFLICT),
    (FencedError, CONFLICT),
    (RecordChangedError, CONFLICT),
    (WorkflowExistsError, CONFLICT),
    (WorkflowClosedError, CONFLICT),
    (UsageError, USAGE),
)
"""The first row whose class fits decides; whatever fits none has failed."""


def exit_code(error: BaseException) -> int:
    """Tell the exit code for what a command raised.

    Args:
        error: what was raised, not a group.

    Returns:
        The code.
    """
    return next((code for kind, code in EXIT_BY_ERROR if isinstance(error, kind)), FAILED)


def first_cause(error: BaseException) -> BaseException:
    """Find what to tell in what was raised, which nurseries may have wrapped in groups.

    Args:
        error: what was raised.

    Returns:
        Ctrl-C if it is among the causes, because then the user knows better; else the first cause.
    """
    causes = list(_leaves(error))
    return next((cause for cause in causes if isinstance(cause, KeyboardInterrupt)), causes[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
