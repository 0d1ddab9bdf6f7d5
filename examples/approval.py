"""An invoice waits up to 30 days for somebody's decision; a reminder goes out every week.

The deadline is a cancel scope round the wait, as in any Trio program. It is one timer in the log, so nobody
has to be there meanwhile: the demo stops twice, for ten days and for three weeks, which Trio's mock clock
lets pass in no time.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, suppress

import attrs
import trio
import trio.testing

from treadle import Runtime, WorkflowClosedError, WorkflowExistsError, activity, open_runtime, workflow
from treadle.testing import InlineKernel

DAY = 24 * 60 * 60
MAILS: list[str] = []


@attrs.frozen
class Decision:
    """What somebody has decided."""

    approved: bool
    by: str


@activity.define
async def send_mail(text: str) -> None:
    """Tell somebody something; here: keep it."""
    MAILS.append(text)


async def remind_every_week(invoice: str) -> None:
    """Send reminders until cancelled."""
    week = 0
    while True:
        await workflow.sleep(7 * DAY)
        week += 1
        await workflow.activity(send_mail, f"{invoice}: waiting for {week} weeks")


@workflow.define
async def approval(invoice: str, deadline_days: int = 30) -> str:
    """Ask, remind, and take no answer for a no."""
    decision: Decision | None = None
    await workflow.activity(send_mail, f"{invoice}: please decide within {deadline_days} days")
    with workflow.move_on_after(deadline_days * DAY):
        async with workflow.open_nursery() as nursery:
            nursery.start_soon(remind_every_week, invoice)
            decision = await workflow.signals("decision", Decision).receive()
            nursery.cancel_scope.cancel()
    if decision is None:
        outcome = f"refused: nobody has decided in {deadline_days} days"
    else:
        outcome = f"{'approved' if decision.approved else 'refused'} by {decision.by}"
    await workflow.activity(send_mail, f"{invoice}: {outcome}")
    return outcome


WORKFLOWS = (approval,)
ACTIVITIES = (send_mail,)


def opened() -> AbstractAsyncContextManager[Runtime]:
    """Open the store as after a restart; time in its logs goes by Trio's clock, which jumps here."""
    return open_runtime("approvals.db", workflows=WORKFLOWS, activities=ACTIVITIES, kernel=InlineKernel())


async def main() -> None:
    """Decide on one invoice after ten days, and never on the other."""
    async with opened() as runtime:
        for invoice in ("invoice-1", "invoice-2"):
            with suppress(WorkflowExistsError):  # this program was stopped, and is run again
                await runtime.start(approval, invoice, id=invoice)
        await trio.sleep(1)  # for the first mails
    await trio.sleep(10 * DAY)
    async with opened() as runtime:
        first = runtime.workflow("invoice-1")
        with suppress(WorkflowClosedError):  # an earlier run of this program may have come so far
            await first.signal("decision", Decision(approved=True, by="Ann"), key=b"by Ann")
        approved = await first.result()
        print("invoice-1:", approved)
    await trio.sleep(21 * DAY)
    async with opened() as runtime:
        refused = await runtime.workflow("invoice-2").result()
        print("invoice-2:", refused)

    print(f"{trio.current_time() / DAY:.0f} days have passed, {len(MAILS)} mails were sent:")
    print(*MAILS, sep="\n")
    assert approved == "approved by Ann"  # noqa: S101
    assert refused == "refused: nobody has decided in 30 days"  # noqa: S101


if __name__ == "__main__":
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
