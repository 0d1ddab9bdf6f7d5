"""The promise: retention leaves what is needed, so that what is kept gives the same state as the whole.

A log that has lost its beginning begins where a replay can begin; whoever reads on sees all events before
they go; of closed logs those stay that were closed last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import attrs

from treadle.checkers.durable import STARTS
from treadle.checkers.violation import Findings, Violation
from treadle.events import EventKind, WorkflowEvent


def begins_where_a_replay_can(
    name: str, events: Sequence[WorkflowEvent], *, kind: Literal["plain", "durable"], first_seq: int = 1
) -> list[Violation]:
    """Check that a log which does not keep its first event begins with a baseline.

    Args:
        name: the log.
        events: all that it keeps.
        kind: whether it is a plain log, whose baselines are BASELINE, or a durable one, whose are its runs.
        first_seq: the first seq that it has ever had: above 1 for one that began in the middle.

    Returns:
        What was broken.
    """
    if not events or events[0].seq <= first_seq:
        return []
    first = events[0]
    if first.kind in STARTS if kind == "durable" else first.kind is EventKind.BASELINE:
        return []
    message = f"it begins with {first.kind.name}, where no replay can begin, and all before it is gone"
    return [Violation("retention", name, first.seq, message)]


def states_are_kept(name: str, state: Sequence[str], seen: Iterable[Sequence[str]]) -> list[Violation]:
    """Check that every replay came to a beginning of what the log comes to at the end.

    Args:
        name: the log.
        state: the marks of all events that it has ever had, as what is kept of it gives them.
        seen: what earlier replays gave.

    Returns:
        What was broken.
    """
    findings = Findings("retention")
    for earlier in seen:
        if list(state[: len(earlier)]) != list(earlier):
            place = next(
                (n for n, (a, b) in enumerate(zip(earlier, state, strict=False)) if a != b), len(state)
            )
            message = (
                f"an earlier replay had {list(earlier[place : place + 1])} as event {place + 1}, and what is"
                f" kept gives {list(state[place : place + 1])}"
            )
            findings.add(name, place + 1, message)
    return findings.violations


def read_before_gone(feed: Mapping[str, Sequence[int]], first_seqs: Mapping[str, int]) -> list[Violation]:
    """Check that whoever reads on behind everything, and says how far it is, missed nothing.

    Args:
        feed: for each log the seqs of its events, in the order in which the reader was given them.
        first_seqs: the first seq of a log's own, for those in which it is not 1.

    Returns:
        What was broken.
    """
    findings = Findings("retention")
    for name, seqs in feed.items():
        expected = first_seqs.get(name, 1)
        for seq in seqs:
            if seq != expected:
                message = (
                    f"who reads all events was given seq {seq} behind {expected - 1}: the others went first"
                )
                findings.add(name, seq, message)
            expected = seq + 1
    return findings.violations


@attrs.frozen(slots=True)
class Closed:
    """A log that was closed.

    Attributes:
        name: the log.
        at_ns: the timestamp of the event that closed it; None when nobody was told.
        is_there: whether it still has events.
    """

    name: str
    at_ns: int | None
    is_there: bool


def newest_are_kept(closed: Sequence[Closed], *, count_max: int) -> list[Violation]:
    """Check that of closed logs those went that had been closed before enough others.

    Args:
        closed: all logs under one rule that were closed.
        count_max: how many the rule keeps.

    Returns:
        What was broken.
    """
    findings = Findings("retention")
    for gone in closed:
        if gone.is_there or gone.at_ns is None:
            continue
        later = [
            one
            for one in closed
            if one.at_ns is None or (one.at_ns, one.name) > (gone.at_ns, gone.name)
        ]  # fmt: skip
        if len(later) < count_max:
            message = (
                f"it was deleted, and only {len(later)} were closed later, of which {count_max} are kept"
            )
            findings.add(gone.name, None, message)
    return findings.violations
