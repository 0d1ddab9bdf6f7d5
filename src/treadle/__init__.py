"""treadle: an append-only, gap-free event log for every workflow, owned by one Trio actor each.

A map of the rooms; an import only ever goes down:

    cli                                  the `treadle` command
    testing                              kits for your own tests: store contract, kernels, guard
    runtime                              actors, committer, handles: `open_runtime`
    stores    formats    checkers        keep | other people's files | promises held against records
    log       payloads                   admission, digests, `WorkflowLog` | values and bytes
    events    kernel                     the vocabulary | waits, clock, chance, blocking calls
    errors                               everything raised on purpose

Start with `open_runtime` for durable logs, or with `WorkflowLog` for pure ones in memory.
"""

from treadle._version import __version__
from treadle.errors import (
    AdmissionError,
    BatchError,
    ConflictError,
    CorruptStoreError,
    EventsPrunedError,
    FencedError,
    FormatError,
    InternalError,
    InvalidValueError,
    OutcomeUnknownError,
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
    UsageError,
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
from treadle.log import Appended, Visitor, WorkflowLog
from treadle.runtime import (
    Replayed,
    Runtime,
    RuntimeConfig,
    RuntimeStatistics,
    WorkflowHandle,
    open_runtime,
)
from treadle.stores import Store, open_store

__all__ = [
    "BATCH_EVENTS_MAX",
    "KEY_SIZE_BYTES_MAX",
    "PAYLOAD_SIZE_BYTES_MAX",
    "SEQ_MAX",
    "TIMESTAMP_MAX",
    "TIMESTAMP_MIN",
    "WORKFLOW_ID_SIZE_BYTES_MAX",
    "WORKFLOW_NUMBER_MAX",
    "AdmissionError",
    "Appended",
    "BatchError",
    "ConflictError",
    "CorruptStoreError",
    "EventKind",
    "EventsPrunedError",
    "FencedError",
    "FormatError",
    "InternalError",
    "InvalidValueError",
    "NewEvent",
    "OutcomeUnknownError",
    "Replayed",
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
    "UsageError",
    "Visitor",
    "WorkflowEvent",
    "WorkflowHandle",
    "WorkflowId",
    "WorkflowLog",
    "WorkflowUnavailableError",
    "__version__",
    "open_runtime",
    "open_store",
    "workflow_id",
]
