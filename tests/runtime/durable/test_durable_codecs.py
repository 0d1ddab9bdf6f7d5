"""Codecs from end to end: what is stored is encoded, all of it, and what crosses a crash is read again."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used; files are read between two waits

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from board import board, kinds
from faulty import FaultyStore

from treadle import RuntimeConfig, activity, open_runtime, workflow
from treadle.errors import (
    CorruptStoreError,
    QueryFailedError,
    StoreUnavailableError,
    UpdateRejectedError,
    WorkflowFailedError,
    WorkflowHeldError,
)
from treadle.payloads import CodecChain, Compression, Encryption, KeyRing, is_encoded
from treadle.stores import Store

SECRET = "Rumpelstiltskin"  # noqa: S105  # what must not be found
CHAINS = {
    "compression": lambda: [Compression()],
    "encryption": lambda: [Encryption(KeyRing({"k": bytes(range(64))}, current="k"))],
    "both": lambda: [Compression(), Encryption(KeyRing({"k": bytes(range(64))}, current="k"))],
}
WORDS = f"{SECRET} {'x' * 300}"
"""Long enough to be worth compressing."""


@activity.define(retry=activity.Retry(initial_seconds=1, attempts=4))
async def tell(words: str) -> str:
    number = board.note("tell")
    found = activity.info().heartbeat_details
    if number == 1:
        activity.heartbeat(words, number)
        raise ValueError(words)
    if number == 2:
        activity.heartbeat(words, number)
        await board.wait("tell")
    board.note("details", found)
    return words


@workflow.define
async def child(words: str) -> str:
    return words + " " + await workflow.signals("to the child").receive()


@workflow.define
async def talks(words: str) -> list[str]:
    heard = [words]

    @workflow.query("heard")
    def tell_heard(more: str) -> list[str]:
        if more == "fail":
            raise ValueError(words)
        return [*heard, more]

    def check(more: str) -> None:
        if more == "reject":
            raise ValueError(words)

    @workflow.update("hear", validator=check)
    def hear(more: str) -> str:
        heard.append(workflow.side_effect(lambda: more))
        return more

    handle = workflow.start_child(child, words, id="child")
    handle.signal("to the child", words)
    heard.append(await handle.result())
    heard.append(await workflow.activity(tell, words))
    heard.append(await workflow.signals("word").receive())
    await workflow.sleep(60)
    heard.append(await workflow.signals("word").receive())
    return heard


@workflow.define
async def slips(words: str) -> None:
    await workflow.signals("go").receive()
    raise NameError(words)


@workflow.define
async def fails(words: str) -> None:
    raise ValueError(words)


FLOWS = [talks, child, slips, fails]


@pytest.fixture(params=CHAINS)
def codecs(request):
    return CHAINS[request.param]()


async def payloads(store: Store) -> list[bytes]:
    """Everything that is stored of what anybody has said: events, messages, records."""
    found = [entry.event.payload for entry in await store.feed()]
    for name in await store.workflows_with_messages():
        found += [row.payload for row in await store.messages(name)]
    for space in ("reply", "heartbeat", "held", "undelivered"):
        found += [record.value for record in await store.records(f"treadle:{space}")]
    return found


async def check_stored(runtime, place, *, encrypted: bool) -> None:
    """Nothing that was said can be read from what is stored."""
    stored = await payloads(runtime.store)
    if not encrypted:
        assert any(map(is_encoded, stored)), "long ones are compressed"
        return
    assert all(map(is_encoded, stored))
    assert not any(SECRET.encode() in payload for payload in stored)
    for file in files_of(place):
        content = file.read_bytes()
        assert content
        assert SECRET.encode() not in content, file.name
        assert SECRET.encode("utf-16-le") not in content, file.name


def files_of(place) -> Iterator[Path]:
    if isinstance(place, str):
        yield from (file for file in Path(place).parent.glob(Path(place).name + "*") if file.stat().st_size)


def is_encrypting(codecs) -> bool:
    return any(isinstance(codec, Encryption) for codec in codecs)


async def test_everything_a_workflow_says_is_encoded_and_survives_a_restart(
    opened, place, codecs, autojump_clock
):
    encrypted = is_encrypting(codecs)
    async with opened(FLOWS, [tell], codecs=codecs, heartbeat_seconds=0.01) as runtime:
        handle = await runtime.start(talks, WORDS, id="a")
        await board.wait_for_arrival("tell")
        await handle.signal("word", WORDS)
        assert [WORDS, f"{WORDS} {WORDS}", WORDS] == await handle.query("heard", WORDS)
        with pytest.raises(QueryFailedError, match=SECRET):
            await handle.query("heard", "fail")
        with pytest.raises(UpdateRejectedError, match=SECRET):
            await handle.update("hear", "reject")
        assert WORDS == await handle.update("hear", WORDS)
        await trio.sleep(1)
        assert 1 == len(await runtime.store.records("treadle:heartbeat"))
        await check_stored(runtime, place, encrypted=encrypted)
    board.open("tell")
    async with opened(FLOWS, [tell], codecs=codecs) as runtime:
        handle = runtime.workflow("a")
        await handle.signal("word", WORDS)
        assert [WORDS, f"{WORDS} {WORDS}", *[WORDS] * 4] == await handle.result()
        assert ("details", (WORDS, 2)) in board.notes, "the next process reads what the heartbeat has told"
        with pytest.raises(WorkflowFailedError, match=SECRET):
            await (await runtime.start(fails, WORDS)).result()
        held = await runtime.start(slips, WORDS, id="held")
        await held.signal("go", WORDS)
        with trio.fail_after(5):
            while await held.status() != "held":  # noqa: ASYNC110  # nothing tells of it
                await trio.sleep(0.01)
        await held.signal("waits", WORDS)
        assert SECRET in (await held.describe()).held
        with pytest.raises(WorkflowHeldError, match=SECRET):
            await held.query("x")
        await check_stored(runtime, place, encrypted=encrypted)
    for file in files_of(place):
        assert not encrypted or SECRET.encode() not in file.read_bytes(), "nor in what closing leaves"


async def test_another_runtime_with_the_codecs_asks_and_is_answered(place, kernel, codecs, autojump_clock):
    """Messages and answers of other processes go through the codecs as well."""
    encrypted = is_encrypting(codecs)
    board.open("tell")
    async with (
        open_runtime(place, workflows=FLOWS, activities=[tell], codecs=codecs, kernel=kernel) as runner,
        open_runtime(place, codecs=codecs, kernel=kernel) as other,
    ):
        with trio.fail_after(600):
            handle = await other.start("talks", WORDS, id="a")
            assert WORDS == await handle.update("hear", WORDS)
            assert WORDS in await handle.query("heard", WORDS)
            with pytest.raises(QueryFailedError, match=SECRET):
                await handle.query("heard", "fail")
            with pytest.raises(UpdateRejectedError, match=SECRET):
                await handle.update("hear", "reject")
            await check_stored(runner, place, encrypted=encrypted)
            await handle.signal("word", WORDS)
            await handle.signal("word", WORDS)
            assert 6 == (await handle.result()).count(WORDS) + 1
            with pytest.raises(WorkflowFailedError, match=SECRET):
                await (await other.start("fails", WORDS)).result()


class CutStore(FaultyStore):
    """Takes so many appends and then no more."""

    left = 10**9

    async def append(self, units):
        if self.left <= 0:
            raise StoreUnavailableError("cut off")
        self.left -= 1
        return await super().append(units)


@pytest.mark.parametrize("appends", range(1, 16, 2))
async def test_cut_off_after_any_append_encoded_logs_go_on(kernel, codecs, appends, autojump_clock):
    store = CutStore(kernel)
    board.open("tell")

    def over():
        config = RuntimeConfig(close_timeout_seconds=1)
        return open_runtime(
            store, workflows=FLOWS, activities=[tell], codecs=codecs, kernel=kernel, config=config
        )

    store.left = appends
    async with over() as runtime:
        with trio.move_on_after(600):
            handle = await runtime.start(talks, WORDS, id="a")
            with suppress(StoreUnavailableError):
                await handle.signal("word", WORDS)
            await trio.sleep_forever()
        store.left = 0
    store.left = 10**9
    async with over() as runtime:
        handle = runtime.workflow("a")
        for _ in range(2):
            await handle.signal("word", WORDS)
        assert [WORDS, f"{WORDS} {WORDS}", *[WORDS] * 3] == await handle.result()
        assert 1 == (await kinds(handle)).count("activity_completed")
    if is_encrypting(codecs):
        assert not any(SECRET.encode() in payload for payload in await payloads(store))


WRONG = {
    "none": list,
    "another": lambda: [Encryption(KeyRing({"other": bytes(range(1, 65))}, current="other"))],
    "changed": lambda: [Encryption(KeyRing({"k": bytes(range(1, 65))}, current="k"))],
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_without_the_key_nothing_is_lost_and_with_it_everything_goes_on(
    opened, place, wrong, autojump_clock, caplog
):
    """A process that was started without the key holds what it cannot read, and takes no message away."""
    key = CHAINS["encryption"]()
    board.open("tell")
    async with opened(FLOWS, [tell], codecs=key) as runtime:
        await runtime.start(talks, WORDS, id="a")
        await runtime.start(child, WORDS, id="b")
    async with opened(codecs=key) as nobody_runs:
        await nobody_runs.workflow("a").signal("word", WORDS)
        await nobody_runs.workflow("b").signal("to the child", "x")
        await nobody_runs.start("child", WORDS, id="c")
        await nobody_runs.workflow("c").signal("to the child", "y")
    async with opened(FLOWS, [tell], codecs=WRONG[wrong]()) as runtime:
        waiting = {name: await runtime.store.messages(name) for name in "abc"}
        for name in "ab":
            with pytest.raises(WorkflowHeldError, match=r"codec|key"):
                await runtime.workflow(name).query("heard", "x")
        await trio.sleep(10)
        for name, rows in waiting.items():
            now = await runtime.store.messages(name)
            assert rows == [row for row in now if row in rows], (
                "messages wait for a runner that can read them"
            )
            assert rows or name == "a"
    assert any("is left in its mailbox" in record.getMessage() for record in caplog.records)
    async with opened(FLOWS, [tell], codecs=CodecChain(key)) as runtime:
        for name in "ab":
            await runtime.workflow(name).resume()
        assert f"{WORDS} x" == await runtime.workflow("b").result()
        assert f"{WORDS} y" == await runtime.workflow("c").result()
        await runtime.workflow("a").signal("word", WORDS)
        assert [WORDS, f"{WORDS} {WORDS}", *[WORDS] * 3] == await runtime.workflow("a").result()


async def test_a_question_that_the_runner_cannot_read_is_answered_with_an_error(
    place, kernel, autojump_clock
):
    """Its sender waits now: a key that comes later would be of no use."""
    async with (
        open_runtime(place, workflows=FLOWS, activities=[tell], kernel=kernel) as runner,
        open_runtime(place, codecs=CHAINS["encryption"](), kernel=kernel) as other,
    ):
        await runner.start(talks, WORDS, id="a")
        for ask in (other.workflow("a").query, other.workflow("a").update):
            with trio.fail_after(60), pytest.raises(CorruptStoreError, match="codec"):
                await ask("hear", "x")
        assert [] == await runner.store.messages("a")
