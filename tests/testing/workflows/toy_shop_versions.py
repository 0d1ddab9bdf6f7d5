"""One workflow, and what becomes of its history when a line of its code is changed."""

from __future__ import annotations

from treadle import activity, workflow

DAY = 24 * 3600


@activity.define
async def pick(item: str) -> int:
    raise NotImplementedError


@activity.define(start_to_close_seconds=30)
async def charge(order_id: str, cents: int) -> str:
    raise NotImplementedError


@activity.define(name="bill", start_to_close_seconds=30)
async def bill(order_id: str, cents: int) -> str:
    raise NotImplementedError


@activity.define(name="charge", start_to_close_seconds=60)
async def charge_slowly(order_id: str, cents: int) -> str:
    raise NotImplementedError


@activity.define(name="charge", start_to_close_seconds=30)
async def charge_exactly(order_id: str, cents: float) -> str:
    raise NotImplementedError


@workflow.define(name="sale")
async def sale(order_id: str, cents: int) -> str:
    await workflow.activity(pick, "lid")
    await workflow.sleep(DAY)
    receipt = await workflow.activity(charge, order_id, cents)
    return f"paid {receipt}"


@workflow.define(name="sale")
async def renamed(order_id: str, cents: int) -> str:
    await workflow.activity(pick, "lid")
    await workflow.sleep(DAY)
    receipt = await workflow.activity(bill, order_id, cents)
    return f"paid {receipt}"


@workflow.define(name="sale")
async def other_argument(order_id: str, cents: int) -> str:
    await workflow.activity(pick, "lid")
    await workflow.sleep(DAY)
    receipt = await workflow.activity(charge, order_id, cents + 1)
    return f"paid {receipt}"


@workflow.define(name="sale")
async def other_timer(order_id: str, cents: int) -> str:
    await workflow.activity(pick, "lid")
    await workflow.sleep(2 * DAY)
    receipt = await workflow.activity(charge, order_id, cents)
    return f"paid {receipt}"


@workflow.define(name="sale")
async def swapped(order_id: str, cents: int) -> str:
    await workflow.sleep(DAY)
    await workflow.activity(pick, "lid")
    receipt = await workflow.activity(charge, order_id, cents)
    return f"paid {receipt}"


@workflow.define(name="sale")
async def extra_step(order_id: str, cents: int) -> str:
    await workflow.activity(pick, "lid")
    await workflow.sleep(DAY)
    receipt = await workflow.activity(charge, order_id, cents)
    await workflow.activity(pick, "thank-you note")
    return f"paid {receipt}"


@workflow.define(name="sale")
async def missing_step(order_id: str, cents: int) -> str:
    await workflow.activity(pick, "lid")
    receipt = await workflow.activity(charge, order_id, cents)
    return f"paid {receipt}"


@workflow.define(name="sale")
async def other_result(order_id: str, cents: int) -> str:
    await workflow.activity(pick, "lid")
    await workflow.sleep(DAY)
    receipt = await workflow.activity(charge, order_id, cents)
    return f"paid with {receipt}"


@workflow.define(name="sale")
async def extra_wait(order_id: str, cents: int) -> str:
    await workflow.activity(pick, "lid")
    await workflow.sleep(DAY)
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(workflow.activity, pick, "box")
        receipt = await workflow.activity(charge, order_id, cents)
    return f"paid {receipt}"


@workflow.define(name="sale")
async def other_options(order_id: str, cents: int) -> str:
    await workflow.activity(pick, "lid")
    await workflow.sleep(DAY)
    receipt = await workflow.activity(charge_slowly, order_id, cents)
    return f"paid {receipt}"


@workflow.define(name="sale")
async def equal_argument(order_id: str, cents: int) -> str:
    await workflow.activity(pick, "lid")
    await workflow.sleep(DAY)
    receipt = await workflow.activity(charge_exactly, order_id, float(cents))
    return f"paid {receipt}"


@workflow.define(name="sale")
async def two_at_once(order_id: str, cents: int) -> str:  # noqa: ARG001  # those of the others
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(workflow.activity, pick, "lid")
        nursery.start_soon(workflow.activity, pick, "box")
    return "picked"


@workflow.define(name="sale")
async def three_at_once(order_id: str, cents: int) -> str:  # noqa: ARG001  # likewise
    async with workflow.open_nursery() as nursery:
        nursery.start_soon(workflow.activity, pick, "lid")
        nursery.start_soon(workflow.activity, pick, "box")
        nursery.start_soon(workflow.activity, pick, "tape")
    return "picked"


@workflow.define(name="fails")
async def fails(order_id: str) -> str:
    await workflow.activity(pick, "lid")
    raise ValueError(order_id)


@workflow.define(name="fails")
async def fails_otherwise(order_id: str) -> str:
    await workflow.activity(pick, "lid")
    raise KeyError(order_id)
