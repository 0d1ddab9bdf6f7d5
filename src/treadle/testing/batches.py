"""Making batches the way a well-behaved writer does: seqs, digests and heads that fit."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.events import workflow_id as make_workflow_id
from treadle.log import chain_digest, root_digest
from treadle.stores import Batch, Head, HeadFacts


def chained(
    workflow_id: WorkflowId,
    digest_before: bytes,
    events: Sequence[WorkflowEvent],
    *,
    keys: tuple[bytes | None, ...] | None = None,
    facts: HeadFacts | None = None,
    token: object = None,
) -> Batch:
    """Make a batch from events that have their seqs.

    Args:
        workflow_id: the log.
        digest_before: the digest before the first event.
        events: the events.
        keys: as in `Batch`.
        facts: as in `Batch`.
        token: as in `Batch`.

    Returns:
        The batch, its digests computed.
    """
    digests: list[bytes] = []
    for event in events:
        digests.append(chain_digest(digests[-1] if digests else digest_before, event))
    return Batch(workflow_id, digest_before, tuple(events), tuple(digests), keys, facts, token)


@attrs.define(slots=True, eq=False)
class LogWriter:
    """Writes one log: makes each batch on top of the one before, whether or not that was stored yet.

    Attributes:
        workflow_id: the log.
        next_seq: the seq the next event gets.
        digest: the digest before it.
    """

    workflow_id: WorkflowId
    next_seq: int
    digest: bytes

    @classmethod
    def fresh(cls, workflow_id: str | int) -> LogWriter:
        """Begin a log that has no events.

        Args:
            workflow_id: the log.

        Returns:
            The writer.
        """
        name = make_workflow_id(workflow_id)
        return cls(name, 1, root_digest(name))

    @classmethod
    def at(cls, head: Head) -> LogWriter:
        """Go on where a head says the log stands.

        Args:
            head: from `Store.heads`.

        Returns:
            The writer.
        """
        return cls(head.workflow_id, head.next_seq, head.digest)

    def batch(
        self,
        *payloads: bytes,
        timestamps: Sequence[int] = (),
        kind: EventKind = EventKind.CUSTOM,
        keys: tuple[bytes | None, ...] | None = None,
        facts: HeadFacts | None = None,
        token: object = None,
    ) -> Batch:
        """Make the next batch, and move on behind it.

        Args:
            *payloads: one for each event; none means one empty payload.
            timestamps: for the first events; the others get 1,000 times their seq.
            kind: of all events.
            keys: as in `Batch`.
            facts: as in `Batch`.
            token: as in `Batch`.

        Returns:
            The batch.
        """
        events = [
            WorkflowEvent(seq, timestamps[place] if place < len(timestamps) else 1_000 * seq, kind, payload)
            for place, (seq, payload) in enumerate(enumerate(payloads or (b"",), self.next_seq))
        ]
        batch = chained(self.workflow_id, self.digest, events, keys=keys, facts=facts, token=token)
        self.next_seq = events[-1].seq + 1
        self.digest = batch.digests[-1]
        return batch
