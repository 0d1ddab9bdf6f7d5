"""What workflow code calls, beyond the driver's own: everything that is written down.

Each function finds the workflow it is called in by itself. `treadle.workflow` is their door.
"""

from treadle.engine.api.activities import activity
from treadle.engine.api.children import ChildHandle, child, start_child
from treadle.engine.api.facts import (
    WorkflowInfo,
    continue_as_new,
    deprecate_patch,
    info,
    logger,
    now,
    patched,
    random,
    side_effect,
    time_ns,
    uuid4,
)
from treadle.engine.api.messages import (
    Signals,
    cancel_external,
    query,
    set_query,
    set_update,
    signal_external,
    signals,
    update,
)

__all__ = [
    "ChildHandle",
    "Signals",
    "WorkflowInfo",
    "activity",
    "cancel_external",
    "child",
    "continue_as_new",
    "deprecate_patch",
    "info",
    "logger",
    "now",
    "patched",
    "query",
    "random",
    "set_query",
    "set_update",
    "side_effect",
    "signal_external",
    "signals",
    "start_child",
    "time_ns",
    "update",
    "uuid4",
]
