"""Everything treadle raises on purpose, on one page.

Families say whose fault it is: `UsageError` (yours: fix the call), `StoreError` (the world's: fix the
disk, the file, the other process) and `InternalError` (ours: please report it). A fourth, `WorkflowError`,
is nobody's wrong call: it tells what your workflow or activity has come to, so that catching
`UsageError` round a workflow does not hide a declined card. Each message says what was expected, what
came, and what to do.

Two of the world's errors answer the question every writer asks after a failure, "is it written?":
an error with `written = "no"` surely wrote nothing, one with `written = "unknown"` may have; ask again
with the same `seq` or `key`, which is safe.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

TimeoutKind: TypeAlias = Literal["start_to_close", "schedule_to_close", "heartbeat"]
"""Which of an activity's limits of time was passed."""


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


class EventsSharedError(AdmissionError):
    """Branches still share the events that were to be removed; nothing was removed.

    Attributes:
        branches: ids of logs that share them; the first few when there are many.
    """

    def __init__(self, message: str, *, workflow_id: str, next_seq: int, branches: tuple[str, ...]) -> None:
        super().__init__(message, workflow_id=workflow_id, next_seq=next_seq)
        self.branches = branches


class EventsNeededError(UsageError):
    """Somebody still needs the events that were to be removed; nothing was removed.

    Attributes:
        workflow_id: the log.
        needed_by: who, such as ``"run 57"``, ``"projection 'totals'"`` or ``"replay"``.
    """

    def __init__(self, message: str, *, workflow_id: str, needed_by: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.needed_by = needed_by


class RecordChangedError(UsageError):
    """A record of the store is no longer what the caller has read; nothing was written.

    Attributes:
        namespace: whose record.
        key: which one.
    """

    def __init__(self, message: str, *, namespace: str, key: bytes) -> None:
        super().__init__(message)
        self.namespace = namespace
        self.key = key


class ProjectionVersionError(UsageError):
    """What is kept of a projection was made by another version of its fold; nothing was rebuilt.

    Attributes:
        projection: its name.
        recorded_version: the version that has made what is kept.
        version: the version that was given.
    """

    def __init__(self, message: str, *, projection: str, recorded_version: int, version: int) -> None:
        super().__init__(message)
        self.projection = projection
        self.recorded_version = recorded_version
        self.version = version


class ProjectionAheadError(UsageError):
    """A projection has read further than the store reaches, as behind a backup that was restored.

    Attributes:
        projection: its name.
        position: the last position that it has read.
        store_position: the store's newest one.
    """

    def __init__(self, message: str, *, projection: str, position: int, store_position: int) -> None:
        super().__init__(message)
        self.projection = projection
        self.position = position
        self.store_position = store_position


class ProjectionStoppedError(UsageError):
    """A projection is not kept up here: its fold has raised, or another process keeps it up.

    What the fold has raised is the error's ``__cause__``.

    Attributes:
        projection: its name.
        position: where it stands.
    """

    def __init__(self, message: str, *, projection: str, position: int) -> None:
        super().__init__(message)
        self.projection = projection
        self.position = position


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


class ConversionError(InvalidValueError):
    """A value has no JSON form, or a JSON form is not what its annotation says.

    Attributes:
        path: the steps that lead from the outermost value to the one that does not fit: field names and
            keys as str, places as int. Empty when it is the outermost value itself.
        reason: what is wrong there.
    """

    def __init__(self, message: str, *, path: tuple[str | int, ...], reason: str) -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason


class CodecError(UsageError):
    """A stored payload cannot be read with the codecs and keys this runtime was given."""


class DefinitionError(UsageError):
    """A function cannot be a workflow or an activity as it stands, or two of them carry one name."""


class WorkflowNotFoundError(UsageError):
    """There is no workflow with this id.

    Attributes:
        workflow_id: the id.
    """

    def __init__(self, message: str, *, workflow_id: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id


class WorkflowExistsError(UsageError):
    """The id belongs to a workflow already; nothing was started.

    Attributes:
        workflow_id: the id.
    """

    def __init__(self, message: str, *, workflow_id: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id


class WorkflowClosedError(UsageError):
    """The workflow has come to its end and takes no more messages.

    Attributes:
        workflow_id: the workflow.
        status: how it ended: ``"completed"``, ``"failed"``, ``"cancelled"`` or ``"terminated"``.
    """

    def __init__(self, message: str, *, workflow_id: str, status: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.status = status


class WorkflowNotHereError(UsageError):
    """The workflow's code is not registered in this process, so it is not run here; nothing was stored.

    Attributes:
        workflow_id: the workflow.
        name: the name its code is registered under elsewhere.
    """

    def __init__(self, message: str, *, workflow_id: str, name: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.name = name


# -- the world's ---------------------------------------------------------------------------------------


class StoreError(TreadleError):
    """The store could not do its work."""


class StoreUnavailableError(StoreError):
    """The store is busy, locked, missing or unreachable; surely not written, try again later."""


class NoRunnerError(StoreUnavailableError):
    """Nobody runs this store's workflows now, and what was asked for needs one who does."""


class RunnerBusyError(StoreUnavailableError):
    """Another runner runs this store's workflows, and the caller did not want to stand by.

    Attributes:
        pid: the process of the runner; 0 when it could not be read.
        host: its machine; empty when it could not be read.
    """

    def __init__(self, message: str, *, pid: int, host: str) -> None:
        super().__init__(message)
        self.pid = pid
        self.host = host


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


# -- the code's ----------------------------------------------------------------------------------------


class WorkflowError(TreadleError):
    """A durable workflow, or something it asked for, has come to an end that is no result."""


class WorkflowHeldError(WorkflowError):
    """The workflow is held: its log is kept, messages are taken, its code does not run until it is resumed.

    Attributes:
        workflow_id: the workflow.
        reason: why it is held.
    """

    def __init__(self, message: str, *, workflow_id: str, reason: str) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.reason = reason


class NondeterminismError(WorkflowError):
    """The workflow's code no longer does what its log says it did.

    Args:
        message: one sentence; the facts below are added to it, a line each.

    Attributes:
        workflow_id: the workflow.
        seq: the event at which they part.
        expected: what the log holds there.
        actual: what the code did instead.
        differences: field, value in the log, value from the code; for each field that differs.
        where: ``file:line`` of the workflow's code, or None when no line is running.
    """

    def __init__(
        self,
        message: str,
        *,
        workflow_id: str,
        seq: int,
        expected: str,
        actual: str,
        differences: tuple[tuple[str, str, str], ...] = (),
        where: str | None = None,
    ) -> None:
        lines = [message, f"  workflow {workflow_id!r}, seq {seq}"]
        lines += [f"  the log has:  {expected}", f"  the code did: {actual}"]
        lines += [f"  {field}: {logged} -> {done}" for field, logged, done in differences]
        lines += [f"  at {where}"] if where is not None else []
        super().__init__("\n".join(lines))
        self.workflow_id = workflow_id
        self.seq = seq
        self.expected = expected
        self.actual = actual
        self.differences = differences
        self.where = where


class WorkflowCancelledError(WorkflowError):
    """The workflow ended by cancellation.

    Attributes:
        workflow_id: the workflow.
        reason: what the one who asked for it said; may be empty.
    """

    def __init__(self, message: str, *, workflow_id: str, reason: str = "") -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.reason = reason


class WorkflowTerminatedError(WorkflowError):
    """The workflow was ended from outside, without its code being asked.

    Attributes:
        workflow_id: the workflow.
        reason: what the one who asked for it said; may be empty.
    """

    def __init__(self, message: str, *, workflow_id: str, reason: str = "") -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.reason = reason


class RecordedError(WorkflowError):
    """An exception as a log has kept it: its words, not its class.

    It stands for the causes below an `ActivityError` or a `WorkflowFailedError`. ``__cause__`` is `cause`,
    so that a traceback shows the whole chain.

    Attributes:
        failure_type: the name of the exception's class, or the ``type`` of an `ApplicationError`.
        failure_message: its text.
        details: what it carried beside the text, as plain JSON values.
        cause: the exception it was raised from, or None.
        members: the exceptions inside, when it was an exception group.
    """

    cause: RecordedError | None
    members: tuple[RecordedError, ...]

    def __init__(
        self,
        message: str,
        *,
        failure_type: str,
        failure_message: str,
        details: tuple[Any, ...] = (),
        cause: RecordedError | None = None,
        members: tuple[RecordedError, ...] = (),
    ) -> None:
        super().__init__(message)
        self.failure_type = failure_type
        self.failure_message = failure_message
        self.details = details
        self.cause = self.__cause__ = cause
        self.members = members

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_recorded, (type(self), self.args, self.__dict__)


def _rebuild_recorded(
    cls: type[RecordedError], args: tuple[Any, ...], facts: dict[str, Any]
) -> RecordedError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(facts)
    error.__cause__ = error.cause  # an exception's own pickling leaves it behind
    return error


class ActivityError(RecordedError):
    """An activity has failed and is not tried again.

    Attributes:
        activity: the activity's name.
        attempts: how many attempts were made.
        timeout: the limit of time that ended the last attempt, or None when it raised something.
    """

    def __init__(
        self,
        message: str,
        *,
        activity: str,
        attempts: int,
        timeout: TimeoutKind | None = None,
        failure_type: str,
        failure_message: str,
        details: tuple[Any, ...] = (),
        cause: RecordedError | None = None,
        members: tuple[RecordedError, ...] = (),
    ) -> None:
        super().__init__(
            message,
            failure_type=failure_type,
            failure_message=failure_message,
            details=details,
            cause=cause,
            members=members,
        )
        self.activity = activity
        self.attempts = attempts
        self.timeout = timeout


class WorkflowFailedError(RecordedError):
    """The workflow has failed: an exception left its function.

    Attributes:
        workflow_id: the workflow.
    """

    def __init__(
        self,
        message: str,
        *,
        workflow_id: str,
        failure_type: str,
        failure_message: str,
        details: tuple[Any, ...] = (),
        cause: RecordedError | None = None,
        members: tuple[RecordedError, ...] = (),
    ) -> None:
        super().__init__(
            message,
            failure_type=failure_type,
            failure_message=failure_message,
            details=details,
            cause=cause,
            members=members,
        )
        self.workflow_id = workflow_id


class ChildWorkflowError(WorkflowFailedError):
    """A child workflow has ended without a result, as its parent sees it.

    Attributes:
        status: how the child ended: ``"failed"``, ``"cancelled"``, ``"terminated"``, or ``"refused"``
            when it could not be started.
    """

    def __init__(
        self,
        message: str,
        *,
        workflow_id: str,
        status: str,
        failure_type: str,
        failure_message: str,
        details: tuple[Any, ...] = (),
        cause: RecordedError | None = None,
        members: tuple[RecordedError, ...] = (),
    ) -> None:
        super().__init__(
            message,
            workflow_id=workflow_id,
            failure_type=failure_type,
            failure_message=failure_message,
            details=details,
            cause=cause,
            members=members,
        )
        self.status = status


class UpdateRejectedError(WorkflowFailedError):
    """The validator refused the update; no event was written."""


class UpdateFailedError(WorkflowFailedError):
    """The update was accepted, and its handler raised; the workflow goes on."""


class QueryFailedError(WorkflowFailedError):
    """The query's function raised, or did what a query must not; the workflow goes on."""


# -- ours ----------------------------------------------------------------------------------------------


class InternalError(TreadleError):
    """A promise inside treadle does not hold. This is our bug: please report it with the message."""

    written: ClassVar[Literal["no", "unknown"]] = "unknown"
