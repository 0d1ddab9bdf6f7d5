"""Retention removes what its policy says, and nothing that anybody still needs."""

# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import json
import random
from contextlib import suppress

import attrs
import pytest
import trio
from faulty import FULL, POISONED, UNAVAILABLE
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import SEEN, TOTAL, filled

from treadle import (
    ConflictError,
    EventsNeededError,
    EventsPrunedError,
    EventsSharedError,
    InvalidValueError,
    RetentionPolicy,
    RetentionRule,
    RuntimeClosedError,
    TreadleError,
    WorkflowNotFoundError,
    open_runtime,
)
from treadle.kernel import InlineKernel
from treadle.runtime.retention import PROJECTIONS, Sweep
from treadle.sim.draws import Draws
from treadle.sim.faulty_store import FaultyStore as SimFaultyStore
from treadle.stores.memory import MemoryStore
from treadle.testing import run_in_world

DAY_NS = 24 * 3600 * 1_000_000_000
BASELINES_ONLY = RetentionPolicy()
ALL = RetentionPolicy(RetentionRule(closed_days_max=0))


async def sweep(runtime, policy=BASELINES_ONLY, *, dry=False):
    told = []
    swept = await Sweep(runtime, policy, dry=dry, told=told.append).run()
    return swept, {removal.workflow_id: removal for removal in told}


async def closed(runtime, name, days_ago, kind="workflow_completed"):
    handle = await filled(runtime, name, 2)
    await handle.append(kind, timestamp=runtime._kernel.wall_time_ns() - round(days_ago * DAY_NS))
    return handle


async def test_a_log_loses_what_lies_before_its_last_baseline(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.baseline(TOTAL)
        await filled(runtime, "o", 5)
        await handle.baseline(SEEN, TOTAL)
        await filled(runtime, "o", 2)
        await filled(runtime, "plain", 5)
        before = [await handle.replay(fold) for fold in (SEEN, TOTAL)]
        swept, told = await sweep(runtime)

        assert (swept.logs_cut, swept.events_removed, swept.events_reclaimed) == (1, 11, 11)
        assert told["o"].first_kept_seq == 12
        assert [event.seq for event in await handle.read(12).list()] == [12, 13, 14, 15]
        assert [await handle.replay(fold) for fold in (SEEN, TOTAL)] == before
        assert len(await runtime.workflow("plain").read().list()) == 5
        assert (await sweep(runtime))[0].logs_cut == 0


async def test_a_dry_sweep_tells_the_same_and_removes_nothing(opened):
    async with opened() as runtime:
        await (await filled(runtime, "o", 5)).baseline(SEEN)
        await closed(runtime, "old", 9)
        before = await runtime.store.feed()
        policy = RetentionPolicy(RetentionRule(closed_days_max=7))
        dry, told = await sweep(runtime, policy, dry=True)
        assert await runtime.store.feed() == before

        done, again = await sweep(runtime, policy)
        assert told == again
        assert (dry.logs_cut, dry.logs_deleted, dry.events_removed) == (1, 1, 8)
        assert (done.logs_cut, done.logs_deleted, done.events_removed) == (1, 1, 8)


async def test_closed_logs_go_by_age_and_by_count_under_the_rule_of_their_prefix(opened):
    async with opened() as runtime:
        for name, days in (("a-old", 8), ("a-new", 1), ("b-1", 1), ("b-2", 5), ("b-3", 3), ("c-old", 99)):
            await closed(runtime, name, days)
        await filled(runtime, "a-open", 3)
        await closed(runtime, "b-failed", 4, "workflow_failed")
        policy = RetentionPolicy(
            [RetentionRule(prefix="a-", closed_days_max=7), RetentionRule(prefix="b-", closed_count_max=2)]
        )
        swept, told = await sweep(runtime, policy)

        assert await runtime.store.list_workflows() == ["a-new", "a-open", "b-1", "b-3", "c-old"]
        assert swept.logs_deleted == 3
        assert told["a-old"].reason == "closed for more than 7 days"
        assert told["b-2"].reason == "not among the last 2 closed"
        assert (await runtime.store.statistics()).events == 15


async def test_a_deleted_log_goes_on_behind_its_tombstone(opened):
    async with opened() as runtime:
        handle = await closed(runtime, "o", 1)
        digest = await handle.digest()
        await sweep(runtime, ALL)

        assert (await handle.next_seq(), await handle.digest()) == (4, digest)
        with pytest.raises(EventsPrunedError, match="nothing of it is left"):
            await handle.read().list()
        assert (await handle.append("custom")).seq == 4
        assert (await handle.read(4).list())[0].seq == 4


async def test_what_a_branch_shares_is_kept_and_the_branch_is_named(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.branch(at=3, to="b")
        await handle.baseline(SEEN)
        with pytest.raises(EventsSharedError, match="'b'"):
            await handle.prune()
        _, foretold = await sweep(runtime, dry=True)
        swept, told = await sweep(runtime)

        assert (swept.logs_cut, swept.logs_kept) == (0, 1)
        assert "'b'" in told["o"].reason
        assert foretold == told
        assert len(await runtime.workflow("b").read().list()) == 4

        await runtime.workflow("b").delete()
        assert await handle.prune() == 6


async def test_what_a_projection_has_not_read_is_kept_and_the_projection_is_named(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.baseline(SEEN)
        done = await closed(runtime, "done", 9)
        await runtime.set_record(PROJECTIONS, b"fast", json.dumps({"position": 100}).encode())
        await runtime.set_record(PROJECTIONS, b"totals", json.dumps({"position": 4}).encode())
        for refused in (handle.prune, done.delete):
            with pytest.raises(EventsNeededError, match="'totals' has read up to position 4"):
                await refused()
        swept, told = await sweep(runtime, ALL)
        assert (swept.logs_kept, swept.events_removed) == (2, 0)
        assert "'totals'" in told["o"].reason

        await runtime.set_record(PROJECTIONS, b"totals", json.dumps({"position": 5}).encode())
        assert await handle.prune() == 6
        with pytest.raises(EventsNeededError, match="'totals'") as caught:
            await done.delete()
        assert caught.value.needed_by == "projection 'totals'"
        await runtime.set_record(PROJECTIONS, b"totals", b"not ours")
        with pytest.raises(EventsNeededError, match="position 0"):
            await done.delete()
        await runtime.set_record(PROJECTIONS, b"totals", None)
        await done.delete()


async def test_a_log_is_pruned_at_a_baseline_alone(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        assert await handle.prune() == 1
        first = (await handle.baseline(SEEN, TOTAL)).events[0].seq
        await filled(runtime, "o", 1)
        for seq in (3, first + 1, first + 2, 100):
            with pytest.raises(EventsNeededError, match="no baseline begins at seq"):
                await handle.prune(seq)
        assert await handle.prune(first) == first
        assert await handle.prune() == first
        with pytest.raises(EventsPrunedError, match="below the first kept seq 6"):
            await handle.prune(3)
        with pytest.raises(InvalidValueError):
            await handle.prune(0)
        with pytest.raises(WorkflowNotFoundError, match="nothing to remove"):
            await runtime.workflow("none").prune()
        assert [await handle.replay(fold) for fold in (SEEN, TOTAL)] == [
            [[1, "0"], [2, "1"], [3, "2"], [4, "3"], [5, "4"], [8, "0"]],
            6,
        ]


async def test_a_log_that_has_moved_on_is_kept_for_the_next_sweep(opened, store):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 3)
        await handle.baseline(SEEN)
        # The first write is the horizon's, before the log is looked at once more; the second one is the cut.
        store.before_write += [lambda: None, lambda: store.write_foreign("o", b"theirs")]
        swept, told = await sweep(runtime)
        assert (swept.logs_cut, told["o"].doing) == (0, "keep")

        assert (await sweep(runtime))[0].logs_cut == 1
        store.before_write.append(lambda: store.write_foreign("o", b"theirs"))
        with pytest.raises(ConflictError):
            await handle.delete()


@pytest.mark.parametrize("rule", [{"closed_days_max": 0}, {"closed_count_max": 0}, {"closed_count_max": 1}])
async def test_a_log_that_was_opened_again_since_it_was_looked_at_is_not_deleted(opened, monkeypatch, rule):
    """It was judged by an event that was its last one then; what came behind that is nobody's to delete."""
    async with opened() as runtime:
        handles = [await closed(runtime, name, days) for name, days in (("o", 9), ("p", 1))]
        look = Sweep._carry_out

        async def appended_meanwhile(self, found):
            for handle in handles:
                await handle.append("custom", b"more")
            await look(self, found)

        monkeypatch.setattr(Sweep, "_carry_out", appended_meanwhile)
        swept, told = await sweep(runtime, RetentionPolicy(RetentionRule(**rule)))

        assert (swept.logs_deleted, {one.doing for one in told.values()}) == (0, {"keep"})
        assert "appended to it since" in told["o"].reason
        assert [len(await handle.read().list()) for handle in handles] == [4, 4]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RetentionRule(prefix=7),
        lambda: RetentionRule(closed_days_max=-1),
        lambda: RetentionRule(closed_days_max=float("nan")),
        lambda: RetentionRule(closed_count_max=1.5),
        lambda: RetentionRule(cuts=1),
        lambda: RetentionPolicy(7),
        lambda: RetentionPolicy(["a-"]),
        lambda: RetentionPolicy([RetentionRule(), RetentionRule(closed_days_max=1)]),
        lambda: RetentionPolicy(pass_seconds=0),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(wrong):
    """Nothing is removed by a slip."""
    with pytest.raises(InvalidValueError):
        wrong()


async def test_a_runtime_takes_policies_alone(kernel):
    with pytest.raises(InvalidValueError, match="RetentionPolicy"):
        async with open_runtime("memory:", kernel=kernel, retention=RetentionRule()):
            raise AssertionError("opened")


# -- in the background ----------------------------------------------------------------------------------


@pytest.fixture
def retaining(kernel, store):
    """Open a runtime that sweeps every ten virtual minutes."""
    return lambda policy=ALL: open_runtime(store, kernel=kernel, retention=policy)


async def until(met):
    for _ in range(200):
        if met():
            return
        await trio.sleep(60)
    raise AssertionError("it never came to that")


async def test_a_runtime_sweeps_its_store_in_the_background(retaining, autojump_clock):
    async with retaining() as runtime:
        statistics = runtime.statistics().retention
        assert statistics.policy == ALL
        await until(lambda: runtime.statistics().retention.sweeps == 1)
        await (await filled(runtime, "o", 5)).baseline(SEEN)
        await closed(runtime, "done", 1)
        await until(lambda: runtime.statistics().retention.sweeps == 3)
        told = runtime.statistics().retention

        assert (told.logs_cut, told.logs_deleted, told.events_removed, told.events_reclaimed) == (1, 1, 8, 8)
        assert await runtime.store.list_workflows() == ["o"]


async def test_what_a_killed_sweep_has_cut_is_given_back_by_the_next(retaining, opened, autojump_clock):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.baseline(SEEN)
        await handle.prune()
    async with retaining(RetentionPolicy()) as runtime:
        await until(lambda: runtime.statistics().retention.events_reclaimed == 5)


async def test_a_store_that_fails_is_swept_again_later(retaining, store, autojump_clock):
    async with retaining() as runtime:
        await (await filled(runtime, "o", 5)).baseline(SEEN)
        store.read_error = UNAVAILABLE
        await until(lambda: "busy" in runtime.statistics().retention.last_error)
        store.read_error = None
        store.fail_next(FULL)
        await until(lambda: "full" in runtime.statistics().retention.last_error)
        await until(lambda: runtime.statistics().retention.logs_cut == 1)

        store.fail_next(POISONED)
        with pytest.raises(type(POISONED)):
            await runtime.workflow("o").append("custom")
        await trio.sleep(10_000)
        assert not runtime.statistics().closing


async def test_a_runtime_that_is_closed_in_the_middle_of_a_sweep_says_nothing(
    retaining, store, caplog, autojump_clock
):
    async with retaining() as runtime:
        for name in "abc":
            await (await filled(runtime, name, 3)).baseline(SEEN)
        store.reads.close()
        await trio.sleep(700)
        assert runtime.statistics().retention.sweeping
        store.reads.open()
    assert not caplog.records


async def test_a_follower_behind_the_first_kept_seq_is_told(opened):
    """It would miss events without knowing."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 3)
        await handle.baseline(SEEN)
        await handle.prune()
        with pytest.raises(EventsPrunedError, match="first kept seq 4"):
            await anext(handle.follow())
        assert (await anext(handle.follow(4))).seq == 4


async def test_a_runtime_without_a_policy_removes_nothing(opened, autojump_clock):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.baseline(SEEN)
        await trio.sleep(80_000)

        assert len(await handle.read().list()) == 6
        assert runtime.statistics().retention.policy is None


async def test_a_closed_runtime_removes_nothing(opened):
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.baseline(SEEN)
    for refused in (handle.prune, handle.delete):
        with pytest.raises(RuntimeClosedError):
            await refused()


# -- the rule -------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 3), st.integers(1, 4)),
        st.tuples(st.just("baseline"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("branch"), st.integers(0, 3), st.integers(0, 8)),
        st.tuples(st.just("close"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("sweep"), st.integers(0, 1), st.integers(0, 3)),
        st.tuples(st.just("projection"), st.just(0), st.integers(0, 30)),
    ),
    max_size=14,
)


class Model:
    """What every log held, whole, and what of it somebody needs."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.states = {}
        self.closed = {}
        self.checkpoint = None

    async def remember(self, name):
        self.states[name] = await self.runtime.workflow(name).replay(SEEN)

    async def check(self, positions):
        """Each log that is there gives the state it gave, and what was needed is there."""
        there = {row.position for row in await self.runtime.store.feed()}
        for name, state in self.states.items():
            handle = self.runtime.workflow(name)
            (head,) = await self.runtime.store.heads([name])
            if head.first_kept_seq == head.next_seq:
                assert name in self.closed, "an open log was deleted"
                continue
            assert await handle.replay(SEEN) == state
        if self.checkpoint is not None:
            unread = {position for position in positions if position > self.checkpoint}
            assert unread <= there, "a projection has missed events"


@settings(max_examples=15, deadline=None)
@given(STEPS)
def test_a_sweep_never_removes_what_somebody_needs(steps):
    """Over any logs with branches, baselines, ends and projections, under any policy."""
    sweep_among(steps)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(STEPS)
def test_many_sweeps_never_remove_what_somebody_needs(steps):
    """The same, for as long as it takes."""
    sweep_among(steps)


def sweep_among(steps):
    async def run():
        async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
            model, names = Model(runtime), ["0"]
            await filled(runtime, "0", 2)
            await model.remember("0")
            for step, which, number in steps:
                name = names[which % len(names)]
                (head,) = await runtime.store.heads([name])
                if step == "projection":
                    model.checkpoint = min(number, model.checkpoint or number)
                    record = json.dumps({"position": model.checkpoint}).encode()
                    await runtime.set_record(PROJECTIONS, b"p", record)
                elif step == "sweep":
                    positions = [row.position for row in await runtime.store.feed()]
                    rule = RetentionRule(closed_count_max=number if which else None)
                    _, foretold = await sweep(runtime, RetentionPolicy(rule), dry=True)
                    _, told = await sweep(runtime, RetentionPolicy(rule))
                    await model.check(positions)
                    # What a dry sweep keeps for a branch may go when the branch goes with it.
                    doing = {name: one.doing for name, one in foretold.items() if one.doing != "keep"}
                    assert doing.items() <= {name: one.doing for name, one in told.items()}.items()
                elif head.first_kept_seq < head.next_seq and name not in model.closed:
                    await act(runtime, model, names, name, step, number)

    trio.run(run)


async def act(runtime, model, names, name, step, number):
    handle = runtime.workflow(name)
    if step == "append":
        await filled(runtime, name, number)
    elif step == "baseline":
        await handle.baseline(SEEN)
    elif step == "close":
        await handle.append("workflow_completed", timestamp=number)
        model.closed[name] = number
    elif step == "branch" and len(names) < 6:
        (head,) = await runtime.store.heads([name])
        at = max(head.first_kept_seq, head.next_seq - 1 - number)
        names.append(str(len(names)))
        await handle.branch(at=at, to=names[-1])
        await model.remember(names[-1])
    await model.remember(name)


# -- in worlds ------------------------------------------------------------------------------------------

RATES = {"slow_store": 20, "unavailable_store": 60, "unknown_unwritten": 40, "unknown_written": 40}


async def retaining_world(kernel, seed):
    """Callers append and make baselines, the store fails now and then, and all the while it is swept."""
    chance = random.Random(seed)
    store = SimFaultyStore(MemoryStore(kernel), kernel, Draws(seed, "store"), RATES)
    acknowledged = {name: [] for name in ("a", "b", "c")}

    async def call(name):
        own = random.Random(f"{seed} {name}")
        handle = runtime.workflow(name)
        for number in range(own.randrange(6, 16)):
            with suppress(TreadleError):
                await handle.append("custom", b"%d" % number)
                acknowledged[name].append(str(number))
            if own.random() < 0.4:
                with suppress(TreadleError):
                    await handle.baseline(SEEN)
            await kernel.sleep(own.choice([0, 0.01, 0.5]))

    policy = RetentionPolicy(pass_seconds=chance.choice([0.1, 1]))
    async with open_runtime(store, kernel=kernel, retention=policy) as runtime:
        async with trio.open_nursery() as nursery:
            for name in acknowledged:
                kernel.spawn(nursery, call, name)
        store.calm = True
        await kernel.sleep(5)
        states = {name: await runtime.workflow(name).replay(SEEN) for name in acknowledged}
        told = attrs.astuple(runtime.statistics().retention, recurse=False)
        heads = await store.heads(list(acknowledged))
        assert await store.reclaim() == 0, "what was cut was not given back"
    return states, acknowledged, (told, heads)


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(s, marks=pytest.mark.slow) for s in range(8, 200))]
)
def test_a_world_that_is_swept_loses_nothing(seed):
    """Whatever fails: each state holds all that was acknowledged, in order, and every seq once."""
    states, acknowledged, _ = run_in_world(retaining_world, seed, seed=seed)
    for name, state in states.items():
        payloads = iter(payload for _, payload in state)
        assert all(payload in payloads for payload in acknowledged[name])
        assert len({seq for seq, _ in state}) == len(state)


def test_a_world_that_is_swept_is_decided_by_its_seed():
    """Retention waits through the kernel alone: the same seed gives the same cuts, and some are made."""
    runs = [[run_in_world(retaining_world, seed, seed=seed)[2] for _ in range(2)] for seed in range(3)]

    assert all(one == other for one, other in runs)
    assert sum(head.first_kept_seq > 1 for (_, heads), _ in runs for head in heads) > 2


async def test_a_sweep_asks_the_store_a_few_questions_for_a_page_of_logs(opened, store, monkeypatch):
    """A hop for each log would make a sweep of a million logs a load of its own."""
    questions = []
    async with opened() as runtime:
        for number in range(120):
            await runtime.workflow(f"log-{number}").append("custom")
        for name in ("record", "records", "heads", "list_workflows", "read", "audit", "messages"):
            asked = getattr(store, name)

            async def ask(*args, name=name, asked=asked, **options):
                questions.append(name)
                return await asked(*args, **options)

            monkeypatch.setattr(store, name, ask)
        swept, _ = await sweep(runtime)

    assert swept.logs_seen == 120
    assert len(questions) < 10


async def test_baselines_are_found_whatever_page_they_are_noted_on(opened, monkeypatch):
    """Ids and notes are read page by page, in the same order."""
    from treadle.runtime.retention import needs, sweeping  # noqa: PLC0415

    monkeypatch.setattr(needs, "PAGE_WORKFLOWS", 2)
    monkeypatch.setattr(sweeping, "PAGE_WORKFLOWS", 3)
    async with opened() as runtime:
        names = ["a", "ab", "ä", "b", "ba", "c", "z", "öl", "\U0001f600", "x"]
        for name in names:
            await (await filled(runtime, name, 2)).baseline(SEEN)
            await filled(runtime, f"{name}-plain", 1)
        policy = RetentionPolicy([RetentionRule(prefix="a"), RetentionRule(prefix="ab"), RetentionRule()])
        swept, told = await sweep(runtime, policy)

        assert sorted(told) == sorted(names)
        assert swept.logs_seen == 20


async def test_who_registers_while_a_sweep_is_under_way_is_waited_for(opened, monkeypatch):
    """A sweep over a million logs takes its time: it must not go by who was registered when it began."""
    async with opened() as runtime:
        handle = await filled(runtime, "o", 5)
        await handle.baseline(SEEN)
        sweeping = Sweep(runtime, BASELINES_ONLY)
        judge = sweeping._judge

        async def judged(head, now_ns):
            await runtime.set_record(PROJECTIONS, b"new", json.dumps({"position": 0}).encode())
            return await judge(head, now_ns)

        monkeypatch.setattr(sweeping, "_judge", judged)
        swept = await sweeping.run()
        assert (swept.logs_cut, swept.logs_kept) == (0, 1)
