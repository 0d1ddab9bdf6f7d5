"""Where a log goes on from somewhere else: what BRANCHED and RESET make of the events around them.

Neither is an input or a command. Behind BRANCHED a log goes on that has shared another's events up to there.
Behind RESET it goes on from an earlier event: those in between are *abandoned*, still to be read, and no
longer part of what code is replayed against. What is left is the *view*; its seqs rise, with gaps.

From a mark on, chance comes from the mark's seed, what stands before it is never carried out again, and past
the view's end the code's commands are new, also in the middle of an activation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from treadle.engine.records import unreadable
from treadle.errors import CorruptStoreError, InvalidValueError
from treadle.events import EventKind, WorkflowEvent
from treadle.log import Branched, Reset, decode_branched, decode_reset

M = TypeVar("M", Branched, Reset)

BRANCHED: Final = EventKind.BRANCHED
RESET: Final = EventKind.RESET
MARK_KINDS: Final = frozenset({BRANCHED, RESET})
"""The kinds of events that say where a log goes on from."""


class Mark(NamedTuple):
    """A BRANCHED or RESET, seen from the events that count.

    Attributes:
        place: how many events of the view stand before it.
        seq: its own.
        timestamp: when it was written.
        seed: from which chance is derived from here on.
        origin: the log that what stands before it was written to; empty for a RESET.
    """

    place: int
    seq: int
    timestamp: int
    seed: bytes
    origin: str = ""

    @property
    def is_branch(self) -> bool:
        """Whether what stands before it is shared with another log."""
        return bool(self.origin)


class View(NamedTuple):
    """The events of a log that count.

    Attributes:
        events: without marks, and without what was abandoned.
        marks: in order.
    """

    events: Sequence[WorkflowEvent]
    marks: tuple[Mark, ...] = ()


def view_of(events: Sequence[WorkflowEvent]) -> View:
    """Tell which events of a log count.

    Args:
        events: as they are stored.

    Returns:
        The view; the very same events when there are no marks.

    Raises:
        CorruptStoreError: a mark cannot be read, or goes back below the first of these events.
    """
    # By identity: comparing kinds for each event of a long history would be a good part of its replay.
    if not any(event.kind is BRANCHED or event.kind is RESET for event in events):
        return View(events)
    kept: list[WorkflowEvent] = []
    marks: list[Mark] = []
    for event in events:
        if event.kind is RESET:
            reset = read_reset(event)
            _go_back(kept, reset.at, event)
            marks = [mark._replace(place=min(mark.place, len(kept))) for mark in marks]
            seed = bytes.fromhex(reset.seed)
            marks.append(Mark(len(kept), event.seq, event.timestamp, seed))
        elif event.kind is BRANCHED:
            branched = read_branched(event)
            seed = bytes.fromhex(branched.seed)
            marks.append(Mark(len(kept), event.seq, event.timestamp, seed, branched.written_to))
        else:
            kept.append(event)
    return View(kept, tuple(marks))


def _go_back(kept: list[WorkflowEvent], at: int, event: WorkflowEvent) -> None:
    while kept and kept[-1].seq > at:
        kept.pop()
    if not kept:
        raise CorruptStoreError(
            f"seq {event.seq}: RESET goes back to seq {at}, below the first event that is given; replay from"
            " an earlier run",
            seq=event.seq,
        )


def goes_below(events: Sequence[WorkflowEvent]) -> bool:
    """Tell whether a stretch of a log is not enough to see what counts: a RESET in it goes back further.

    Args:
        events: the stretch, as it is stored.

    Returns:
        Whether an earlier beginning is needed.

    Raises:
        CorruptStoreError: a RESET cannot be read.
    """
    return any(event.kind is RESET and read_reset(event).at < events[0].seq for event in events)


def read_branched(event: WorkflowEvent) -> Branched:
    """Read a BRANCHED.

    Args:
        event: the event.

    Returns:
        Its facts.

    Raises:
        CorruptStoreError: it is not one that treadle has written.
    """
    return _read(event, decode_branched)


def read_reset(event: WorkflowEvent) -> Reset:
    """Read a RESET.

    Args:
        event: the event.

    Returns:
        Its facts.

    Raises:
        CorruptStoreError: it is not one that treadle has written.
    """
    return _read(event, decode_reset)


def _read(event: WorkflowEvent, decode: Callable[[bytes], M]) -> M:
    try:
        return decode(event.payload)
    except InvalidValueError as error:
        raise unreadable(event, error) from error
