"""Routing, the sleep/message race, back-pressure, crashes: one actor never stops another."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import pytest
import trio
from asking import all_ended, custom, start, start_in_order
from faulty import UNAVAILABLE
from trio.testing import wait_all_tasks_blocked

from treadle.errors import ConflictError, StoreUnavailableError, WorkflowUnavailableError


class Crashing:
    """A step that raises for one payload, and counts the calls for each log."""

    def __init__(self, runtime, payload: bytes = b"bomb") -> None:
        self.payload = payload
        self.times: list[float] = []
        self._step = runtime._supervisor._step
        runtime._supervisor._step = self

    def __call__(self, actor, proposal, group, wall_time_ns) -> None:
        if any(content[1] == self.payload for content in proposal.contents):
            self.times.append(trio.current_time())
            raise ZeroDivisionError("boom")
        self._step(actor, proposal, group, wall_time_ns)


async def occupy(store, runtime, nursery, *, events: int):
    """Fill writing and open group from another log, so that every append to come waits in an inbox."""
    handle = runtime.workflow("occupier")
    await handle.append("custom")
    store.commits.close()
    for _ in range(1 + events):
        start(nursery, handle.append, "custom")
        await wait_all_tasks_blocked()


# -- the inbox --


async def test_messages_of_one_log_are_taken_in_the_order_in_which_they_came(opened, store):
    """Through a full group, the inbox and blocked senders: first come, first served."""
    async with opened(group_events_max=1, inbox_messages_max=2) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        await occupy(store, runtime, nursery, events=1)
        await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(9)])
        store.commits.open()

    assert store.payloads("a") == [b"first", *(b"%d" % n for n in range(9))]


async def test_a_full_inbox_makes_senders_wait(opened, store):
    """One in the task's hands, two in the inbox; the others wait outside, without a seq."""
    async with opened(group_events_max=1, inbox_messages_max=2) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        await occupy(store, runtime, nursery, events=1)
        await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(6)])
        statistics = runtime._supervisor.actors["a"].inbox.send.statistics()

        assert statistics.current_buffer_used == 2
        assert statistics.tasks_waiting_send == 3
        assert runtime._supervisor.actors["a"].next_seq == 2

        store.commits.open()
    assert len(store.stored("a")) == 7


async def test_an_actor_without_messages_has_no_task(opened, store):
    """The task ends with the inbox, in one step; the record stays."""
    async with opened(group_events_max=1) as runtime:
        async with trio.open_nursery() as nursery:
            await occupy(store, runtime, nursery, events=1)
            start(nursery, runtime.workflow("a").append, "custom")
            start(nursery, runtime.workflow("a").append, "custom")
            await wait_all_tasks_blocked()
            assert runtime.statistics().actors_awake == 1
            store.commits.open()
        await wait_all_tasks_blocked()

        assert runtime.statistics().actors_awake == 0
        assert runtime._supervisor.actors["a"].inbox is None
        assert runtime.statistics().workflows_known == 2


async def test_a_message_sent_in_the_very_step_in_which_the_task_ends_is_not_lost(opened, store, monkeypatch):
    """Sent just before the inbox is found empty, and just after the task has let it go: both arrive."""
    async with opened(group_events_max=1) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        supervisor = runtime._supervisor
        fall_asleep = supervisor._fall_asleep
        late = []

        def meanwhile(actor, inbox) -> None:
            fall_asleep(actor, inbox)
            if len(late) < 3:
                late.append(start(nursery, handle.append, "custom", b"late"))

        monkeypatch.setattr(supervisor, "_fall_asleep", meanwhile)
        await handle.append("custom", b"first")
        await occupy(store, runtime, nursery, events=1)
        begun = await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(3)])
        store.commits.open()
        await wait_all_tasks_blocked()

        assert all(call.result is not None for call in [*begun, *late])
        assert late
    assert len(store.stored("a")) == 4 + len(late)


async def test_senders_racing_with_an_actor_that_falls_asleep(opened, store):
    """However many tasks send while the task comes and goes, every message is answered once."""
    async with opened(group_events_max=2, inbox_messages_max=1) as runtime:

        async def send(number: int) -> None:
            for turn in range(number % 5):
                del turn
                await trio.lowlevel.checkpoint()
            for place in range(5):
                await runtime.workflow("a").append("custom", b"%d/%d" % (number, place))

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(send, number)

    for number in range(12):
        mine = [payload for payload in store.payloads("a") if payload.startswith(b"%d/" % number)]
        assert mine == [b"%d/%d" % (number, place) for place in range(5)]


# -- records --


async def test_the_longest_known_idle_logs_are_forgotten(opened, store):
    """Memory has a limit; a forgotten log is read again when it is needed."""
    async with opened(idle_actors_max=10) as runtime:
        for number in range(40):
            await runtime.workflow(number).append("custom", b"0")
        assert runtime.statistics().workflows_known <= 10
        assert (await runtime.workflow(0).append("custom", b"1")).seq == 2

    assert store.payloads("0") == [b"0", b"1"]


async def test_a_log_that_somebody_waits_for_is_not_forgotten(opened, store):
    """Two records of one log would overtake each other."""
    async with opened(idle_actors_max=2) as runtime, trio.open_nursery() as nursery:
        store.reads.close()
        calls = [start(nursery, runtime.workflow(n % 3).append, "custom") for n in range(9)]
        await wait_all_tasks_blocked()
        store.reads.open()

    assert all(call.result is not None for call in calls)
    assert runtime.statistics().proposals_returned == 0


# -- crashes --


async def test_a_crash_in_the_caller_costs_this_message_and_no_other_actor(opened, store, autojump_clock):
    """The message in hand gets the error with its cause; the actor goes on after the backoff."""
    async with opened(backoff_initial_seconds=0.5) as runtime:
        step = Crashing(runtime)
        handle = runtime.workflow("a")
        await handle.append("custom", b"0")
        with pytest.raises(WorkflowUnavailableError, match=r"'a' has crashed.*boom") as caught:
            await handle.append("custom", b"bomb")
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert (caught.value.workflow_id, caught.value.written) == ("a", "no")
        began = trio.current_time()
        await runtime.workflow("b").append("custom", b"0")
        assert trio.current_time() == began
        assert (await handle.append("custom", b"1")).seq == 2
        assert trio.current_time() == began + 0.5
        assert runtime.statistics().crashes == len(step.times) == 1

    assert store.payloads("a") == [b"0", b"1"]


async def test_a_crash_in_the_task_leaves_the_others_in_the_inbox(opened, store, autojump_clock):
    """Messages behind the one that crashed go on after the backoff, in their order."""
    async with opened(group_events_max=1) as runtime, trio.open_nursery() as nursery:
        Crashing(runtime)
        handle = runtime.workflow("a")
        await handle.append("custom", b"0")
        await occupy(store, runtime, nursery, events=1)
        calls = await start_in_order(
            nursery,
            (handle.append, *custom(b"1")),
            (handle.append, *custom(b"bomb")),
            (handle.append, *custom(b"2")),
            (runtime.workflow("b").append, *custom(b"0")),
            (handle.append, *custom(b"3")),
        )
        store.commits.open()

    assert isinstance(calls.pop(1).error, WorkflowUnavailableError)
    assert all(call.result is not None for call in calls)
    assert store.payloads("a") == [b"0", b"1", b"2", b"3"]
    assert store.payloads("b") == [b"0"]


async def test_a_crash_while_rows_are_in_flight_leaves_them_as_they_are(opened, store, autojump_clock):
    async with opened() as runtime, trio.open_nursery() as nursery:
        Crashing(runtime)
        handle = runtime.workflow("a")
        await handle.append("custom", b"0")
        store.commits.close()
        before = await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in (1, 2)])
        (crashed,) = await start_in_order(nursery, (handle.append, *custom(b"bomb")))
        behind = start(nursery, handle.append, "custom", b"3")
        await wait_all_tasks_blocked()
        await trio.sleep(1)  # the backoff passes, the commit does not end
        assert not behind.done
        store.commits.open()

    assert isinstance(crashed.error, WorkflowUnavailableError)
    assert [call.result.seq for call in [*before, behind]] == [2, 3, 4]
    assert store.payloads("a") == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("bomb", range(6))
@pytest.mark.parametrize("commits", range(4))
async def test_a_crash_does_not_overtake_rows_that_a_rival_sends_back(
    opened, store, autojump_clock, bomb, commits
):
    """First come, first written: rows that were in flight at the crash come back before what waited."""
    payloads = [b"%d" % number for number in range(6)]
    async with opened(group_events_max=1) as runtime, trio.open_nursery() as nursery:
        Crashing(runtime, payloads[bomb])
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        store.commits.close()
        calls = await start_in_order(nursery, *[(handle.append, *custom(payload)) for payload in payloads])
        # Some commits end; the task goes on, perhaps to its crash, while the next one is under way.
        for _ in range(commits):
            store.commits.let_through()
            await wait_all_tasks_blocked()
        await trio.sleep(1)
        store.before_write.append(lambda: store.write_foreign("a", b"foreign"))
        store.commits.open()

    assert isinstance(calls[bomb].error, WorkflowUnavailableError)
    written = [payload for payload in store.payloads("a") if payload not in {b"first", b"foreign"}]
    assert written == [payload for payload in payloads if payload != payloads[bomb]]


async def test_the_backoff_doubles_up_to_its_maximum_and_ends_with_a_success(opened, autojump_clock):
    async with opened(
        backoff_initial_seconds=1, backoff_maximum_seconds=4, crashes_max=7, group_events_max=1
    ) as runtime:
        step = Crashing(runtime)
        handle = runtime.workflow("a")
        for _ in range(6):
            with pytest.raises(WorkflowUnavailableError):
                await handle.append("custom", b"bomb")
        pauses = [later - earlier for earlier, later in zip(step.times, step.times[1:], strict=False)]
        assert pauses == [1, 2, 4, 4, 4]

        await handle.append("custom", b"fine")
        step.times.clear()
        for _ in range(2):
            with pytest.raises(WorkflowUnavailableError):
                await handle.append("custom", b"bomb")
        assert step.times[1] - step.times[0] == 1


async def test_very_many_crashes_in_a_row_do_not_break_the_arithmetic(opened, autojump_clock):
    async with opened(crashes_max=10**6, backoff_maximum_seconds=1) as runtime:
        Crashing(runtime)
        actor = runtime._supervisor.actor("a")
        runtime._supervisor._note_crash(actor, ZeroDivisionError())
        runtime._supervisor._crashed["a"].count = 5_000
        with pytest.raises(WorkflowUnavailableError):
            await runtime.workflow("a").append("custom", b"bomb")
        await runtime.workflow("a").append("custom", b"fine")


@pytest.mark.parametrize("through_inbox", [False, True])
async def test_crashes_in_a_row_end_in_quarantine_until_released(
    opened, store, autojump_clock, through_inbox
):
    """Then every message, waiting or new, is refused at once with the cause; others go on; release helps."""
    async with opened(crashes_max=3, group_events_max=1) as runtime, trio.open_nursery() as nursery:
        step = Crashing(runtime)
        handle = runtime.workflow("a")
        await handle.append("custom", b"0")
        if through_inbox:
            await occupy(store, runtime, nursery, events=1)
            wishes = [(handle.append, *custom(b"bomb")) for _ in range(3)]
            calls = await start_in_order(nursery, *wishes, (handle.append, *custom(b"left over")))
            store.commits.open()
            await all_ended(calls)
            assert [type(call.error) for call in calls] == [WorkflowUnavailableError] * 4
        else:
            for _ in range(3):
                with pytest.raises(WorkflowUnavailableError):
                    await handle.append("custom", b"bomb")
        with pytest.raises(WorkflowUnavailableError, match=r"quarantined.*boom") as caught:
            await handle.append("custom", b"1")
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert len(step.times) == 3
        assert runtime.statistics().actors_quarantined == 1
        await runtime.workflow("b").append("custom", b"0")
        assert [event.payload for event in await handle.read().list()] == [b"0"]

        assert runtime.release("a")
        assert not runtime.release("a")
        assert (await handle.append("custom", b"1")).seq == 2


async def test_quarantine_holds_for_who_was_loading_meanwhile(opened, store, autojump_clock):
    """A head that arrives after the last crash does not open the door again."""
    async with opened(crashes_max=1) as runtime, trio.open_nursery() as nursery:
        Crashing(runtime)
        handle = runtime.workflow("a")
        store.reads.close()
        bomb = start(nursery, handle.append, "custom", b"bomb")
        await wait_all_tasks_blocked()
        late = start(nursery, handle.append, "custom", b"late")
        await wait_all_tasks_blocked()
        store.reads.let_through()
        await wait_all_tasks_blocked()
        store.reads.open()
        await wait_all_tasks_blocked()

        assert isinstance(bomb.error, WorkflowUnavailableError)
        assert isinstance(late.error, WorkflowUnavailableError)
    assert store.stored("a") == []


async def test_a_read_that_fails_is_told_to_the_message_that_needed_it(opened, store):
    """No crash: the world's error reaches the caller, and the next message is tried by itself."""
    async with opened() as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"0")
        store.read_error = UNAVAILABLE
        with pytest.raises(StoreUnavailableError):
            await handle.append("custom", b"x", seq=1)
        store.read_error = None
        with pytest.raises(ConflictError):
            await handle.append("custom", b"x", seq=1)
        assert runtime.statistics().crashes == 0
