"""Finds the programs in examples/ as modules, and rehearsals of their workflows that end."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from treadle.testing import (
    CancelAt,
    QueryAt,
    Rehearsal,
    SignalAt,
    TerminateAt,
    UpdateAt,
    attempts,
    raises,
    returns,
    run_workflow,
)

FOLDER = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    """Import a program once; child processes of `assert_deterministic` find it by its file."""
    found = sys.modules.get(name)
    if found is None:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        found = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    return found


SAGA = example("order_saga")
APPROVAL = example("approval")
FAN_OUT = example("fan_out")
POLLING = example("polling")
AGENT = example("agent")
CARD = example("loyalty_card")

DAY = APPROVAL.DAY
LAMP = SAGA.Order("A-1", "a lamp", 4_200)


def order(**given: Any) -> Rehearsal[Any]:
    """An order whose parcel is packed after an hour, unless `given` says otherwise."""
    scripts = {
        SAGA.reserve: None,
        SAGA.release: None,
        SAGA.charge: returns("receipt-A-1", after_seconds=2),
        SAGA.refund: None,
        SAGA.ship: returns(after_seconds=5),
    }
    options = {"messages": [SignalAt(3600, "packed")], **given}
    options["activities"] = {**scripts, **given.get("activities", {})}
    return run_workflow(SAGA.place_order, LAMP, **options)


def invoice(*messages: Any) -> Rehearsal[Any]:
    """An invoice somebody may decide on."""
    return run_workflow(
        APPROVAL.approval,
        "invoice-1",
        activities={APPROVAL.send_mail: returns(after_seconds=1)},
        messages=messages,
    )


def decision(seconds: float, *, approved: bool) -> SignalAt:
    """Somebody decides."""
    return SignalAt(seconds, "decision", APPROVAL.Decision(approved=approved, by="Ann"))


def census(pages: int) -> Rehearsal[Any]:
    """Pages that take a while each, none as long as the one before it."""
    return run_workflow(
        FAN_OUT.census,
        pages,
        activities={FAN_OUT.count_words: lambda page: returns(page, after_seconds=(7 * page) % 11)},
    )


def film(done_at: int | None = 4) -> Rehearsal[Any]:
    """A film that is rendered when it has been asked for so many times."""
    asked: dict[str, int] = {}

    def answer(job: str) -> str | None:
        asked[job] = asked.get(job, 0) + 1
        return f"{job}.mp4" if asked[job] == done_at else None

    scripts = {POLLING.start_job: "job-1", POLLING.ask_job: answer, POLLING.stop_job: None}
    return run_workflow(POLLING.render, "film", 1.0, 7200, activities=scripts)


def question() -> Rehearsal[Any]:
    """The agent's whole conversation; the second search fails twice, the user takes an hour."""
    return run_workflow(
        AGENT.agent,
        "How many wheels?",
        activities={
            AGENT.think: lambda messages: returns(
                AGENT.SCRIPT[sum(message.role == "model" for message in messages)], after_seconds=3
            ),
            AGENT.search: lambda words: (
                raises(LookupError(words)) if words == "unicorns" else returns("18", after_seconds=1)
            ),
            AGENT.multiply: "126",
        },
        messages=[QueryAt(60, "messages"), SignalAt(3600, "answer", 7)],
    )


def card() -> Rehearsal[Any]:
    """Three runs of a loyalty card, with signals and updates all along."""
    bought = [SignalAt(second, "bought", 2) for second in range(250)]
    spent = [
        UpdateAt(10.5, "spend", 5, id="spent"),
        UpdateAt(11.5, "spend", 5_000, id="too much"),
        UpdateAt(220.5, "spend", 100, id="spent again"),
    ]
    return run_workflow(
        CARD.loyalty_card,
        CARD.Card(),
        messages=[*bought, *spent, QueryAt(260, "card"), TerminateAt(300)],
    )


REHEARSALS: dict[str, Callable[[], Rehearsal[Any]]] = {
    "order": order,
    "order-declined": lambda: order(
        activities={SAGA.charge: raises(SAGA.activity.ApplicationError("no", non_retryable=True))}
    ),
    "order-cancelled": lambda: order(messages=[CancelAt(60, "changed her mind")]),
    "order-cancelled-while-charging": lambda: order(messages=[CancelAt(1)]),
    "order-charged-at-last": lambda: order(
        activities={SAGA.charge: attempts(raises(OSError("line")), returns("receipt-A-1", after_seconds=1))}
    ),
    "invoice-approved": lambda: invoice(decision(10 * DAY, approved=True)),
    "invoice-forgotten": invoice,
    "invoice-cancelled": lambda: invoice(CancelAt(8 * DAY)),
    "census": lambda: census(40),
    "film": film,
    "film-given-up": lambda: film(None),
    "question": question,
    "card": card,
}
"""What each example's workflow may go through, by name."""
