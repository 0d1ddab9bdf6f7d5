"""What is told on stderr, and the one way to stdout, which holds data alone."""

from __future__ import annotations

import sys
from typing import Final

STDOUT: Final = "stdout"
"""What stdout is called in the words of an error, which itself names files alone."""


def note(message: str) -> None:
    """Tell something on stderr.

    Args:
        message: one line, or a few.
    """
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def write_out(text: str) -> None:
    """Write data to stdout.

    Args:
        text: whole lines, or parts of them.

    Raises:
        OSError: stdout does not take it; the error names it.
    """
    try:
        sys.stdout.write(text)
    except OSError as error:
        error.filename = STDOUT
        raise
