"""Trusting a poisoned store again: for `treadle log verify --clear`, once everything else was checked."""

# Plain strings, as everywhere beside SQLite.
# ruff: noqa: PTH105, PTH120, PTH123
from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from treadle.errors import StoreUnavailableError
from treadle.stores.sqlite.files import WAL_SUFFIX, is_held, sync_fully
from treadle.stores.sqlite.poison import marker_path, remove_marker, sync_directory

RENEWED_SUFFIX: Final = "-wal-renewed"
"""Of the log that is to replace a poisoned store's: left over when its making was killed."""


def clear_poison(path: str | os.PathLike[str]) -> bool:
    """Make a poisoned store one that can be opened again.

    First its log is written anew. After a failed fsync the system takes for written what it may have
    dropped, and no later fsync writes it: a checkpoint would copy such a log into the file, and a power cut
    in the middle leave half of a commit in the file and nothing in the log. While the marker is there nobody
    opens the store, so that now, and only now, the log can be replaced.

    Args:
        path: the store's file.

    Returns:
        Whether it was poisoned.

    Raises:
        StoreUnavailableError: a process still has it open; the marker stays.
        OSError: the log could not be written; the marker stays.
    """
    real = os.path.realpath(path)
    if not os.path.lexists(marker_path(real)):
        return False
    if is_held(real):
        raise StoreUnavailableError(
            f"{real}: a process still has it open, and may write to its log; end it, then run treadle log"
            " verify --clear again"
        )
    _renew_wal(real)
    return remove_marker(real)


def _renew_wal(path: str) -> None:
    log = Path(path + WAL_SUFFIX)
    content = log.read_bytes() if log.exists() else b""
    if not content:
        return
    draft = path + RENEWED_SUFFIX
    with open(draft, "wb") as file:
        file.write(content)
        file.flush()
        sync_fully(file.fileno())
    os.replace(draft, log)
    sync_directory(os.path.dirname(path))
