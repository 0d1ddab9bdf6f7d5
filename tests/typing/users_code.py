"""Code as users write it, for the type checker alone: every line must pass `mypy --strict` as it stands."""
# ruff: noqa: RET503  # continue_as_new() never returns, which the linter cannot know

from __future__ import annotations

from treadle import activity, open_runtime, workflow


@activity.define
async def price(name: str) -> int:
    return len(name)


@activity.define(start_to_close_seconds=5, retry=activity.Retry(attempts=2))
def weigh(name: str, *, grams: int = 0) -> float:
    return len(name) + grams


@workflow.define
async def returns_within_fail_after(name: str) -> int:
    with workflow.fail_after(60):
        return await workflow.activity(price, name)


@workflow.define
async def returns_within_fail_at(name: str) -> int:
    with workflow.fail_at(60, shield=True):
        return await workflow.activity(price, name)


@workflow.define
async def returns_within_a_lock(name: str) -> int:
    lock, limiter, condition = workflow.Lock(), workflow.CapacityLimiter(2), workflow.Condition()
    async with lock, limiter, condition:
        return await workflow.activity(price, name)


@workflow.define
async def returns_within_channels() -> int:
    send, receive = workflow.open_memory_channel[int](1)
    async with send, receive:
        return await receive.receive()


@workflow.define
async def returns_behind_move_on_after(name: str) -> int | None:
    with workflow.move_on_after(60) as scope:
        return await workflow.activity(price, name)
    if scope.cancelled_caught:
        return None
    return 0


@workflow.define
async def goes_on_for_ever(turn: int) -> int:
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(workflow.activity, price, "x")
    grams: float = await workflow.activity(weigh, "x", grams=1)
    if grams > turn:
        return turn
    await workflow.continue_as_new(turn + 1)


@workflow.define
async def parent() -> int:
    found: int = await workflow.child(goes_on_for_ever, 1)
    return found


async def main() -> int:
    async with open_runtime("memory:", workflows=[parent], activities=[price, weigh]) as runtime:
        handle = await runtime.start(parent, id="a")
        await handle.signal("x", 1)
        result: int = await handle.result()
        return result
