"""How a log begins other than empty, and how its beginning goes: parts of a unit.

None of them copies or removes an event while it is decided: a branch names what it shares, a cut moves a
number. What no log shows any more is removed afterwards, in small steps, by `Store.reclaim`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import attrs

from treadle.events import WorkflowId

if TYPE_CHECKING:  # a graft is one of the contract's units, and makes another
    from treadle.stores.contract import Batch, HeadFacts, Unit


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


class Seam(NamedTuple):
    """What a graft is told of the event that its branch goes on from.

    Attributes:
        digest: the event's digest; None when the parent keeps no such event.
        facts: the parent's head facts.
        shared_seq: the last seq that the parent itself shares; 0 for none.
    """

    digest: bytes | None
    facts: HeadFacts | None = None
    shared_seq: int = 0


@attrs.define(slots=True, eq=False)
class Graft:
    """A unit that its store lets finish where it sees the event which a branch goes on from.

    A branch's first event names the digest of that event. To look it up before would be a question by itself,
    as dear as the append; so the unit is made in the middle of the store's transaction, of what is there.

    Attributes:
        workflow_id: the log that is to begin.
        parent: the log whose events it is to share.
        at: the seq of the last one of them.
        finish: makes the unit. Called in whichever thread the store works, perhaps more than once, and the
            last time counts; so it neither waits, nor asks the store, nor raises. A unit with nothing in it
            is `Written`.
        unit: what it has made last.
    """

    workflow_id: WorkflowId
    parent: WorkflowId
    at: int
    finish: Callable[[Seam], Unit]
    unit: Unit | None = None

    @property
    def batches(self) -> tuple[Batch, ...]:
        """The batches of what it has made last."""
        return () if self.unit is None else self.unit.batches

    @property
    def epoch(self) -> int | None:
        """The epoch of what it has made last."""
        return None if self.unit is None else self.unit.epoch
