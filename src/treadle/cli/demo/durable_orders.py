"""The durable orders of the demo: a workflow, its activities, and what its log must say in the end."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import trio

from treadle import activity, workflow
from treadle.checkers import Violation
from treadle.engine.records import (
    ActivityAttemptFailed,
    ActivityCompleted,
    WorkflowCompleted,
)
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.runtime.durable.activity_context import info

ACTIVITIES_EACH: Final = 4
TIMER_SECONDS: Final = 0.2
"""Long enough to be still running when the process is killed, short enough for a demo."""
WORK_SECONDS: Final = 0.02
"""How long an attempt takes: a call to somebody else's service that is quick."""
AT_ONCE: Final = 8
"""How many attempts at one activity run at once, so that a kill finds some done, some begun, some waiting."""
FAILING_EVERY: Final = 3
"""Every so many orders the card is declined once."""
PROMISE: Final = "result_used_once"
Step: TypeAlias = activity.ActivityDefinition[[int], Coroutine[Any, Any, str]]
_RETRY: Final = activity.Retry(initial_seconds=0.05)

tell: Callable[[bytes], object] = lambda _: None  # noqa: E731  # replaced by the process that is killed


def order_id(number: int) -> WorkflowId:
    """Tell the workflow id of a durable order.

    Args:
        number: which, from 0.

    Returns:
        Its id.
    """
    return WorkflowId(f"durable-order-{number:06d}")


async def _made(step: str) -> str:
    """Be an attempt: do some work, tell that it was made, and give a receipt that no other attempt gives."""
    await trio.sleep(WORK_SECONDS)
    tell(b"a")
    return f"{step}-{os.getpid()}-{secrets.token_hex(8)}"


@activity.define(name="demo_reserve", retry=_RETRY, concurrency=AT_ONCE)
async def reserve(number: int) -> str:
    """Reserve what was ordered."""
    return await _made(f"reserve-{number}")


@activity.define(name="demo_notify", retry=_RETRY, concurrency=AT_ONCE)
async def notify(number: int) -> str:
    """Tell the customer."""
    return await _made(f"notify-{number}")


@activity.define(name="demo_charge", retry=_RETRY, concurrency=AT_ONCE)
async def charge(number: int, cents: int) -> str:
    """Charge the card; now and then it is declined once."""
    receipt = await _made(f"charge-{number}-{cents}")
    if number % FAILING_EVERY == 0 and info().attempt == 1:
        raise activity.ApplicationError("the card was declined", type="CardDeclined")
    return receipt


@activity.define(name="demo_ship", retry=_RETRY, concurrency=AT_ONCE)
async def ship(number: int) -> str:
    """Send the parcel."""
    return await _made(f"ship-{number}")


@workflow.define(name="demo_durable_order")
async def durable_order(number: int, cents: int) -> list[str]:
    """Reserve and notify at once, wait, wait for an approval, charge, ship.

    Args:
        number: which order.
        cents: what it costs.

    Returns:
        The receipts of its activities.
    """
    receipts: list[str] = []

    async def keep(step: Step) -> None:
        receipts.append(await workflow.activity(step, number))

    async with workflow.open_nursery() as nursery:
        nursery.start_soon(keep, reserve)
        nursery.start_soon(keep, notify)
    await workflow.sleep(TIMER_SECONDS)
    await workflow.signals("approved").receive()
    receipts.append(await workflow.activity(charge, number, cents))
    await keep(ship)
    return receipts


WORKFLOWS: Final = (durable_order,)
ACTIVITIES: Final = (reserve, notify, charge, ship)


# -- what must hold ------------------------------------------------------------------------------------


def lost_attempts(events: Sequence[WorkflowEvent]) -> tuple[int, int]:
    """Count the attempts that failed, by what its log says.

    Args:
        events: of one order.

    Returns:
        Those lost with their process, and those that failed by themselves.
    """
    records = [
        msgspec.json.decode(event.payload, type=ActivityAttemptFailed)
        for event in events
        if event.kind is EventKind.ACTIVITY_ATTEMPT_FAILED
    ]
    lost = sum(record.lost for record in records)
    return lost, len(records) - lost


def result_used_once(workflow_id: str, events: Sequence[WorkflowEvent]) -> list[Violation]:
    """Hold a log against the promise: each activity has one result, and the workflow has used each once.

    Args:
        workflow_id: the order.
        events: its whole log.

    Returns:
        What does not hold.
    """
    found: list[Violation] = []

    def violated(seq: int | None, message: str) -> None:
        found.append(Violation(PROMISE, workflow_id, seq, message))

    scheduled = [event.seq for event in events if event.kind is EventKind.ACTIVITY_SCHEDULED]
    if len(scheduled) != ACTIVITIES_EACH:
        violated(None, f"expected {ACTIVITIES_EACH} activities, found {len(scheduled)}")
    results: dict[int, str] = {}
    for event in events:
        if event.kind is EventKind.ACTIVITY_COMPLETED:
            record = msgspec.json.decode(event.payload, type=ActivityCompleted)
            if record.seq in results:
                violated(event.seq, f"a second result of the activity of seq {record.seq}")
            results[record.seq] = msgspec.json.decode(record.result)
    for seq in scheduled:
        if seq not in results:
            violated(seq, "an activity without a result")
    if events[-1].kind is not EventKind.WORKFLOW_COMPLETED:
        violated(events[-1].seq, f"expected the end, found {events[-1].kind.name}")
        return found
    used: list[Any] = msgspec.json.decode(
        msgspec.json.decode(events[-1].payload, type=WorkflowCompleted).result
    )
    if sorted(used) != sorted(results.values()):
        violated(events[-1].seq, f"recorded {sorted(results.values())}, used {sorted(used)}")
    return found
