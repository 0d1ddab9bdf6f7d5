"""What is told on stderr, so that stdout holds data alone."""

from __future__ import annotations

import sys


def note(message: str) -> None:
    """Tell something on stderr.

    Args:
        message: one line, or a few.
    """
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
