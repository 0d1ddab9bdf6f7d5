"""One small scenario for each family of things that durable engines must do, to be disturbed by tests.

Each has a workflow and a function that drives it from outside. The driver may be broken off anywhere and
begun again over the same store, and always comes to the same result.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio
from board import board

from treadle import Runtime, activity, workflow
from treadle.errors import (
    ActivityError,
    QueryFailedError,
    UpdateFailedError,
    UpdateRejectedError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowExistsError,
    WorkflowTerminatedError,
)

Drive = Callable[[Runtime], Awaitable[Any]]
FAMILIES: dict[str, tuple[Drive, Any]] = {}
"""By name: what drives it, and what it must come to."""


def family(name: str, result: Any) -> Callable[[Drive], Drive]:
    def add(drive: Drive) -> Drive:
        FAMILIES[name] = drive, result
        return drive

    return add


async def begin(runtime, flow, *args, id="a", **options):  # noqa: A002  # as in Runtime.start
    """Start it, or find the one that was started when this was begun before."""
    try:
        return await runtime.start(flow, *args, id=id, id_policy="use_existing", **options)
    except WorkflowExistsError:
        return runtime.workflow(id)


# -- activities --


@activity.define
async def echo(word: str) -> str:
    return word


@activity.define(retry=activity.Retry(initial_seconds=1, attempts=20))
async def fails_twice(word: str) -> str:
    if activity.info().attempt <= 2:
        raise ValueError(word)
    return word


@activity.define
async def never_ends() -> str:
    await trio.sleep_forever()
    raise AssertionError


@activity.define(heartbeat_seconds=2, retry=activity.Retry(initial_seconds=1, attempts=20))
async def falls_silent(word: str) -> str:
    if activity.info().attempt == 1:
        activity.heartbeat(word)
        await trio.sleep_forever()
    return word


@activity.define(start_to_close_seconds=3, retry=activity.Retry(initial_seconds=1, attempts=2))
async def too_slow() -> str:
    await trio.sleep_forever()
    raise AssertionError


@activity.define(schedule_to_close_seconds=5, start_to_close_seconds=2, retry=activity.Retry(attempts=None))
async def never_done() -> str:
    await trio.sleep_forever()
    raise AssertionError


@workflow.define
async def retries() -> str:
    return await workflow.activity(fails_twice, "done")


@workflow.define
async def cancels() -> str:
    with workflow.move_on_after(5) as scope:
        await workflow.activity(never_ends)
    return "cancelled" if scope.cancelled_caught else "ended"


@workflow.define
async def beats() -> str:
    return await workflow.activity(falls_silent, "alive")


@workflow.define
async def times_out() -> list[str]:
    found = []
    for slow in (too_slow, never_done):
        try:
            await workflow.activity(slow)
        except ActivityError as error:
            found.append(error.failure_type)
    return found


@family("activity: retry", "done")
async def _retry(runtime):
    return await (await begin(runtime, retries)).result()


@family("activity: cancel", "cancelled")
async def _cancel(runtime):
    return await (await begin(runtime, cancels)).result()


@family("activity: heartbeat", "alive")
async def _heartbeat(runtime):
    return await (await begin(runtime, beats)).result()


@family("activity: timeouts", ["TimeoutError", "TimeoutError"])
async def _timeouts(runtime):
    return await (await begin(runtime, times_out)).result()


# -- children, runs, timers --


@workflow.define
async def child(word: str) -> str:
    return await workflow.activity(echo, word) + await workflow.signals("more").receive()


@workflow.define
async def has_a_child() -> str:
    handle = workflow.start_child(child, "one", id="child")
    handle.signal("more", " two")
    return await handle.result()


@workflow.define
async def goes_on(words: list[str]) -> list[str]:
    words.append(await workflow.signals("word").receive())
    if len(words) < 4:
        await workflow.continue_as_new(words)
    return words


@workflow.define
async def sleeps() -> list[str]:
    found: list[str] = []

    async def after(seconds: float) -> None:
        await workflow.sleep(seconds)
        found.append(str(seconds))

    async with workflow.open_nursery() as nursery:
        for seconds in (3, 1, 2):
            nursery.start_soon(after, seconds)
        with workflow.move_on_after(1.5):
            await workflow.sleep_forever()
        found.append("moved on")
    return found


@family("child", "one two")
async def _child(runtime):
    return await (await begin(runtime, has_a_child)).result()


@family("continue-as-new with signals pending", ["a", "b", "c", "d"])
async def _continue(runtime):
    handle = await begin(runtime, goes_on, [])
    with suppress(WorkflowClosedError):
        for word in "abcd":
            await handle.signal("word", word, key=word.encode())
    return await runtime.workflow("a").result()


@family("timers", ["1", "moved on", "2", "3"])
async def _timers(runtime):
    return await (await begin(runtime, sleeps)).result()


# -- messages --


@workflow.define
async def answers() -> int:
    """Deposits until it is told to end; what may not be deposited is refused."""
    total = 0

    @workflow.query("total")
    def tell() -> int:
        return total

    @workflow.query("fails")
    def fail() -> int:
        raise ValueError("no")

    def check(number: int) -> None:
        board.note("check", number)
        if number <= 0:
            raise ValueError("a deposit is positive")

    @workflow.update("deposit", validator=check)
    async def deposit(number: int) -> int:
        nonlocal total
        if number == 13:
            raise ValueError("not that one")
        await workflow.activity(echo, str(number))
        total += number
        return total

    await workflow.signals("end").receive()
    return total


@family("query errors", 0)
async def _query_errors(runtime):
    handle = await begin(runtime, answers)
    with suppress(WorkflowClosedError):
        for name in ("unknown", "fails"):
            try:
                await handle.query(name)
            except QueryFailedError:
                continue
            raise AssertionError
        assert 0 == await handle.query("total")
        await handle.signal("end", key=b"end")
    return await handle.result()


@family("signal with start", "one two")
async def _signal_with_start(runtime):
    # They are durable together: who finds the workflow there need not send the signal again.
    with suppress(WorkflowExistsError):
        await runtime.start(child, "one", id="a", signal=("more", [" two"]))
    return await runtime.workflow("a").result()


@family("update: async accepted", 7)
async def _accepted(runtime):
    handle = await begin(runtime, answers)
    with suppress(WorkflowClosedError):
        await handle.update("deposit", 7, id="u", wait_for="accepted")
        assert 7 == await handle.update("deposit", 7, id="u")
        await handle.signal("end", key=b"end")
    return await handle.result()


@family("update: dedup", 12)
async def _dedup(runtime):
    handle = await begin(runtime, answers)
    with suppress(WorkflowClosedError):
        for _ in range(3):
            assert 5 == await handle.update("deposit", 5, id="u")
        assert 12 == await handle.update("deposit", 7, id="v")
        await handle.signal("end", key=b"end")
    return await handle.result()


@family("update: non-durable reject", 0)
async def _reject(runtime):
    handle = await begin(runtime, answers)
    with suppress(WorkflowClosedError):
        for _ in range(2):
            try:
                await handle.update("deposit", -1, id="r")
            except UpdateRejectedError:
                continue
            raise AssertionError
        await handle.signal("end", key=b"end")
    return await handle.result()


@family("update: failure", 0)
async def _failure(runtime):
    handle = await begin(runtime, answers)
    with suppress(WorkflowClosedError):
        for _ in range(2):
            try:
                await handle.update("deposit", 13, id="f")
            except UpdateFailedError:
                continue
            raise AssertionError
        await handle.signal("end", key=b"end")
    return await handle.result()


@workflow.define
async def tidies_up() -> str:
    try:
        await workflow.sleep_forever()
    except workflow.Cancelled:
        with workflow.CancelScope(shield=True):
            await workflow.activity(echo, "tidy")
        raise
    return ""


@workflow.define
async def tells_another() -> str:
    sent = workflow.signal_external("b", "more", "!")
    await workflow.activity(echo, "told")
    return "told" if sent.failure is None else "not told"


@family("cancel", "cancelled")
async def _cancelled(runtime):
    handle = await begin(runtime, tidies_up)
    with suppress(WorkflowClosedError):
        await handle.cancel("enough")
    try:
        return await handle.result()
    except WorkflowCancelledError:
        return "cancelled"


@family("terminate", "terminated")
async def _terminated(runtime):
    handle = await begin(runtime, cancels)
    with suppress(WorkflowClosedError):
        await handle.terminate("enough")
    try:
        return await handle.result()
    except WorkflowTerminatedError:
        return "terminated"


@family("signal to another workflow", ("told", "hello!"))
async def _external(runtime):
    other = await begin(runtime, child, "hello", id="b")
    handle = await begin(runtime, tells_another)
    return await handle.result(), await other.result()


FLOWS = [
    retries, cancels, beats, times_out, child, has_a_child, goes_on, sleeps, answers, tidies_up,
    tells_another,
]  # fmt: skip
ACTIVITIES = [echo, fails_twice, never_ends, falls_silent, too_slow, never_done]
