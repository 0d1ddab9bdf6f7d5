"""treadle: an append-only, gap-free event log for every workflow, owned by one Trio actor each.

A map of the rooms; an import only ever goes down:

    cli                                  the `treadle` command
    workflow  activity                   doors for the code of durable workflows and activities
    testing                              kits for your own tests: store contract, kernels, guard
    sim                                  a disk that fails on purpose, from a seed
    runtime  projections                 actors, committer, handles: `open_runtime` | folds follow a store
    engine  stores  formats  checkers    decide | keep | other people's files | promises against records
    log       payloads                   admission, digests, `WorkflowLog` | values, codecs
    events    kernel                     the vocabulary | waits, clock, chance, blocking calls
    errors                               everything raised on purpose

Start with `open_runtime` for durable logs and durable workflows, or with `WorkflowLog` for logs in memory.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from treadle._version import __version__

if TYPE_CHECKING:
    from treadle.errors import (
        ActivityError,
        AdmissionError,
        BatchError,
        ChildWorkflowError,
        CodecError,
        ConflictError,
        ConversionError,
        CorruptStoreError,
        DefinitionError,
        EventsNeededError,
        EventsPrunedError,
        EventsSharedError,
        FencedError,
        FormatError,
        InternalError,
        InvalidValueError,
        NondeterminismError,
        NoRunnerError,
        OutcomeUnknownError,
        ProjectionAheadError,
        ProjectionStoppedError,
        ProjectionVersionError,
        QueryFailedError,
        RecordChangedError,
        RecordedError,
        RunnerBusyError,
        RuntimeClosedError,
        SequenceGapError,
        StaleSequenceError,
        StoreError,
        StoreFormatError,
        StoreFullError,
        StorePoisonedError,
        StoreReadOnlyError,
        StoreUnavailableError,
        TreadleError,
        UpdateFailedError,
        UpdateRejectedError,
        UsageError,
        WorkflowCancelledError,
        WorkflowClosedError,
        WorkflowError,
        WorkflowExistsError,
        WorkflowFailedError,
        WorkflowHeldError,
        WorkflowNotFoundError,
        WorkflowNotHereError,
        WorkflowTerminatedError,
        WorkflowUnavailableError,
    )
    from treadle.events import (
        BATCH_EVENTS_MAX,
        KEY_SIZE_BYTES_MAX,
        PAYLOAD_SIZE_BYTES_MAX,
        SEQ_MAX,
        TIMESTAMP_MAX,
        TIMESTAMP_MIN,
        WORKFLOW_ID_SIZE_BYTES_MAX,
        WORKFLOW_NUMBER_MAX,
        EventKind,
        NewEvent,
        WorkflowEvent,
        WorkflowId,
        workflow_id,
    )
    from treadle.log import Appended, Fold, Visitor, WorkflowLog
    from treadle.projections import Projection, Projections
    from treadle.runtime import (
        NEVER,
        NO_ANSWER,
        OpenCall,
        Replayed,
        RetentionPolicy,
        RetentionRule,
        RetentionStatistics,
        Runtime,
        RuntimeConfig,
        RuntimeStatistics,
        WhatIf,
        WorkflowHandle,
        open_runtime,
    )
    from treadle.stores import Store, open_store

__all__ = [
    "BATCH_EVENTS_MAX",
    "KEY_SIZE_BYTES_MAX",
    "NEVER",
    "NO_ANSWER",
    "PAYLOAD_SIZE_BYTES_MAX",
    "SEQ_MAX",
    "TIMESTAMP_MAX",
    "TIMESTAMP_MIN",
    "WORKFLOW_ID_SIZE_BYTES_MAX",
    "WORKFLOW_NUMBER_MAX",
    "ActivityError",
    "AdmissionError",
    "Appended",
    "BatchError",
    "ChildWorkflowError",
    "CodecError",
    "ConflictError",
    "ConversionError",
    "CorruptStoreError",
    "DefinitionError",
    "EventKind",
    "EventsNeededError",
    "EventsPrunedError",
    "EventsSharedError",
    "FencedError",
    "Fold",
    "FormatError",
    "InternalError",
    "InvalidValueError",
    "NewEvent",
    "NoRunnerError",
    "NondeterminismError",
    "OpenCall",
    "OutcomeUnknownError",
    "Projection",
    "ProjectionAheadError",
    "ProjectionStoppedError",
    "ProjectionVersionError",
    "Projections",
    "QueryFailedError",
    "RecordChangedError",
    "RecordedError",
    "Replayed",
    "RetentionPolicy",
    "RetentionRule",
    "RetentionStatistics",
    "RunnerBusyError",
    "Runtime",
    "RuntimeClosedError",
    "RuntimeConfig",
    "RuntimeStatistics",
    "SequenceGapError",
    "StaleSequenceError",
    "Store",
    "StoreError",
    "StoreFormatError",
    "StoreFullError",
    "StorePoisonedError",
    "StoreReadOnlyError",
    "StoreUnavailableError",
    "TreadleError",
    "UpdateFailedError",
    "UpdateRejectedError",
    "UsageError",
    "Visitor",
    "WhatIf",
    "WorkflowCancelledError",
    "WorkflowClosedError",
    "WorkflowError",
    "WorkflowEvent",
    "WorkflowExistsError",
    "WorkflowFailedError",
    "WorkflowHandle",
    "WorkflowHeldError",
    "WorkflowId",
    "WorkflowLog",
    "WorkflowNotFoundError",
    "WorkflowNotHereError",
    "WorkflowTerminatedError",
    "WorkflowUnavailableError",
    "__version__",
    "open_runtime",
    "open_store",
    "workflow_id",
]
_ROOMS: Final = ("errors", "events", "log", "projections", "runtime", "stores")

# The rooms stand on Trio, attrs and msgspec, which take a third of a second to load. Whoever wants nothing
# of that yet (`treadle --help`) does not wait for it, and the command can heed Ctrl-C while they load.
# Hidden from type checkers, to whom a module with a `__getattr__` has any name at all.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load what the list names when the first of it is asked for."""
        if name in _ROOMS:
            return import_module(f"treadle.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        rooms = [vars(import_module(f"treadle.{room}")) for room in _ROOMS]
        for listed in set(__all__) - {"__version__"}:
            globals()[listed] = next(names[listed] for names in rooms if listed in names)
        return globals()[name]

    def __dir__() -> list[str]:
        """Tell the names of the list, loaded or not."""
        return sorted({*globals(), *__all__})
