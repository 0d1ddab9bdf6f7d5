"""The acts of the demo, in order: write and be killed; look; send again; replay; check."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from itertools import islice
from time import perf_counter
from typing import Final

import attrs
import trio

from treadle.checkers import Violation
from treadle.cli.demo.durable_acts import DurableStory, perform_durable
from treadle.cli.demo.durable_orders import PROMISE
from treadle.cli.demo.orders import OrderState, Plan, apply, owner
from treadle.cli.demo.writers import ACKNOWLEDGED, READY, write_orders
from treadle.cli.exits import FailedError
from treadle.cli.output import progress
from treadle.cli.processes import module_process
from treadle.cli.verdict import PROMISES, Verdict, check_chains, check_logs, check_states
from treadle.events import WorkflowEvent, WorkflowId
from treadle.log import Appended
from treadle.runtime import Runtime, open_runtime

DEMO_PROMISES: Final = {**PROMISES, PROMISE: "every activity's result used once"}
KILL_DELAY_SHARE_MAX: Final = 0.2
"""Of the time until then: long enough to reach the next commit, short enough to leave something unwritten."""


@attrs.define
class Story:
    """What happened, act by act.

    Attributes:
        plan: the orders.
        acknowledged: for each order the last seq that was acknowledged before the kill.
        acknowledged_events: how many events that is.
        write_seconds: from the open store to the kill.
        found_events: how many events the store held after the kill.
        sent_again: how many events were sent after it.
        repeated: how many of those were there already.
        resend_seconds: how long that took.
        replay_seconds: how long the replay of all orders took.
        verdict: what the checkers found.
        durable: what happened to the durable orders, or None without any.
    """

    plan: Plan
    acknowledged: list[int] = attrs.field()
    acknowledged_events: int = 0
    write_seconds: float = 0.0
    found_events: int = 0
    sent_again: int = 0
    repeated: int = 0
    resend_seconds: float = 0.0
    replay_seconds: float = 0.0
    verdict: Verdict = attrs.Factory(lambda: Verdict(promises=DEMO_PROMISES))
    durable: DurableStory | None = None

    @acknowledged.default
    def _nothing(self) -> list[int]:
        return [0] * self.plan.workflows

    def acknowledged_of(self, name: WorkflowId) -> list[Hashable]:
        """Tell which events of an order were acknowledged before the kill."""
        number = self.plan.number(name)
        return list(islice(self.plan.order(number), self.acknowledged[number]))

    def all_of(self, name: WorkflowId) -> list[Hashable]:
        """Tell all events of an order."""
        return list(self.plan.order(self.plan.number(name)))


async def perform(url: str, plan: Plan, durable_orders: int = 0) -> Story:
    """Perform the whole demo.

    Args:
        url: a store that does not exist yet.
        plan: the orders.
        durable_orders: how many durable workflows follow them.

    Returns:
        What happened, with the verdict.

    Raises:
        FailedError: the writing process ended by itself.
        StoreError: the store could not be used.
    """
    story = Story(plan)
    # Made here: a place where no store can be is then told as that, not as a process that ended.
    async with open_runtime(url):
        pass
    await write_and_kill(url, story)
    async with open_runtime(url) as runtime:
        await look(runtime, story)
        live = await send_again(runtime, story)
        await replay(runtime, story, live)
        await check(runtime, story)
    if durable_orders:
        story.durable = await perform_durable(url, durable_orders)
        story.verdict.add(story.durable.violations)
    return story


async def write_and_kill(url: str, story: Story) -> None:
    """Let another process write, note what it was told is durable, and kill it half-way.

    Args:
        url: the store.
        story: takes what was acknowledged.

    Raises:
        FailedError: the process ended before it was killed.
    """
    plan = story.plan
    numbers = (str(number) for number in (plan.workflows, plan.events, plan.seed))
    with progress("writing, then kill -9", plan.total) as advance:
        async with module_process("treadle.cli.demo.process", url, *numbers) as process:
            killed = await _listen_and_kill(process, story, advance)
            code = await process.wait()
    if code == 0:
        raise FailedError(
            "the writers were done before the kill reached them; give more --workflows or --events"
        )
    if not killed:
        raise FailedError(f"the writing process ended by itself with code {code}; its error stands above")


async def _listen_and_kill(process: trio.Process, story: Story, advance: Callable[[float], None]) -> bool:
    assert process.stdout is not None  # noqa: S101  # module_process() asks for a pipe
    chance = random.Random(story.plan.seed)  # noqa: S311  # when to kill, no secret
    rest, started, killed = b"", 0.0, False
    # What was told before the kill is read to its end: it counts as acknowledged.
    while chunk := await process.stdout.receive_some():
        started = started or perf_counter()
        rest = _note_acknowledged(story, rest + chunk)
        advance(len(chunk) / ACKNOWLEDGED.size)
        if not killed and 2 * story.acknowledged_events >= story.plan.total:
            # Answers come in bursts, one for each commit; a chance wait lets the kill fall anywhere
            # between two bursts, and so also into a commit.
            await trio.sleep(chance.random() * KILL_DELAY_SHARE_MAX * (perf_counter() - started))
            process.kill()
            killed = True
            story.write_seconds = perf_counter() - started
    return killed


def _note_acknowledged(story: Story, data: bytes) -> bytes:
    whole = len(data) - len(data) % ACKNOWLEDGED.size
    for number, seq in ACKNOWLEDGED.iter_unpack(data[:whole]):
        if seq == READY:
            continue
        story.acknowledged[number] = max(seq, story.acknowledged[number])
        story.acknowledged_events += 1
    return data[whole:]


async def look(runtime: Runtime, story: Story) -> None:
    """See, before anything is sent again, that nothing acknowledged is lost.

    Args:
        runtime: the store, opened again.
        story: takes what was found.

    Raises:
        StoreError: the store could not be read.
    """
    found = Verdict()
    with progress("looking", story.plan.workflows) as advance:
        await check_logs(runtime, found, story.acknowledged_of, _itself, owner, advance=advance)
    known = {name async for name in runtime.workflow_ids()}
    found.add(
        [
            Violation("acknowledged_once", story.plan.name(number), seq, "acknowledged, and the log is gone")
            for number, seq in enumerate(story.acknowledged)
            if seq and story.plan.name(number) not in known
        ]
    )
    story.found_events = found.events
    story.verdict.add(found.violations)


async def send_again(runtime: Runtime, story: Story) -> dict[str, OrderState]:
    """Let every writer send its last acknowledged event once more, and then all that follow.

    Args:
        runtime: the store, opened again.
        story: takes the counts.

    Returns:
        The live state of every order, as its writer holds it.

    Raises:
        TreadleError: an event could not be written.
    """
    plan = story.plan
    live: dict[str, OrderState] = {}
    for number, last in enumerate(story.acknowledged):
        state = OrderState()
        for event in islice(plan.order(number), max(0, last - 1)):
            state = apply(state, event)
        live[plan.name(number)] = state
    started = perf_counter()
    with progress("sending again", plan.total - story.acknowledged_events) as advance:

        def acknowledge(number: int, appended: Appended) -> None:
            story.sent_again += 1
            story.repeated += appended.repeated
            name = plan.name(number)
            live[name] = apply(live[name], appended.events[0])
            advance(1)

        await write_orders(runtime, plan, lambda number: max(1, story.acknowledged[number]), acknowledge)
    story.resend_seconds = perf_counter() - started
    return live


async def replay(runtime: Runtime, story: Story, live: dict[str, OrderState]) -> None:
    """Replay all orders concurrently and compare each with its writer's live state.

    Args:
        runtime: the store.
        story: takes the time and the findings.
        live: the live state of every order.

    Raises:
        StoreError: the store could not be read.
    """
    replayed: dict[str, OrderState] = {}
    started = perf_counter()
    with progress("replaying", story.plan.workflows) as advance:
        async for done in runtime.replay_all(apply, OrderState):
            replayed[done.workflow_id] = done.state
            advance(1)
    story.replay_seconds = perf_counter() - started
    check_states(story.verdict, live, replayed)


async def check(runtime: Runtime, story: Story) -> None:
    """Hold every log against all that was acknowledged, and recompute its digest chain.

    Args:
        runtime: the store.
        story: takes the findings.

    Raises:
        StoreError: the store could not be read.
    """
    with progress("checking", 2 * story.plan.workflows) as advance:
        await check_logs(runtime, story.verdict, story.all_of, _itself, owner, advance=advance)
        await check_chains(runtime, story.verdict, advance=advance)


def _itself(event: WorkflowEvent) -> Hashable:
    # The event whole: one that was changed is no longer the one that was acknowledged.
    return event
