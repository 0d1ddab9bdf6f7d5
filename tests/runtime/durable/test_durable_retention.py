"""Retention of durable workflows: a run that goes on keeps all it needs, one that has ended may go whole."""
# ruff: noqa: ARG001, ASYNC110  # the virtual clock is asked for, not used

from __future__ import annotations

import pytest
import trio
from board import board

from treadle import (
    EventsNeededError,
    EventsPrunedError,
    RetentionPolicy,
    RetentionRule,
    RuntimeConfig,
    WorkflowNotFoundError,
    activity,
    open_runtime,
    workflow,
)
from treadle.payloads import Compression, Encryption, KeyRing
from treadle.runtime.durable.wire import HELD, RUNS
from treadle.runtime.retention import Sweep
from treadle.stores import Message, Unit

ALL = RetentionPolicy(RetentionRule(closed_days_max=0))


@activity.define
async def note(name: str) -> str:
    board.note(name)
    return name


@workflow.define
async def rounds(left: int, have: list[str]) -> list[str]:
    """Take a word in each run, and go on as a new one."""
    word = await workflow.signals("word").receive()
    await workflow.activity(note, word)
    if left:
        await workflow.continue_as_new(left - 1, [*have, word])
    return [*have, word]


@workflow.define
async def quick(name: str) -> str:
    return await workflow.activity(note, name)


@workflow.define
async def parent_of(name: str) -> str:
    told = await workflow.child(quick, name)
    await workflow.signals("word").receive()
    return told


FLOWS = [rounds, quick, parent_of]


async def sweep(runtime, policy=ALL):
    told = []
    await Sweep(runtime, policy, told=told.append).run()
    return {removal.workflow_id: removal for removal in told}


async def run_of(runtime, name):
    (head,) = await runtime.store.heads([name])
    return head.facts.run_start_seq


async def in_run(runtime, name, number):
    """Wait until so many runs were gone on from."""
    while len([e for e in await read_left(runtime, name) if e.kind.name == "CONTINUED"]) < number:
        await trio.sleep(0.01)


async def read_left(runtime, name):
    (head,) = await runtime.store.heads([name])
    return await runtime.workflow(name).read(head.first_kept_seq).list()


async def test_a_run_keeps_all_it_needs_and_goes_on_in_another_process(opened, autojump_clock):
    """Cut before its CONTINUED, put away, read again: code, carried signals and result are as they were."""
    async with opened(FLOWS, [note]) as runtime:
        handle = await runtime.start(rounds, 3, [], id="w")
        for word in ("a", "b"):
            await handle.signal("word", word)
        await in_run(runtime, "w", 2)
        start = await run_of(runtime, "w")
        assert (await sweep(runtime))["w"].first_kept_seq == start
        with pytest.raises(EventsPrunedError):
            await handle.event_at(start - 1)
        await handle.signal("word", "c")
        await in_run(runtime, "w", 2)
    async with opened(FLOWS, [note]) as runtime:
        handle = runtime.workflow("w")
        assert await handle.prune() == await run_of(runtime, "w")
        await handle.signal("word", "d")
        assert await handle.result() == ["a", "b", "c", "d"]


async def test_who_waits_for_the_first_run_hears_the_result_of_what_goes_on_from_it(opened, autojump_clock):
    async with opened(FLOWS, [note]) as runtime:
        handle = await runtime.start(rounds, 2, [], id="w")
        assert handle.run == 1
        results = []

        async def wait():
            results.append(await handle.result())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            for number, word in enumerate("ab", 1):
                await handle.signal("word", word)
                await in_run(runtime, "w", 1)
                while await run_of(runtime, "w") == (await runtime.store.heads(["w"]))[0].first_kept_seq:
                    await trio.sleep(0.01)
                await handle.prune()
                assert await runtime.store.record(RUNS, b"w") == b"1", number
            await handle.signal("word", "c")
        assert results == [["a", "b", "c"]]
        assert await handle.result() == ["a", "b", "c"]


async def test_a_result_that_was_removed_is_not_mistaken_for_a_later_one(opened, autojump_clock):
    """The id was used again: whoever holds a handle to the first run must not get the second one's result."""
    async with opened(FLOWS, [note]) as runtime:
        first = await runtime.start(quick, "one", id="w")
        assert await first.result() == "one"
        second = await runtime.start(quick, "two", id="w", id_policy="allow_when_closed")
        assert await second.result() == "two"
        assert await first.result() == "one"
        await second.prune()

        with pytest.raises(EventsPrunedError):
            await first.result()
        assert await second.result() == "two"
        await second.delete()
        for handle in (first, second, runtime.workflow("w")):
            with pytest.raises(WorkflowNotFoundError):
                await handle.result()


async def test_a_live_run_is_never_deleted_or_cut_into(opened, autojump_clock):
    async with opened(FLOWS, [note]) as runtime:
        handle = await runtime.start(rounds, 1, [], id="w")
        with pytest.raises(EventsNeededError, match=r"'w' is running: .* cancel or terminate") as caught:
            await handle.delete()
        assert caught.value.needed_by == "run 1"
        await handle.signal("word", "a")
        await in_run(runtime, "w", 1)
        start = await run_of(runtime, "w")
        for seq in (start - 1, start + 1):
            with pytest.raises(EventsNeededError, match=f"its run began at seq {start}"):
                await handle.prune(seq)
        assert await sweep(runtime, RetentionPolicy(RetentionRule(closed_days_max=0, cuts=False))) == {}


async def test_a_workflow_that_has_ended_is_deleted_and_may_be_started_again(opened, autojump_clock):
    """Under the same id and behind its tombstone: a run that begins there is replayed as any other."""
    async with opened(FLOWS, [note]) as runtime:
        handle = await runtime.start(quick, "one", id="w")
        await handle.result()
        await trio.sleep(1)
        last = await handle.stream_len()
        assert (await sweep(runtime))["w"].doing == "delete"
        with pytest.raises(WorkflowNotFoundError):
            await handle.signal("word", "late")
        with pytest.raises(WorkflowNotFoundError):
            await runtime.workflow("w").describe()
        assert await runtime.store.list_workflows() == []

        again = await runtime.start(rounds, 0, [], id="w")
        assert again.run == last + 1
    async with opened(FLOWS, [note]) as runtime:
        again = runtime.workflow("w")
        assert await again.status() == "running"
        await again.signal("word", "x")
        assert await again.result() == ["x"]


async def test_a_start_from_a_process_that_runs_nothing_finds_the_tombstone_free(place, kernel, opened):
    async with opened(FLOWS, [note]) as runtime:
        await (await runtime.start(quick, "one", id="w")).result()
        await runtime.workflow("w").delete()
    async with open_runtime(place, kernel=kernel) as client:
        await client.start("quick", "two", id="w")
    async with opened(FLOWS, [note]) as runtime:
        while await runtime.store.messages("w"):
            await trio.sleep(0.01)
        assert await runtime.workflow("w").result() == "two"


async def test_a_workflow_with_waiting_messages_is_kept(place, kernel, opened):
    """Somebody has sent it a start for its next life: it must be there to answer."""
    async with opened(FLOWS, [note]) as runtime:
        await (await runtime.start(quick, "one", id="w")).result()
    async with open_runtime(place, kernel=kernel) as client:
        await client.store.append([Unit(messages_put=(Message("w", b"m", 1, b"{}"),))])
        with pytest.raises(EventsNeededError, match="a message to it waits"):
            await client.workflow("w").delete()
        assert "message" in (await sweep(client))["w"].reason


async def test_a_child_stays_as_long_as_its_parent(opened, autojump_clock):
    async with opened(FLOWS, [note]) as runtime:
        handle = await runtime.start(parent_of, "x", id="p")
        while "p/2" not in await runtime.store.list_workflows(status=2):
            await trio.sleep(0.01)
        await trio.sleep(1)
        told = await sweep(runtime)
        assert (told["p/2"].doing, list(told)) == ("keep", ["p/2"])
        assert "child of 'p'" in told["p/2"].reason

        await handle.signal("word", "x")
        await handle.result()
        await trio.sleep(1)
        assert {name: one.doing for name, one in (await sweep(runtime)).items()} == {
            "p/2": "delete",
            "p": "delete",
        }


async def test_encoded_workflows_are_pruned_by_who_has_the_codecs(place, kernel, opened, autojump_clock):
    words = ["word " * 40, "other " * 40]
    async with opened(FLOWS, [note], codecs=[Compression()]) as runtime:
        handle = await runtime.start(rounds, 1, [], id="w")
        await handle.signal("word", words[0])
        await in_run(runtime, "w", 1)
        await handle.prune()
    async with opened(FLOWS, [note], codecs=[Compression()]) as runtime:
        handle = runtime.workflow("w")
        await handle.signal("word", words[1])
        assert await handle.result() == words


async def test_a_branch_that_shares_encrypted_events_is_cut_and_deleted_as_any_other(opened, autojump_clock):
    """Its start was encrypted under the original's id: it says whose child it is, and where runs began."""
    keys = KeyRing({"k": bytes(range(64))}, current="k")
    async with opened(FLOWS, [note], codecs=[Encryption(keys)]) as runtime:
        handle = await runtime.start(rounds, 1, [], id="w")
        branch = await handle.branch(at=1, to="b", mode="real")
        await branch.resume()
        await branch.signal("word", "x")
        await in_run(runtime, "b", 1)
        assert await branch.prune() == await run_of(runtime, "b")
        await branch.signal("word", "y")
        assert await branch.result() == ["x", "y"]
        late = await branch.branch(at=(await branch.next_seq()) - 1, to="c", mode="real")
        await trio.sleep(1)
        await sweep(runtime)

        assert await runtime.store.list_workflows() == ["w"]
        assert (await late.next_seq()) > 1


async def test_a_what_if_branch_goes_by_its_age_or_by_hand_and_lets_its_parent_be_cut(opened, autojump_clock):
    """Played or not: nothing happens in it, no projection reads it, and what it shared is free then."""
    async with opened(FLOWS, [note]) as runtime:
        handle = await runtime.start(rounds, 1, [], id="w")
        played = await handle.branch(at=1, to="played")
        branches = [played, *[await handle.branch(at=1, to=name) for name in ("b", "c")]]
        await played.what_if(lambda _: "x")
        await runtime.set_record("treadle:projection", b"p", b'{"position": 1}')
        await branches[2].delete()
        assert await runtime.store.record(HELD, b"c") is None
        week = RetentionPolicy(RetentionRule(closed_days_max=7, closed_count_max=0))
        assert await sweep(runtime, week) == {}
        await handle.signal("word", "a")
        await in_run(runtime, "w", 1)
        await trio.sleep(8 * 24 * 3600)
        await runtime.set_record("treadle:projection", b"p", None)
        told = await sweep(runtime, week)
        await sweep(runtime, week)  # the cut may have come before the deletions, and been refused

        assert [told[name].doing for name in ("b", "played")] == ["delete", "delete"]
        assert (await runtime.store.heads(["w"]))[0].first_kept_seq > 1
        assert told["b"].reason == "a what-if branch made more than 7 days ago"
        assert await runtime.store.list_workflows(hidden=True) == ["w"]
        again = runtime.workflow("c")
        await again.append("custom", b"seen")
        assert await runtime.store.list_workflows() == ["c", "w"]


async def test_a_runner_sweeps_in_the_background(place, kernel, autojump_clock):
    """A long-lived workflow's log stays short, whatever it has done."""
    policy = RetentionPolicy(RetentionRule(closed_days_max=1), pass_seconds=60)
    async with open_runtime(
        place,
        workflows=FLOWS,
        activities=[note],
        kernel=kernel,
        retention=policy,
        config=RuntimeConfig(poll_seconds=3600),
    ) as runtime:
        handle = await runtime.start(rounds, 6, [], id="w")
        for word in "abcdef":
            await handle.signal("word", word)
            await trio.sleep(70)
        left = await read_left(runtime, "w")
        assert left[0].kind.name == "CONTINUED"
        assert len(left) < 12
        assert runtime.statistics().retention.logs_cut >= 4
        await handle.signal("word", "g")
        assert await handle.result() == list("abcdefg")
