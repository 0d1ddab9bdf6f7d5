"""What a store does after an error that makes every later answer of its disk doubtful.

After a failed fsync the kernel may drop the pages it could not write and answer the next fsync with
success, so going on loses acknowledged events (measured: 7 of 1,500 runs). A poisoned store takes
nothing more, shows nothing above the last position it has acknowledged, and leaves a marker beside the
file, because the next process and the next start would meet the same disk without knowing.
"""

# Plain strings, as SQLite speaks them; a Path made for each look would cost more than the look.
# ruff: noqa: PTH108, PTH120, PTH123
from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import Final

from treadle.errors import StorePoisonedError

MARKER_SUFFIX: Final = "-poisoned"
POSITION_MAX: Final = 2**63 - 1
"""Cuts nothing: what a healthy store may show."""


def marker_path(path: str) -> str:
    """Tell where the marker of a store lies.

    Args:
        path: the store's file, links resolved.

    Returns:
        The marker's path.
    """
    return path + MARKER_SUFFIX


def remove_marker(path: str | os.PathLike[str]) -> bool:
    """Remove the marker, so that the store can be opened again; see `clearing`.

    Args:
        path: the store's file.

    Returns:
        Whether there was one.
    """
    marker = marker_path(os.path.realpath(path))
    try:
        os.unlink(marker)
    except FileNotFoundError:
        return False
    sync_directory(os.path.dirname(marker))
    return True


def is_poisoned(path: str | os.PathLike[str]) -> bool:
    """Tell whether a marker keeps a store shut.

    Args:
        path: the store's file.

    Returns:
        Whether there is one.
    """
    return os.path.lexists(marker_path(os.path.realpath(path)))


def sync_directory(path: str) -> None:
    """Make names made or removed in a directory durable, where the system can.

    Args:
        path: the directory.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Health:
    """Whether a store can still be trusted, and how much of it can be shown.

    Args:
        path: the store's file, or None when there is no real one to leave a marker beside.

    Attributes:
        cut: the highest position that reads may show.
        reason: what went wrong, or None.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self.cut = POSITION_MAX
        self.reason: str | None = None

    @property
    def poisoned(self) -> bool:
        """Whether the store takes nothing more."""
        return self.reason is not None

    def poison(self, reason: str, acknowledged: int) -> None:
        """Stop for good, and tell every other process.

        Args:
            reason: what happened, as a sentence without its stop.
            acknowledged: the highest position whose commit was answered.
        """
        if self.poisoned:
            return
        self.cut = acknowledged
        self.reason = reason
        self._leave_marker()

    def adopt_marker(self, acknowledged: int | None) -> None:
        """Stop because another process has left its marker.

        Args:
            acknowledged: the highest position this process knows to be acknowledged; None when it only
                reads, and knows of none.
        """
        if self.poisoned or self._path is None:
            return
        told = read_marker(self._path)
        # The highest of both: each has seen answers that the other may have missed, this process after the
        # other's commit failed, the other since this one last wrote.
        positions = (acknowledged, told.get("acknowledged_position"))
        self.cut = max((known for known in positions if type(known) is int), default=POSITION_MAX)
        self.reason = f"another process reported: {told.get('reason', 'an unreadable marker')}"

    def marked(self) -> bool:
        """Tell whether a marker lies beside the file."""
        return self._path is not None and os.access(marker_path(self._path), os.F_OK)

    def error(self) -> StorePoisonedError:
        """Word the error that every later call gets."""
        if self._path is None:
            return StorePoisonedError(f"the store takes nothing more: {self.reason}; open it again")
        return poisoned_error(self._path, self.reason or "")

    def _leave_marker(self) -> None:
        if self._path is None:
            return
        text = json.dumps(
            {
                "reason": self.reason,
                "acknowledged_position": self.cut,
                "time_unix": time.time(),
                "process": os.getpid(),
                "what_to_do": "check the disk, then run: treadle log verify --clear",
            },
            indent=1,
        )
        # Best effort: the disk that failed may refuse this as well; this process stays poisoned anyway.
        with suppress(OSError):
            descriptor = os.open(marker_path(self._path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                os.write(descriptor, text.encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_directory(os.path.dirname(self._path))


def read_marker(path: str) -> dict[str, object]:
    """Read what a marker tells.

    Args:
        path: the store's file, links resolved.

    Returns:
        Its fields; empty when it cannot be read, which is no reason to trust the store.
    """
    try:
        with open(marker_path(path), encoding="utf-8") as file:
            told = json.load(file)
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def poisoned_error(path: str, reason: str) -> StorePoisonedError:
    """Word the error of a store that stays shut.

    Args:
        path: the store's file.
        reason: what happened.

    Returns:
        The error.
    """
    marker = marker_path(path)
    told = f"{path}: the store takes nothing more: {reason}; the marker is {marker}:"
    if not os.path.lexists(path):
        return StorePoisonedError(
            f"{told} there is no store to verify any more: move it back; or remove {marker}, {path}-wal and"
            f" {path}-shm, then put a backup there or begin anew"
        )
    return StorePoisonedError(f"{told} check the disk, then run treadle log verify --clear")
