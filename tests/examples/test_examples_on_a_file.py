"""Every example's workflow on an SQLite file, through runtimes that end in the middle of everything."""

# ruff: noqa: ARG001  # a fixture that makes the clock virtual is asked for by its name
from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
import trio.testing
from example_programs import AGENT, APPROVAL, CARD, DAY, FAN_OUT, LAMP, POLLING, SAGA

from treadle import Runtime, RuntimeConfig, WorkflowHandle, open_runtime
from treadle.testing import InlineKernel

pytestmark = pytest.mark.slow

CONFIG = RuntimeConfig(poll_seconds=DAY)
"""Nobody else writes to these files, so nobody has to look; 30 virtual days are many looks."""


class MortalKernel(InlineKernel):
    """Ends its scope at the nth touch of the store, wherever the program is then."""

    def __init__(self, scope: trio.CancelScope, touches: int) -> None:
        super().__init__()
        self._scope = scope
        self._left = touches

    async def run_blocking(self, function: Callable[..., Any], *args: Any) -> Any:
        """Count, perhaps die."""
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()
        return await super().run_blocking(function, *args)


async def in_many_lives(
    path: Path, program: ModuleType, use: Callable[[Runtime], Awaitable[Any]]
) -> tuple[Any, int]:
    """Do something in runtimes that end at the first touch of the store, the second ..., until it is done."""
    for touches in range(1, 1_000):
        with trio.CancelScope() as scope:
            async with opened(path, program, MortalKernel(scope, touches)) as runtime:
                return await use(runtime), touches
    raise AssertionError("it never ends")


def opened(path: Path, program: ModuleType, kernel: InlineKernel | None = None) -> Any:
    """Open the store as the program does."""
    return open_runtime(
        path,
        workflows=program.WORKFLOWS,
        activities=getattr(program, "ACTIVITIES", ()),
        config=CONFIG,
        kernel=kernel or InlineKernel(),
    )


async def begin(runtime: Runtime, program: ModuleType, *args: Any) -> WorkflowHandle:
    """Start the program's workflow, or find it."""
    return await runtime.start(program.WORKFLOWS[0], *args, id="w", id_policy="use_existing")


@pytest.fixture(autouse=True)
def clean_worlds() -> Iterator[None]:
    """What the activities of the examples have kept, is kept for one test."""
    SAGA.WORLD.__init__()
    for kept in (APPROVAL.MAILS, POLLING.ASKED, AGENT.PRICE_CENTS):
        kept.clear()
    return


async def test_an_order_lives_through_many_runtimes(tmp_path: Path, autojump_clock: Any) -> None:
    """One parcel is shipped, however often the shop is closed in between."""

    async def use(runtime: Runtime) -> Any:
        if "w" not in [name async for name in runtime.workflow_ids()]:
            await begin(runtime, SAGA, LAMP)
        handle = runtime.workflow("w")
        if await handle.status() == "running":
            await handle.signal("packed", key=b"packed")
        return await handle.result()

    result, lives = await in_many_lives(tmp_path / "store.db", SAGA, use)

    assert "receipt-A-1" == result
    assert {"A-1"} == SAGA.WORLD.shipped
    assert lives > 5


async def test_a_census_lives_through_many_runtimes(tmp_path: Path, autojump_clock: Any) -> None:
    """Pages that were counted in an earlier life count."""

    async def use(runtime: Runtime) -> Any:
        handle = runtime.workflow("w")
        if not await handle.stream_len():
            handle = await begin(runtime, FAN_OUT, 50)
        return await handle.result()

    result, lives = await in_many_lives(tmp_path / "store.db", FAN_OUT, use)

    assert sum(200 + page % 7 for page in range(50)) == result
    assert lives > 5


async def test_a_film_lives_through_many_runtimes(tmp_path: Path, autojump_clock: Any) -> None:
    """The waits between go on where they were."""

    async def use(runtime: Runtime) -> Any:
        handle = runtime.workflow("w")
        if not await handle.stream_len():
            handle = await begin(runtime, POLLING, "film")
        return await handle.result()

    result, lives = await in_many_lives(tmp_path / "store.db", POLLING, use)

    assert "job-film.mp4" == result
    assert lives > 10


async def test_an_invoice_waits_while_nobody_is_there(tmp_path: Path, autojump_clock: Any) -> None:
    """The deadline passes while no process runs; the first one that comes back acts on it."""
    async with opened(tmp_path / "store.db", APPROVAL) as runtime:
        await begin(runtime, APPROVAL, "invoice-1")
        await trio.sleep(1)
        told = await runtime.workflow("w").describe()
    await trio.sleep(31 * DAY)
    async with opened(tmp_path / "store.db", APPROVAL) as runtime:
        result = await runtime.workflow("w").result()

    assert "refused: nobody has decided in 30 days" == result
    assert any("signal 'decision'" in line for line in told.waits_for)
    assert APPROVAL.MAILS == [
        "invoice-1: please decide within 30 days",
        "invoice-1: refused: nobody has decided in 30 days",
    ]


async def test_an_agent_lives_through_many_runtimes(tmp_path: Path, autojump_clock: Any) -> None:
    """The conversation goes on; each turn is in it once."""

    async def use(runtime: Runtime) -> Any:
        handle = runtime.workflow("w")
        if not await handle.stream_len():
            handle = await begin(runtime, AGENT, "How many wheels?")
        if await handle.status() == "running":
            await handle.signal("answer", 7, key=b"answer")
        return await handle.result()

    result, lives = await in_many_lives(tmp_path / "store.db", AGENT, use)

    assert AGENT.SCRIPT[-1].text == result
    assert lives > 5


async def test_a_card_keeps_every_point_over_many_runtimes(tmp_path: Path, autojump_clock: Any) -> None:
    """Signals sent again with their keys after each end are taken once, over three runs of the card."""

    async def use(runtime: Runtime) -> Any:
        handle = runtime.workflow("w")
        if not await handle.stream_len():
            handle = await begin(runtime, CARD, CARD.Card())
        for number in range(3):
            await handle.signal("bought", 2, key=b"%d" % number)
        spent = await handle.update("spend", 1, id="one point")
        return spent, await handle.query("card")

    (spent, state), _ = await in_many_lives(tmp_path / "store.db", CARD, use)

    assert 5 == spent
    assert {"points": 5, "purchases": 3} == state
