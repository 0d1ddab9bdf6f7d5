"""Groups and their outcomes: written, refused, unknown, full, poisoned, overtaken by another writer."""

from __future__ import annotations

import pytest
import trio
from asking import custom, start, start_in_order
from faulty import FULL, POISONED, UNAVAILABLE, UNKNOWN, FaultyStore
from trio.testing import wait_all_tasks_blocked

from treadle import EventKind, NewEvent, RuntimeConfig, open_runtime
from treadle.errors import (
    ConflictError,
    InternalError,
    OutcomeUnknownError,
    SequenceGapError,
    StaleSequenceError,
    StoreFullError,
    StorePoisonedError,
    StoreUnavailableError,
)


async def pause_after_first(store, handle, nursery):
    """Write one event, then hold the next commit; gives the call that stands in it."""
    await handle.append("custom", b"first")
    store.commits.close()
    call = start(nursery, handle.append, EventKind.CUSTOM, b"in flight")
    await wait_all_tasks_blocked()
    return call


# -- groups --


async def test_appends_of_many_workflows_share_one_transaction(opened, store):
    """Whoever comes while a commit runs shares the next one."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        for name in "abc":
            await runtime.workflow(name).append("custom", b"0")
        await pause_after_first(store, runtime.workflow("d"), nursery)
        calls = [start(nursery, runtime.workflow(name).append, "custom", b"1") for name in "aabbcc"]
        await wait_all_tasks_blocked()
        groups_before = len(store.groups)
        store.commits.open()

    assert all(call.result is not None for call in calls)
    assert [len(group) for group in store.groups[groups_before:]] == [6]
    assert store.payloads("a") == [b"0", b"1", b"1"]


async def test_what_is_in_flight_is_not_shown(opened, store):
    """next_seq, stream_len, read, event_at and digest tell what is durable, not what may vanish."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        digest = await handle.digest()
        store.commits.close()
        call = start(nursery, handle.append, "custom", b"in flight")
        await wait_all_tasks_blocked()

        assert await handle.next_seq() == 2
        assert await handle.stream_len() == 1
        assert [event.payload for event in await handle.read().list()] == [b"first"]
        assert await handle.event_at(2) is None
        assert await handle.digest() == digest
        assert not call.done

        store.commits.open()
    assert call.result.seq == 2


async def test_a_full_group_sends_appends_through_the_inbox_and_nobody_holds_a_seq(opened, store):
    """Beyond the group's limit appends wait without a seq; when they are admitted the log has no hole."""
    async with opened(group_events_max=2) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        first = await pause_after_first(store, handle, nursery)
        calls = [start(nursery, handle.append, "custom", b"%d" % number) for number in range(7)]
        await wait_all_tasks_blocked()
        statistics = runtime.statistics()

        assert statistics.events_waiting == 2
        assert statistics.actors_awake == 1
        assert runtime._supervisor.actors["a"].next_seq == 5  # first, in flight, two in the open group

        store.commits.open()
    assert sorted(call.result.seq for call in [first, *calls]) == list(range(2, 10))
    assert len(store.stored("a")) == 9
    assert all(len(group) <= 2 for group in store.groups)


async def test_a_group_is_bounded_in_bytes_too(opened, store):
    async with opened(group_size_bytes_max=10) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await pause_after_first(store, handle, nursery)
        for number in range(6):
            start(nursery, handle.append, "custom", b"%05d" % number)
        await wait_all_tasks_blocked()

        assert runtime.statistics().events_waiting == 2

        store.commits.open()
    assert len(store.stored("a")) == 8


async def test_records_fill_a_group_as_well(opened, store):
    """A storm of records waits for room like appends do."""
    async with opened(group_events_max=3) as runtime, trio.open_nursery() as nursery:
        await pause_after_first(store, runtime.workflow("a"), nursery)
        for number in range(8):
            start(nursery, runtime.set_record, "n", b"%d" % number, b"v")
        await wait_all_tasks_blocked()

        assert len(runtime._supervisor.committer.open.units) == 3

        store.commits.open()
    assert [len(group) for group in store.groups[2:]] == [3, 3, 2]


# -- failures of a whole group --


@pytest.mark.parametrize(
    ("fault", "written"), [(UNAVAILABLE, False), (FULL, False), (UNKNOWN, False), (UNKNOWN, True)]
)
async def test_a_failed_group_tells_all_its_callers_and_the_log_goes_on(opened, store, fault, written):
    """Each caller gets an own copy of the error, which says whether it may be written; then appends go on."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"0")
        await runtime.workflow("b").append("custom", b"0")
        store.commits.close()
        calls = await start_in_order(nursery, (handle.append, *custom(b"in flight")))
        calls += await start_in_order(
            nursery, (handle.append, *custom(b"1")), (runtime.workflow("b").append, *custom(b"1"))
        )
        store.faults.append(None)
        store.fail_next(fault, written=written)
        store.commits.open()
        await wait_all_tasks_blocked()
        after = await handle.append("custom", b"after")

    assert calls[0].result.seq == 2
    errors = [call.error for call in calls[1:]]
    assert [type(error) for error in errors] == [type(fault)] * 2
    assert errors[0] is not errors[1]
    assert errors[0] is not fault
    assert {error.written for error in errors} == {"unknown" if fault is UNKNOWN else "no"}
    assert store.payloads("a") == [b"0", b"in flight", *([b"1"] if written else []), b"after"]
    assert after.seq == len(store.stored("a"))


@pytest.mark.parametrize(("fault", "written"), [(UNAVAILABLE, False), (UNKNOWN, False), (UNKNOWN, True)])
async def test_what_was_built_on_a_failed_group_is_admitted_again(opened, store, fault, written):
    """The group behind a failed one is not lost and not refused to its callers; it lands where it fits."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        first = await pause_after_first(store, handle, nursery)
        later = await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(3)])
        store.fail_next(fault, written=written)
        store.commits.open()

    assert isinstance(first.error, type(fault))
    assert [call.result.events[0].payload for call in later] == [b"0", b"1", b"2"]
    assert store.payloads("a") == [b"first", *([b"in flight"] if written else []), b"0", b"1", b"2"]
    assert [call.result.seq for call in later] == [len(store.stored("a")) - 2 + n for n in range(3)]


@pytest.mark.parametrize("written", [False, True])
async def test_after_an_unknown_outcome_a_repeat_with_seq_or_key_is_safe(opened, store, written):
    async with opened() as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"0")
        for wish in ({"seq": 2}, {"key": b"k"}):
            store.fail_next(UNKNOWN, written=written)
            with pytest.raises(OutcomeUnknownError):
                await handle.append("custom", b"again", **wish)
            again = await handle.append("custom", b"again", **wish)
            assert again.repeated is written

    assert store.payloads("a") == [b"0", b"again", b"again"]


async def test_a_poisoned_store_refuses_everything_from_then_on(opened, store):
    """The error stays, nothing more is written, reading goes on."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        first = await pause_after_first(store, handle, nursery)
        later = start(nursery, handle.append, "custom", b"later")
        await wait_all_tasks_blocked()
        store.fail_next(POISONED)
        store.commits.open()
        await wait_all_tasks_blocked()

        assert isinstance(first.error, StorePoisonedError)
        assert isinstance(later.error, StorePoisonedError)
        with pytest.raises(StorePoisonedError):
            await handle.append("custom", b"more")
        with pytest.raises(StorePoisonedError):
            await runtime.set_record("n", b"k", b"v")
        assert [event.payload for event in await handle.read().list()] == [b"first"]


async def test_full_then_room_again(opened, store):
    async with opened() as runtime:
        handle = runtime.workflow("a")
        store.fail_next(FULL)
        with pytest.raises(StoreFullError) as caught:
            await handle.append("custom", b"0")
        assert caught.value.written == "no"
        assert (await handle.append("custom", b"1")).seq == 1
        assert runtime.statistics().proposals_returned == 0  # not built on a head that was never written


async def test_a_store_that_breaks_its_contract_costs_one_group_not_the_runtime(opened, store):
    """A foreign exception or a wrong number of outcomes is our bug to the callers; the runtime goes on."""
    async with opened() as runtime:
        handle = runtime.workflow("a")
        store.fail_next(ZeroDivisionError("a bug"))
        with pytest.raises(InternalError, match="raised ZeroDivisionError, which") as caught:
            await handle.append("custom", b"0")
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert caught.value.written == "unknown"

        write = store.append

        async def miscount(units):
            return [*await write(units), *await write(units)]

        store.append = miscount
        with pytest.raises(InternalError, match="expected 1 outcomes, got 2"):
            await handle.append("custom", b"1", seq=1)
        store.append = write
        assert (await handle.append("custom", b"1", seq=1)).repeated


# -- another writer was faster --


async def test_a_stale_pipelined_batch_is_admitted_again_in_the_first_order(opened, store):
    """A foreign event before the first of three groups: all come back and land behind it, in order."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        store.commits.close()
        calls = await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(4)])
        store.before_write.append(lambda: store.write_foreign("a", b"foreign"))
        store.commits.open()

    assert store.payloads("a") == [b"first", b"foreign", b"0", b"1", b"2", b"3"]
    assert [call.result.seq for call in calls] == [3, 4, 5, 6]
    assert not any(call.result.repeated for call in calls)
    assert runtime.statistics().proposals_returned == 4


async def test_who_waits_in_the_inbox_stays_behind_those_who_come_back(opened, store):
    """First come, first written, also when the first ones have to be admitted a second time."""
    async with opened(group_events_max=1, inbox_messages_max=2) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        store.commits.close()
        await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(7)])
        store.before_write.append(lambda: store.write_foreign("a", b"foreign"))
        store.commits.open()

    assert store.payloads("a") == [b"first", b"foreign", *(b"%d" % n for n in range(7))]


async def test_an_event_decided_on_another_history_is_not_appended_behind_it(opened, store):
    """The second pipelined seq fits by its number alone, yet it is refused with the first."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        store.commits.close()
        one, two = await start_in_order(
            nursery, (handle.append, *custom(b"one", seq=2)), (handle.append, *custom(b"two", seq=3))
        )
        store.before_write.append(lambda: store.write_foreign("a", b"foreign"))
        store.commits.open()

    # The first is in conflict with the foreign event. The second asked for seq 3 and is judged anew, on
    # the log as it now is: seq 3 is the next one.
    assert isinstance(one.error, ConflictError)
    assert one.error.stored.payload == b"foreign"
    assert two.result.seq == 3
    assert store.payloads("a") == [b"first", b"foreign", b"two"]


async def test_readmission_is_bounded_and_says_conflict(opened, store):
    """A rival who is always faster ends in ConflictError after `readmissions_max` tries, nothing written."""
    async with opened(readmissions_max=3) as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        for number in range(9):
            store.before_write.append(lambda number=number: store.write_foreign("a", b"rival %d" % number))
        with pytest.raises(ConflictError) as caught:
            await handle.extend([NewEvent("custom", b"ours"), NewEvent("custom", b"too")])
        store.before_write.clear()

        assert caught.value.written == "no"
        assert caught.value.next_seq == 6  # where the log stands, however long the batch
        assert len(store.groups) == 1 + 4  # one try and three more
        assert (await handle.append("custom", b"ours")).seq == 6

    assert store.payloads("a").count(b"ours") == 1


async def test_who_stands_behind_an_overtaken_batch_does_not_pay_for_it(opened, store):
    """Only lost races count: neighbours behind a batch that fails for good are still written."""
    async with opened(readmissions_max=3) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        store.commits.close()
        calls = await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(3)])
        for number in range(5):  # the second meets the two behind; the other four meet the first call
            store.before_write.append(lambda number=number: store.write_foreign("a", b"rival %d" % number))
        store.commits.open()

    assert isinstance(calls[0].error, ConflictError)
    assert [call.result.events[0].payload for call in calls[1:]] == [b"1", b"2"]


async def test_an_equal_event_of_another_writer_is_not_taken_for_ours(opened, store):
    """Without a seq both are wanted, even when time and content are the same."""
    async with opened() as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        for wish in ({}, {"key": b"ours"}):
            store.before_write.append(lambda: store.write_foreign("a", b"tick", timestamp=5))
            mine = await handle.append("custom", b"tick", timestamp=5, **wish)
            assert not mine.repeated
            assert mine.seq == len(store.stored("a"))
        again = await handle.append("custom", b"tick", key=b"ours")

    assert again.repeated
    assert (again.seq, again.events) == (mine.seq, mine.events)
    assert store.payloads("a") == [b"first", b"tick", b"tick", b"tick", b"tick"]


async def test_an_equal_event_at_the_seq_that_was_asked_for_is_a_repeat(opened, store):
    async with opened() as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        store.before_write.append(lambda: store.write_foreign("a", b"tick", timestamp=5))
        given = await handle.append("custom", b"tick", timestamp=5, seq=2)
        store.before_write.append(lambda: store.write_foreign("a", b"tock", timestamp=5))
        left_out = await handle.append("custom", b"tock", seq=3)

    assert given.repeated
    assert left_out.repeated
    assert left_out.events[0].timestamp == 5
    assert store.payloads("a") == [b"first", b"tick", b"tock"]


async def test_gap_stale_and_conflict_are_told_from_the_durable_log(opened, store):
    """A head remembered from before another process wrote never refuses."""
    async with opened() as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"1")
        store.write_foreign("a", b"2")
        store.write_foreign("a", b"3")

        assert (await handle.append("custom", b"4", seq=4)).seq == 4

        store.write_foreign("a", b"5")
        with pytest.raises(ConflictError) as conflict:
            await handle.append("custom", b"x", seq=5)
        with pytest.raises(SequenceGapError) as gap:
            await handle.append("custom", b"7", seq=7)
        store.write_foreign("a", b"6")
        with pytest.raises(StaleSequenceError) as stale:
            await handle.extend([NewEvent("custom", b"6"), NewEvent("custom", b"7")], seq=6)
        with pytest.raises(ConflictError):
            await handle.extend([NewEvent("custom", b"x"), NewEvent("custom", b"7")], seq=6)
        assert (await handle.append("custom", b"5", seq=5)).repeated

    assert (conflict.value.seq, conflict.value.stored.payload) == (5, b"5")
    assert conflict.value.offered.payload == b"x"
    assert gap.value.next_seq == 6
    assert stale.value.next_seq == 7
    assert store.payloads("a") == [b"1", b"2", b"3", b"4", b"5", b"6"]


# -- repeats of what is in flight --


async def test_a_repeat_in_flight_shares_the_outcome(opened, store):
    """It is not answered before the first is durable, and then as a repeat with the same event."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        first = await pause_after_first(store, handle, nursery)
        again = start(nursery, handle.append, "custom", b"in flight", seq=2)
        await wait_all_tasks_blocked()

        assert not again.done

        store.commits.open()
    assert again.result.repeated
    assert again.result.events == first.result.events
    assert store.payloads("a") == [b"first", b"in flight"]
    assert runtime.statistics().events_repeated == 1
    assert runtime.statistics().events_appended == 2


@pytest.mark.parametrize("fault", [UNAVAILABLE, UNKNOWN, POISONED])
async def test_a_repeat_in_flight_shares_the_failure(opened, store, fault):
    """An early answer would have acknowledged an event that then vanished."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        first = await pause_after_first(store, handle, nursery)
        again = start(nursery, handle.append, "custom", b"in flight", seq=2)
        await wait_all_tasks_blocked()
        store.fail_next(fault)
        store.commits.open()

    assert isinstance(first.error, type(fault))
    assert isinstance(again.error, type(fault))
    assert store.payloads("a") == [b"first"]


async def test_a_repeat_survives_the_cancellation_of_the_call_it_joined(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        first = await pause_after_first(store, handle, nursery)
        again = start(nursery, handle.append, "custom", b"in flight", seq=2)
        await wait_all_tasks_blocked()
        first.scope.cancel()
        await wait_all_tasks_blocked()

        assert first.cancelled
        assert not again.done

        store.commits.open()
    assert again.result.seq == 2
    assert store.payloads("a") == [b"first", b"in flight"]


async def test_a_repeat_of_an_overtaken_event_is_judged_by_itself(opened, store):
    """The first moves behind the foreign event; the repeat asked for a seq that is now somebody else's."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        first = await pause_after_first(store, handle, nursery)
        again = start(nursery, handle.append, "custom", b"in flight", seq=2)
        await wait_all_tasks_blocked()
        store.before_write.append(lambda: store.write_foreign("a", b"foreign"))
        store.commits.open()

    assert first.result.seq == 3
    assert isinstance(again.error, ConflictError)
    assert again.error.stored.payload == b"foreign"
    assert store.payloads("a") == [b"first", b"foreign", b"in flight"]


async def test_a_repeat_outlives_a_cancelled_and_overtaken_call(opened, store):
    """The joined call is gone and its batch refused: the repeat is admitted in its own name."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        first = await pause_after_first(store, handle, nursery)
        again = start(nursery, handle.append, "custom", b"second", seq=3)
        await wait_all_tasks_blocked()
        joined = start(nursery, handle.append, "custom", b"second", seq=3)
        await wait_all_tasks_blocked()
        again.scope.cancel()
        await wait_all_tasks_blocked()
        store.fail_next(UNAVAILABLE)
        store.before_write.extend([lambda: None, lambda: store.write_foreign("a", b"foreign")])
        store.commits.open()

    assert isinstance(first.error, StoreUnavailableError)
    assert again.cancelled
    assert joined.result.seq == 3
    assert store.payloads("a") == [b"first", b"foreign", b"second"]


async def test_repeats_find_what_has_come_to_the_group_since_the_last_one_asked(opened, store):
    """Of any log, in the group that is being written and in the next one, while both grow."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        call = await pause_after_first(store, runtime.workflow("a"), nursery)
        repeats, firsts = [], [call]
        repeat = (runtime.workflow("a").append, *custom(b"in flight", seq=2))
        for seq in range(1, 4):
            repeats += await start_in_order(nursery, repeat)
            for name in "bc":
                handle = runtime.workflow(name)
                append = (handle.append, *custom(b"%d" % seq, seq=seq))
                firsts += await start_in_order(nursery, append)
                repeats += await start_in_order(nursery, append)
        assert not any(call.done for call in [*firsts, *repeats])
        store.commits.open()

    assert all(not call.result.repeated for call in firsts)
    assert all(call.result.repeated for call in repeats)
    assert len(store.groups) == 3
    assert store.payloads("b") == store.payloads("c") == [b"1", b"2", b"3"]


async def test_a_repeat_of_a_stretch_of_a_batch_in_flight_gets_that_stretch(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        store.commits.close()
        batch = [NewEvent("custom", b"%d" % number) for number in range(4)]
        whole = start(nursery, handle.extend, batch)
        await wait_all_tasks_blocked()
        part = start(nursery, handle.extend, batch[1:3], seq=3)
        await wait_all_tasks_blocked()
        past = start(nursery, handle.extend, [*batch[2:], NewEvent("custom", b"4")], seq=4)
        await wait_all_tasks_blocked()
        store.commits.open()

    assert part.result.events == whole.result.events[1:3]
    assert isinstance(past.error, StaleSequenceError)
    assert store.payloads("a") == [b"first", b"0", b"1", b"2", b"3"]


# -- keys --


async def test_one_key_twice_in_a_group_is_one_event_and_disturbs_nobody(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await pause_after_first(store, handle, nursery)
        one, other, two = await start_in_order(
            nursery,
            (handle.append, *custom(b"keyed", key=b"k")),
            (handle.append, *custom(b"other")),
            (handle.append, *custom(b"keyed again", key=b"k")),
        )
        behind = start(nursery, handle.append, "custom", b"behind")
        await wait_all_tasks_blocked()
        store.commits.open()

    assert two.result.repeated
    assert two.result.events == one.result.events
    assert not other.result.repeated
    assert behind.result.seq == 5
    assert store.payloads("a") == [b"first", b"in flight", b"keyed", b"other", b"behind"]


async def test_a_key_from_an_earlier_run_answers_with_its_event(kernel, store):
    async with open_runtime(store, kernel=kernel) as runtime:
        first = await runtime.workflow("a").append("custom", b"keyed", key=b"k")
    async with open_runtime(store, kernel=kernel) as runtime:
        again = await runtime.workflow("a").append("custom", b"anything", key=b"k")
        elsewhere = await runtime.workflow("b").append("custom", b"anything", key=b"k")

    assert again.repeated
    assert again.events == first.events
    assert not elsewhere.repeated


@pytest.mark.parametrize("seq", [1, 2, 3, 9])
async def test_a_known_key_answers_whatever_seq_comes_with_it(opened, seq):
    async with opened() as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        keyed = await handle.append("custom", b"keyed", key=b"k")
        again = await handle.append("custom", b"keyed", key=b"k", seq=seq)

    assert again.repeated
    assert again.events == keyed.events


async def test_a_joined_repeat_of_a_known_key_is_judged_by_itself(opened, store):
    """The keyed call turns out to be a repeat of an older event; who joined it by seq asked for another."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        keyed = await handle.append("custom", b"x", key=b"k")
        store.commits.close()
        again = start(nursery, handle.append, "custom", b"x", key=b"k")
        await wait_all_tasks_blocked()
        joined = start(nursery, handle.append, "custom", b"x", seq=2)
        await wait_all_tasks_blocked()
        store.commits.open()

    assert again.result.events == keyed.events
    assert joined.result.seq == 2
    assert not joined.result.repeated
    assert store.payloads("a") == [b"x", b"x"]


async def test_a_batch_with_a_taken_key_is_refused_at_once_and_alone(opened, store):
    """It has lost no race: no second try, and those behind it are written."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"keyed", key=b"k")
        store.commits.close()
        batch = [NewEvent("custom", b"x"), NewEvent("custom", b"y")]
        held = start(nursery, runtime.workflow("other").append, "custom")
        await wait_all_tasks_blocked()
        refused = [start(nursery, handle.extend, batch, keys=[None, b"k"]) for _ in range(20)]
        await wait_all_tasks_blocked()
        behind = start(nursery, handle.append, "custom", b"behind")
        await wait_all_tasks_blocked()
        groups_before = len(store.groups)
        store.commits.open()

    assert held.result is not None
    assert {type(call.error) for call in refused} == {ConflictError}
    assert {call.error.stored.payload for call in refused} == {b"keyed"}
    assert behind.result.seq == 2
    assert len(store.groups) <= groups_before + 22
    assert store.payloads("a") == [b"keyed", b"behind"]


async def test_a_repeat_without_timestamp_is_a_repeat_and_one_with_another_is_a_conflict(opened):
    async with opened() as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"x", timestamp=5)

        assert (await handle.append("custom", b"x", seq=1)).events[0].timestamp == 5
        assert (await handle.append("custom", b"x", seq=1, timestamp=5)).repeated
        with pytest.raises(ConflictError):
            await handle.append("custom", b"x", seq=1, timestamp=6)


async def test_two_runtimes_over_one_store_never_lose_or_double(kernel):
    """Each overtakes the other all the time; every acknowledged event is there once."""
    store = FaultyStore(kernel)
    config = RuntimeConfig(readmissions_max=1_000)
    acknowledged: list[tuple[int, bytes]] = []

    async def write(runtime, writer):
        for number in range(10):
            payload = b"%d/%d" % (writer, number)
            appended = await runtime.workflow("a").append("custom", payload)
            acknowledged.append((appended.seq, payload))

    async with (
        open_runtime(store, kernel=kernel, config=config) as one,
        open_runtime(store, kernel=kernel, config=config) as two,
        trio.open_nursery() as nursery,
    ):
        for writer in range(4):
            nursery.start_soon(write, (one, two)[writer % 2], writer)

    assert sorted(acknowledged) == [(event.seq, event.payload) for event in store.stored("a")]
    for writer in range(4):
        mine = [payload for payload in store.payloads("a") if payload.startswith(b"%d/" % writer)]
        assert mine == [b"%d/%d" % (writer, number) for number in range(10)]
