"""One log as the memory store keeps it: its own events, column by column, and stretches that lie elsewhere.

The reference for what a branch and a cut mean, so it is as plain as they read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import attrs

from treadle.events import KIND_BY_NUMBER, SEQ_MAX, WorkflowEvent, WorkflowId, trusted_event
from treadle.log import DIGEST_SIZE_BYTES
from treadle.stores.contract import AuditRow, HeadFacts

Stretch: TypeAlias = "tuple[int, int, MemoryLog]"
"""First seq, last seq, and the log among whose own events they lie."""


def _integers() -> array[int]:
    return array("q")


@attrs.define(slots=True, eq=False)
class MemoryLog:
    """What is kept of one workflow.

    As objects, an event with its digest and its two positions took three times as much, and many millions of
    objects make every garbage collection long. An event is made again for whoever reads it.

    Attributes:
        workflow_id: its name.
        digests: the digest before the first event of its own, and that after each.
        timestamps: of its own events, as the columns that follow.
        kinds: their numbers.
        payloads: what they hold.
        positions: where they stand in the feed.
        keys: key -> the seqs it was given to: one that the log shows, and such as it has cut, which branches
            may show yet. None, as an empty dict would be the largest part of a short log.
        facts: its head facts.
        own_seq: the seq of the first event of its own, whether there is one yet or not.
        first_kept_seq: the oldest seq that it shows.
        digest_before: the digest before that, when it is not the first one of its own.
        shared: what it shares, in order: never through another branch, so that no read follows a chain.
        shared_seq: the last seq that is shared; 0 for none.
        hidden: whether listings leave it out.
    """

    workflow_id: WorkflowId
    digests: bytearray
    timestamps: array[int] = attrs.Factory(_integers)
    kinds: bytearray = attrs.Factory(bytearray)
    payloads: list[bytes] = attrs.Factory(list)
    positions: array[int] = attrs.Factory(_integers)
    keys: dict[bytes, tuple[int, ...]] | None = None
    facts: HeadFacts | None = None
    own_seq: int = 1
    first_kept_seq: int = 1
    digest_before: bytes | None = None
    shared: tuple[Stretch, ...] = ()
    shared_seq: int = 0
    hidden: bool = False

    @property
    def next_seq(self) -> int:
        """The seq it takes next."""
        return self.own_seq + len(self.payloads)

    @property
    def is_shown(self) -> bool:
        """Whether any event of it can be read."""
        return self.next_seq > self.first_kept_seq

    def append(self, events: Sequence[WorkflowEvent], digests: Iterable[bytes], position: int) -> None:
        """Add events whose positions follow one another.

        Args:
            events: the events.
            digests: the digest after each.
            position: the first one's.
        """
        self.timestamps.extend([event.timestamp for event in events])
        self.kinds.extend([event.kind for event in events])
        self.payloads.extend([event.payload for event in events])
        self.positions.extend(range(position, position + len(events)))
        self.digests += b"".join(digests)

    # -- its own events --

    def event(self, seq: int) -> WorkflowEvent:
        """Make an event of its own.

        Args:
            seq: which; it is there.

        Returns:
            The event.
        """
        place = seq - self.own_seq
        return trusted_event(
            seq, self.timestamps[place], KIND_BY_NUMBER[self.kinds[place]], self.payloads[place]
        )

    def own_digest(self, seq: int) -> bytes:
        """Give the digest after an event of its own, or that before the first one.

        Args:
            seq: which.

        Returns:
            The digest.
        """
        place = (seq - self.own_seq + 1) * DIGEST_SIZE_BYTES
        return bytes(self.digests[place : place + DIGEST_SIZE_BYTES])

    # -- the log as it is shown --

    @property
    def digest(self) -> bytes:
        """The digest of its last event; when nothing is left, the one it had."""
        return self.own_digest(self.next_seq - 1)

    def digest_kept(self) -> bytes:
        """Give the digest before the first kept seq."""
        return self.own_digest(self.own_seq - 1) if self.digest_before is None else self.digest_before

    def stretches(self, first: int, last: int) -> list[Stretch]:
        """Tell where a stretch of the log lies.

        Args:
            first: its first seq.
            last: its last seq.

        Returns:
            The parts, in order; what it does not show is left out.
        """
        first = max(first, self.first_kept_seq)
        found = [
            (max(first, begin), min(last, end), source)
            for begin, end, source in self.shared
            if begin <= last and end >= first
        ]
        if (own := max(first, self.shared_seq + 1)) <= (end := min(last, self.next_seq - 1)):
            found.append((own, end, self))
        return found

    def events(self, first: int, last: int = SEQ_MAX) -> list[WorkflowEvent]:
        """Make the events of a stretch, as far as there are any.

        Args:
            first: its first seq.
            last: its last seq.

        Returns:
            The events, in order.
        """
        return [
            source.event(seq)
            for begin, end, source in self.stretches(first, last)
            for seq in range(begin, end + 1)
        ]

    def between(self, since: int, end_ns: int, after_seq: int) -> Iterator[WorkflowEvent]:
        """Make the events of a stretch of time.

        Args:
            since: the earliest time, inclusive.
            end_ns: the latest time, exclusive.
            after_seq: continue after this seq.

        Yields:
            The events, in the order of their seqs.
        """
        for begin, end, source in self.stretches(after_seq + 1, SEQ_MAX):
            for seq in range(begin, end + 1):
                if since <= source.timestamps[seq - source.own_seq] < end_ns:
                    yield source.event(seq)

    def rows(self, first: int, last: int) -> Iterator[AuditRow]:
        """Read a stretch with all that is kept beside the events.

        Args:
            first: the first seq.
            last: the last seq.

        Yields:
            The rows, in order.
        """
        for begin, end, source in self.stretches(first, last):
            keys = {seq: key for key, seqs in (source.keys or {}).items() for seq in seqs}
            for seq in range(begin, end + 1):
                place = seq - source.own_seq
                yield AuditRow(
                    source.positions[place],
                    seq,
                    source.timestamps[place],
                    source.kinds[place],
                    source.payloads[place],
                    source.own_digest(seq),
                    keys.get(seq),
                )

    def digest_at(self, seq: int) -> bytes | None:
        """Tell the digest of an event that it shows.

        Args:
            seq: which event.

        Returns:
            The digest, or None.
        """
        return next((source.own_digest(seq) for _, _, source in self.stretches(seq, seq)), None)

    def keyed(self, key: bytes) -> WorkflowEvent | None:
        """Find the event that carries a key.

        Args:
            key: the key.

        Returns:
            The event, own or shared, or None.
        """
        for begin, end, source in self.stretches(1, SEQ_MAX):
            for seq in (source.keys or {}).get(key, ()):
                if begin <= seq <= end:
                    return source.event(seq)
        return None

    # -- how it begins, and how its beginning goes --

    def branch(self, workflow_id: WorkflowId, at: int, digest: bytes, *, hidden: bool) -> MemoryLog:
        """Begin a log that shares this one's events.

        Args:
            workflow_id: its name.
            at: the last seq that is shared.
            digest: the digest there.
            hidden: whether listings leave it out.

        Returns:
            The branch, without events of its own.
        """
        return MemoryLog(
            workflow_id,
            bytearray(digest),
            own_seq=at + 1,
            first_kept_seq=self.first_kept_seq,
            digest_before=self.digest_kept(),
            shared=tuple(self.stretches(1, at)),
            shared_seq=at,
            hidden=hidden,
        )

    def cut(self, first_kept_seq: int) -> None:
        """Show no event below a seq any more.

        Args:
            first_kept_seq: the seq.
        """
        before = self.digest_at(first_kept_seq - 1)
        self.digest_before = self.digest if before is None else before
        self.first_kept_seq = first_kept_seq
        self.hidden = self.hidden and first_kept_seq < self.next_seq
        if first_kept_seq > self.shared_seq:
            self.shared, self.shared_seq = (), 0
        self.shared = tuple(
            (max(begin, first_kept_seq), end, source)
            for begin, end, source in self.shared
            if end >= first_kept_seq
        )

    def drop(self, below_seq: int, events_max: int) -> Sequence[int]:
        """Forget events of its own for good.

        Args:
            below_seq: only those below; neither the log nor a branch shows them.
            events_max: the most to forget.

        Returns:
            Their positions.
        """
        count = min(max(0, below_seq - self.own_seq), len(self.payloads), events_max)
        if not count:
            return ()
        self.digest_before = self.digest_kept()
        gone = self.positions[:count]
        del self.timestamps[:count], self.kinds[:count], self.payloads[:count], self.positions[:count]
        del self.digests[: count * DIGEST_SIZE_BYTES]
        self.own_seq += count
        self._drop_keys()
        return gone

    def _drop_keys(self) -> None:
        if self.keys:
            kept = {key: tuple(seq for seq in seqs if seq >= self.own_seq) for key, seqs in self.keys.items()}
            self.keys = {key: seqs for key, seqs in kept.items() if seqs} or None
