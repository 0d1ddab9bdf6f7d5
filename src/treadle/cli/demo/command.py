"""`treadle demo`: the main job. Write, be killed, recover, replay, and check every promise."""

from __future__ import annotations

import random
from typing import Annotated, Any, Final

import trio
from cyclopts import Parameter
from cyclopts.validators import Number

from treadle.cli.demo.acts import Story, perform
from treadle.cli.demo.durable_acts import durable_record, durable_rows
from treadle.cli.demo.orders import Plan
from treadle.cli.exits import OK, VIOLATION, CommandError
from treadle.cli.fresh import MEMORY, fresh_store
from treadle.cli.notes import note
from treadle.cli.options import WHOLE, Flag, OutputFormat, OutputOption
from treadle.cli.output import counted, show_facts

EXAMPLES: Final = """Examples:

  treadle demo
  treadle demo --workflows 10000 --events 50
  treadle demo --store orders.db && treadle log verify --store orders.db
  treadle demo --seed 7 -o json
"""
ORDERS_MAX: Final = 1_000_000
"""All orders are written, and remembered, at once."""
EVENTS_MAX: Final = 100_000
_SEED_MAX: Final = 2**32


def demo(
    *,
    workflows: Annotated[int, WHOLE, Parameter(validator=Number(gte=1, lte=ORDERS_MAX))] = 1_000,
    events: Annotated[int, WHOLE, Parameter(validator=Number(gte=1, lte=EVENTS_MAX))] = 20,
    durable_orders: Annotated[int, WHOLE, Parameter(validator=Number(gte=0, lte=ORDERS_MAX))] = 100,
    seed: Annotated[int | None, WHOLE, Parameter(show_default=False)] = None,
    keep: Flag = False,
    output: OutputOption = "table",
    store: Annotated[str | None, Parameter(show_default=False)] = None,
) -> int:
    """Show the promises on your own disk: write, kill -9, recover, replay, check.

    A process writes the events of many orders concurrently, each durable before the next, and is killed
    with SIGKILL half-way. The store is opened again and held against everything that process had been
    told is durable. The writers then send the rest, and once more the last event each had written. All
    orders are replayed concurrently and every promise is checked.

    Then durable orders are run: workflows with activities that fail and are tried again, a timer, and a
    signal. Their process is killed with SIGKILL twice on the way; the signals are sent while nobody runs
    them. All of them finish, and each activity's result is used once. The exit code is 4 if a promise is
    broken.

    Args:
        workflows: how many orders.
        events: how many events each has.
        durable_orders: how many durable workflows are run after them; 0 for none.
        seed: decides what the orders hold; drawn and printed if left out.
        keep: keep the temporary store, and tell where it is.
        output: how the result is printed.
        store: where to make and keep the store; a temporary folder if left out.

    Returns:
        The exit code, by the verdict.

    Raises:
        CommandError: the options cannot be right, or the store exists.
        FailedError: a writing process ended by itself.
        StoreError: the store could not be used.
    """
    if store is not None and store.lower().startswith(MEMORY):
        raise CommandError("a killed process takes its memory with it; the demo needs a file")
    drawn = random.SystemRandom().randrange(_SEED_MAX) if seed is None else seed
    plan = Plan(workflows, events, drawn)
    with fresh_store(store, keep=keep) as fresh:
        story = trio.run(perform, fresh.url, plan, durable_orders)
        # Whoever meets a broken promise wants to look at it.
        fresh.keep = fresh.keep or not story.verdict.holds
        show(story, output, fresh.url if fresh.keep else None)
    return OK if story.verdict.holds else VIOLATION


def show(story: Story, output: OutputFormat, url: str | None) -> None:
    """Print what happened.

    Args:
        story: what happened.
        output: how it is printed.
        url: where the store is, if it is kept.
    """
    for found in story.verdict.violations[:10]:
        note(f"violation: {found}")
    plan = story.plan
    facts: dict[str, Any] = {
        **story.verdict.record(),
        "workflows": plan.workflows,
        "events": plan.total,
        "seed": plan.seed,
        "store": url,
        "acknowledged_before_kill": story.acknowledged_events,
        "found_after_kill": story.found_events,
        "sent_again": story.sent_again,
        "repeated": story.repeated,
        "write_events_per_second": _rate(story.acknowledged_events, story.write_seconds),
        "resend_events_per_second": _rate(story.sent_again, story.resend_seconds),
        "replay_events_per_second": _rate(plan.total, story.replay_seconds),
        "durable": None if story.durable is None else durable_record(story.durable),
    }
    show_facts(output, "demo", facts, _rows(story, facts))


def _rows(story: Story, facts: dict[str, Any]) -> dict[str, Any]:
    unknown = story.found_events - story.acknowledged_events
    return {
        "orders": f"{counted(facts['workflows'], 'workflow')} of {counted(story.plan.events, 'event')},"
        f" seed {facts['seed']}",
        "killed with SIGKILL": f"after {counted(facts['acknowledged_before_kill'], 'acknowledged event')}"
        f" of {facts['events']:,}",
        "found after the kill": f"{facts['found_after_kill']:,}, {unknown:,} of them not yet acknowledged",
        "sent again": f"{facts['sent_again']:,}, {facts['repeated']:,} of them there already",
        "written": f"{facts['write_events_per_second']:,} events/s before the kill,"
        f" {facts['resend_events_per_second']:,} after it",
        "replayed": f"{facts['replay_events_per_second']:,} events/s",
        **({} if story.durable is None else durable_rows(story.durable)),
        **story.verdict.rows(),
    }


def _rate(events: int, seconds: float) -> int:
    return round(events / seconds) if seconds > 0 else 0
