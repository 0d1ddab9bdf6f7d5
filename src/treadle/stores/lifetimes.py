"""How a log begins other than empty, and how its beginning goes: parts of a unit.

None of them copies or removes an event while it is decided: a branch names what it shares, a cut moves a
number. What no log shows any more is removed afterwards, in small steps, by `Store.reclaim`.
"""

from __future__ import annotations

from typing import NamedTuple

from treadle.events import WorkflowId


class Branch(NamedTuple):
    """A log that begins as another one's events, up to one of them, and goes on by itself.

    Attributes:
        workflow_id: the new log, never used before; the unit holds its first batch, which begins behind `at`.
        parent: the log whose events it shares; the unit holds no batch for it.
        at: the seq of the last event that is shared; the parent must still keep it.
        digest: the digest of that event: the batch's `digest_before`.
        hidden: whether listings and the feed leave the new log out unless they are asked for it.
        needs_seq: the first seq that the parent must still keep, when `at` alone would be of no use to the
            new log; None for `at`.
    """

    workflow_id: WorkflowId
    parent: WorkflowId
    at: int
    digest: bytes
    hidden: bool = False
    needs_seq: int | None = None


class Begun(NamedTuple):
    """A log that begins in the middle: what came before is kept somewhere else, or nowhere any more.

    Attributes:
        workflow_id: the new log, never used before; the unit holds its first batch.
        first_seq: the seq of its first event.
        digest_before: the digest before that: the batch's `digest_before`.
    """

    workflow_id: WorkflowId
    first_seq: int
    digest_before: bytes


class Cut(NamedTuple):
    """The beginning of a log is taken away, or all of it.

    Attributes:
        workflow_id: the log.
        next_seq: where it must stand.
        digest: the digest of its last event.
        first_kept_seq: the first seq that is kept. `next_seq` itself deletes the log: nothing of it can be
            read, its head facts go, and what is appended to it one day goes on behind where it stood.
    """

    workflow_id: WorkflowId
    next_seq: int
    digest: bytes
    first_kept_seq: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is kept."""
        return self.first_kept_seq == self.next_seq
