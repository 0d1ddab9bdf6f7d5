"""What can be read of a damaged store goes into a new file; what cannot is named.

From the outside in: `salvage` below (the order of the steps), `writing` (the new file), `planning` (which
stretch keeps the id), `chains` (which events are sound), `staging` (rows told by their shape), `pages` (file
and write-ahead log), `cells` (b-tree pages without SQLite).
"""

# Plain strings, as SQLite speaks them; a Path made for each look would cost more than the look.
# ruff: noqa: PTH108, PTH120
from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final

import apsw
import attrs

from treadle.errors import CorruptStoreError, StoreUnavailableError
from treadle.stores.sqlite import files
from treadle.stores.sqlite.copying import check_target, publish
from treadle.stores.sqlite.poison import sync_directory
from treadle.stores.sqlite.salvaging.chains import Log, find_logs
from treadle.stores.sqlite.salvaging.pages import Pages, open_pages
from treadle.stores.sqlite.salvaging.planning import Placed, Plan
from treadle.stores.sqlite.salvaging.staging import stage
from treadle.stores.sqlite.salvaging.writing import Counts, FactsOf, Writer, make_file

STAGE_CACHE_SIZE_KIBIBYTES: Final = 65_536
"""Of the rows under work; the rest lies in a file beside the new one."""
_DIGEST_AT: Final = """
SELECT e.digest FROM events AS e JOIN kept AS k ON k.staged = e.rowid WHERE e.workflow = ? AND e.seq = ?
"""


@attrs.frozen(slots=True)
class LostEvents:
    """Events of one log that are not sound, or not there.

    Attributes:
        workflow_id: the log, as the new file calls it; a made-up name where the id is lost.
        first_seq: the first of them.
        last_seq: the last.
    """

    workflow_id: str
    first_seq: int
    last_seq: int


@attrs.frozen(slots=True)
class Aside:
    """A further stretch of a log, kept under a name of its own.

    Attributes:
        workflow_id: the log.
        kept_as: the name.
        first_seq: its first seq.
        last_seq: its last.
    """

    workflow_id: str
    kept_as: str
    first_seq: int
    last_seq: int


@attrs.frozen(slots=True)
class Salvaged:
    """What became of a damaged store.

    Attributes:
        pages: how many pages it has.
        pages_unread: how many the disk could not read.
        wal_is_damaged: whether a part of its write-ahead log could not be believed.
        logs: how many logs are in the new file under their own ids.
        counts: what else is there, and what is lost beside events.
        lost: events that are lost.
        asides: further stretches, under names of their own.
        lost_names: logs whose ids are lost, under the names that were made up for them.
        lost_logs: logs that are known by name and of which no event could be read.
    """

    pages: int
    pages_unread: int
    wal_is_damaged: bool
    logs: int
    counts: Counts
    lost: tuple[LostEvents, ...]
    asides: tuple[Aside, ...]
    lost_names: tuple[str, ...]
    lost_logs: tuple[str, ...]


def salvage(
    path: str, new_path: str, facts_of: FactsOf, advance: Callable[[float], None] = lambda _: None
) -> Salvaged:
    """Save what is sound of a damaged store; the store itself is not changed.

    Args:
        path: the damaged store's file.
        new_path: the new one's; nothing may exist there.
        facts_of: tells a log's head facts by its events, and whether those that were kept fit.
        advance: told for each page that it is read.

    Returns:
        What became of it.

    Raises:
        UsageError: there is something at the new path.
        StoreUnavailableError: there is no damaged store, a process has it open, or the new file cannot be
            written.
        StoreFormatError: it is somebody else's database, or of a newer treadle.
        CorruptStoreError: nothing of a store can be found in it.
    """
    path, new_path = os.path.realpath(path), os.path.realpath(new_path)
    check_target(new_path)
    draft = f"{new_path}.new-{secrets.token_hex(4)}"
    stage_path = f"{draft}.stage"
    try:
        with files.OPENING:
            _check_source(path)
            with open_pages(path) as pages:
                salvaged = _salvage(pages, path, draft, stage_path, facts_of, advance)
        publish(draft, new_path)
        sync_directory(os.path.dirname(new_path))
    except OSError as error:
        raise StoreUnavailableError(f"{error.filename or new_path}: {error.strerror or error}") from error
    except apsw.Error as error:
        raise StoreUnavailableError(f"{new_path}: cannot be written: {error}") from error
    finally:
        for leftover in (draft, stage_path, f"{draft}-journal", f"{stage_path}-journal"):
            with suppress(OSError):
                os.unlink(leftover)
    return salvaged


def _check_source(path: str) -> None:
    if not os.path.isfile(path):  # noqa: PTH113 - as above
        raise StoreUnavailableError(f"{path}: there is no such file; check the path")
    if files.is_held(path):
        raise StoreUnavailableError(f"{path}: a process has it open; end it first, so that nothing changes")


def _salvage(
    pages: Pages,
    path: str,
    draft: str,
    stage_path: str,
    facts_of: FactsOf,
    advance: Callable[[float], None],
) -> Salvaged:
    with ExitStack() as stack:
        staged = apsw.Connection(stage_path)
        stack.callback(staged.close)
        staged.pragma("journal_mode", "OFF")
        staged.pragma("synchronous", "OFF")
        staged.pragma("cache_size", -STAGE_CACHE_SIZE_KIBIBYTES)
        # One transaction: each end of one would write what the next changes again.
        staged.execute("BEGIN")
        unread = stage(staged, pages, advance)
        logs = {log.key: log for log in find_logs(staged)}
        staged.execute("COMMIT")
        if not logs:
            raise CorruptStoreError(
                f"{path}: nothing of a treadle store can be found in it; restore a backup"
            )
        plan = Plan(logs, lambda key, seq: staged.execute(_DIGEST_AT, (key, seq)).get)
        new = make_file(draft)
        stack.callback(new.close)
        writer = Writer(new, staged, stage_path)
        writer.write(plan, facts_of)
        new.pragma("journal_mode", "WAL")
        return _told(pages, unread, logs, plan, writer.counts)


def _told(pages: Pages, unread: int, logs: dict[int, Log], plan: Plan, counts: Counts) -> Salvaged:
    names = {placed.of.key: placed.name for placed in plan.placed if placed.is_main}
    names |= {log.key: log.name for log in logs.values() if log.name is not None}
    asides = [_aside(names, placed) for placed in plan.placed if not placed.is_main]
    there = {placed.of.key for placed in plan.placed}
    return Salvaged(
        pages=pages.count,
        pages_unread=unread,
        wal_is_damaged=pages.wal_is_damaged,
        logs=sum(placed.is_main and placed.stretch is not None for placed in plan.placed),
        counts=counts,
        lost=tuple(
            LostEvents(names.get(log.key, f"lost-name-{log.key}"), *span)
            for log in logs.values()
            for span in log.lost
        ),
        asides=tuple(asides),
        lost_names=tuple(names[log.key] for log in logs.values() if log.name is None and log.key in names),
        lost_logs=tuple(log.name for log in logs.values() if log.key not in there and log.name is not None),
    )


def _aside(names: dict[int, str], placed: Placed) -> Aside:
    stretch = placed.stretch
    first, last = (0, 0) if stretch is None else (stretch.first, stretch.last)
    return Aside(names.get(placed.of.key, placed.name), placed.name, first, last)


__all__ = ["Aside", "Counts", "FactsOf", "LostEvents", "Salvaged", "salvage"]
