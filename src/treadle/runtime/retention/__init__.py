"""Retention: which events may go, who still needs them, and how they go without anybody waiting for it."""

from treadle.log import PROJECTIONS
from treadle.runtime.retention.background import Retention, RetentionStatistics
from treadle.runtime.retention.policy import RetentionPolicy, RetentionRule
from treadle.runtime.retention.removing import delete, prune
from treadle.runtime.retention.sweeping import Removal, Sweep, Swept, compact

__all__ = [
    "PROJECTIONS",
    "Removal",
    "Retention",
    "RetentionPolicy",
    "RetentionRule",
    "RetentionStatistics",
    "Sweep",
    "Swept",
    "compact",
    "delete",
    "prune",
]
