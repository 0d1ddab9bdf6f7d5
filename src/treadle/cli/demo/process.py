"""The writing process of the demo, the one that is killed: ``python -m treadle.cli.demo.process``.

Its arguments are the store's URL, workflows, events and seed; its stdout tells each event that is durable.
"""

from __future__ import annotations

import os
import sys
from functools import partial

from treadle.cli.demo.orders import Plan
from treadle.cli.demo.writers import ACKNOWLEDGED, READY, write_orders
from treadle.cli.processes import run_child
from treadle.log import Appended
from treadle.runtime import open_runtime


async def _write_and_tell(url: str, plan: Plan) -> None:
    pipe = sys.stdout.fileno()

    def tell(number: int, appended: Appended) -> None:
        # At once and unbuffered: what lies in a buffer when the kill comes was never told.
        os.write(pipe, ACKNOWLEDGED.pack(number, appended.seq))

    async with open_runtime(url) as runtime:
        os.write(pipe, ACKNOWLEDGED.pack(0, READY))
        await write_orders(runtime, plan, lambda _: 1, tell)


if __name__ == "__main__":
    _url, *_numbers = sys.argv[1:]
    sys.exit(run_child(partial(_write_and_tell, _url, Plan(*(int(number) for number in _numbers)))))
