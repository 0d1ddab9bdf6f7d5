"""A start that is taken from the mailbox between two looks at the store is found by whoever looks."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import pytest
import trio

from treadle import open_runtime, workflow
from treadle.cli.durable.running import _begun_head
from treadle.errors import WorkflowNotFoundError
from treadle.kernel import InlineKernel
from treadle.stores.memory import MemoryStore


@workflow.define
async def hears() -> str:
    return await workflow.signals("word").receive()


@pytest.fixture
async def store(autojump_clock):
    """A store in which a start waits, and is taken as soon as one look at it has ended."""
    kernel = InlineKernel()
    store = MemoryStore(kernel)
    async with open_runtime(store, kernel=kernel) as outside:
        await outside.start("hears", id="w")

    async def begin() -> None:
        async with open_runtime(store, workflows=[hears], kernel=kernel) as runtime:
            with trio.fail_after(60):
                while (await plain_heads(["w"]))[0].facts is None:  # noqa: ASYNC110  # a store has no event
                    await trio.sleep(0.1)
            assert runtime.workflow("w")

    plain_heads, plain_messages = store.heads, store.messages
    looks = [0]

    def after_the_first(look):
        async def looking(*args, **kwargs):
            found = await look(*args, **kwargs)
            if looks == [0]:
                looks[0] += 1
                store.heads, store.messages = plain_heads, plain_messages
                await begin()
            return found

        return looking

    store.heads, store.messages = after_the_first(plain_heads), after_the_first(plain_messages)
    return store


async def test_treadle_run_finds_it(store):
    assert (await _begun_head(store, "w")).facts.name == "hears"


async def test_a_signal_finds_it(store):
    async with open_runtime(store, kernel=InlineKernel()) as outside:
        await outside.workflow("w").signal("word", "yes")


async def test_who_waits_for_its_result_finds_it(store):
    async with open_runtime(store, kernel=InlineKernel()) as outside:
        with trio.move_on_after(1) as waiting:
            await outside.workflow("w").result()

        assert waiting.cancelled_caught
        with pytest.raises(WorkflowNotFoundError):
            await outside.workflow("other").result()
