"""A guard against clocks, chance and the world inside workflow code, which names the line.

Whatever workflow code takes from outside its log is different at the next replay, and shows up later as
a divergence somewhere else. The guard shows it where it happens. It watches every call of the thread with
Python's profiling hook, which also sees functions that were imported by name, and judges only while
workflow code
runs: activities, tests and the engine itself may do as they like. What the hook cannot see (a C extension
that asks the clock by itself) goes through.
"""

from __future__ import annotations

import builtins
import datetime as dt
import io
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, Final

import attrs

from treadle.engine import commands
from treadle.engine.api.host import READING
from treadle.engine.driver.tasks import RUNNING
from treadle.errors import UsageError
from treadle.sim.blame import users_frame

_CLOCK: Final = "workflow.now() or workflow.time_ns()"
_CHANCE: Final = "workflow.random(), workflow.uuid4() or workflow.side_effect()"
_THREAD: Final = "workflow.open_nursery(), or an activity"
_WORLD: Final = "an activity"
_SLEEP: Final = "workflow.sleep()"

_CLOCK_NAMES = (
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
    "process_time_ns", "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns", "times",
)  # fmt: skip
_CHANCE_NAMES = ("urandom", "getrandom", "random", "getrandbits")
_WORLD_NAMES = (
    "open", "system", "fork", "forkpty", "posix_spawn", "posix_spawnp", "listdir", "scandir", "stat", "lstat",
    "getpid", "getaddrinfo", "gethostbyname", "input",
)  # fmt: skip


class EntropyError(UsageError):
    """Workflow code has taken something from outside its log.

    Attributes:
        call: what it called.
        where: ``file:line`` of the workflow's code.
    """

    def __init__(self, message: str, *, call: str, where: str) -> None:
        super().__init__(message)
        self.call = call
        self.where = where


@attrs.define(eq=False)
class EntropyGuard:
    """What a `forbid_entropy` block has seen.

    Attributes:
        violations: one error for each; raised on the spot and, should the code have caught it, again at
            the end of the block.
    """

    violations: list[EntropyError] = attrs.Factory(list)


@contextmanager
def forbid_entropy() -> Iterator[EntropyGuard]:
    """Let workflow code that takes anything from outside its log fail, in this thread.

    Clocks (``time``, ``datetime.now``), chance (``random``, ``uuid``, ``secrets``, ``os.urandom``), threads,
    processes, files and sockets. Holds for whatever runs workflow code inside the block: `run_workflow`
    (which does so by itself), `replay`, and a runtime. Its price is that every call costs a few
    microseconds more.

    Yields:
        What was seen.

    Raises:
        EntropyError: workflow code has done so; it names call and line.
    """
    with _watched(lambda guard: _watcher(guard, _runs_workflow_code, _workflow_error)) as guard:
        yield guard


@contextmanager
def forbid_entropy_of(what: str, instead: str) -> Iterator[EntropyGuard]:
    """Let users' code of another kind that takes anything from outside fail, in this thread.

    Everything that runs in the block is judged whose line is not ours.

    Args:
        what: what it is, in words.
        instead: what it is to take instead.

    Yields:
        What was seen.

    Raises:
        EntropyError: it has done so; it names call and line.
    """

    def error(call: str, _: str, where: str) -> EntropyError:
        return EntropyError(
            f"{where}: {what} calls {call}, which gives something else each time; take {instead}",
            call=call,
            where=where,
        )

    with _watched(lambda guard: _watcher(guard, lambda: True, error)) as guard:
        yield guard


@contextmanager
def _watched(make: Callable[[EntropyGuard], Callable[[FrameType, str, Any], None]]) -> Iterator[EntropyGuard]:
    guard = EntropyGuard()
    before = sys.getprofile()
    sys.setprofile(make(guard))
    try:
        yield guard
    except Exception as error:
        if guard.violations and error not in guard.violations:
            raise guard.violations[0] from error  # what the code or its workflow has made of it
        raise
    finally:
        sys.setprofile(before)
    if guard.violations:
        raise guard.violations[0]


def _runs_workflow_code() -> bool:
    return RUNNING.get() is not None or READING.get() is not None


def _watcher(
    guard: EntropyGuard, judges: Callable[[], bool], worded: Callable[[str, str, str], EntropyError]
) -> Callable[[FrameType, str, Any], None]:
    def watch(frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            found = _builtin(arg)
            caller: FrameType | None = frame
        elif event == "call":
            found = _CODES.get(frame.f_code)
            if found is None and frame.f_code is _RANDOM_INIT and frame.f_locals.get("x") is None:
                found = ("random.Random() without a seed", _CHANCE)
            caller = frame.f_back
        else:
            return
        if found is None or not judges():
            return
        where = _place(caller)
        if where is not None:
            error = worded(*found, where)
            guard.violations.append(error)
            # Python takes a hook away that raises, so this is the first and only one on the spot.
            raise error

    return watch


def _workflow_error(call: str, instead: str, where: str) -> EntropyError:
    return EntropyError(
        f"{where}: workflow code calls {call}, which gives something else at every replay; use {instead}",
        call=call,
        where=where,
    )


# -- what is forbidden ---------------------------------------------------------------------------------


def _builtins() -> dict[Any, tuple[str, str]]:
    found: dict[Any, tuple[str, str]] = {}
    for modules, names, instead in (
        ((time, os), _CLOCK_NAMES, _CLOCK),
        ((os, random), _CHANCE_NAMES, _CHANCE),
        ((os, socket, builtins, io), _WORLD_NAMES, _WORLD),
    ):
        for module in modules:
            for name in names:
                function = getattr(module, name, None)
                if function is not None and not hasattr(function, "__code__"):
                    found.setdefault(function, (f"{module.__name__}.{name}()", instead))
    found[time.sleep] = ("time.sleep()", _SLEEP)
    found[builtins.open] = ("open()", _WORLD)
    shared = random._inst  # whose methods the module's functions are
    found[super(random.Random, shared).seed] = ("random.seed()", _CHANCE)
    thread: Any = threading
    for name in ("_start_new_thread", "_start_joinable_thread"):
        if (function := getattr(thread, name, None)) is not None:
            found[function] = ("threading.Thread.start()", _THREAD)
    return found


def _codes() -> dict[CodeType, tuple[str, str]]:
    functions: dict[Any, tuple[str, str]] = {
        uuid.uuid1: ("uuid.uuid1()", _CHANCE),
        uuid.uuid4: ("uuid.uuid4()", _CHANCE),
        uuid.getnode: ("uuid.getnode()", _WORLD),
        secrets.token_bytes: ("secrets.token_bytes()", _CHANCE),
        threading.Thread.start: ("threading.Thread.start()", _THREAD),
        socket.socket.__init__: ("socket.socket()", _WORLD),
        subprocess.Popen.__init__: ("subprocess.Popen()", _WORLD),
        random.SystemRandom.random: ("random.SystemRandom()", _CHANCE),
        random.SystemRandom.getrandbits: ("random.SystemRandom()", _CHANCE),
    }
    return {function.__code__: words for function, words in functions.items()}


_BUILTINS: Final = _builtins()
_CODES: Final = _codes()
_RANDOM_INIT: Final = random.Random.__init__.__code__
_NOW_NAMES: Final = frozenset({"now", "utcnow", "today"})


def _builtin(function: Any) -> tuple[str, str] | None:
    try:
        found = _BUILTINS.get(function)
    except TypeError:  # bound to something that has no hash
        return None
    if found is None and getattr(function, "__name__", None) in _NOW_NAMES:
        owner = getattr(function, "__self__", None)
        if isinstance(owner, type) and issubclass(owner, dt.date):
            return f"{owner.__name__}.{function.__name__}()", _CLOCK
    return found


# -- whose line it is ----------------------------------------------------------------------------------

_SIDE_EFFECT: Final = frozenset({commands._drawn.__code__})
"""What runs a side effect, which may do all this."""


def _place(frame: FrameType | None) -> str | None:
    """Name the line of the user's that has led to a call, or None when nobody is to blame."""
    found = users_frame(frame, may=_SIDE_EFFECT)
    return None if found is None else f"{found.f_code.co_filename}:{found.f_lineno}"
