"""Flights: what a turn has decided, as one unit for the store.

A unit is the batch, the messages taken and put, the records and the head facts together. An activation longer
than a caller's batch may be goes as several units, one after the other, so that it does not stand in
everybody's way: a message is taken with the input it became; what an activation sends goes with its last
events, and the head facts with the last of all, so that nobody acts on it before it is whole. Until then the
head facts say only that somebody must look at it, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from treadle.engine import Effect, PutMessage, Status
from treadle.engine.records import INPUT_KINDS
from treadle.events import EventKind, WorkflowEvent, trusted_event
from treadle.log import next_digest
from treadle.payloads import CodecChain, CodecContext
from treadle.runtime.committer import Committer
from treadle.runtime.durable.instance import Decided, EngineProposal, Flight, Instance, Part
from treadle.runtime.durable.wire import Envelopes
from treadle.stores import Batch, HeadFacts, Message, Restated, Unit

IN_FLIGHT_NS: Final = 0
"""A wake-up time long past: whoever opens the store looks at this workflow at once."""


class Flights:
    """Sends units through the committer.

    Args:
        committer: takes them.
        codecs: encode payloads.
        envelopes: encode what stands in no log.
        batch_events_max: how many events one unit holds.
        settled: called with each flight's proposal when its unit's outcome is known.

    Attributes:
        epoch: the runner's.
        under_way: how many units are not decided.
    """

    def __init__(
        self,
        committer: Committer,
        codecs: CodecChain,
        envelopes: Envelopes,
        *,
        batch_events_max: int,
        settled: Callable[[EngineProposal], object],
    ) -> None:
        self.epoch = 0
        self.under_way = 0
        self._committer = committer
        self._codecs = codecs
        self._envelopes = envelopes
        self._batch_events_max = batch_events_max
        self._settled = settled

    def send(self, instance: Instance, decided: Decided) -> None:
        """Send what a turn has decided; the instance is in flight from now on.

        Args:
            instance: whose turn it was.
            decided: what; its events have their seqs.
        """
        events = decided.events if not self._codecs else self._encoded(instance, decided.events)
        flight = instance.flight = Flight(instance, decided)
        most = self._batch_events_max
        if len(events) <= most:
            decided.put += self._rows(decided.effects)
            self._send_last(flight, Part(events, decided.taken, decided.put))
            return
        first, *others = self._parts(decided, events)
        flight.left = others[::-1]
        self._send_part(flight, first, _interim_facts(instance, decided))

    def go_on(self, flight: Flight) -> None:
        """Send the next unit of a flight that was cut, once the one before is durable.

        Args:
            flight: with something left.
        """
        assert flight.left  # noqa: S101  # asked by the caller
        part = flight.left.pop()
        if flight.left:
            self._send_part(flight, part, None)
        else:
            self._send_last(flight, part)

    def _parts(self, decided: Decided, events: tuple[WorkflowEvent, ...]) -> list[Part]:
        """Cut a turn: activation by activation, each as often as it must be.

        A message is taken in the unit that holds its input, and rows are put in the one that ends the
        activation which sends them: replay after a crash in between repeats the rows of the activation it
        finds cut, of no earlier one.
        """
        most = self._batch_events_max
        parts: list[Part] = []
        starts = ((0, 0, 0), *decided.marks)
        ends = (*decided.marks, (len(events), len(decided.taken), len(decided.effects)))
        for (event, taken, effect), (event_end, taken_end, effect_end) in zip(starts, ends, strict=True):
            own, consumed = events[event:event_end], decided.taken[taken:taken_end]
            sent = self._rows(decided.effects[effect:effect_end])
            if not own:  # an input that left no event has nothing to wait for
                parts.append(Part((), consumed, sent))
            at = _place_of_input(own) // most
            for number, start in enumerate(range(0, len(own), most)):
                chunk = own[start : start + most]
                is_last = start + most >= len(own)
                parts.append(Part(chunk, consumed if number == at else (), sent if is_last else ()))
        decided.put += tuple(row for part in parts for row in part.put)
        return _joined(sorted(parts, key=_is_empty), most)

    def _send_part(self, flight: Flight, part: Part, facts: HeadFacts | None) -> None:
        batches: tuple[Batch, ...] = ()
        size_bytes = 0
        if part.events:
            batch, size_bytes = self._batch(flight, part.events, facts)
            batches = (batch,)
        unit = Unit(batches, (), part.put, part.taken, (), self.epoch)
        self._submit(flight, unit, len(part.events), size_bytes)

    def _send_last(self, flight: Flight, part: Part) -> None:
        decided, events = flight.decided, part.events
        batches: tuple[Batch, ...] = ()
        restated: tuple[Restated, ...] = ()
        size_bytes = 0
        if events:
            batch, size_bytes = self._batch(flight, events, decided.facts)
            batches = (batch,)
        elif decided.facts is not None:
            instance = flight.instance
            head = (instance.workflow_id, instance.next_seq, instance.digest)
            restated = (Restated(*head, decided.facts),)
        unit = Unit(
            batches,
            (),
            part.put,
            part.taken,
            decided.records,
            self.epoch,
            restated,
        )
        self._submit(flight, unit, len(events), size_bytes)

    def send_alone(self, unit: Unit, settled: Callable[[EngineProposal], object]) -> None:
        """Send a unit that belongs to no instance.

        Args:
            unit: as it is; the caller has set its epoch.
            settled: called when its outcome is known.
        """

        def landed(proposal: EngineProposal) -> None:
            self.under_way -= 1
            settled(proposal)

        self._add(EngineProposal(None, settled=landed), unit, 0, 0)

    def _batch(
        self, flight: Flight, events: tuple[WorkflowEvent, ...], facts: HeadFacts | None
    ) -> tuple[Batch, int]:
        instance = flight.instance
        digest, digests, size_bytes = instance.digest, [], 0
        for event in events:
            payload = event.payload
            digest = next_digest(digest, event.seq, event.timestamp, event.kind, payload)
            digests.append(digest)
            size_bytes += len(payload)
        flight.digest = digest
        batch = Batch(
            instance.workflow_id, instance.digest, events, tuple(digests), None, facts, instance.token
        )
        return batch, size_bytes

    def _encoded(self, instance: Instance, events: Sequence[WorkflowEvent]) -> tuple[WorkflowEvent, ...]:
        encode, name = self._codecs.encode, instance.workflow_id
        return tuple(
            trusted_event(
                event.seq, event.timestamp, event.kind, encode(event.payload, CodecContext(name, event.seq))
            )
            for event in events
        )

    def _rows(self, effects: Sequence[Effect]) -> tuple[Message, ...]:
        sent = [effect for effect in effects if type(effect) is PutMessage]
        if not sent:
            return ()
        row = self._envelopes.row
        return tuple(
            row(effect.workflow_id, effect.message_id, effect.kind, effect.payload) for effect in sent
        )

    def _submit(self, flight: Flight, unit: Unit, events: int, size_bytes: int) -> None:
        proposal = EngineProposal(None, settled=self._landed, flight=flight)
        if unit.batches:
            proposal.events = unit.batches[0].events
        self._add(proposal, unit, events, size_bytes)

    def _landed(self, proposal: EngineProposal) -> None:
        self.under_way -= 1
        self._settled(proposal)

    def _add(self, proposal: EngineProposal, unit: Unit, events: int, size_bytes: int) -> None:
        self.under_way += 1
        self._committer.open.add(proposal, unit, events, size_bytes)
        self._committer.kick()


def _joined(parts: list[Part], most: int) -> list[Part]:
    """Put neighbours together as far as they fit: each unit waits for the one before to be durable."""
    joined = [parts[0]]
    for part in parts[1:]:
        before = joined[-1]
        if len(before.events) + len(part.events) > most:
            joined.append(part)
        else:
            joined[-1] = Part(before.events + part.events, before.taken + part.taken, before.put + part.put)
    return joined


def _is_empty(part: Part) -> bool:
    # Behind all others: the first unit must have events, which the interim head facts belong to.
    return not part.events


def _place_of_input(events: Sequence[WorkflowEvent]) -> int:
    """Tell where in an activation its input stands: timers that were due fire before it."""
    if not events or events[0].kind is not EventKind.TIMER_FIRED:
        return 0
    inputs = (place for place, event in enumerate(events) if place and event.kind in INPUT_KINDS)
    return next(inputs, 0)


def _interim_facts(instance: Instance, decided: Decided) -> HeadFacts | None:
    known = decided.facts if instance.facts is None or decided.started else instance.facts
    if known is None:
        return None
    run = decided.started or known.run_start_seq
    return known._replace(status=Status.RUNNING, run_start_seq=run, wake_up_ns=IN_FLIGHT_NS)
