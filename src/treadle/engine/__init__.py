"""Durable workflows, decided: structured-concurrency code driven against its log. Pure.

`Execution` is one workflow in memory: `activate` takes an input and gives events and effects, `replay` puts
it back where its log says it was. Nothing here waits, asks a clock or chance, or knows a store.
"""

from treadle.engine.definitions import ActivityDefinition, Registry, Retry, WorkflowDefinition
from treadle.engine.describing import Description
from treadle.engine.differences import Drift
from treadle.engine.effects import (
    Activation,
    AnswerUpdate,
    CancelActivity,
    Closed,
    Effect,
    PutMessage,
    StartActivity,
)
from treadle.engine.execution import Execution, ExecutionLimits
from treadle.engine.failures import Failure
from treadle.engine.folding import HeadFold
from treadle.engine.inputs import (
    SEED_SIZE_BYTES,
    ActivityDone,
    ActivityOutcome,
    AttemptFailed,
    CancelRequested,
    ChildDone,
    Completed,
    EndedByCancel,
    Failed,
    Input,
    ParentLink,
    Rejected,
    Signal,
    SignalFailed,
    Start,
    Terminate,
    TimersFired,
    Update,
    UpdateOutcome,
)
from treadle.engine.learning import AdaptivePolicy
from treadle.engine.messages import MessageKind, encode_message, input_of, message_id
from treadle.engine.records import RULE_SET, is_engine_start
from treadle.engine.status import Status
from treadle.engine.terminating import terminate

__all__ = [
    "RULE_SET",
    "SEED_SIZE_BYTES",
    "Activation",
    "ActivityDefinition",
    "ActivityDone",
    "ActivityOutcome",
    "AdaptivePolicy",
    "AnswerUpdate",
    "AttemptFailed",
    "CancelActivity",
    "CancelRequested",
    "ChildDone",
    "Closed",
    "Completed",
    "Description",
    "Drift",
    "Effect",
    "EndedByCancel",
    "Execution",
    "ExecutionLimits",
    "Failed",
    "Failure",
    "HeadFold",
    "Input",
    "MessageKind",
    "ParentLink",
    "PutMessage",
    "Registry",
    "Rejected",
    "Retry",
    "Signal",
    "SignalFailed",
    "Start",
    "StartActivity",
    "Status",
    "Terminate",
    "TimersFired",
    "Update",
    "UpdateOutcome",
    "WorkflowDefinition",
    "encode_message",
    "input_of",
    "is_engine_start",
    "message_id",
    "terminate",
]
