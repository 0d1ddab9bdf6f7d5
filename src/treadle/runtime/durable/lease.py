"""The lease: at most one runtime in the world runs a store's workflows.

An OS lock on a file beside the store's own, freed by the kernel when its holder dies, and a register for
this process, because two runtimes of one process would otherwise only see each other's lock and could not
say so. Neither is what safety rests on: the epoch, raised after the lock was taken, travels with every
unit of the engine, and the store refuses an older one.

The lock file stays when its holder goes: removing it would let a third process lock a file that a fourth
no longer finds. What it holds (process, host, since when) is for the error's text only.

On a system without `fcntl` (Windows) the lock is taken through `msvcrt` on the file's first byte.
"""

# Plain strings and calls, as in the stores: the path is the store's own with a suffix.
from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import Final

import attrs

from treadle.errors import RunnerBusyError, StoreUnavailableError
from treadle.stores import Store

LOCK_SUFFIX: Final = ".runner"
PROBES_MAX: Final = 5
"""How often a lock found taken is tried again before it counts as taken: somebody who only looks holds it
for some microseconds."""
PROBE_PAUSE_SECONDS: Final = 0.002
_NOTE_SIZE_BYTES_MAX: Final = 4096
_WHILE_LOCKED_BYTE: Final = 1 << 30
"""The byte that Windows locks: far behind the note, which others must be able to read."""

_register_lock = threading.Lock()
_register: dict[object, str] = {}
"""Where a runner lives in this process: the store's file, or the store itself when it has none."""


@attrs.frozen(slots=True)
class Holder:
    """Who runs a store's workflows, as far as it can be told.

    Attributes:
        pid: the process; 0 when the note could not be read.
        host: the machine; empty when the note could not be read.
        since_unix: when it took over, in seconds since 1970; 0 when the note could not be read.
    """

    pid: int = 0
    host: str = ""
    since_unix: float = 0.0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "another process"


class Lease:
    """The right to run a store's workflows; from `take_lease`."""

    def __init__(self, place: object, descriptor: int | None) -> None:
        self._place = place
        self._descriptor = descriptor

    def release(self) -> None:
        """Let another runner take over; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            # Closing the only descriptor of this opening frees the lock.
            os.close(descriptor)
        with _register_lock:
            _register.pop(self._place, None)


def take_lease(store: Store) -> Lease | Holder:
    """Take the lease of a store, if nobody has it. Blocks for some milliseconds at most.

    Args:
        store: the store.

    Returns:
        The lease, or who has it.

    Raises:
        StoreUnavailableError: the lock file cannot be made; no runner can live on this store.
    """
    place = _place_of(store)
    with _register_lock:
        if place in _register:
            return Holder(os.getpid(), socket.gethostname())
        _register[place] = "taking"
    taken: Lease | Holder | None = None
    try:
        taken = Lease(place, None) if store.path is None else _lock_file(place, store.path + LOCK_SUFFIX)
        return taken
    finally:
        if not isinstance(taken, Lease):
            with _register_lock:
                del _register[place]


def find_holder(store: Store) -> Holder | None:
    """Look who runs a store's workflows, without disturbing anybody for long.

    Args:
        store: the store.

    Returns:
        The runner, or None when there is none.
    """
    place = _place_of(store)
    with _register_lock:
        if place in _register:
            return Holder(os.getpid(), socket.gethostname())
    if store.path is None:
        return None
    try:
        descriptor = os.open(store.path + LOCK_SUFFIX, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    except OSError:
        # A lock that cannot even be looked at may well be somebody's.
        return Holder()
    try:
        return None if _try_lock(descriptor, shared=True) else _read_note(descriptor)
    finally:
        os.close(descriptor)


def busy_error(store: Store, holder: Holder) -> RunnerBusyError:
    """Word the error for a runner that does not want to stand by.

    Args:
        store: the store.
        holder: who runs its workflows.

    Returns:
        The error.
    """
    return RunnerBusyError(
        f"{store.url}: {holder} runs this store's workflows already; end it first, or open with standby=True"
        " to take over when it ends",
        pid=holder.pid,
        host=holder.host,
    )


def _place_of(store: Store) -> object:
    return store.path if store.path is not None else id(store)


def _lock_file(place: object, path: str) -> Lease | Holder:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    except OSError as error:
        raise StoreUnavailableError(
            f"{path}: the runner's lock cannot be made ({error.strerror}), so nobody could tell whether"
            " another runs these workflows; change the directory's rights"
        ) from error
    for _ in range(PROBES_MAX):
        if _try_lock(descriptor, shared=False):
            _write_note(descriptor)
            return Lease(place, descriptor)
        time.sleep(PROBE_PAUSE_SECONDS)
    holder = _read_note(descriptor)
    os.close(descriptor)
    return holder


def _write_note(descriptor: int) -> None:
    note = {"pid": os.getpid(), "host": socket.gethostname(), "since_unix": round(time.time(), 3)}
    # Only for the text of an error: a full disk must not keep anybody from running.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(note).encode())


def _read_note(descriptor: int) -> Holder:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        note = json.loads(os.read(descriptor, _NOTE_SIZE_BYTES_MAX))
        return Holder(int(note["pid"]), str(note["host"]), float(note["since_unix"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Holder()


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        os.lseek(descriptor, _WHILE_LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        if shared:
            os.lseek(descriptor, _WHILE_LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        return True

else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        # flock, not lockf: its locks belong to the opening, so that no other descriptor of this process
        # frees them when it is closed.
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
