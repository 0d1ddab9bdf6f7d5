"""treadle's own modules in processes of their own: the parent's side and the child's."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from subprocess import PIPE

import trio

from treadle.cli.exits import FAILED, OK, first_cause


@asynccontextmanager
async def module_process(module: str, *arguments: str) -> AsyncIterator[trio.Process]:
    """Run one of treadle's own modules in a process of its own, and see that it ends with the block.

    Spawned, never forked: a forked child would share SQLite's locks and file descriptors with us.

    Args:
        module: its full name.
        *arguments: what it is given.

    Yields:
        The process; its stdout is a pipe, its stderr is ours.
    """
    # -P: a file named like a standard module in the current folder must not be taken for it. A session of
    # its own: Ctrl-C is for this process, which then ends the other.
    command = [sys.executable, "-P", "-m", module, *arguments]
    process = await trio.lowlevel.open_process(command, stdout=PIPE, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def run_child(work: Callable[[], Awaitable[object]]) -> int:
    """Run the child's work; one line on stderr, not a traceback, when it fails.

    Args:
        work: what the process is for.

    Returns:
        The exit code.
    """
    try:
        trio.run(work)
    except BaseException as error:  # noqa: BLE001  # the process ends here in any case
        cause = first_cause(error)
        # Without a reader there is nobody left to work for, and that one knows.
        if not isinstance(cause, BrokenPipeError):
            sys.stderr.write(f"treadle: writing process: {type(cause).__name__}: {cause}\n")
        return FAILED
    return OK
