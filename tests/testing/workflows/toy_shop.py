"""Workflows that the tests of the kit rehearse."""

from __future__ import annotations

from treadle import activity, workflow

DAY = 24 * 3600


@activity.define(retry=activity.Retry(initial_seconds=1, backoff=2, attempts=4), start_to_close_seconds=30)
async def charge(order_id: str, cents: int) -> str:
    raise NotImplementedError


@activity.define
async def reserve(item: str) -> int:
    raise NotImplementedError


@activity.define(heartbeat_seconds=5, retry=activity.Retry(attempts=2, initial_seconds=1))
async def pack(order_id: str) -> str:
    raise NotImplementedError


@activity.define(on_cancel="abandon")
async def notify(order_id: str) -> None:
    raise NotImplementedError


@activity.define(
    schedule_to_close_seconds=10, retry=activity.Retry(attempts=None, initial_seconds=3, backoff=1)
)
def poll(order_id: str) -> str:
    raise NotImplementedError


@workflow.define
async def order(order_id: str, cents: int) -> str:
    async with workflow.open_nursery() as nursery:
        for part in ("lid", "box"):
            nursery.start_soon(workflow.activity, reserve, f"{order_id}/{part}")
    with workflow.move_on_after(30 * DAY) as scope:
        decision = await workflow.signals("decision").receive()
    if scope.cancelled_caught:
        return "nobody decided"
    if decision != "yes":
        return "declined"
    return await workflow.activity(charge, order_id, cents)


@workflow.define
async def packing(order_id: str) -> str:
    try:
        return await workflow.activity(pack, order_id)
    finally:
        with workflow.CancelScope(shield=True):
            await workflow.activity(reserve, "nothing")


@workflow.define
async def telling(order_id: str) -> str:
    with workflow.move_on_after(60):
        await workflow.activity(notify, order_id)
        return "told"
    return "not told"


@workflow.define
async def polling(order_id: str) -> str:
    return await workflow.activity(poll, order_id)


@workflow.define
async def counter(total: int = 0, rounds: int = 0) -> int:
    """An entity: two signals a run, then a new run."""
    waiting = workflow.signals("add")
    workflow.set_query("total", lambda: total)

    async def double(times: int) -> int:
        nonlocal total
        for _ in range(times):
            await workflow.sleep(1)
            total *= 2
        return total

    def at_most_three(times: int) -> None:
        if times > 3:
            raise ValueError("three times at most")

    workflow.set_update("double", double, at_most_three)
    for _ in range(2):
        total += await waiting.receive()
        workflow.uuid4()
    if rounds == 2:
        return total
    return await workflow.continue_as_new(total, rounds + 1)


@workflow.define
async def parcel(order_id: str) -> str:
    await workflow.sleep(5)
    number = await workflow.activity(reserve, order_id)
    decision = await workflow.signals("go").receive()
    return f"{order_id}: {number} {decision}"


@workflow.define
async def shipping(order_id: str) -> list[str]:
    first = workflow.start_child(parcel, f"{order_id}-1")
    first.signal("go", "now")
    workflow.signal_external("warehouse", "coming", order_id)
    return [await first.result(), await workflow.child(parcel, f"{order_id}-2")]


@workflow.define
async def fan_out(size: int) -> int:
    found: list[int] = []

    async def one(number: int) -> None:
        found.append(await workflow.activity(reserve, str(number)))

    async with workflow.open_nursery() as nursery:
        for number in range(size):
            nursery.start_soon(one, number)
    return sum(found)


@workflow.define
async def tidy(order_id: str) -> str:
    """Cleans up when it is asked to end."""
    try:
        await workflow.sleep_forever()
    finally:
        with workflow.CancelScope(shield=True):
            await workflow.activity(notify, order_id)


@workflow.define
async def heartbeat(beats: int = 0) -> int:
    """Lives for ever."""
    for _ in range(10):
        await workflow.sleep(60)
    await workflow.continue_as_new(beats + 10)


@workflow.define
async def broken() -> str:
    raise ValueError("no such thing")


@workflow.define
async def slip() -> str:
    return undefined_name  # noqa: F821  # what a slip looks like


@workflow.define
async def chancy() -> list[str]:
    drawn = [str(workflow.uuid4()), str(workflow.random().random()), workflow.now().isoformat()]
    drawn.append(workflow.side_effect(lambda: "from outside"))
    if workflow.patched("newer"):
        drawn.append("patched")
    await workflow.sleep(1)
    return [*drawn, str(workflow.uuid4()), workflow.now().isoformat()]
