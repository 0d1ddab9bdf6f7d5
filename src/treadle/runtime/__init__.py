"""Actors act here: one for each workflow, one committer for all, opened and closed as one runtime."""

from treadle.runtime.config import RuntimeConfig
from treadle.runtime.durable.describing import RunnerStatistics, WorkflowDescription
from treadle.runtime.following import Follower
from treadle.runtime.handles import WorkflowHandle
from treadle.runtime.reading import Events
from treadle.runtime.replaying import ReplayAll, Replayed
from treadle.runtime.runtime import Runtime, RuntimeStatistics, open_runtime

__all__ = [
    "Events",
    "Follower",
    "ReplayAll",
    "Replayed",
    "RunnerStatistics",
    "Runtime",
    "RuntimeConfig",
    "RuntimeStatistics",
    "WorkflowDescription",
    "WorkflowHandle",
    "open_runtime",
]
