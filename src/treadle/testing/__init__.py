"""For your own tests: workflows in virtual time, kernels that own time and chance, what a store must keep.

`treadle.testing.workflows` is for tests of durable workflows, `treadle.testing.worlds` for the same in whole
worlds, and all their names are here too; the rest is for programs with a runtime and for stores. Importing
this needs neither pytest nor hypothesis; `store_machine` and `any_world` need hypothesis when called.
"""

from __future__ import annotations

from treadle.kernel import InlineKernel
from treadle.sim.kernel_guard import KernelGuard, run_in_world
from treadle.sim.real_io import allow_real_io
from treadle.sim.world_kernel import KernelDeadlockError, KernelViolationError, WorldKernel
from treadle.testing.batches import LogWriter, chained
from treadle.testing.projections import DualityError, any_feed, check_projection, feed_of
from treadle.testing.store_conformance import StoreCheck, check_name, store_checks
from treadle.testing.store_factory import StoreFactory, UrlFactory
from treadle.testing.store_machine import store_machine
from treadle.testing.workflows import (
    ActivityCall,
    CancelAt,
    CrashReport,
    EntropyError,
    EntropyGuard,
    HistoryReplay,
    QueryAt,
    Rehearsal,
    ReplayDifferenceError,
    Script,
    Sent,
    SignalAt,
    Status,
    Step,
    StillRunningError,
    TerminateAt,
    UpdateAt,
    assert_deterministic,
    attempts,
    calls,
    check_replay,
    crash_everywhere,
    evict_everywhere,
    forbid_entropy,
    hangs,
    raises,
    replay,
    returns,
    run_workflow,
)
from treadle.testing.worlds import (
    Conditions,
    Simulated,
    SimulationFailedError,
    any_world,
    lasting,
    simulate,
)

__all__ = [
    "ActivityCall",
    "CancelAt",
    "Conditions",
    "CrashReport",
    "DualityError",
    "EntropyError",
    "EntropyGuard",
    "HistoryReplay",
    "InlineKernel",
    "KernelDeadlockError",
    "KernelGuard",
    "KernelViolationError",
    "LogWriter",
    "QueryAt",
    "Rehearsal",
    "ReplayDifferenceError",
    "Script",
    "Sent",
    "SignalAt",
    "Simulated",
    "SimulationFailedError",
    "Status",
    "Step",
    "StillRunningError",
    "StoreCheck",
    "StoreFactory",
    "TerminateAt",
    "UpdateAt",
    "UrlFactory",
    "WorldKernel",
    "allow_real_io",
    "any_feed",
    "any_world",
    "assert_deterministic",
    "attempts",
    "calls",
    "chained",
    "check_name",
    "check_projection",
    "check_replay",
    "crash_everywhere",
    "evict_everywhere",
    "feed_of",
    "forbid_entropy",
    "hangs",
    "lasting",
    "raises",
    "replay",
    "returns",
    "run_in_world",
    "run_workflow",
    "simulate",
    "store_checks",
    "store_machine",
]
