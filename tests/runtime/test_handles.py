"""What callers hold: reading by pages, folding, looking up; and calls that cannot be right."""

from __future__ import annotations

import pytest
import trio
from asking import start
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from treadle import (
    TIMESTAMP_MAX,
    TIMESTAMP_MIN,
    EventKind,
    NewEvent,
    RuntimeConfig,
    WorkflowEvent,
    open_runtime,
)
from treadle.errors import BatchError, ConflictError, InvalidValueError, StoreError
from treadle.kernel import InlineKernel

EXTREMES = st.sampled_from([TIMESTAMP_MIN, TIMESTAMP_MAX])


async def filled(runtime, events: int, name: str = "a"):
    handle = runtime.workflow(name)
    if events:
        await handle.extend([NewEvent("custom", b"%d" % n, timestamp=n) for n in range(1, events + 1)])
    return handle


def seqs(events) -> list[int]:
    return [event.seq for event in events]


# -- reading --


@given(
    page_events=st.integers(1, 4),
    events=st.integers(0, 9),
    from_seq=st.integers(1, 11),
    length=st.one_of(st.none(), st.integers(0, 11)),
    taken=st.integers(0, 5),
)
def test_every_stretch_is_read_whole_however_pages_cut_it(page_events, events, from_seq, length, taken):
    """By iteration, by pages, by list, by fold, and one after the other on the same reader."""
    to_seq = None if length is None else from_seq + length
    expected = list(range(from_seq, min(events, events if to_seq is None else to_seq) + 1))

    async def main() -> None:
        config = RuntimeConfig(page_events=page_events)
        async with open_runtime("memory:", kernel=InlineKernel(), config=config) as runtime:
            handle = await filled(runtime, events)
            assert seqs([event async for event in handle.read(from_seq, to_seq)]) == expected
            assert seqs(await handle.read(from_seq, to_seq).list()) == expected
            reader = handle.read(from_seq, to_seq)
            by_page = []
            while page := await reader.next_page():
                assert len(page) <= page_events
                by_page += page
            assert seqs(by_page) == expected
            assert await reader.next_page() == []
            replayed = await handle.replay(lambda state, event: [*state, event.seq], [], from_seq, to_seq)
            assert replayed == expected

            mixed = []
            reader = handle.read(from_seq, to_seq)
            async for event in reader:
                mixed.append(event)
                if len(mixed) > taken:
                    break
            mixed += await reader.next_page()
            mixed += [event async for event in reader]
            assert seqs(mixed) == expected

    trio.run(main)


@given(
    page_events=st.integers(1, 3),
    times=st.lists(st.integers(0, 5) | EXTREMES, max_size=8),
    since=st.integers(-1, 6) | EXTREMES,
    until=st.none() | st.integers(-1, 6) | EXTREMES,
)
def test_between_gives_the_events_of_a_time_in_seq_order(page_events, times, since, until):
    async def main() -> None:
        config = RuntimeConfig(page_events=page_events)
        async with open_runtime("memory:", kernel=InlineKernel(), config=config) as runtime:
            handle = runtime.workflow("a")
            for time in times:
                await handle.append("custom", timestamp=time)
            found = await handle.between(since, until).list()
            end = TIMESTAMP_MAX + 1 if until is None else until
            assert seqs(found) == [seq for seq, time in enumerate(times, 1) if since <= time < end]

    trio.run(main)


@pytest.mark.parametrize("events", [0, 1, 4, 5])
async def test_tasks_that_share_a_reader_are_given_each_event_once(opened, events):
    taken: list[int] = []

    async def take_all(reader) -> None:
        async for event in reader:
            taken.append(event.seq)
            await trio.lowlevel.checkpoint()

    async with opened(page_events=2) as runtime:
        handle = await filled(runtime, events)
        for reader in (handle.read(), handle.between(0)):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(take_all, reader)
            assert await reader.next_page() == []

    assert taken == [*range(1, events + 1), *range(1, events + 1)]


async def test_a_reader_may_be_left_and_taken_up_again(opened):
    """Breaking out closes nothing and loses nothing."""
    async with opened(page_events=2) as runtime:
        handle = await filled(runtime, 5)
        reader = handle.read()
        seen = []
        for _ in range(5):
            async for event in reader:
                seen.append(event.seq)
                break
        assert seen == [1, 2, 3, 4, 5]


async def test_a_reader_cancelled_in_a_read_gives_the_same_event_next_time(opened, store):
    async with opened(page_events=1) as runtime, trio.open_nursery() as nursery:
        handle = await filled(runtime, 3)
        reader = handle.read()
        assert (await anext(reader)).seq == 1
        store.reads.close()
        call = start(nursery, reader.__anext__)
        await wait_all_tasks_blocked()
        call.scope.cancel()
        await wait_all_tasks_blocked()
        store.reads.open()
        assert seqs(await reader.list()) == [2, 3]


async def test_the_end_of_a_log_is_looked_for_no_more_often_than_needed(opened, store):
    """A page that is not full is the last; a bound that is reached needs no further look."""
    reads = []
    read = store.read

    async def counted(*args, **options):
        reads.append(args)
        return await read(*args, **options)

    store.read = counted
    async with opened(page_events=3) as runtime:
        handle = await filled(runtime, 4)
        await handle.read().list()
        assert len(reads) == 2
        await handle.read(1, 3).list()
        assert len(reads) == 3


async def test_what_is_not_there_is_told_without_an_error(opened):
    async with opened() as runtime:
        handle = runtime.workflow("nobody")
        assert await handle.stream_len() == 0
        assert await handle.next_seq() == 1
        assert await handle.event_at(1) is None
        assert await handle.read().list() == []
        assert await handle.replay(lambda state, _: state + 1, 0) == 0
        assert len(await handle.digest()) == 16


async def test_event_at_and_digest(opened):
    async with opened() as runtime:
        handle, twin = await filled(runtime, 3), await filled(runtime, 3, "b")
        assert (await handle.event_at(2)).payload == b"2"
        assert await handle.event_at(4) is None
        assert await handle.digest() != await twin.digest()


async def test_what_other_processes_wrote_is_seen(opened, store):
    async with opened() as runtime:
        handle = await filled(runtime, 1)
        store.write_foreign("a", b"foreign")
        assert await handle.next_seq() == 3
        assert [event.payload for event in await handle.read().list()] == [b"1", b"foreign"]


async def test_a_number_and_its_decimal_name_are_one_workflow(opened):
    async with opened() as runtime:
        await runtime.workflow(7).append("custom")
        assert (await runtime.workflow("7").append("custom")).seq == 2
        assert repr(runtime.workflow(7)) == "<WorkflowHandle '7'>"


async def test_workflow_ids_lists_what_has_events(opened):
    async with opened() as runtime:
        for name in ("b", "ab", "a"):
            await runtime.workflow(name).append("custom")
        runtime.workflow("only a handle")
        assert [name async for name in runtime.workflow_ids()] == ["a", "ab", "b"]
        assert [name async for name in runtime.workflow_ids("a")] == ["a", "ab"]


# -- writing --


async def test_an_append_returns_the_event_as_it_stands_in_the_log(opened):
    async with opened() as runtime:
        handle = runtime.workflow("a")
        one = await handle.append("SIGNAL_RECEIVED", b"x")
        two = await handle.append(8, b"y", timestamp=-5)
        batch = await handle.extend([NewEvent("custom", b"1"), NewEvent("custom", b"2", 9)])
        assert one.events + two.events + batch.events == tuple(await handle.read().list())
        assert one.events[0].kind is EventKind.SIGNAL_RECEIVED
        assert (two.seq, two.events[0].timestamp) == (2, -5)
        assert (seqs(batch.events), batch.events[1].timestamp) == ([3, 4], 9)


async def test_whole_events_are_appended_where_they_say(opened):
    async with opened() as runtime:
        handle = runtime.workflow("a")
        batch = [WorkflowEvent(seq, seq, "custom", b"%d" % seq) for seq in (1, 2)]
        assert not (await handle.extend(batch)).repeated
        assert (await handle.extend(batch)).repeated
        assert (await handle.extend(batch[1:])).repeated
        with pytest.raises(ConflictError):
            await handle.extend([WorkflowEvent(1, 99, "custom", b"1")])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"kind": "nonsense"}, InvalidValueError),
        ({"kind": 99}, InvalidValueError),
        ({"payload": "text"}, InvalidValueError),
        ({"payload": bytearray(b"x")}, InvalidValueError),
        ({"payload": bytes(2 * 1024 * 1024 + 1)}, InvalidValueError),
        ({"timestamp": 1.0}, InvalidValueError),
        ({"timestamp": 2**63}, InvalidValueError),
        ({"seq": 0}, InvalidValueError),
        ({"seq": -1}, InvalidValueError),
        ({"seq": True}, InvalidValueError),
        ({"seq": 1.0}, InvalidValueError),
        ({"seq": 2**63}, InvalidValueError),
        ({"key": b""}, InvalidValueError),
        ({"key": bytes(65)}, InvalidValueError),
        ({"key": "k"}, InvalidValueError),
    ],
)
async def test_a_value_outside_its_word_is_refused_before_anything_is_done(opened, store, options, error):
    async with opened() as runtime:
        with pytest.raises(error):
            await runtime.workflow("a").append(**{"kind": "custom", **options})

    assert store.groups == store.heads_calls == []


EVENT = NewEvent("custom")
WHOLE = WorkflowEvent(1, 0, "custom")


@pytest.mark.parametrize(
    ("batch", "options", "error"),
    [
        ([], {}, BatchError),
        ([EVENT] * 4, {}, BatchError),
        ([WHOLE, WHOLE], {}, BatchError),
        ([WHOLE, WorkflowEvent(3, 0, "custom")], {}, BatchError),
        ([WHOLE, EVENT], {}, InvalidValueError),
        (["custom"], {}, InvalidValueError),
        ([WHOLE], {"seq": 2}, InvalidValueError),
        ([EVENT], {"seq": 0}, InvalidValueError),
        ([EVENT], {"keys": []}, InvalidValueError),
        ([EVENT], {"keys": [b""]}, InvalidValueError),
        ([EVENT], {"keys": 7}, InvalidValueError),
        ([EVENT], {"keys": b"k"}, InvalidValueError),
        ([EVENT, EVENT], {"keys": {b"k", b"l"}}, InvalidValueError),
        ([EVENT], {"keys": iter([b"k"])}, InvalidValueError),
        ([EVENT, EVENT], {"keys": [b"k", b"k"]}, BatchError),
    ],
)
async def test_a_batch_wrong_by_itself_is_refused_before_anything_is_done(
    opened, store, batch, options, error
):
    async with opened(batch_events_max=3) as runtime:
        with pytest.raises(error):
            await runtime.workflow("a").extend(batch, **options)

    assert store.groups == store.heads_calls == []


async def test_bounds_that_are_none_are_refused_at_the_call(opened):
    async with opened() as runtime:
        handle = runtime.workflow("a")
        for call in (
            lambda: handle.read(0),
            lambda: handle.read(1, 1.0),
            lambda: handle.between(0.5, 1),
            lambda: handle.between(0, 2**63),
            lambda: runtime.workflow(""),
            lambda: runtime.workflow(-1),
        ):
            with pytest.raises(InvalidValueError):
                call()
        with pytest.raises(InvalidValueError):
            await handle.event_at(0)
        with pytest.raises(InvalidValueError, match="a function or a Visitor"):
            await handle.replay(None, 0)


async def test_an_errors_copy_keeps_what_the_original_knew(opened, store):
    """Facts, cause and notes travel; the original collects no traceback of the callers."""
    original = StoreError("why")
    original.add_note("a note")
    original.__cause__ = cause = OSError("disk")
    async with opened() as runtime:
        store.fail_next(original)
        with pytest.raises(StoreError, match="why") as caught:
            await runtime.workflow("a").append("custom")

    assert caught.value is not original
    assert caught.value.__cause__ is cause
    assert caught.value.__notes__ == ["a note"]
