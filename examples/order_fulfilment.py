"""Orders are fulfilled by several workers; every run stops half-way, and the next one goes on.

Each step of an order is appended with a key that names it, so a worker may send it as often as it likes:
what is stored once is not stored again. The first run is stopped in the middle, as a crash would stop it;
the second one is the same code and asks nobody how far the first one got.
"""

from __future__ import annotations

import trio

from treadle import EventKind, Runtime, Visitor, WorkflowEvent, WorkflowHandle, open_runtime

STEPS = ("reserve", "pay", "pack", "ship")
ORDERS = 20
WORKERS = 4


class Done(Visitor[tuple[str, ...]]):
    """The steps an order has behind it."""

    def visit_activity_completed(self, state: tuple[str, ...], event: WorkflowEvent) -> tuple[str, ...]:
        """Note a step."""
        return (*state, event.payload.decode())


async def fulfil(order: WorkflowHandle) -> None:
    """Take an order to its end, from wherever it is."""
    await order.append(EventKind.WORKFLOW_STARTED, b"{}", key=b"start")
    for step in STEPS:
        await trio.sleep(0.001)  # the work itself
        await order.append(EventKind.ACTIVITY_COMPLETED, step.encode(), key=step.encode())
    await order.append(EventKind.WORKFLOW_COMPLETED, key=b"end")


async def work(runtime: Runtime, orders: trio.MemoryReceiveChannel[str]) -> None:
    """Fulfil one order after the other."""
    async for order_id in orders:
        await fulfil(runtime.workflow(order_id))


async def run_once(stop_after_seconds: float) -> int:
    """Run until all is done or the time is up; tell how many events are in the store."""
    async with open_runtime("orders.db") as runtime:
        with trio.move_on_after(stop_after_seconds):
            async with trio.open_nursery() as nursery:
                send, receive = trio.open_memory_channel[str](0)
                for _ in range(WORKERS):
                    nursery.start_soon(work, runtime, receive.clone())
                async with send:
                    for number in range(ORDERS):
                        await send.send(f"order-{number:02}")
                receive.close()
        return (await runtime.store.statistics()).events


async def main() -> None:
    """Run twice, then look at what is there."""
    stopped_at = await run_once(0.05)
    print(f"stopped with {stopped_at} of {ORDERS * 6} events")
    finished_at = await run_once(60)
    print(f"finished with {finished_at} events")
    assert finished_at == ORDERS * 6  # noqa: S101  # each step of each order is there once
    async with open_runtime("orders.db") as runtime:
        async for order in runtime.replay_all(Done(), tuple):
            assert order.state == STEPS  # noqa: S101  # in this order
    print("every order has every step once")


if __name__ == "__main__":
    trio.run(main)
