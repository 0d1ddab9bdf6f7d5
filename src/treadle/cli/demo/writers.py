"""The writers of the demo.

Each order has a writer of its own, which sends one event after the other and goes on when it is durable.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import trio

from treadle.cli.demo.orders import Plan
from treadle.log import Appended
from treadle.runtime import Runtime

WRITERS_MAX: Final = 5_000
"""How many orders are written at once; more would only wait for the same commits and hold memory."""
ACKNOWLEDGED: Final = struct.Struct(">II")
"""What the process tells of each event once it is durable: which order, which seq."""

READY: Final = 0
"""Told instead of a seq, once: the store is open and the writers begin."""

Acknowledge = Callable[[int, Appended], None]


async def write_orders(
    runtime: Runtime, plan: Plan, first_seq: Callable[[int], int], acknowledge: Acknowledge
) -> None:
    """Write all orders, each by its own writer, many at once.

    Args:
        runtime: where to.
        plan: the orders.
        first_seq: tells for each order which seq is sent first.
        acknowledge: told of each event that is durable.

    Raises:
        TreadleError: an event could not be written.
    """
    orders = iter(range(plan.workflows))
    async with trio.open_nursery() as nursery:
        for _ in range(min(plan.workflows, WRITERS_MAX)):
            nursery.start_soon(_write_orders, runtime, plan, orders, first_seq, acknowledge)


async def _write_orders(
    runtime: Runtime,
    plan: Plan,
    orders: Iterator[int],
    first_seq: Callable[[int], int],
    acknowledge: Acknowledge,
) -> None:
    for number in orders:
        handle = runtime.workflow(plan.name(number))
        for event in islice(plan.order(number), first_seq(number) - 1, None):
            appended = await handle.append(
                event.kind, event.payload, timestamp=event.timestamp, seq=event.seq
            )
            acknowledge(number, appended)
