"""Workflows that the tests of worlds simulate: right ones, and ones with bugs that few worlds show."""

from __future__ import annotations

from treadle import activity, workflow

DAY = 24 * 3600


@activity.define
async def reserve(item: str) -> str:
    raise NotImplementedError


@activity.define
async def charge(order_id: str, cents: int) -> str:
    raise NotImplementedError


@activity.define(start_to_close_seconds=30)
def ship(order_id: str) -> str:
    raise NotImplementedError


@activity.define
async def never_called() -> None:
    raise NotImplementedError


@activity.define
async def refund(order_id: str) -> None:
    raise NotImplementedError


URGENT_SHIP = ship.with_options(start_to_close_seconds=5)
STEPS = {"refund": refund}


@workflow.define
async def order(order_id: str, cents: int) -> str:
    async with workflow.open_nursery() as nursery:
        for item in ("lid", "box"):
            nursery.start_soon(workflow.activity, reserve, item)
    await workflow.activity(charge, order_id, cents)
    parcel = await workflow.activity(URGENT_SHIP, order_id)
    if parcel == "lost":
        await workflow.activity(STEPS["refund"], order_id)
    return parcel


@workflow.define
async def waits_a_month() -> str:
    with workflow.move_on_after(30 * DAY):
        return await workflow.signals("decision").receive()
    return "nobody decided"


@workflow.define
async def waits_for_ever() -> str:
    return await workflow.signals("decision").receive()


@workflow.define
async def last_wins() -> list[str]:
    """A bug of schedule: whoever is done last is taken for the one that was begun last."""
    done: list[str] = []

    async def one(name: str) -> None:
        done.append(await workflow.activity(reserve, name))

    async with workflow.open_nursery() as nursery:
        nursery.start_soon(one, "first")
        nursery.start_soon(one, "second")
    return done


@workflow.define
async def parent(order_id: str) -> str:
    return await workflow.child(order, order_id, 5)


@workflow.define
async def fails() -> str:
    raise ValueError("no")


@activity.define(retry=activity.Retry(initial_seconds=1, backoff=2, attempts=3))
async def three_times() -> None:
    raise NotImplementedError


@workflow.define
async def asks_thrice() -> None:
    await workflow.activity(three_times)
