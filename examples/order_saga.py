"""An order is a saga: when a step fails, or the customer changes her mind, what was done is undone.

Three steps, each an activity that touches the world and each with one that takes it back. The undo of a step
is noted before the step runs, because a step that has failed may still have happened half-way; so every undo
must bear being called for nothing.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import attrs
import trio

from treadle import (
    EventKind,
    Runtime,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowExistsError,
    WorkflowFailedError,
    WorkflowHandle,
    activity,
    open_runtime,
    workflow,
)


@attrs.frozen
class Order:
    """What a customer wants."""

    order_id: str
    item: str
    cents: int


class World:
    """The shop, the bank and the carrier; each has books of its own."""

    def __init__(self) -> None:
        self.reserved: set[str] = set()
        self.charged: dict[str, int] = {}
        self.shipped: set[str] = set()


WORLD = World()
TRY_THREE_TIMES = activity.Retry(initial_seconds=0.01, attempts=3)


@activity.define(retry=TRY_THREE_TIMES)
async def reserve(order: Order) -> None:
    """Put the item aside."""
    WORLD.reserved.add(order.order_id)


@activity.define(retry=TRY_THREE_TIMES)
async def release(order: Order) -> None:
    """Put it back, if it was put aside."""
    WORLD.reserved.discard(order.order_id)


@activity.define(retry=TRY_THREE_TIMES)
async def charge(order: Order) -> str:
    """Take the money; said twice, it is taken once."""
    if order.cents > 100_000:
        raise activity.ApplicationError("the card was declined", type="Declined", non_retryable=True)
    WORLD.charged[order.order_id] = order.cents
    return f"receipt-{order.order_id}"


@activity.define(retry=TRY_THREE_TIMES)
async def refund(order: Order) -> None:
    """Give the money back, if it was taken."""
    WORLD.charged.pop(order.order_id, None)


@activity.define(retry=TRY_THREE_TIMES)
async def ship(order: Order) -> None:
    """Hand the parcel over. There is no way back, so it comes last."""
    WORLD.shipped.add(order.order_id)


@workflow.define
async def place_order(order: Order) -> str:
    """Reserve, charge, wait for the parcel to be packed, ship; or undo."""
    undo: list[Any] = []
    try:
        undo.append(release)
        await workflow.activity(reserve, order)
        undo.append(refund)
        receipt = await workflow.activity(charge, order)
        await workflow.signals("packed").receive()
        await workflow.activity(ship, order)
    except BaseException:  # a cancellation, too, leaves nothing half done
        with workflow.CancelScope(shield=True):
            for step in reversed(undo):
                await workflow.activity(step, order)
        raise
    return receipt


WORKFLOWS = (place_order,)
ACTIVITIES = (reserve, release, charge, refund, ship)


async def placed(runtime: Runtime, order: Order) -> WorkflowHandle:
    """Place an order, or find it: this program may have been stopped, and is run again."""
    try:
        return await runtime.start(place_order, order, id=f"order-{order.order_id}")
    except WorkflowExistsError:
        return runtime.workflow(f"order-{order.order_id}")


async def steps(order: WorkflowHandle) -> list[str]:
    """List the activities that an order has asked for."""
    return [
        json.loads(event.payload)["name"]
        async for event in order.read()
        if event.kind is EventKind.ACTIVITY_SCHEDULED
    ]


async def charged(order: WorkflowHandle) -> None:
    """Wait until an order's second activity has ended."""
    ended = 0
    async for event in order.follow():
        ended += event.kind is EventKind.ACTIVITY_COMPLETED
        if ended == 2:
            return


async def main() -> None:
    """Place three orders: one goes well, one is declined, one is cancelled."""
    async with open_runtime("saga.db", workflows=WORKFLOWS, activities=ACTIVITIES) as runtime:
        good = await placed(runtime, Order("A-1", "a lamp", 4_200))
        dear = await placed(runtime, Order("A-2", "a car", 990_000))
        gone = await placed(runtime, Order("A-3", "a lamp", 4_200))

        with suppress(WorkflowClosedError):  # an earlier run of this program may have come so far
            await good.signal("packed", key=b"packed")
        print("A-1:", await good.result())
        try:
            await dear.result()
        except WorkflowFailedError as error:
            print("A-2:", error)
        await charged(gone)
        with suppress(WorkflowClosedError):
            await gone.cancel("the customer has changed her mind")
        try:
            await gone.result()
        except WorkflowCancelledError as error:
            print("A-3:", error)

        assert await steps(good) == ["reserve", "charge", "ship"]  # noqa: S101
        for other in (dear, gone):
            assert await steps(other) == ["reserve", "charge", "refund", "release"]  # noqa: S101
    print("nothing is left of the other two")


if __name__ == "__main__":
    trio.run(main)
