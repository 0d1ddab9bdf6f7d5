"""What worlds of durable lifetimes have found: wake-ups that were lost, looks that came too early."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import pytest
import trio
from auditing import audited
from board import board
from trio.testing import wait_all_tasks_blocked

from treadle import RuntimeConfig, activity, open_runtime, workflow
from treadle.engine.inputs import TimersFired
from treadle.errors import EventsPrunedError, StoreUnavailableError, UsageError
from treadle.events import EventKind, WorkflowId
from treadle.kernel import InlineKernel
from treadle.payloads import CodecChain
from treadle.runtime import branching
from treadle.runtime.durable.instance import Instance, Offer, Phase
from treadle.runtime.durable.loading import Loading
from treadle.stores import Unit
from treadle.stores.memory import MemoryStore


@pytest.fixture
def place(kernel):
    """In memory alone: nothing here is about how anything is stored."""
    place = MemoryStore(kernel)
    yield place
    assert audited(place) == []


@activity.define
async def gated(gate: str) -> str:
    await board.wait(gate)
    return gate


@workflow.define
async def listens(runs: int, heard: list[str]) -> list[str]:
    """Wait at a door, hear one word, and go on as a new run with what nobody has heard yet."""
    if runs == 2:
        await workflow.activity(gated, "door")
    word = await workflow.signals("word").receive()
    if runs:
        await workflow.continue_as_new(runs - 1, [*heard, word])
    return [*heard, word]


@workflow.define
async def quick() -> str:
    return "told"


@workflow.define
async def asks() -> str:
    child = workflow.start_child(quick, id="the-child")
    await workflow.signals("word").receive()
    return await child.result()


FLOWS = [listens, quick, asks]


async def with_unheard_words(runtime):
    """A workflow whose second run begins with two words that came before it; and where that run begins."""
    handle = await runtime.start(listens, 2, [], id="o")
    await board.wait_for_arrival("door")
    for word in ("a", "b", "c"):
        await handle.signal("word", word)
    board.open("door")
    assert await handle.result() == ["a", "b", "c"]
    events = await handle.read().list()
    return handle, next(event.seq for event in events if event.kind is EventKind.CONTINUED)


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_branch_begun_inside_what_a_run_is_handed_can_be_branched_there_again(opened, resumed):
    """The words that the new run is handed stand behind the first branch's own event, or nowhere yet."""
    async with opened(FLOWS, [gated]) as runtime:
        original, seq = await with_unheard_words(runtime)
        first = await original.branch(at=seq, to="b", mode="real")
        if resumed:
            await first.resume()
            assert await first.result() == ["a", "b", "c"]
        for at in (seq, seq + 1):
            again = await first.branch(at=at, to=f"b{at}", mode="real")
            await again.resume()
            assert await again.result() == ["a", "b", "c"]


async def test_a_branch_behind_a_reset_into_what_a_run_is_handed_can_be_resumed(opened):
    async with opened(FLOWS, [gated]) as runtime:
        original, seq = await with_unheard_words(runtime)
        reset = await original.reset(at=seq)
        assert await original.result() == ["a", "b", "c"]
        branch = await original.branch(at=reset, to="b", mode="real")
        await branch.resume()
        assert await branch.result() == ["a", "b", "c"]


async def test_a_run_that_is_cut_away_while_a_branch_begins_is_not_what_the_branch_is_replayed_from(
    opened, monkeypatch
):
    """Between the look at the parent's head and the branch's own unit retention may come."""
    async with opened(FLOWS, [gated]) as runtime:
        original, seq = await with_unheard_words(runtime)
        (head,) = await runtime.store.heads(["o"])
        kept, commit = head.facts.run_start_seq, branching._commit_birth
        pruned = []

        async def late(*args):
            if not pruned:
                pruned.append(await original.prune())
            await commit(*args)

        monkeypatch.setattr(branching, "_commit_birth", late)
        # In the middle of what the last run was handed it would be replayed from the run before.
        with pytest.raises(UsageError, match="no longer kept"):
            await original.branch(at=kept, to="b", mode="real")
        assert [kept] == pruned
        with pytest.raises(EventsPrunedError):
            await original.branch(at=seq, to="b", mode="real")
        await (await original.branch(at=kept + 1, to="b", mode="real")).resume()
        assert await runtime.workflow("b").result() == ["a", "b", "c"]


# -- the runner -----------------------------------------------------------------------------------------


async def test_inputs_that_come_to_nothing_hold_up_nobody_behind_them(kernel):
    """A turn takes some inputs; when they write nothing, no unit lands that would ask for the rest."""
    config = RuntimeConfig(batch_events_max=1, poll_seconds=3600)
    async with open_runtime(
        MemoryStore(kernel), workflows=FLOWS, activities=[gated], kernel=kernel, config=config
    ) as runtime:
        await runtime.start(asks, id="o")
        await wait_all_tasks_blocked()
        runner = runtime._durable._local
        instance = runner.instance(WorkflowId("o"))
        for _ in range(3):
            runner.offer(instance, Offer(TimersFired(0)))
        await wait_all_tasks_blocked()
        assert instance.offers == []


async def test_a_signal_sent_here_does_not_overtake_the_start_that_another_process_has_left(kernel):
    elsewhere, store = MemoryStore(kernel), MemoryStore(kernel)
    async with open_runtime(elsewhere, kernel=kernel) as other, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: other.start("listens", 0, [], id="o"))
        await wait_all_tasks_blocked()
        left = await elsewhere.messages(WorkflowId("o"))
        nursery.cancel_scope.cancel()
    async with open_runtime(store, workflows=FLOWS, activities=[gated], kernel=kernel) as runtime:
        await wait_all_tasks_blocked()
        await store.append([Unit(messages_put=tuple(left))])
        await runtime.workflow("o").signal("word", "a")
        assert await runtime.workflow("o").result() == ["a"]


class Busy(MemoryStore):
    """Does not answer some times when the child's log is read."""

    def __init__(self, kernel):
        super().__init__(kernel)
        self.refusals = 0

    async def read(self, workflow_id, *args, **options):
        if workflow_id == "the-child" and self.refusals:
            self.refusals -= 1
            raise StoreUnavailableError("the store is busy")
        return await super().read(workflow_id, *args, **options)


async def test_a_child_that_cannot_be_read_at_once_is_read_again_for_a_branch(kernel, autojump_clock):
    store = Busy(kernel)
    async with open_runtime(store, workflows=FLOWS, activities=[gated], kernel=kernel) as runtime:
        original = await runtime.start(asks, id="o")
        branch = await original.branch(at=2, to="b", mode="real")
        await original.signal("word", "a")
        assert await original.result() == "told"
        await branch.signal("word", "a")
        store.refusals = 3
        await branch.resume()
        assert await branch.result() == "told"


# -- reading logs for the runner ------------------------------------------------------------------------


class Slow:
    """Tells no head before it may; what it tells is that nothing is there."""

    def __init__(self):
        self.asked = []
        self.may = trio.Event()

    async def heads(self, names):
        self.asked.append(names)
        await self.may.wait()
        return await MemoryStore(InlineKernel()).heads(names)


def loading_from(store, found, failed):
    return Loading(
        store,
        InlineKernel(),
        CodecChain(()),
        recoveries_max=1,
        page_events=10,
        runs_here=lambda _: True,
        read=found.append,
        failed=lambda instances, error: failed.append((instances, error)),
    )


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.COLD])
async def test_what_is_wanted_again_and_again_is_read_once_and_counts_once(phase):
    """One that is held is wanted by everything that comes for it; it must not fill the places of others."""
    store, found, failed = Slow(), [], []
    loading, instance = loading_from(store, found, failed), Instance(WorkflowId("o"), phase)
    async with trio.open_nursery() as nursery:
        loading.want(instance)
        loading.want(instance)
        nursery.start_soon(loading.run)
        await wait_all_tasks_blocked()
        store.may.set()
        await wait_all_tasks_blocked()
        assert ([instance], [], [["o"]]) == (found, failed, store.asked)
        assert loading.recovering == 1
        loading.recovered(instance)
        assert len(loading) == 0
        nursery.cancel_scope.cancel()


async def test_what_is_wanted_while_it_is_read_is_read_again_and_handed_on_once():
    """Its log may have changed since: after a reset, say."""
    store, found, failed = Slow(), [], []
    loading, instance = loading_from(store, found, failed), Instance(WorkflowId("o"))
    async with trio.open_nursery() as nursery:
        loading.want(instance)
        nursery.start_soon(loading.run)
        await wait_all_tasks_blocked()
        loading.want(instance)
        store.may.set()
        await wait_all_tasks_blocked()
        assert ([instance], [], [["o"], ["o"]]) == (found, failed, store.asked)
        assert loading.recovering == 1
        nursery.cancel_scope.cancel()
