"""What the tests of `treadle run` and `treadle workflow` run: a user's module. Copied beside each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from treadle import activity, workflow


def _note(what: str) -> None:
    """Leave a trace in the world."""
    with Path("trace").open("a") as file:
        file.write(f"{what}\n")


@attrs.frozen
class Order:
    """What is ordered."""

    id: str
    cents: int


@activity.define
async def reserve(order_id: str) -> str:
    """Reserve it."""
    _note(f"reserve {order_id}")
    return f"r-{order_id}"


@activity.define
def charge(order_id: str, cents: int) -> str:
    """Charge the card."""
    _note(f"charge {order_id} {cents}")
    return f"c-{cents}"


@activity.define(retry=activity.Retry(attempts=1))
async def decline(order_id: str) -> str:
    """Decline the card."""
    raise activity.ApplicationError(f"no money for {order_id}", type="CardDeclined")


@workflow.define
async def order(order_id: str, cents: int) -> dict[str, Any]:
    """Reserve, wait for a decision, charge."""
    notes: list[str] = []

    @workflow.query("notes")
    def all_notes() -> list[str]:
        return list(notes)

    def short(note: str) -> None:
        if len(note) > 10:
            raise ValueError("too long")

    @workflow.update("add_note", validator=short)
    def add_note(note: str) -> int:
        notes.append(note)
        return len(notes)

    reserved = await workflow.activity(reserve, order_id)
    with workflow.move_on_after(3600):
        decision = await workflow.signals("decision").receive()
        paid = await workflow.activity(charge, order_id, cents)
        return {"reserved": reserved, "decision": decision, "paid": paid, "notes": notes}
    return {"reserved": reserved}


@workflow.define
async def echo(given: Order) -> Order:
    """Give back what came."""
    await workflow.activity(reserve, given.id)
    return given


@workflow.define
async def declined(order_id: str) -> str:
    """Fail."""
    return await workflow.activity(decline, order_id)


@workflow.define
async def slip(order_id: str) -> str:
    """Be held, because of a slip in the code."""
    await workflow.activity(reserve, order_id)
    await workflow.sleep(0.01)
    return mended  # type: ignore[name-defined]  # noqa: F821


@workflow.define
async def nap(seconds: float) -> str:
    """Sleep."""
    await workflow.sleep(seconds)
    return "awake"


@workflow.define
async def versioned(order_id: str) -> str:
    """Take the new way or the old one."""
    way = "new" if workflow.patched("tax") else "old"
    return f"{order_id} {way} {await workflow.signals('go').receive()}"
