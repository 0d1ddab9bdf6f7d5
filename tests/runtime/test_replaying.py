"""Replaying many logs: isolated, streamed, bounded; errors leave bare and say where; leaving is safe."""

from __future__ import annotations

import gc

import pytest
import trio
from asking import start
from faulty import UNAVAILABLE
from keeping import SEEN, cut, filled
from trio.testing import wait_all_tasks_blocked

from treadle import EventsPrunedError, NewEvent
from treadle.errors import InvalidValueError, StoreUnavailableError
from treadle.runtime import replaying


def collect(state: list, event) -> list:
    state.append(event.payload)
    return state


async def fill(runtime, logs: int, events: int) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(logs):
            batch = [NewEvent("custom", b"%d/%d" % (number, place)) for place in range(events)]
            nursery.start_soon(runtime.workflow(number).extend, batch)


def expected(logs: int, events: int) -> dict[str, list[bytes]]:
    return {str(number): [b"%d/%d" % (number, place) for place in range(events)] for number in range(logs)}


@pytest.mark.parametrize("page_events", [1, 2, 3, 5, 6, 2_000])
async def test_every_log_is_replayed_whole_and_alone(opened, page_events):
    """However pages cut the logs."""
    async with opened(page_events=page_events) as runtime:
        await fill(runtime, 9, 6)
        done = [replayed async for replayed in runtime.replay_all(collect, list)]

    assert {replayed.workflow_id: replayed.state for replayed in done} == expected(9, 6)
    assert len(done) == 9
    assert {replayed.events for replayed in done} == {6}


async def test_more_logs_than_one_wave_reads(opened, monkeypatch):
    """Listing pages, waves and hops cut the ids; none is missing or given twice."""
    monkeypatch.setattr(replaying, "LOGS_A_HOP", 3)
    async with opened(page_events=4) as runtime:
        await fill(runtime, 25, 3)
        done = [replayed async for replayed in runtime.replay_all(collect, list, concurrency=2)]

    assert sorted(replayed.workflow_id for replayed in done) == sorted(expected(25, 3))
    assert {replayed.workflow_id: replayed.state for replayed in done} == expected(25, 3)


async def test_only_the_given_ids_in_any_collection(opened):
    """Numbers and names, a generator, an id without events, an id twice."""
    async with opened() as runtime:
        await fill(runtime, 4, 2)
        wanted = (value for value in (3, "1", "nobody", 3))
        done = [replayed async for replayed in runtime.replay_all(collect, list, wanted)]

    assert [(replayed.workflow_id, len(replayed.state)) for replayed in done] == [
        ("3", 2),
        ("1", 2),
        ("nobody", 0),
        ("3", 2),
    ]


async def test_results_stream_before_everything_is_read(opened, store, monkeypatch):
    monkeypatch.setattr(replaying, "LOGS_A_HOP", 1)
    async with opened() as runtime, trio.open_nursery() as nursery:
        await fill(runtime, 6, 1)
        replay = runtime.replay_all(collect, list, concurrency=2)
        first = await anext(replay)
        second = await anext(replay)
        store.reads.close()
        third = start(nursery, replay.__anext__)
        await wait_all_tasks_blocked()
        assert {first.workflow_id, second.workflow_id} == {"0", "1"}
        assert not third.done
        store.reads.open()


@pytest.mark.parametrize("concurrency", [1, 3, 10])
async def test_as_many_logs_are_under_way_as_asked_for(opened, store, monkeypatch, concurrency):
    """One hop fetches them all: threads that read at once only wait for each other's turn."""
    asked: list[int] = []
    read_many = store.read_many

    async def counted(workflow_ids, **options):
        asked.append(len(workflow_ids))
        return await read_many(workflow_ids, **options)

    monkeypatch.setattr(store, "read_many", counted)
    monkeypatch.setattr(replaying, "LOGS_A_HOP", 2)
    async with opened() as runtime:
        await fill(runtime, 40, 1)
        done = [replayed async for replayed in runtime.replay_all(collect, list, concurrency=concurrency)]

    assert len(done) == 40
    assert max(asked) == 2 * concurrency
    assert store.reading_max == 1


@pytest.mark.parametrize(
    ("make_state", "state"),
    [
        (list, []),
        (dict, {}),
        (int, 0),
        (lambda: "none", "none"),
        (lambda workflow_id: f"for {workflow_id}", "for a"),
        (lambda workflow_id="x": workflow_id, "x"),
        (str.upper, "A"),
    ],
)
async def test_a_first_state_is_made_with_the_id_by_whoever_wants_it(opened, make_state, state):
    async with opened() as runtime:
        (done,) = [r async for r in runtime.replay_all(lambda state, _: state, make_state, ["a"])]

    assert done.state == state


@pytest.mark.parametrize("page_events", [1, 2_000])
async def test_a_reducers_exception_leaves_bare_and_says_where(opened, page_events):
    """No group; the note names workflow and seq; the other logs can still be had."""

    def reducer(state: int, event) -> int:
        if event.payload == b"1/2":
            raise ZeroDivisionError("in the reducer")
        return state + 1

    async with opened(page_events=page_events) as runtime:
        await fill(runtime, 3, 4)
        replay = runtime.replay_all(reducer, int)
        done = [await anext(replay)]
        with pytest.raises(ZeroDivisionError) as caught:
            await anext(replay)
        done += [replayed async for replayed in replay]
        with pytest.raises(ZeroDivisionError) as single:
            await runtime.workflow(1).replay(reducer, 0)

    for error in (caught.value, single.value):
        assert error.__notes__ == ["while replaying workflow '1', seq 3 (CUSTOM)"]
    assert [(replayed.workflow_id, replayed.state) for replayed in done] == [("0", 4), ("2", 4)]


async def test_leaving_early_or_dropping_it_leaves_nothing(opened):
    """No task outlives a call and nothing has to be closed; collecting it warns of nothing."""
    async with opened(page_events=1) as runtime:
        await fill(runtime, 5, 2)
        async for replayed in runtime.replay_all(collect, list):
            assert replayed.workflow_id == "0"
            break
        del replayed
        gc.collect()
        assert (await runtime.workflow("0").append("custom")).seq == 3


@pytest.mark.parametrize("page_events", [1, 4, 2_000])
async def test_a_cancelled_replay_goes_on_where_it_was(opened, page_events, monkeypatch):
    """Cancelled at every wait in turn: no log is missing, none is doubled, none is half."""
    monkeypatch.setattr(replaying, "LOGS_A_HOP", 2)
    async with opened(page_events=page_events) as runtime:
        await fill(runtime, 7, 3)
        replay = runtime.replay_all(collect, list, concurrency=2)
        done = {}
        steps = 0
        ended = False
        while not ended:
            steps += 1
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_after, steps % 9, scope)
                    try:
                        while True:
                            replayed = await anext(replay)
                            assert replayed.workflow_id not in done
                            done[replayed.workflow_id] = replayed.state
                    except StopAsyncIteration:
                        ended = True
                        nursery.cancel_scope.cancel()

    assert steps > 1
    assert done == expected(7, 3)


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_a_store_error_leaves_bare_and_the_next_call_goes_on(opened, store):
    async with opened(page_events=2) as runtime:
        await fill(runtime, 4, 3)
        replay = runtime.replay_all(collect, list, concurrency=1)
        store.read_error = UNAVAILABLE
        with pytest.raises(StoreUnavailableError):
            await anext(replay)
        store.read_error = None
        done = [await anext(replay)]
        store.read_error = UNAVAILABLE
        with pytest.raises(StoreUnavailableError):
            await anext(replay)
        store.read_error = None
        done += [replayed async for replayed in replay]

    assert {replayed.workflow_id: replayed.state for replayed in done} == expected(4, 3)


@pytest.mark.parametrize("how", ["fold", "function", "from_first_kept"])
async def test_a_log_cut_while_it_is_replayed_is_replayed_from_where_it_begins_then(opened, monkeypatch, how):
    async with opened(page_events=2) as runtime:
        handle = await filled(runtime, "o", 6)
        await handle.baseline(SEEN)
        await filled(runtime, "o", 1)
        read = runtime.store.read

        async def cut_first(*args, **kwargs):
            monkeypatch.setattr(runtime.store, "read", read)
            await cut(runtime.store, "o", 7)
            return await read(*args, **kwargs)

        monkeypatch.setattr(runtime.store, "read", cut_first)
        seqs = [] if how == "fold" else [lambda seen, event: [*seen, event.seq], list]
        options = {"from_first_kept": True} if how == "from_first_kept" else {}
        replay = runtime.replay_all(*(seqs or [SEEN]), concurrency=1, **options)
        if how == "function":
            with pytest.raises(EventsPrunedError, match="a function cannot know what came before"):
                await anext(replay)
            return
        (done,) = [one async for one in replay]

        assert (
            [seq for seq, _ in done.state] == [1, 2, 3, 4, 5, 6, 8] if how == "fold" else done.state == [7, 8]
        )


async def test_nothing_stored_replays_to_nothing(opened):
    async with opened() as runtime:
        assert [replayed async for replayed in runtime.replay_all(collect, list)] == []
        assert [replayed async for replayed in runtime.replay_all(collect, list, [])] == []


@pytest.mark.parametrize(
    "arguments",
    [{"concurrency": 0}, {"concurrency": True}, {"workflow_ids": "order"}, {"workflow_ids": [""]}],
)
async def test_bad_arguments_are_refused_at_the_call(opened, arguments):
    async with opened() as runtime:
        with pytest.raises(InvalidValueError):
            runtime.replay_all(collect, list, **arguments)
