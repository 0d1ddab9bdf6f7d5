"""The `treadle` command: hands for everything the other rooms can do.

Each command's file parses, calls a small function and shows what it gave. `app` holds the commands,
`exits` the table of exit codes, `output` the ways in which data reaches stdout.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = ("cyclopts", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what stands after `treadle`; None takes the process's own.

    Returns:
        The exit code, from the table in `treadle.cli.exits`.

    Raises:
        ModuleNotFoundError: something other than the `cli` extra is missing.
    """
    try:
        from treadle.cli.app import run  # noqa: PLC0415  # the extra may be missing, and that needs words
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(f"treadle: the command line needs {error.name}: pip install 'treadle[cli]'\n")
        return 1
    if arguments is not None:
        return run(arguments)
    # The process is ours: millions of short-lived events and few cycles make the default's frequent
    # collections a sixth of an import's CPU.
    gc.set_threshold(100_000, 20, 50)
    return run(sys.argv[1:])
