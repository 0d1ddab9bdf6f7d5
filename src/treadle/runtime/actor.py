"""The actor: the small record through which one log is appended to, and its one synchronous step.

A record is all that an idle workflow costs, so it holds what the next append needs and nothing else. Its
step is taken by one task at a time: by the caller when nothing waits, otherwise by the actor's own task,
which lives only while a message waits.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import attrs
import trio

from treadle.errors import UsageError
from treadle.events import WorkflowEvent, WorkflowId, trusted_event
from treadle.log import DIGEST_SIZE_BYTES, Answer, judge, next_digest, pack_fixed
from treadle.stores import Batch, Head

if TYPE_CHECKING:  # the three belong together; only for annotations
    from treadle.runtime.committer import Group
    from treadle.runtime.inbox import Inbox, Proposal

_new_tuple = tuple.__new__

DURABLE: Final = object()
"""The token of a durable workflow's log: only its runner appends to it, so no head is known here."""


@attrs.define(slots=True, eq=False, weakref_slot=False)
class Actor:
    """What is known of one log in this process.

    Attributes:
        workflow_id: the log.
        next_seq: the seq the next event takes, counting those in flight.
        digest: the digest of the last event, counting those in flight; None while the head is unknown.
        token: the store's mark for that head.
        in_flight: how many proposals of this log are in groups that are not decided.
        inbox: what it has while its task lives; None when idle.
    """

    workflow_id: WorkflowId
    next_seq: int = 0
    digest: bytes | None = None
    token: object = None
    in_flight: int = 0
    inbox: Inbox | None = None

    def learn(self, head: Head) -> None:
        """Take over where the log stands.

        Args:
            head: fresh from the store, while nothing of this log is in flight.
        """
        if head.facts is not None:
            # Facts are the engine's: this log is a durable workflow's.
            self.digest, self.token = None, DURABLE
            return
        self.next_seq = head.next_seq
        self.digest = head.digest
        self.token = head.token

    def check_plain(self) -> None:
        """Refuse to append to a durable workflow; only the engine does.

        Raises:
            UsageError: it is one.
        """
        if self.token is DURABLE:
            raise UsageError(
                f"{self.workflow_id!r} is a durable workflow: only its runner appends to its log;"
                " send it a signal instead"
            )

    def forget(self) -> None:
        """Stop believing the head: it was built on something that did not become durable."""
        self.digest = None
        self.token = None


def fits(actor: Actor, proposal: Proposal) -> bool:
    """Tell whether a proposal can be admitted on the head the actor is building on.

    Any other answer of the admission table needs the durable log, not this cached head.

    Args:
        actor: with a known head.
        proposal: the wish.

    Returns:
        Whether the table says append.
    """
    first = proposal.seq
    if first is None:
        return True
    last = first + len(proposal.contents) - 1
    return judge(first, last, actor.next_seq, 1, _nothing_differs) is Answer.APPEND


def _nothing_differs() -> None:
    return None


# Ctrl-C between two of these lines would leave a seq taken and no row: a hole in memory (measured).
@trio.lowlevel.enable_ki_protection
def step(actor: Actor, proposal: Proposal, group: Group, wall_time_ns: Callable[[], int]) -> None:
    """Admit a proposal at the actor's head and put it into the open group: all or nothing, at once.

    Args:
        actor: with a known head that the proposal fits.
        proposal: the wish; its events are made here.
        group: open, with room.
        wall_time_ns: tells the event time for those who gave none.
    """
    seq = actor.next_seq
    digest = actor.digest
    assert digest is not None  # noqa: S101  # the pair of learn(): never append on an unknown head
    kind = proposal.kind
    if kind is not None:
        # The single append, written out: a loop, two lists and the calls of `next_digest` and
        # `Group.add` cost an eighth of the whole path.
        timestamp = proposal.timestamp
        if timestamp is None:
            timestamp = wall_time_ns()
        payload = proposal.payload
        event = trusted_event(seq, timestamp, kind, payload)
        fixed = pack_fixed(digest, seq, timestamp, kind)
        after = blake2b(fixed + payload, digest_size=DIGEST_SIZE_BYTES).digest()
        events: tuple[WorkflowEvent, ...] = (event,)
        count = 1
        size_bytes = len(payload)
        batch = _new_tuple(
            Batch, (actor.workflow_id, digest, events, (after,), proposal.keys, None, actor.token)
        )
    else:
        events, digests, size_bytes = _admit_all(seq, digest, proposal, wall_time_ns)
        count = len(events)
        after = digests[-1]
        batch = _new_tuple(
            Batch, (actor.workflow_id, digest, events, digests, proposal.keys, None, actor.token)
        )
    # From here on nothing can fail.
    proposal.events = events
    actor.next_seq = seq + count
    actor.digest = after
    actor.in_flight += 1
    group.proposals.append(proposal)
    group.units.append(batch)
    group.events += count
    group.size_bytes += size_bytes


def _admit_all(
    seq: int, digest: bytes, proposal: Proposal, wall_time_ns: Callable[[], int]
) -> tuple[tuple[WorkflowEvent, ...], tuple[bytes, ...], int]:
    events: list[WorkflowEvent] = []
    digests: list[bytes] = []
    size_bytes = 0
    for kind, payload, given in proposal.contents:
        timestamp = wall_time_ns() if given is None else given
        events.append(trusted_event(seq, timestamp, kind, payload))
        digest = next_digest(digest, seq, timestamp, kind, payload)
        digests.append(digest)
        size_bytes += len(payload)
        seq += 1
    return tuple(events), tuple(digests), size_bytes
