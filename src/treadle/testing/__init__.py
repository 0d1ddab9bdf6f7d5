"""For your own tests: kernels that own time and chance, and what a store must keep, as checks.

Importing this needs neither pytest nor hypothesis; `store_machine` needs hypothesis when it is called.
"""

from __future__ import annotations

from treadle.kernel import InlineKernel
from treadle.testing.batches import LogWriter, chained
from treadle.testing.kernel_guard import KernelGuard, run_in_world
from treadle.testing.store_conformance import StoreCheck, check_name, store_checks
from treadle.testing.store_factory import StoreFactory, UrlFactory
from treadle.testing.store_machine import store_machine
from treadle.testing.world_kernel import KernelDeadlockError, KernelViolationError, WorldKernel

__all__ = [
    "InlineKernel",
    "KernelDeadlockError",
    "KernelGuard",
    "KernelViolationError",
    "LogWriter",
    "StoreCheck",
    "StoreFactory",
    "UrlFactory",
    "WorldKernel",
    "chained",
    "check_name",
    "run_in_world",
    "store_checks",
    "store_machine",
]
