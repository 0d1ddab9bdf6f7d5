"""Removing what no log shows any more and writing anew what stays, in steps that cost no more than a group.

Appends wait for a step as they wait for a commit. How many events it may touch says little of that: a
thousand of one log lie in forty pages or in a thousand, and one of sixteen megabytes in four thousand. So a
step is priced in pages, before it touches them: those that it will change, and those that it frees (another
one is written in the place of each). What was changed is written and synced when the step is over, which no
clock can tell before. The clock is looked at as well, because a page that the disk has to be asked for takes
longer than one that is at hand.

Nothing here goes row by row in Python: each row would let go of the interpreter's lock, and getting that back
from a busy Trio thread is what a step would mostly wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import apsw

STEP_PAGES: Final = 256
"""What a step may cost, in pages: a mebibyte, less than the smallest full group of a runtime writes."""
STEP_SECONDS: Final = 0.01
"""After how long a step takes on nothing more: a part of what a full group takes on the same disk."""
PORTION_EVENTS: Final = 64
"""How many events a step removes between two looks at the clock, at most."""
PORTION_PAGES: Final = 32
"""How many free pages a step gives back between two looks at the clock, and however much it has cost yet."""
FREED_PAGES_PRICE: Final = 2
"""What a page that becomes free costs: another one is written in its place, and what points to that one."""

_NS: Final = 1_000_000_000
_PAGE_SIZE_BYTES: Final = 4_096
_ROW_SIZE_BYTES: Final = 64
_WAITS: Final = 2
"""Of a log some of whose rows are out of sight and shared: looked at again when a branch has gone."""

_NEXT: Final = "SELECT workflow, first_kept_seq FROM beginnings WHERE reclaimed = 0 ORDER BY workflow LIMIT 1"
_SHARED_OF: Final = "SELECT min(from_seq), max(to_seq) FROM ranges WHERE source = ?"
_SETTLE: Final = "UPDATE beginnings SET reclaimed = ? WHERE workflow = ?"
_UNSETTLE: Final = f"""
UPDATE beginnings SET reclaimed = 0
WHERE reclaimed = {_WAITS} AND workflow IN (SELECT source FROM ranges WHERE workflow = ?)
"""  # noqa: S608 - this page's own number
# A row lies in another page than the one before it, unless their positions follow each other. The length of
# a payload is known without reading it.
_PRICED: Final = f"""
SELECT count(*), max(seq), max(price) FROM (
    SELECT seq, row_number() OVER up AS place, sum(apart + size / {_PAGE_SIZE_BYTES}.0) OVER up AS price
    FROM (
        SELECT seq, size, position - lag(position, 1, -1) OVER (ORDER BY seq) != 1 AS apart FROM (
            SELECT seq, position, length(payload) + {_ROW_SIZE_BYTES} AS size FROM events
            WHERE workflow = ? AND seq >= ? AND seq < ? ORDER BY seq LIMIT ?
        )
    ) WINDOW up AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)
) WHERE price <= ? OR place = 1
"""  # noqa: S608 - as above
_REMOVE: Final = "DELETE FROM events WHERE workflow = ? AND seq >= ? AND seq <= ?"
# Twice for a row that stands apart: its page, and the index's.
_HOLED: Final = f"""
SELECT sum(taken), max(position) FILTER (WHERE taken), count(*) FROM (
    SELECT position, price <= ? OR place = 1 AS taken FROM (
    SELECT position, row_number() OVER up AS place,
        sum(apart + moved + size / {_PAGE_SIZE_BYTES}.0) OVER up AS price
    FROM (
        SELECT position, size, position - lag(position, 1, -1) OVER (ORDER BY position) != 1 AS apart,
            workflow IS NOT lag(workflow) OVER (ORDER BY position) AS moved
        FROM (
            SELECT position, workflow, length(payload) + {_ROW_SIZE_BYTES} AS size FROM events
            WHERE position > ? ORDER BY position LIMIT ?
        )
    ) WINDOW up AS (ORDER BY position ROWS UNBOUNDED PRECEDING)
))
"""  # noqa: S608 - as above
_DRAFT: Final = "CREATE TEMP TABLE IF NOT EXISTS moving AS SELECT * FROM main.events WHERE 0"
_MOVE: Final = (
    "INSERT INTO temp.moving SELECT * FROM main.events WHERE position > ? AND position <= ?",
    "DELETE FROM main.events WHERE position > ? AND position <= ?",
)
_PUT_BACK: Final = (
    "INSERT INTO main.events SELECT * FROM temp.moving ORDER BY position",
    "DELETE FROM temp.moving",
)


class Step:
    """One step's purse.

    Args:
        connection: inside a transaction.
        now_ns: the clock.
    """

    def __init__(self, connection: apsw.Connection, now_ns: Callable[[], int]) -> None:
        self._connection = connection
        self._now_ns = now_ns
        self._end_ns = now_ns() + int(STEP_SECONDS * _NS)
        self._free = self.free_pages()
        self.freed = 0
        self.pages = float(STEP_PAGES)

    def free_pages(self) -> int:
        """Tell how many pages of the file are free."""
        return int(self._connection.execute("PRAGMA freelist_count").get)

    def pay(self, pages: float) -> None:
        """Pay for what was changed, and for what became free by it.

        Args:
            pages: the price.
        """
        free = self.free_pages()
        self.freed += max(0, free - self._free)
        self.pages -= pages + FREED_PAGES_PRICE * max(0, free - self._free)
        self._free = free

    def is_over(self) -> bool:
        """Tell whether nothing more may be taken on."""
        return self.pages < 1 or self.is_late()

    def is_late(self) -> bool:
        """Tell whether the time is up."""
        return self._now_ns() >= self._end_ns

    def give_back(self) -> None:
        """Give back as many pages as this step has freed and paid for, and a few that others have left."""
        wanted = min(self.free_pages(), max(self.freed, PORTION_PAGES))
        while wanted > 0:
            portion = min(wanted, PORTION_PAGES)
            self._connection.execute(f"PRAGMA incremental_vacuum({portion})").fetchall()
            wanted -= portion
            if self.is_late():
                return


def reclaim(connection: apsw.Connection, events_max: int, now_ns: Callable[[], int]) -> int:
    """Remove events that no log shows any more; see `Store.reclaim`.

    Args:
        connection: inside a transaction.
        events_max: the most events to remove.
        now_ns: the clock.

    Returns:
        How many were removed.
    """
    step, removed = Step(connection, now_ns), 0
    # A log that has nothing to remove costs a look, and is not met again; so some event is found, or none is.
    while removed < events_max and not (removed and step.is_over()):
        found: list[tuple[Any, ...]] = connection.execute(_NEXT).fetchall()
        if not found:
            break
        key, first_kept_seq = found[0]
        removed += _reclaim_log(step, connection, key, first_kept_seq, events_max - removed)
    step.give_back()
    return removed


def _reclaim_log(
    step: Step, connection: apsw.Connection, key: int, first_kept_seq: int, events_max: int
) -> int:
    needed: tuple[Any, ...] = connection.execute(_SHARED_OF, (key,)).fetchall()[0]
    needed_from, needed_to = needed
    # Between the first and the last seq that some branch shares everything stays: the gaps are rare.
    stretches = (
        [(0, first_kept_seq)]
        if needed_from is None
        else [(0, min(needed_from, first_kept_seq)), (needed_to + 1, first_kept_seq)]
    )
    removed = 0
    for begin_seq, end_seq in stretches:
        while portion := _remove(step, connection, (key, begin_seq, end_seq), events_max - removed):
            removed += portion
            if removed >= events_max or step.is_over():
                return removed
    connection.execute(_SETTLE, (1 if needed_from is None else _WAITS, key))
    return removed


def _remove(step: Step, connection: apsw.Connection, stretch: tuple[int, int, int], events_max: int) -> int:
    priced: tuple[Any, ...] = connection.execute(
        _PRICED, (*stretch, min(events_max, PORTION_EVENTS), step.pages)
    ).fetchall()[0]
    count, last_seq, price = priced
    if count:
        connection.execute(_REMOVE, (*stretch[:2], last_seq))
        step.pay(price)
    return int(count)


def look_again(connection: apsw.Connection, key: int) -> None:
    """See to it that what a branch has shared is looked at again, before it shares it no longer.

    Args:
        connection: inside a transaction.
        key: the branch's number in the file.
    """
    connection.execute(_UNSETTLE, (key,))


def compact(
    connection: apsw.Connection, after_position: int, events_max: int, now_ns: Callable[[], int]
) -> int | None:
    """Write a stretch of events anew, so that their pages are full again; see `Store.compact`.

    Args:
        connection: inside a transaction.
        after_position: continue after this position.
        events_max: how many events to write.
        now_ns: the clock.

    Returns:
        The position to continue after, or None at the end.
    """
    step = Step(connection, now_ns)
    bindings = (step.pages, after_position, events_max)
    found: list[tuple[Any, ...]] = connection.execute(_HOLED, bindings).fetchall()
    taken, last, seen = found[0]
    if taken:
        _move(connection, after_position, last)
        step.pay(0)
    free = step.free_pages()
    step.give_back()
    # Whoever appends meanwhile must not keep this going: the end is where fewer are left than were asked for.
    is_end = seen < events_max and (taken or 0) == seen
    # Of what the steps before have freed.
    is_left = 0 < step.free_pages() < free
    return None if is_end and not is_left else int(last or after_position)


def _move(connection: apsw.Connection, after_position: int, last: int) -> None:
    connection.execute(_DRAFT)
    # Taken out together and put back in order: a page that is emptied is freed, and the rows that come back
    # fill the ones before it.
    for statement in _MOVE:
        connection.execute(statement, (after_position, last))
    for statement in _PUT_BACK:
        connection.execute(statement)
