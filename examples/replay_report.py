"""Accounts are replayed, all at once and each by itself, into a report.

The report is a fold over every log: nothing is kept beside the events, so a new question is a new reducer.
"""

from __future__ import annotations

from collections import Counter

import attrs
import trio

from treadle import EventKind, NewEvent, Runtime, Visitor, WorkflowEvent, WorkflowId, open_runtime

ACCOUNTS = 100


@attrs.frozen
class Account:
    """An account as its log tells it."""

    workflow_id: WorkflowId
    balance: int = 0
    bookings: int = 0
    closed: bool = False


class Booking(Visitor[Account]):
    """How each event changes an account."""

    def visit_signal_received(self, state: Account, event: WorkflowEvent) -> Account:
        """Book an amount."""
        amount = int(event.payload)
        return attrs.evolve(state, balance=state.balance + amount, bookings=state.bookings + 1)

    def visit_workflow_completed(self, state: Account, event: WorkflowEvent) -> Account:  # noqa: ARG002
        """Close the account."""
        return attrs.evolve(state, closed=True)


async def fill(runtime: Runtime, number: int) -> None:
    """Write one account's history, in one batch."""
    account = runtime.workflow(f"account-{number:03}")
    if await account.stream_len():
        return  # this program was stopped, and is run again; a batch is there whole or not at all
    amounts = [NewEvent(EventKind.SIGNAL_RECEIVED, str(amount).encode()) for amount in (100, -30, number)]
    end = [NewEvent(EventKind.WORKFLOW_COMPLETED)] if number % 4 == 0 else []
    await account.extend([NewEvent(EventKind.WORKFLOW_STARTED), *amounts, *end])


async def main() -> None:
    """Write, replay, report."""
    async with open_runtime("accounts.db") as runtime:
        async with trio.open_nursery() as nursery:
            for number in range(ACCOUNTS):
                nursery.start_soon(fill, runtime, number)
        balances: dict[str, int] = {}
        states: Counter[str] = Counter()
        async for account in runtime.replay_all(Booking(), Account):
            balances[account.workflow_id] = account.state.balance
            states["closed" if account.state.closed else "open"] += 1
    print(f"{states['open']} accounts are open, {states['closed']} closed")
    print(f"together they hold {sum(balances.values())}")
    richest = max(balances, key=balances.__getitem__)
    print(f"the most is in {richest}: {balances[richest]}")
    assert sum(balances.values()) == sum(70 + number for number in range(ACCOUNTS))  # noqa: S101


if __name__ == "__main__":
    trio.run(main)
