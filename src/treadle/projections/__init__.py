"""Folds follow a store: states of the whole feed, kept up, written exactly once, and held against the log.

A `Projection` says how the feed becomes a state; `Projections` keeps a set of them up beside a runtime. They
read through a store, never through an actor. `treadle.projections.scd` keeps slowly changing dimensions.
"""

from treadle.projections.keeper import ProjectionStatistics
from treadle.projections.live import Projections
from treadle.projections.projection import Projection
from treadle.projections.rebuilding import Rebuilt
from treadle.projections.retries import RETRIES, AdaptiveRetry, retries
from treadle.projections.verifying import Difference, Verdict
from treadle.stores import FeedEvent

__all__ = [
    "RETRIES",
    "AdaptiveRetry",
    "Difference",
    "FeedEvent",
    "Projection",
    "ProjectionStatistics",
    "Projections",
    "Rebuilt",
    "Verdict",
    "retries",
]
