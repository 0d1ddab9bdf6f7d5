"""What the clients of a world know together: enough to tell, at the end, what logs held that were cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from treadle.checkers import Branching
from treadle.events import EventKind, WorkflowEvent
from treadle.log import decode_branched
from treadle.sim.workloads.marked import mark_of


class Keyed(NamedTuple):
    """An answered event that carries a key."""

    name: str
    key: bytes
    mark: str
    seq: int


def mark_in(event: WorkflowEvent) -> str:
    """Read an event's mark, also that of a branch's own first event.

    Args:
        event: of a workload of logs.

    Returns:
        The mark.
    """
    if event.kind is EventKind.BRANCHED:
        branched = decode_branched(event.payload)
        return mark_of_branch(branched.parent, branched.at)
    return mark_of(event)


def mark_of_branch(parent: str, at: int) -> str:
    """Give the mark of the event with which the runtime begins a branch.

    Args:
        parent: the log whose events it shares.
        at: the last of them. No two calls may have both in common, since their events say nothing else.

    Returns:
        The mark.
    """
    return f"{parent}@{at}"


class Known:
    """See the top of this file.

    Attributes:
        names: all logs that anybody has had to do with, in the order in which they came up.
        pairs: parents and seqs at which the runtime was asked to branch.
        keyed: events with keys, each for one client at a time.
        cuts_begun: log -> the highest first kept seq that anybody asked for.
        cuts_ended: log -> the highest first kept seq that somebody was told to be there.
        begun_marks: first event of a branch whose begin was answered -> the highest first kept seq that
            anybody had asked for by then of its parent: what lies above is shared, whatever becomes of that.
        private: logs of one client each, of which all is known.
    """

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.pairs: set[tuple[str, int]] = set()
        self.keyed: list[Keyed] = []
        self.cuts_begun: dict[str, int] = {}
        self.cuts_ended: dict[str, int] = {}
        self.begun_marks: dict[str, int] = {}
        self.private: list[str] = []
        self._marks: dict[str, dict[int, str]] = {}
        self._branchings: dict[str, list[Branching]] = {}

    def saw(self, name: str, first_seq: int, marks: Iterable[str]) -> None:
        """Note what a log holds, as a client has read it or was told.

        Args:
            name: the log.
            first_seq: the seq of the first one.
            marks: its marks from there on.
        """
        self.names[name] = None
        self._marks.setdefault(name, {}).update(enumerate(marks, first_seq))

    def tries(self, branching: Branching) -> None:
        """Note that somebody asks for a branch.

        Args:
            branching: the branch.
        """
        self.names[branching.workflow] = None
        self._branchings.setdefault(branching.workflow, []).append(branching)

    def began(self, name: str) -> Sequence[Branching]:
        """Give the branches that were asked for under an id.

        Args:
            name: the id.

        Returns:
            The branches.
        """
        return self._branchings.get(name, ())

    def cut_begins(self, name: str, first_seq: int) -> None:
        """Note that somebody asks for a cut."""
        self.cuts_begun[name] = max(first_seq, self.cuts_begun.get(name, 1))

    def cut_ended(self, name: str, first_seq: int) -> None:
        """Note that somebody was told of a cut."""
        self.cuts_ended[name] = max(first_seq, self.cuts_ended.get(name, 1))

    def whole(self, name: str, next_seq: int) -> list[str]:
        """Put together what a log held from its first event on.

        Args:
            name: the log.
            next_seq: the seq up to which.

        Returns:
            All marks; ``?`` and the seq where nobody knows one, which no promise can hold with.
        """
        found = self._marks.get(name, {})
        for branching in self.began(name):
            if found.get(branching.at + 1) == branching.mark and branching.parent != name:
                shared = self.whole(branching.parent, branching.at + 1)
                found = {**dict(enumerate(shared, 1)), **found}
        return [found.get(seq, f"? {name} {seq}") for seq in range(1, next_seq)]
