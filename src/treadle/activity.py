"""What activity code imports: ``from treadle import activity``. A door: names only."""

from treadle.engine.definitions import ActivityDefinition
from treadle.engine.definitions import define_activity as define
from treadle.engine.failures import ApplicationError
from treadle.engine.retry import Retry
from treadle.projections.retries import AdaptiveRetry
from treadle.runtime.durable.activity_context import ActivityInfo, heartbeat, info

__all__ = [
    "ActivityDefinition",
    "ActivityInfo",
    "AdaptiveRetry",
    "ApplicationError",
    "Retry",
    "define",
    "heartbeat",
    "info",
]
