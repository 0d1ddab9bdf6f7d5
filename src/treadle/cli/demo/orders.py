"""The orders of the demo: what happens to each of them, decided by the seed alone. Pure.

Any process can tell any event of any order again, which is what lets a writer that survived send what a
writer that was killed had not finished, and lets the checks know what ought to be there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import attrs
import msgspec

from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.payloads import encode

_EPOCH_NS: Final = 1_750_000_000_000_000_000
_SECOND_NS: Final = 1_000_000_000

_LIFE: Final = (
    (EventKind.ACTIVITY_SCHEDULED, "reserve_stock"),
    (EventKind.ACTIVITY_COMPLETED, "reserve_stock"),
    (EventKind.ACTIVITY_SCHEDULED, "charge"),
    (EventKind.ACTIVITY_FAILED, "charge"),
    (EventKind.TIMER_FIRED, "retry_charge"),
    (EventKind.ACTIVITY_SCHEDULED, "charge"),
    (EventKind.ACTIVITY_COMPLETED, "charge"),
    (EventKind.SIGNAL_RECEIVED, "add_item"),
)
"""What lies between start and completion, again and again: each added item is reserved and paid."""


class Payload(msgspec.Struct):
    """The content of each event: whose it is, which, and what it was about."""

    order: str
    number: int
    step: str
    cents: int
    note: str


_decoder: Final = msgspec.json.Decoder(Payload)


@attrs.frozen
class Plan:
    """All orders of a run.

    Args:
        workflows: how many orders.
        events: how many events each has.
        seed: decides their content.
    """

    workflows: int
    events: int
    seed: int

    @property
    def total(self) -> int:
        """How many events there are in all."""
        return self.workflows * self.events

    def name(self, number: int) -> WorkflowId:
        """Tell the workflow id of an order.

        Args:
            number: which order, from 0.

        Returns:
            Its id.
        """
        return WorkflowId(f"order-{number:06d}")

    def number(self, name: str) -> int:
        """Tell which order a workflow id names; the other way round from `name`."""
        return int(name.removeprefix("order-"))

    def order(self, number: int) -> Iterator[WorkflowEvent]:
        """Tell what happens to an order.

        Args:
            number: which order, from 0.

        Yields:
            Its events, always the same.
        """
        name, chance = self.name(number), random.Random(f"{self.seed}:{number}")  # noqa: S311  # content, no secret
        timestamp = _EPOCH_NS + number * _SECOND_NS
        for seq in range(1, self.events + 1):
            kind, step = self._step(seq)
            timestamp += chance.randrange(1, 90 * _SECOND_NS)
            content = Payload(name, seq, step, chance.randrange(100, 100_000), "x" * chance.randrange(60))
            yield WorkflowEvent(seq, timestamp, kind, encode(content))

    def _step(self, seq: int) -> tuple[EventKind, str]:
        if seq == 1:
            return EventKind.WORKFLOW_STARTED, "order"
        if seq == self.events:
            return EventKind.WORKFLOW_COMPLETED, "order"
        return _LIFE[(seq - 2) % len(_LIFE)]


@attrs.define
class OrderState:
    """What an order has come to; two are equal when every event that led to them was.

    Attributes:
        events: how many events there were.
        paid_cents: what was charged.
        reserved: how many items are reserved.
        failures: how many activities failed.
        signals: how many signals came.
        status: new, open or completed.
    """

    events: int = 0
    paid_cents: int = 0
    reserved: int = 0
    failures: int = 0
    signals: int = 0
    status: str = "new"


def apply(state: OrderState, event: WorkflowEvent) -> OrderState:
    """Fold one event into an order's state.

    Args:
        state: the state before; changed.
        event: the event.

    Returns:
        The state after.
    """
    content = _decoder.decode(event.payload)
    kind = event.kind
    state.events += 1
    if kind is EventKind.ACTIVITY_COMPLETED:
        if content.step == "charge":
            state.paid_cents += content.cents
        else:
            state.reserved += 1
    elif kind is EventKind.ACTIVITY_FAILED:
        state.failures += 1
    elif kind is EventKind.SIGNAL_RECEIVED:
        state.signals += 1
    elif kind is EventKind.WORKFLOW_STARTED:
        state.status = "open"
    elif kind is EventKind.WORKFLOW_COMPLETED:
        state.status = "completed"
    return state


def owner(event: WorkflowEvent) -> str:
    """Read from an event whose it is.

    Args:
        event: an event of an order.

    Returns:
        The workflow id that its payload names.
    """
    return _decoder.decode(event.payload).order
