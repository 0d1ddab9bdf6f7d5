"""A loyalty card lives for ever: a workflow that continues as new whenever its history has grown enough.

Its state is its argument. Each run is a stretch of one log; a restart replays only the newest run, and what
has been sent meanwhile is carried over. Signals bring points, an update spends them, a query shows them.
"""

from __future__ import annotations

from typing import NoReturn

import attrs
import trio

from treadle import EventKind, UpdateRejectedError, open_runtime, workflow

PURCHASES_A_RUN = 100


@attrs.frozen
class Card:
    """All that is to be known when a run begins."""

    points: int = 0
    purchases: int = 0


@workflow.define
async def loyalty_card(card: Card) -> NoReturn:
    """Collect points for ever."""

    def check(points: int) -> None:
        if not 0 < points <= card.points:
            raise ValueError(f"the card has {card.points} points, {points} cannot be spent")

    @workflow.update("spend", validator=check)
    def spend(points: int) -> int:
        nonlocal card
        card = attrs.evolve(card, points=card.points - points)
        return card.points

    workflow.set_query("card", lambda: card)
    bought = workflow.signals("bought", int)
    for _ in range(PURCHASES_A_RUN):
        points = await bought.receive()
        card = attrs.evolve(card, points=card.points + points, purchases=card.purchases + 1)
    await workflow.continue_as_new(card)


WORKFLOWS = (loyalty_card,)


async def main() -> None:
    """Buy, spend, and look at the runs."""
    async with open_runtime("cards.db", workflows=WORKFLOWS) as runtime:
        card = await runtime.start(loyalty_card, Card(), id="card-7", id_policy="use_existing")
        for number in range(2 * PURCHASES_A_RUN + 50):
            # Sent twice, by a program that was stopped and is run again, it is delivered once.
            await card.signal("bought", 2, key=f"purchase-{number}".encode())
        # What one sender sends is taken in its order, so all points are there now.
        print("points left:", await card.update("spend", 120, id="a lamp"))
        try:
            await card.update("spend", 1_000)
        except UpdateRejectedError as error:
            print(error)

    async with open_runtime("cards.db", workflows=WORKFLOWS) as runtime:
        card = runtime.workflow("card-7")
        state = await card.query("card")
        begun = [event.seq async for event in card.read() if event.kind is EventKind.CONTINUED]
        told = await card.describe()
    print("after a restart:", state)
    print(f"run after run began at seqs {begun}; the newest is {told.status}")
    assert state == {"points": 380, "purchases": 250}  # noqa: S101
    assert told.run == begun[-1]  # noqa: S101


if __name__ == "__main__":
    trio.run(main)
