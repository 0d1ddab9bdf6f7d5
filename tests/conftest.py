"""What every test room shares: hypothesis profiles."""

import signal

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
