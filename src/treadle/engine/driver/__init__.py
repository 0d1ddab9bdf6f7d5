"""The driver: runs the tasks of a workflow, by hand and always in the same order.

Its users are two. Workflow code sees Trio's names with Trio's meaning (nurseries, scopes, events, locks,
channels); `tests/engine/driver/test_agreement_with_trio.py` holds both against each other. The host (the
engine) sees a `Scheduler` and three functions to make waits of its own: `park`, `current_task`,
`current_scheduler`.

    errors, whereabouts, raising, instants      words
    tasks                                       a task, and how it waits
    scopes, descent, nurseries                  what is cancelled with what, and who waits for whom
    eviction, stacks, outcomes, starting,
    scheduler                                   running it all
    timeouts, waiting, parking, locks,
    limiters, channels                          what workflow code waits with
"""

from treadle.engine.driver.channels import (
    MemoryChannelStatistics,
    MemoryReceiveChannel,
    MemorySendChannel,
    open_memory_channel,
)
from treadle.engine.driver.errors import (
    BrokenResourceError,
    BusyResourceError,
    Cancelled,
    ClosedResourceError,
    EndOfChannel,
    Evicted,
    ForeignAwaitError,
    MisuseError,
    StuckError,
    TooSlowError,
    WouldBlock,
)
from treadle.engine.driver.limiters import CapacityLimiter, CapacityLimiterStatistics
from treadle.engine.driver.locks import (
    Condition,
    ConditionStatistics,
    Lock,
    LockStatistics,
    Semaphore,
    SemaphoreStatistics,
)
from treadle.engine.driver.nurseries import TASK_STATUS_IGNORED, Nursery, TaskStatus, open_nursery
from treadle.engine.driver.outcomes import Raised, Returned
from treadle.engine.driver.scheduler import Scheduler
from treadle.engine.driver.scopes import CancelScope
from treadle.engine.driver.stacks import StackFrame, TaskStack
from treadle.engine.driver.tasks import (
    Task,
    checkpoint,
    checkpoint_if_cancelled,
    current_line,
    current_scheduler,
    current_task,
    park,
)
from treadle.engine.driver.timeouts import (
    current_effective_deadline,
    current_time,
    fail_after,
    fail_at,
    move_on_after,
    move_on_at,
    sleep,
    sleep_forever,
    sleep_until,
)
from treadle.engine.driver.waiting import Event, EventStatistics, wait_until

__all__ = [
    "TASK_STATUS_IGNORED",
    "BrokenResourceError",
    "BusyResourceError",
    "CancelScope",
    "Cancelled",
    "CapacityLimiter",
    "CapacityLimiterStatistics",
    "ClosedResourceError",
    "Condition",
    "ConditionStatistics",
    "EndOfChannel",
    "Event",
    "EventStatistics",
    "Evicted",
    "ForeignAwaitError",
    "Lock",
    "LockStatistics",
    "MemoryChannelStatistics",
    "MemoryReceiveChannel",
    "MemorySendChannel",
    "MisuseError",
    "Nursery",
    "Raised",
    "Returned",
    "Scheduler",
    "Semaphore",
    "SemaphoreStatistics",
    "StackFrame",
    "StuckError",
    "Task",
    "TaskStack",
    "TaskStatus",
    "TooSlowError",
    "WouldBlock",
    "checkpoint",
    "checkpoint_if_cancelled",
    "current_effective_deadline",
    "current_line",
    "current_scheduler",
    "current_task",
    "current_time",
    "fail_after",
    "fail_at",
    "move_on_after",
    "move_on_at",
    "open_memory_channel",
    "open_nursery",
    "park",
    "sleep",
    "sleep_forever",
    "sleep_until",
    "wait_until",
]
