"""The process that runs durable orders and is killed: ``python -m treadle.cli.demo.durable_process``.

Its arguments are the store's URL and how many orders to start. Its stdout tells a byte for each order that
has begun (s) and each attempt that was made (a), and once that it runs them (r).
"""

from __future__ import annotations

import os
import sys
from functools import partial

import trio

from treadle.cli.demo import durable_orders
from treadle.cli.demo.durable_orders import ACTIVITIES, WORKFLOWS, durable_order, order_id
from treadle.cli.processes import run_child
from treadle.runtime import Runtime, open_runtime


async def _run(url: str, orders: int) -> None:
    pipe = sys.stdout.fileno()
    # At once and unbuffered: what lies in a buffer when the kill comes was never told.
    durable_orders.tell = partial(os.write, pipe)
    async with open_runtime(url, workflows=WORKFLOWS, activities=ACTIVITIES) as runtime:
        os.write(pipe, b"r")
        async with trio.open_nursery() as nursery:
            for number in range(orders):
                nursery.start_soon(_start, runtime, number, pipe)
        for number in range(orders):
            await runtime.workflow(order_id(number)).result()


async def _start(runtime: Runtime, number: int, pipe: int) -> None:
    await runtime.start(durable_order, number, 100 + number, id=order_id(number), id_policy="use_existing")
    os.write(pipe, b"s")


if __name__ == "__main__":
    _url, _orders = sys.argv[1:]
    sys.exit(run_child(partial(_run, _url, int(_orders))))
