"""Everything treadle raises on purpose, on one page.

Three families say whose fault it is: `UsageError` (yours: fix the call), `StoreError` (the world's: fix
the disk, the file, the other process) and `InternalError` (ours: please report it). Each message says
what was expected, what came, and what to do.

Two of the world's errors answer the question every writer asks after a failure, "is it written?":
an error with `written = "no"` surely wrote nothing, one with `written = "unknown"` may have; ask again
with the same `seq` or `key`, which is safe.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal


class TreadleError(Exception):
    """The root of everything treadle raises on purpose.

    Attributes:
        written: whether what was asked for may have reached the store: ``"no"`` or ``"unknown"``.
    """

    written: ClassVar[Literal["no", "unknown"]] = "no"

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors carry keyword-only facts; the default would call the class with the message alone
        # and break every process pool and test runner that moves an exception between processes.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[TreadleError], args: tuple[Any, ...], facts: dict[str, Any]) -> TreadleError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


# -- yours ---------------------------------------------------------------------------------------------


class UsageError(TreadleError):
    """The call cannot be right as it stands; nothing was changed."""


class InvalidValueError(UsageError, ValueError):
    """A value lies outside what its word allows (seq, timestamp, kind, payload, id, key, limit)."""


class BatchError(InvalidValueError):
    """A batch is wrong by itself: empty, over its limit, or with a gap or a repeat inside."""


class AdmissionError(UsageError):
    """A well-formed batch does not fit the log as it stands.

    Attributes:
        workflow_id: the log.
        next_seq: the seq the log would take next.
    """

    def __init__(self, message: str, *, workflow_id: str, next_seq: int) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.next_seq = next_seq


class SequenceGapError(AdmissionError):
    """The batch starts above the next seq; accepting it would leave a hole."""


class StaleSequenceError(AdmissionError):
    """The batch starts below the next seq and runs past it: its writer has not seen the newest events."""


class ConflictError(AdmissionError):
    """Another event already stands at this seq, or another history lies before it.

    Attributes:
        seq: the first seq that differs.
        stored: the event that stands there, or None when the histories differ before it.
        offered: the event that was offered, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        workflow_id: str,
        next_seq: int,
        seq: int,
        stored: object = None,
        offered: object = None,
    ) -> None:
        super().__init__(message, workflow_id=workflow_id, next_seq=next_seq)
        self.seq = seq
        self.stored = stored
        self.offered = offered


class EventsPrunedError(AdmissionError):
    """The events asked for lie below the first kept seq; retention has removed them.

    Attributes:
        first_kept_seq: the oldest seq that can still be read.
    """

    def __init__(self, message: str, *, workflow_id: str, next_seq: int, first_kept_seq: int) -> None:
        super().__init__(message, workflow_id=workflow_id, next_seq=next_seq)
        self.first_kept_seq = first_kept_seq


class FencedError(UsageError):
    """A newer runner has taken over this store; what an older one decided is refused.

    Attributes:
        epoch: the epoch that was offered.
        current_epoch: the epoch the store is at.
    """

    def __init__(self, message: str, *, epoch: int, current_epoch: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.current_epoch = current_epoch


class RuntimeClosedError(UsageError):
    """The runtime is closing or closed; what was asked for was surely not written."""


class FormatError(UsageError):
    """Somebody's file is not what its format says.

    Attributes:
        source: the file's name, or None.
        line: the line the reader had reached, counted from 1, or None.
    """

    def __init__(self, message: str, *, source: str | None = None, line: int | None = None) -> None:
        where = ":".join(str(part) for part in (source, line) if part is not None)
        super().__init__(f"{where}: {message}" if where else message)
        self.source = source
        self.line = line


# -- the world's ---------------------------------------------------------------------------------------


class StoreError(TreadleError):
    """The store could not do its work."""


class StoreUnavailableError(StoreError):
    """The store is busy, locked, missing or unreachable; surely not written, try again later."""


class StoreFormatError(StoreError):
    """What was opened is not a store this version can use: foreign, newer, not a database at all."""


class StoreFullError(StoreError):
    """The disk is full. Appends are refused until there is room again; reads go on."""


class StoreReadOnlyError(StoreError):
    """The store can be read but not written."""


class OutcomeUnknownError(StoreError):
    """The store failed while it wrote: the events may or may not be there. Ask again with seq or key."""

    written: ClassVar[Literal["no", "unknown"]] = "unknown"


class StorePoisonedError(StoreError):
    """The store has met an error after which no answer of its disk can be trusted; it takes nothing more.

    Going on after a failed fsync loses acknowledged events (measured: 7 of 1,500 runs), so the store
    stops, leaves a marker beside its file, and stays shut until ``treadle log verify --clear`` passes.
    """


class CorruptStoreError(StoreError):
    """What is stored is not what was written.

    Attributes:
        workflow_id: the log in which the damage shows, or None when it lies outside any log.
        seq: the first seq that shows it, or None.
    """

    def __init__(self, message: str, *, workflow_id: str | None = None, seq: int | None = None) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.seq = seq


class WorkflowUnavailableError(StoreError):
    """One workflow's actor has crashed and waits, or is quarantined; all others go on.

    The crash that caused it is the exception's ``__cause__``.

    Attributes:
        workflow_id: the workflow.
    """

    def __init__(self, message: str, *, workflow_id: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id


# -- ours ----------------------------------------------------------------------------------------------


class InternalError(TreadleError):
    """A promise inside treadle does not hold. This is our bug: please report it with the message."""

    written: ClassVar[Literal["no", "unknown"]] = "unknown"
