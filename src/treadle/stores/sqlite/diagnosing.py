"""Looks at everything around a store that may be wrong, one check after the other, and changes nothing.

Each check is a function that gives findings; a check whose ground is missing (no file, no header) ends the
examination, because those behind it would only say the same in other words.
"""

# Plain strings, as SQLite speaks them; a Path made for each look would cost more than the look.
# ruff: noqa: PTH110, PTH116, PTH120, PTH208
from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import Final, Literal

import apsw
import attrs

from treadle.errors import StoreError
from treadle.stores.contract import Damage
from treadle.stores.sqlite import files, schema
from treadle.stores.sqlite.checking import check_structure
from treadle.stores.sqlite.clearing import RENEWED_SUFFIX
from treadle.stores.sqlite.faults import RESTORE
from treadle.stores.sqlite.inspecting import FileFacts, inspect_file, looking
from treadle.stores.sqlite.poison import marker_path, read_marker

State = Literal["ok", "notice", "wrong"]

WAL_SIZE_BYTES_NOTED: Final = 256 * 1024 * 1024
"""A write-ahead log that is larger was kept from being begun anew for a long time."""
FREE_SHARE_NOTED: Final = 0.25
"""Of the pages; fewer free ones will be used again soon."""
ROOM_SHARE_NOTED: Final = 0.1
"""Of the file's size: with less room on the disk a checkpoint or a backup may find none."""
CLOCK_SLACK_SECONDS: Final = 60
"""By how much an event or a file may be ahead of the clock, as other machines' clocks are."""
CLOCK_EARLIEST_UNIX: Final = 1_704_067_200
"""2024-01-01: an earlier clock was never set."""
STRUCTURE_NAMED_MAX: Final = 5
_WRITE_LOCK_BYTE: Final = 120
_NEWEST: Final = "SELECT timestamp FROM events ORDER BY position DESC LIMIT 1"


@attrs.frozen(slots=True)
class Diagnosis:
    """What one check has found.

    Attributes:
        check: which one.
        state: whether that is as it should be, worth knowing, or wrong.
        found: what there is.
        means: what that means; empty when all is well.
        advice: what to do; empty when all is well.
    """

    check: str
    state: State
    found: str
    means: str = ""
    advice: str = ""


class _Ended(Exception):  # noqa: N818 - no error: nothing is left to look at
    """The checks behind this one have no ground to stand on."""


def diagnose(path: str, now_unix: float | None = None) -> Iterator[Diagnosis]:
    """Make every check there is; nothing is changed.

    Args:
        path: the store's file.
        now_unix: the time, in seconds since 1970; None asks the clock.

    Yields:
        One finding of each check, as they come; the check of the structure reads the whole file.
    """
    path = os.path.realpath(path)
    now = time.time() if now_unix is None else now_unix
    yield _library()
    try:
        for check in _CHECKS:
            yield from check(path)
        yield from _of_facts(inspect_file(path))
        yield _clock(path, now)
        yield _structure(path)
    except _Ended:
        return
    except StoreError as error:
        advice = f"treadle log salvage saves what can be read; or {RESTORE}"
        yield Diagnosis("structure", "wrong", str(error), "SQLite cannot read it", advice)


def _library() -> Diagnosis:
    version = apsw.sqlite_lib_version()
    try:
        schema.check_sqlite_version(version)
    except StoreError as error:
        return Diagnosis(
            "SQLite",
            "wrong",
            str(error),
            "commits may be lost when a checkpoint meets a writer",
            "upgrade apsw",
        )
    return Diagnosis("SQLite", "ok", f"version {version}, without the WAL-reset bug")


def _file(path: str) -> Iterator[Diagnosis]:
    if not os.path.exists(path):
        found = f"{path} does not exist"
        yield Diagnosis(
            "file", "wrong", found, "there is no store here", "check the path, or restore a backup"
        )
        raise _Ended
    try:
        files.check_path(path)
    except StoreError as error:
        yield Diagnosis("file", "wrong", str(error), "treadle does not open it", "see what it says")
        raise _Ended from None
    yield Diagnosis("file", "ok", f"{path}, a regular file with one name")


def _rights(path: str) -> Iterator[Diagnosis]:
    folder = os.path.dirname(path)
    if not os.access(path, os.R_OK):
        found = "the file cannot be read"
        yield Diagnosis(
            "permissions", "wrong", found, "nobody like you can use it", f"change the rights of {path}"
        )
        raise _Ended
    unwritable = [
        name for name, may in ((path, os.W_OK), (folder, os.W_OK | os.X_OK)) if not os.access(name, may)
    ]
    if unwritable:
        yield Diagnosis(
            "permissions",
            "wrong",
            f"you cannot write to {' and '.join(unwritable)}",
            "it can be read, but nothing is appended; the write-ahead log lies in the folder",
            "change the rights, or look for who owns it",
        )
        return
    if os.stat(path).st_mode & stat.S_IWOTH:
        found = "everybody on this machine can write to the file"
        yield Diagnosis(
            "permissions", "notice", found, "digests show changes, not who made them", f"chmod o-w {path}"
        )
        return
    yield Diagnosis("permissions", "ok", "file and folder can be read and written")


def _header(path: str) -> Iterator[Diagnosis]:
    try:
        files.check_content(path)
    except StoreError as error:
        yield Diagnosis(
            "header",
            "wrong",
            str(error),
            "it is no store of this treadle, or was damaged at its beginning or end",
            f"treadle log salvage saves what can be read; or {RESTORE}",
        )
        raise _Ended from None
    yield Diagnosis("header", "ok", "a treadle store, as long as its header says")


def _poison(path: str) -> Iterator[Diagnosis]:
    if not os.path.lexists(marker_path(path)):
        yield Diagnosis("poison marker", "ok", "none")
        return
    reason = read_marker(path).get("reason", "it cannot be read")
    yield Diagnosis(
        "poison marker",
        "wrong",
        f"{marker_path(path)}: {reason}",
        "a write or fsync failed, so the disk may have lost what it said it had; the store stays shut",
        "check the disk, then run treadle log verify --clear",
    )


def _wal(path: str) -> Iterator[Diagnosis]:
    size_bytes = files.size_bytes(path + files.WAL_SUFFIX)
    try:
        files.check_wal(path)
    except StoreError as error:
        yield Diagnosis(
            "write-ahead log",
            "wrong",
            str(error),
            "commits that were acknowledged lie behind the damage",
            "treadle log salvage saves them; or restore a backup",
        )
        raise _Ended from None
    if size_bytes > WAL_SIZE_BYTES_NOTED:
        yield Diagnosis(
            "write-ahead log",
            "notice",
            f"{size_bytes:,} bytes",
            "it could not be begun anew for long: some process keeps an old reading transaction open",
            "look for a process that has the store open and hangs",
        )
        return
    held = files.is_held(path)
    yield Diagnosis(
        "write-ahead log", "ok", f"{size_bytes:,} bytes" + (", in use, not scanned" if held else ", sound")
    )


def _locks(path: str) -> Iterator[Diagnosis]:
    if not files.is_held(path):
        yield Diagnosis("locks", "ok", "no process has it open")
    elif files.is_locked_in_memory(path, _WRITE_LOCK_BYTE):
        found = "a process has it open and writes right now"
        means = "usual for a moment; if it is so each time you look, that process hangs"
        yield Diagnosis("locks", "notice", found, means, "look again, then for the process that hangs")
    else:
        yield Diagnosis("locks", "ok", "some process has it open, and does not write right now")


def _drafts(path: str) -> Iterator[Diagnosis]:
    folder, name = os.path.split(path)
    drafts = sorted(
        found
        for found in os.listdir(folder)
        if found.startswith(f"{name}.new-") or found == name + RENEWED_SUFFIX
    )
    if drafts:
        yield Diagnosis(
            "left-over drafts",
            "notice",
            ", ".join(drafts),
            "a backup, an export, a new store or log verify --clear was killed; nobody reads them",
            "remove them, unless one is being made right now",
        )
        return
    yield Diagnosis("left-over drafts", "ok", "none")


def _of_facts(facts: FileFacts) -> Iterator[Diagnosis]:
    newest = schema.SCHEMA_VERSION
    if facts.schema_version < newest:
        yield Diagnosis(
            "schema",
            "notice",
            f"version {facts.schema_version}, this treadle's is {newest}",
            "it is brought up to date when it is next opened for writing; until then it cannot be read only",
            "treadle store migrate, after a backup",
        )
    else:
        yield Diagnosis("schema", "ok", f"version {facts.schema_version}")
    yield _room(facts)
    share = facts.pages_free / max(facts.pages, 1)
    if facts.events_unreclaimed or share > FREE_SHARE_NOTED:
        yield Diagnosis(
            "space",
            "notice",
            f"{facts.events_unreclaimed:,} events of no log,"
            f" {facts.pages_free:,} of {facts.pages:,} pages free",
            "deleted and pruned events are removed in small steps, and their pages used again",
            "treadle store prune removes the rest; treadle store vacuum gives free pages back",
        )
    else:
        yield Diagnosis("space", "ok", f"{facts.pages_free:,} of {facts.pages:,} pages free")


def _room(facts: FileFacts) -> Diagnosis:
    found = os.statvfs(os.path.dirname(facts.path))
    room = found.f_bavail * found.f_frsize
    told = f"{room:,} bytes free, the store takes {facts.size_bytes + facts.wal_size_bytes:,}"
    if room < facts.size_bytes * ROOM_SHARE_NOTED:
        means = "an append that finds no room is refused and changes nothing; a backup needs as much again"
        return Diagnosis("room on the disk", "notice", told, means, "free some space")
    return Diagnosis("room on the disk", "ok", told)


def _clock(path: str, now: float) -> Diagnosis:
    if now < CLOCK_EARLIEST_UNIX:
        return Diagnosis(
            "clock",
            "wrong",
            "it was never set",
            "new events get wrong times, timers fire late",
            "set the clock",
        )
    ahead = os.stat(path).st_mtime - now
    with looking(path) as readers:
        newest = readers.ask(lambda connection: connection.execute(_NEWEST).get)
    if type(newest) is int:
        ahead = max(ahead, newest / 1e9 - now)
    if ahead > CLOCK_SLACK_SECONDS:
        return Diagnosis(
            "clock",
            "notice",
            f"the file or its newest event is {ahead:,.0f} seconds ahead of it",
            "either the clock was set back, or the event's time was given so; timers go by the clock",
            "compare the clock with another machine's",
        )
    return Diagnosis("clock", "ok", "not behind the newest event")


def _structure(path: str) -> Diagnosis:
    with looking(path) as readers:
        damage = readers.ask(_structure_damage)
    if damage is None:
        return Diagnosis("structure", "ok", "not looked at: it is of an older version")
    if not damage:
        return Diagnosis(
            "structure", "ok", "pages, indices and rows fit; treadle log verify reads the chains too"
        )
    named = "; ".join(found.message for found in damage[:STRUCTURE_NAMED_MAX])
    more = f"; and {len(damage) - STRUCTURE_NAMED_MAX} more" if len(damage) > STRUCTURE_NAMED_MAX else ""
    return Diagnosis(
        "structure",
        "wrong",
        named + more,
        "what is stored is not what was written",
        f"treadle log verify names the logs, treadle log salvage saves what is sound; or {RESTORE}",
    )


def _structure_damage(connection: apsw.Connection) -> list[Damage] | None:
    version = int(connection.pragma("user_version"))
    return check_structure(connection) if version == schema.SCHEMA_VERSION else None


_CHECKS: Final[tuple[Callable[[str], Iterator[Diagnosis]], ...]] = (
    _file,
    _rights,
    _drafts,
    _poison,
    _header,
    _locks,
    _wal,
)
"""In the order in which each needs those before it."""
