"""Actors act here: one for each workflow, one committer for all, opened and closed as one runtime."""

from treadle.engine.imagining import NEVER, NO_ANSWER, OpenCall
from treadle.runtime.config import RuntimeConfig
from treadle.runtime.diffing import DiffRow, LogDiff, Parting
from treadle.runtime.durable.describing import RunnerStatistics, WorkflowDescription
from treadle.runtime.durable.playing import WhatIf
from treadle.runtime.following import Follower
from treadle.runtime.handles import WorkflowHandle
from treadle.runtime.reading import Events
from treadle.runtime.replaying import ReplayAll, Replayed
from treadle.runtime.retention import RetentionPolicy, RetentionRule, RetentionStatistics
from treadle.runtime.runtime import Runtime, RuntimeStatistics, open_runtime

__all__ = [
    "NEVER",
    "NO_ANSWER",
    "DiffRow",
    "Events",
    "Follower",
    "LogDiff",
    "OpenCall",
    "Parting",
    "ReplayAll",
    "Replayed",
    "RetentionPolicy",
    "RetentionRule",
    "RetentionStatistics",
    "RunnerStatistics",
    "Runtime",
    "RuntimeConfig",
    "RuntimeStatistics",
    "WhatIf",
    "WorkflowDescription",
    "WorkflowHandle",
    "open_runtime",
]
