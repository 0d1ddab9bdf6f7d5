"""Cases of bad input about simulating one workflow, for `test_bad_input.py`; nothing outlives them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from treadle import TreadleError, activity, workflow
from treadle.testing import Conditions, returns, simulate

CASES: dict[str, Callable[[Path], Awaitable[list[TreadleError]]]] = {}


@activity.define
async def charge() -> str:
    """Has no body in a world."""
    raise NotImplementedError


@activity.define
async def refund() -> None:
    """Nobody calls it."""
    raise NotImplementedError


@workflow.define
async def pay() -> str:
    """Call one activity."""
    return await workflow.activity(charge)


@workflow.define
async def order() -> str:
    """Start a child."""
    return await workflow.child(pay)


def simulated(name: str, call: Callable[[], Any]) -> None:
    """Note a case; a world is a run of Trio of its own, so it is one thread away from the test's."""

    def tell() -> list[TreadleError]:
        with pytest.raises(TreadleError) as caught:
            call()
        return [caught.value]

    async def case(_: Path) -> list[TreadleError]:
        return await trio.to_thread.run_sync(tell)

    CASES[name] = case


def reads_a_price_list() -> str:
    """A model that opens a file in the middle of a world."""
    return Path(__file__).read_text(encoding="utf-8")


MODELS = {charge: "paid"}
simulated("world-model-missing", lambda: simulate(pay))
simulated("world-model-unused", lambda: simulate(pay, activities={**MODELS, refund: None}))
simulated("world-model-name", lambda: simulate(pay, activities={"charge": "paid"}))
simulated("world-model-script", lambda: simulate(pay, activities={charge: returns("paid")}))
simulated("world-child-missing", lambda: simulate(order, activities=MODELS))
simulated("world-crash", lambda: simulate(pay, activities=MODELS, crash=(3, "during")))  # type: ignore[arg-type]
simulated("world-real-io", lambda: simulate(pay, activities={charge: reads_a_price_list}))
simulated("world-store", lambda: simulate(pay, activities=MODELS, store="floppy"))  # type: ignore[arg-type]
simulated("world-said-twice", lambda: simulate(pay, activities=MODELS, world=Conditions(), seed=3))


async def world_inside_a_run(_: Path) -> list[TreadleError]:
    """A test function with one `async` too many."""
    with pytest.raises(TreadleError) as caught:
        simulate(pay, activities=MODELS)
    return [caught.value]


CASES["world-inside-a-run"] = world_inside_a_run
