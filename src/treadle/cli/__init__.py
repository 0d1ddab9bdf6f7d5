"""The `treadle` command: hands for everything the other rooms can do.

Each command's file parses, calls a small function and shows what it gave. `app` holds the commands,
`exits` the table of exit codes, `output` the ways in which data reaches stdout.
"""

from __future__ import annotations

import codecs
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Final

__all__ = ["main"]

_EXTRA = ("cyclopts", "rich")
_ESCAPED: Final = "treadle.escaped"
"""What becomes of characters that stdout's encoding does not have, as a codec's error handler."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what stands after `treadle`; None takes the process's own, and its signals.

    Returns:
        The exit code, from the table in `treadle.cli.exits`.

    Raises:
        ModuleNotFoundError: something other than the `cli` extra is missing.
    """
    signals = _Signals(ours=arguments is None)
    _open_missing_streams()
    if arguments is None:
        # The process is ours: millions of short-lived events and few cycles make the default's frequent
        # collections a sixth of an import's CPU, and a tenth of what loading the commands takes.
        gc.set_threshold(100_000, 20, 50)
    try:
        from treadle.cli.app import run  # noqa: PLC0415  # the extra may be missing, and that needs words
        from treadle.cli.exits import INTERRUPTED, TERMINATED  # noqa: PLC0415  # in one room with it
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(f"treadle: the command line needs {error.name}: pip install 'treadle[cli]'\n")
        return 1
    if arguments is not None:
        return run(arguments)
    _show_any_character()
    code = run(sys.argv[1:], signals.interrupt_from_now_on)
    # Python would look through everything loaded once more before it ends: a fifth of a short command's CPU,
    # to find what ends with the process anyway.
    gc.freeze()
    return TERMINATED if signals.terminated and code == INTERRUPTED else code


class _Signals:
    """What Ctrl-C and SIGTERM do to a process that is ours: end it at once, and later clean up first.

    Args:
        ours: whether they are ours to decide about; if somebody else has decided, they are not.
    """

    def __init__(self, *, ours: bool) -> None:
        self.terminated = False
        self._ours = (
            ours
            and threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
            and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        )
        if self._ours:
            # Nothing is open yet, and an exception out of a half-loaded module would be nobody's to catch.
            # The codes are INTERRUPTED and TERMINATED of `treadle.cli.exits`, which is not loaded yet either.
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))
            signal.signal(signal.SIGTERM, lambda *_: os._exit(143))

    def interrupt_from_now_on(self) -> None:
        """Let both raise KeyboardInterrupt, so that the command that now begins cleans up."""
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, self._terminate)

    def _terminate(self, _number: int, _frame: object) -> None:
        self.terminated = True
        signal.raise_signal(signal.SIGINT)


def _show_any_character() -> None:
    # Not every terminal, and not every locale's pipe, has every character of an id. JSON's own escapes keep
    # JSON what it is, and are as good as any for people.
    codecs.register_error(_ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2)), error.end


def _open_missing_streams() -> None:
    # Whoever closed a stream (`treadle ... >&-`) wants none of it. An open file in its place also keeps a
    # store from getting that descriptor.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode)  # noqa: SIM115  # as long as the process
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
