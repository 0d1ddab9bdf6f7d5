"""What every test room shares: hypothesis profiles, and what the processes it starts are given."""

import atexit
import os
import shutil
import signal
import sys
import tempfile

from hypothesis import HealthCheck, settings

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
