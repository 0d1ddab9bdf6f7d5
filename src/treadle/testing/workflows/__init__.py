"""For tests of durable workflows: virtual time, replay, crashes, and a guard against chance.

Start with `run_workflow`. All names are in `treadle.testing` as well.
"""

from treadle.engine import Status
from treadle.testing.workflows.cast import ActivityCall
from treadle.testing.workflows.crashes import CrashReport, crash_everywhere, evict_everywhere
from treadle.testing.workflows.dated import CancelAt, QueryAt, SignalAt, TerminateAt, UpdateAt
from treadle.testing.workflows.determinism import assert_deterministic
from treadle.testing.workflows.entropy import EntropyError, EntropyGuard, forbid_entropy
from treadle.testing.workflows.items import Sent
from treadle.testing.workflows.paranoia import ReplayDifferenceError, check_replay
from treadle.testing.workflows.rehearsal import Rehearsal, StillRunningError, run_workflow
from treadle.testing.workflows.replaying import HistoryReplay, replay
from treadle.testing.workflows.scripts import Script, Step, attempts, calls, hangs, raises, returns

__all__ = [
    "ActivityCall",
    "CancelAt",
    "CrashReport",
    "EntropyError",
    "EntropyGuard",
    "HistoryReplay",
    "QueryAt",
    "Rehearsal",
    "ReplayDifferenceError",
    "Script",
    "Sent",
    "SignalAt",
    "Status",
    "Step",
    "StillRunningError",
    "TerminateAt",
    "UpdateAt",
    "assert_deterministic",
    "attempts",
    "calls",
    "check_replay",
    "crash_everywhere",
    "evict_everywhere",
    "forbid_entropy",
    "hangs",
    "raises",
    "replay",
    "returns",
    "run_workflow",
]
