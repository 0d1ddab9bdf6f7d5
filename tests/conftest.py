"""What every test room shares: hypothesis profiles, and what the processes it starts are given."""

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOM_BYTES = 2 * 1024**3
"""Several times what all files of a run take; a container's memory of 64 MB is none to fill."""

# No deadline: on two shared cores a slow example says nothing about the code.
settings.register_profile(
    "quick", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("quick")


def _heed(number: int, handler: object) -> None:
    # A runner in the background of a script may ignore these, and every child would inherit that; the
    # tests of Ctrl-C need what a terminal gives.
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


_heed(signal.SIGINT, signal.default_int_handler)
_heed(signal.SIGTERM, signal.SIG_DFL)


def _keep_bytecode_elsewhere() -> None:
    # Where no bytecode may be written beside the sources, each of a hundred processes would compile all of
    # them anew, which costs it half its time; here only the first one does.
    folder = tempfile.mkdtemp(prefix="treadle-bytecode-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = folder


if sys.dont_write_bytecode:
    _keep_bytecode_elsewhere()


def pytest_configure(config: pytest.Config) -> None:
    """Let the quick tests keep their files in memory, where there is room."""
    # What an fsync brings shows only when the power goes, which the simulated disk plays: here it would be
    # waited for, thousands of times. The slow proofs, and the demo before them, are held against a disk.
    memory = Path("/dev/shm")  # noqa: S108  # Linux's own; elsewhere the usual place is taken
    if (
        config.option.markexpr == "not slow"
        and not os.environ.get("PYTEST_DEBUG_TEMPROOT")
        and os.access(memory, os.W_OK)
        and shutil.disk_usage(memory).free >= ROOM_BYTES
    ):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(memory)


def pytest_collection_finish() -> None:
    """Keep what collecting has made out of every later look for garbage."""
    # Modules and seven thousand tests stay to the end. Whoever calls `gc.collect` would wait a fifth of a
    # second for each look through them, and every full collection of Python's own accord as well.
    gc.collect()
    gc.freeze()
