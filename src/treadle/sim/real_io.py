"""A guard that names whoever reaches out of a world: files, sockets, processes, real sleeps.

Such a call stops the whole world until it returns, and gives what no seed decides. Python tells its audit
hooks of each before it happens. There is one hook for the process, since none can ever be taken away; it
judges only in a thread in which a world runs, and only what the code of the world's user has called, so
imports, tracebacks, the tools of a test and this library itself may do as they must.

What no hook is told of goes through: what a C extension does by itself, reads and writes of what was open
before, and what a thread does that a model has started (whoever waits for it is named by the other guard).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import get_ident
from types import FrameType
from typing import Any, Final

from treadle.sim.blame import LANGUAGE, users_frame
from treadle.sim.real_sleep import tell_no_more, tell_sleeps, without_it

_FILE: Final = "read it before the world begins, or where that must be, inside `with allow_real_io():`"
_NETWORK: Final = "let a model answer instead"
_SLEEP: Final = "let virtual time pass: await the world's kernel.sleep(seconds)"

_ADVICE: Final = (
    (_SLEEP, ("time.sleep",)),
    (
        _FILE,
        (
            "open", "os.chdir", "os.chmod", "os.chown", "os.link", "os.listdir", "os.mkdir", "os.remove",
            "os.rename", "os.rmdir", "os.scandir", "os.symlink", "os.truncate", "sqlite3.connect",
            "builtins.input",
        ),
    ),
    (
        _NETWORK,
        (
            "socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg",
            "socket.getaddrinfo", "socket.getnameinfo", "socket.gethostbyname", "socket.gethostbyaddr",
            "urllib.Request", "http.client.connect", "http.client.send", "ftplib.connect", "ftplib.sendcmd",
            "imaplib.open", "imaplib.send", "poplib.connect", "poplib.putline", "smtplib.connect",
            "smtplib.send", "webbrowser.open",
            "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
            "os.startfile", "pty.spawn",
        ),
    ),
)  # fmt: skip
_FORBIDDEN: Final = {event: advice for advice, events in _ADVICE for event in events}
"""Python's name of a call -> what to do instead. What only asks for the time or for a file's size is told
to no hook."""

_TRUSTED: Final = LANGUAGE | {
    # Data of Python's own, and where it finds a line of source.
    "encodings", "gettext", "inspect", "locale", "mimetypes", "tokenize", "zoneinfo",
    # What looks at a program from outside: debuggers, coverage, and the tools that tests are written with.
    "_pytest", "bdb", "cmd", "code", "coverage", "debugpy", "faulthandler", "hypothesis", "pdb", "pluggy",
    "pydevd", "tracemalloc",
}  # fmt: skip
_DEPENDENCIES: Final = frozenset({"apsw", "attr", "attrs", "cyclopts", "matplotlib", "msgspec", "rich"})
_PAIRS: Final = frozenset({"accept", "dup", "fromfd", "fromshare", "socketpair"})
"""Functions of `socket` that put what the system has given already into an object: an error would leak it."""
_TOLD_LENGTH_MAX: Final = 60


_allowed: ContextVar[bool] = ContextVar("treadle real io", default=False)
_watchers: dict[int, Callable[[str], BaseException]] = {}
"""Thread -> what takes a violation in the world that runs in it, and gives the error to raise."""
_hooked: list[bool] = []


@contextmanager
def allow_real_io() -> Iterator[None]:
    """Let the code in the block do real I/O inside a world, for who knows that it gives the same each time.

    A model that reads a file of test data is such a case. Virtual time stands still meanwhile. The block
    counts for this task, and for those it starts.

    Yields:
        Nothing.
    """
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


def watch_real_io(violated: Callable[[str], BaseException]) -> None:
    """Begin to judge what this thread does.

    Args:
        violated: takes a sentence for each violation, and gives the error that the call raises.
    """
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_judge)
    _watchers[get_ident()] = violated
    tell_sleeps()


def leave_real_io() -> None:
    """Judge this thread no more."""
    if _watchers.pop(get_ident(), None) is not None:
        tell_no_more()


def _judge(event: str, args: tuple[Any, ...]) -> None:
    advice = _FORBIDDEN.get(event)
    if advice is None:
        return
    violated = _watchers.get(get_ident())
    if violated is None or _allowed.get():
        return
    caller = without_it(sys._getframe().f_back)
    if _is_harmless(event, args, caller):
        return
    frame = users_frame(caller, trusted=_TRUSTED, dependencies=_DEPENDENCIES)
    if frame is not None:
        where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}"
        raise violated(f"{where} does real I/O, {_called(event, args)}: {advice}")


def _is_harmless(event: str, args: tuple[Any, ...], caller: FrameType | None) -> bool:
    if event == "sqlite3.connect":
        return bool(args[0] == ":memory:")
    if event == "socket.__new__" and caller is not None and caller.f_globals.get("__name__") == "socket":
        return caller.f_back is not None and caller.f_back.f_code.co_name in _PAIRS
    # The C half of `zoneinfo` has no frame by which it could be told.
    return event == "open" and isinstance(args[0], str) and args[0].startswith(_time_zones())


def _time_zones() -> tuple[str, ...]:
    module = sys.modules.get("zoneinfo")
    return () if module is None else module.TZPATH


def _called(event: str, args: tuple[Any, ...]) -> str:
    name = event.removesuffix(".__new__").removeprefix("builtins.")
    first = next((one for one in args if isinstance(one, str | bytes | float)), None)
    return f"{name}({'...' if first is None else repr(first)[:_TOLD_LENGTH_MAX]})"
