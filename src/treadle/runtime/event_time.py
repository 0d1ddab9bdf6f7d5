"""Which events of a log a state is made of: as recorded, as known by a position, as of an event time.

A log has two orders of its own. The *seq* says when an event was recorded, its *timestamp* when it happened.
The store's *position* orders what was recorded in all logs. An event is *late* with respect to a time when
it happened by then and stands behind one that happened afterwards: whoever looked in between did not know
it.

    to_seq=n            the events up to seq n
    known_by=p          those that were recorded up to position p: the same instant in every log
    as_of=t             those that had happened by t, however late they were recorded
    as_of=t, late=False those before the first that happened after t

All of them narrow the same list, in seq order; together they give what all of them allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import attrs

from treadle.errors import InvalidValueError
from treadle.events import SEQ_MAX, TIMESTAMP_MAX, TIMESTAMP_MIN, WorkflowEvent, WorkflowId, check_timestamp
from treadle.log import Fold
from treadle.runtime.reading import Events
from treadle.stores import Store


@attrs.frozen(slots=True)
class View:
    """What a state is made of, beside its seqs.

    Args:
        as_of: the latest event time, inclusive; None for all.
        known_by: the latest position, inclusive; None for all.
        late: whether events count that stand behind one which happened after `as_of`.

    Raises:
        InvalidValueError: a bound is none, or `late` is said without `as_of`.
    """

    as_of: int | None
    known_by: int | None
    late: bool

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be right."""
        if self.as_of is not None:
            check_timestamp(self.as_of)
        if self.known_by is not None and (type(self.known_by) is not int or self.known_by < 0):
            raise InvalidValueError(f"known_by is a position, an int from 0 on, got {self.known_by!r:.60}")
        if type(self.late) is not bool:
            raise InvalidValueError(f"late is True or False, got {self.late!r:.60}")
        if not self.late and self.as_of is None:
            raise InvalidValueError("late=False says what is late with respect to a time; give as_of as well")

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.as_of is None and self.known_by is None

    def check_fold(self, fold: Fold[Any], call: str) -> None:
        """Refuse to replay a fold as of another time: what was kept of it holds all that was recorded.

        Args:
            fold: the fold.
            call: how its function is replayed instead.

        Raises:
            InvalidValueError: something is left out.
        """
        if not self.is_whole:
            raise InvalidValueError(
                f"fold {fold.name!r} is replayed as recorded; for a time give its function and first state:"
                f" {call}"
            )

    def shown(self, page: Sequence[WorkflowEvent], last: int) -> tuple[Sequence[WorkflowEvent], bool]:
        """Tell what it shows of a page of a log.

        Args:
            page: events in the order of their seqs.
            last: the last seq that counts.

        Returns:
            Its events, and whether none that comes behind them is shown.
        """
        is_over = bool(page) and page[-1].seq >= last
        if is_over:
            page = [event for event in page if event.seq <= last]
        as_of = self.as_of
        if as_of is None:
            return page, is_over
        if not self.late:
            kept = list(takewhile(lambda event: event.timestamp <= as_of, page))
            return kept, is_over or len(kept) < len(page)
        return [event for event in page if event.timestamp <= as_of], is_over


async def viewed(
    store: Store, name: WorkflowId, view: View, from_seq: int, to_seq: int | None, page_events: int
) -> Events:
    """Read a stretch of a log as a view shows it.

    Args:
        store: read from.
        name: the log.
        view: what is shown of it.
        from_seq: the first seq.
        to_seq: the last seq, or None.
        page_events: how many events a page has.

    Returns:
        The events, page by page.

    Raises:
        EventsPrunedError: `from_seq` lies below the first kept seq.
        StoreError: the store could not be read.
    """
    last = SEQ_MAX if to_seq is None else to_seq
    if view.known_by is not None:
        last = min(last, await seq_known_by(store, name, view.known_by))
    if not view.late:
        last = min(last, await _seq_before_later(store, name, view.as_of))
    if view.as_of is not None and last == SEQ_MAX:
        return _happened(store, name, view.as_of, from_seq, page_events)
    return _recorded(store, name, view.as_of, (from_seq, last), page_events)


async def seq_known_by(store: Store, name: WorkflowId, position: int) -> int:
    """Tell the last seq of a log that was recorded up to a position.

    Positions rise with the seqs of a log, so a search by halves reads a row for each halving. What a branch
    shares was recorded where it lies, in its parent.

    Args:
        store: read from.
        name: the log.
        position: the position.

    Returns:
        The seq; one below the first kept seq when nothing that is kept was recorded by then.

    Raises:
        StoreError: the store could not be read.
    """
    (head,) = await store.heads([name])
    low, high = head.first_kept_seq - 1, head.next_seq - 1
    while low < high:
        middle = (low + high + 1) // 2
        rows = await store.audit(name, middle - 1, limit=1)
        if rows and rows[0].position <= position:
            low = middle
        else:
            high = middle - 1
    return low


async def _seq_before_later(store: Store, name: WorkflowId, as_of: int | None) -> int:
    if as_of is None or as_of == TIMESTAMP_MAX:
        return SEQ_MAX
    later = await store.between(name, as_of + 1, None, limit=1)
    return later[0].seq - 1 if later else SEQ_MAX


def _happened(store: Store, name: WorkflowId, as_of: int, from_seq: int, page_events: int) -> Events:
    until = None if as_of == TIMESTAMP_MAX else as_of + 1

    async def next_page(after_seq: int) -> list[WorkflowEvent]:
        page = await store.between(name, TIMESTAMP_MIN, until, after_seq=after_seq, limit=page_events)
        # The only way that leaves out a removed beginning without a word, so it is asked for; afterwards,
        # because the log may be cut between two pages.
        await store.read(name, after_seq + 1, after_seq + 1, limit=1)
        return page

    return Events(next_page, from_seq - 1, page_events)


def _recorded(
    store: Store, name: WorkflowId, as_of: int | None, seqs: tuple[int, int], page_events: int
) -> Events:
    from_seq, last = seqs
    passed = from_seq - 1

    async def next_page(_: int) -> list[WorkflowEvent]:
        # Pages that hold nothing of the view are read on: an empty one would be taken for the end.
        nonlocal passed
        shown: list[WorkflowEvent] = []
        while passed < last and len(shown) < page_events:
            page = await store.read(name, passed + 1, last, limit=page_events - len(shown))
            shown += page if as_of is None else [event for event in page if event.timestamp <= as_of]
            if not page:
                break
            passed = page[-1].seq
        return shown

    return Events(next_page, from_seq - 1, page_events)
