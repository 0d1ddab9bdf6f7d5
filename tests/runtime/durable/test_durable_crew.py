"""The crew: tasks are used again, and nothing of one job shows in the next."""

from __future__ import annotations

from contextvars import ContextVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from treadle import activity, workflow
from treadle.errors import ActivityError
from treadle.kernel import TrioKernel
from treadle.runtime.durable import crew as crews
from treadle.runtime.durable.crew import Crew, Hand

mood: ContextVar[str] = ContextVar("mood", default="none")
tasks: list[trio.lowlevel.Task] = []


@pytest.fixture(autouse=True)
def _forget_tasks():
    tasks.clear()


class Workshop:
    """A crew whose jobs are gates that the test opens."""

    def __init__(self) -> None:
        self.crew: Crew[trio.Event] = Crew(TrioKernel(), self.work)
        self.done = 0

    async def work(self, hand: Hand[trio.Event]) -> None:
        job = hand.job
        while True:
            tasks.append(trio.lowlevel.current_task())
            await job.wait()
            self.done += 1
            if self.crew.is_full:
                return
            job = await self.crew.next_job(hand)


def opened() -> trio.Event:
    gate = trio.Event()
    gate.set()
    return gate


async def test_a_task_that_waits_is_taken_before_a_new_one():
    shop = Workshop()
    async with trio.open_nursery() as nursery:
        shop.crew.open(nursery)
        for _ in range(3):
            shop.crew.give(opened())
            await wait_all_tasks_blocked()
        assert 3 == shop.done
        assert 1 == len(set(tasks))

        gates = [trio.Event(), trio.Event()]
        for gate in gates:
            shop.crew.give(gate)
        await wait_all_tasks_blocked()
        assert 2 == len(set(tasks)), "two at once are two tasks"
        nursery.cancel_scope.cancel()


async def test_no_more_tasks_wait_than_may(monkeypatch):
    monkeypatch.setattr(crews, "IDLE_MAX", 2)
    shop = Workshop()
    async with trio.open_nursery() as nursery:
        shop.crew.open(nursery)
        gate = trio.Event()
        for _ in range(5):
            shop.crew.give(gate)
        await wait_all_tasks_blocked()
        assert 5 == len(nursery.child_tasks)

        gate.set()
        await wait_all_tasks_blocked()
        assert 5 == shop.done
        assert 2 == len(nursery.child_tasks)
        nursery.cancel_scope.cancel()


async def test_a_cancelled_task_is_not_given_a_job():
    """Who waits is cancelled with the nursery; a job that comes then is for a new task."""
    shop = Workshop()
    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as nursery:
            shop.crew.open(nursery)
            shop.crew.give(opened())
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        shop.crew.open(outer)
        shop.crew.give(opened())
        await wait_all_tasks_blocked()
        assert 2 == shop.done
        outer.cancel_scope.cancel()


# -- what activities see of it --


@activity.define
async def set_mood(word: str) -> str:
    tasks.append(trio.lowlevel.current_task())
    before = mood.get()
    mood.set(word)
    await trio.lowlevel.checkpoint()
    return f"{before}, then {mood.get()}"


@activity.define(retry=activity.Retry(attempts=1))
async def leave_a_scope_open() -> None:
    tasks.append(trio.lowlevel.current_task())
    trio.CancelScope().__enter__()


@activity.define
async def swallow_its_cancel() -> str:
    tasks.append(trio.lowlevel.current_task())
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        return "went on"  # bad manners are what this is about


@workflow.define
async def moods(first: str, second: str) -> list[str]:
    return [await workflow.activity(set_mood, first), await workflow.activity(set_mood, second)]


@workflow.define
async def leaves() -> str:
    try:
        await workflow.activity(leave_a_scope_open)
    except ActivityError as error:
        return str(error)
    return "nobody has noticed"


@workflow.define
async def cancels() -> str:
    with workflow.move_on_after(1):
        await workflow.activity(swallow_its_cancel)
    return await workflow.activity(set_mood, "calm")


@pytest.fixture
def runtime(opened):
    return opened([moods, leaves, cancels], [set_mood, leave_a_scope_open, swallow_its_cancel])


async def test_a_context_variable_of_one_activity_is_not_seen_by_the_next(runtime, autojump_clock):  # noqa: ARG001
    async with runtime as one:
        result = await (await one.start(moods, "merry", "sad")).result()

    assert ["none, then merry", "none, then sad"] == result
    assert 1 == len(set(tasks)), "both have run in one task, or this shows nothing"


async def test_an_activity_that_leaves_a_scope_open_fails_and_its_task_ends(runtime, autojump_clock):  # noqa: ARG001
    async with runtime as one:
        assert ["none, then merry", "none, then sad"] == await (
            await one.start(moods, "merry", "sad")
        ).result()
        assert "RuntimeError" in await (await one.start(leaves)).result()
        assert ["none, then merry", "none, then sad"] == await (
            await one.start(moods, "merry", "sad")
        ).result()

    assert tasks[2] is tasks[0], "in a task used before, or this shows less"
    assert tasks[2] not in tasks[3:]


async def test_a_task_whose_scope_was_cancelled_does_nothing_more(runtime, autojump_clock):  # noqa: ARG001
    async with runtime as one:
        assert "none, then calm" == await (await one.start(cancels)).result()

    assert 2 == len(set(tasks))


async def test_an_idle_crew_does_not_delay_closing(runtime, autojump_clock):  # noqa: ARG001
    with trio.fail_after(1):
        async with runtime as one:
            await (await one.start(moods, "merry", "sad")).result()
