"""One of several processes of a soak: ``python -m treadle.cli.sim.process``.

Its argument is the task as JSON; its stdout is JSON Lines, a report for each world.
"""

from __future__ import annotations

import sys
from contextlib import suppress

import msgspec

from treadle.cli.exits import FAILED, OK
from treadle.cli.sim.soak import Task, worlds
from treadle.sim.plan import Plan


def main(text: str) -> int:
    """Run a share of the worlds.

    Args:
        text: the task.

    Returns:
        The exit code.
    """
    task = Task.decoded(text)
    try:
        # Without a reader there is nobody left to work for, and that one knows.
        with suppress(BrokenPipeError):
            for report in worlds(Plan.from_json(task.plan), task.seeds):
                sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
                sys.stdout.buffer.flush()
    except Exception as error:  # noqa: BLE001  # the process ends here in any case
        sys.stderr.write(f"treadle: soaking process: {type(error).__name__}: {error}\n")
        return FAILED
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
