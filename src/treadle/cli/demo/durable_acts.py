"""The durable acts of the demo: begin and be killed; send signals; go on and be killed; finish; check."""

from __future__ import annotations

from time import perf_counter
from typing import Final

import attrs
import trio

from treadle.checkers import Violation
from treadle.cli.audit import Audit
from treadle.cli.demo.durable_orders import (
    ACTIVITIES,
    ACTIVITIES_EACH,
    WORKFLOWS,
    lost_attempts,
    order_id,
    result_used_once,
)
from treadle.cli.exits import FailedError
from treadle.cli.output import progress
from treadle.cli.processes import module_process
from treadle.runtime import Runtime, open_runtime

_MODULE: Final = "treadle.cli.demo.durable_process"


@attrs.define
class DurableStory:
    """What happened to the durable orders.

    Attributes:
        orders: how many there are.
        killed_after: for each kill how many attempts its process had made.
        signals: how many signals were sent while nobody ran the orders.
        attempts_lost: attempts that may have died with their process: begun, or due.
        attempts_failed: attempts that failed by themselves and were made again.
        attempts_made: attempts that came to their end, in all processes.
        finished: how many orders have completed.
        seconds: from the first process's start to the last result.
        violations: what does not hold.
    """

    orders: int
    killed_after: list[int] = attrs.Factory(list)
    signals: int = 0
    attempts_lost: int = 0
    attempts_failed: int = 0
    attempts_made: int = 0
    finished: int = 0
    seconds: float = 0.0
    violations: list[Violation] = attrs.Factory(list)


async def perform_durable(url: str, orders: int) -> DurableStory:
    """Perform the durable acts.

    Args:
        url: the store.
        orders: how many durable orders.

    Returns:
        What happened, with what does not hold.

    Raises:
        FailedError: a process ended by itself.
        StoreError: the store could not be used.
    """
    story, started = DurableStory(orders), perf_counter()
    with progress("durable orders", 4 * orders) as advance:
        # In the middle of the first two activities, then in the middle of the last two.
        await _run_and_kill(url, story, begun=orders, attempts_all=orders)
        advance(orders)
        await _approve(url, story)
        await _run_and_kill(url, story, begun=0, attempts_all=3 * orders)
        advance(2 * orders)
        await _finish(url, story)
        advance(orders)
    story.seconds = perf_counter() - started
    return story


async def _run_and_kill(url: str, story: DurableStory, *, begun: int, attempts_all: int) -> None:
    """Let a process run the orders, and kill it once so many attempts were made by it and those before it."""
    async with module_process(_MODULE, url, str(story.orders)) as process:
        assert process.stdout is not None  # noqa: S101  # module_process() asks for a pipe
        seen_begun = seen_attempts = 0
        while seen_begun < begun or story.attempts_made + seen_attempts < attempts_all:
            chunk = await process.stdout.receive_some()
            if not chunk:
                code = await process.wait()
                raise FailedError(
                    f"the process of the durable orders ended by itself with code {code} before the kill"
                    " reached it; give more --durable-orders"
                )
            seen_begun += chunk.count(b"s")
            seen_attempts += chunk.count(b"a")
        process.kill()
        while chunk := await process.stdout.receive_some():
            seen_attempts += chunk.count(b"a")
        if await process.wait() == 0:
            raise FailedError(
                "the durable orders were done before the kill reached them; give more --durable-orders"
            )
    story.killed_after.append(seen_attempts)
    story.attempts_made += seen_attempts


async def _approve(url: str, story: DurableStory) -> None:
    """Send every order its signal while nobody runs it; a repeat with the same key would not count."""
    async with open_runtime(url) as runtime, trio.open_nursery() as nursery:
        for number in range(story.orders):
            nursery.start_soon(_send, runtime, number, story)


async def _send(runtime: Runtime, number: int, story: DurableStory) -> None:
    await runtime.workflow(order_id(number)).signal("approved", key=b"demo")
    story.signals += 1


async def _finish(url: str, story: DurableStory) -> None:
    ids = [order_id(number) for number in range(story.orders)]
    async with open_runtime(url, workflows=WORKFLOWS, activities=ACTIVITIES) as runtime:
        for name in ids:
            await runtime.workflow(name).result()
        started = runtime.statistics().runner.attempts_started
        for name in ids:
            events = await runtime.workflow(name).read().list()
            lost, failed = lost_attempts(events)
            story.attempts_lost += lost
            story.attempts_failed += failed
            story.violations += result_used_once(name, events)
        story.attempts_made += started
        story.finished = len(ids)
        audit = Audit(runtime.store)
        await audit.check_logs(ids)
        story.violations += [
            Violation("chain", found.workflow_id or "", found.seq, found.message) for found in audit.damage
        ]


def durable_record(story: DurableStory) -> dict[str, object]:
    """Word the story as part of a JSON object."""
    return {
        **attrs.asdict(story, filter=attrs.filters.exclude("violations")),
        "results_used": _activities(story),
    }


def durable_rows(story: DurableStory) -> dict[str, str]:
    """Word the story for a table."""
    after = " and ".join(f"{attempts:,}" for attempts in story.killed_after)
    return {
        "durable orders": f"{story.orders:,} workflows of {ACTIVITIES_EACH} activities, a timer and a signal",
        "killed with SIGKILL twice": f"after {after} attempts at activities",
        "signals sent meanwhile": f"{story.signals:,}, while nobody ran the orders",
        "attempts": f"{story.attempts_made:,} ended for {_activities(story):,} results used;"
        f" {story.attempts_failed:,} failed, {story.attempts_lost:,} were begun or due when a process died",
        "finished": f"{story.finished:,} of {story.orders:,} in {story.seconds:.1f} s",
    }


def _activities(story: DurableStory) -> int:
    return ACTIVITIES_EACH * story.orders
