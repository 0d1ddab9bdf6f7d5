"""One append's way: cancelled or interrupted at any point, the log has no hole and repeats are safe."""

from __future__ import annotations

import signal

import pytest
import trio
from asking import custom, start, start_in_order
from faulty import FaultyStore
from trio.testing import MockClock, wait_all_tasks_blocked

from treadle import EventKind, NewEvent, RuntimeConfig, open_runtime
from treadle.kernel import InlineKernel

STEPS_MAX = 80
"""More checkpoints than any of the ways below has; the sweep ends when a victim gets through."""


async def cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


@pytest.mark.parametrize("wish", ["seq", "key"])
@pytest.mark.parametrize("way", ["cold", "warm", "inbox", "full inbox", "old seq"])
async def test_cancelled_after_any_number_of_steps(kernel, way, wish):
    """Whatever the moment: neighbours are written once each, and the victim's repeat makes it exactly one."""
    config = RuntimeConfig(group_events_max=2, inbox_messages_max=1)
    outcomes = set()
    for steps in range(-1, STEPS_MAX):
        store = FaultyStore(kernel)
        async with (
            open_runtime(store, kernel=kernel, config=config) as runtime,
            trio.open_nursery() as nursery,
        ):
            handle = runtime.workflow("a")
            neighbours = []
            expected = 1
            if way != "cold":
                await handle.append(EventKind.CUSTOM, b"first")
                expected = 2
            if way == "old seq":
                await handle.append(EventKind.CUSTOM, b"victim")
            if way in {"inbox", "full inbox"}:
                store.commits.close()
                count = 4 if way == "inbox" else 7
                neighbours = await start_in_order(
                    nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(count)]
                )
                expected += count
                store.commits.open()
            options = {"seq": expected} if wish == "seq" else {"key": b"victim"}
            victim = start(nursery, handle.append, "custom", b"victim", **options)
            neighbours.append(start(nursery, runtime.workflow("b").append, "custom", b"other"))
            if steps < 0:
                victim.scope.cancel()
            nursery.start_soon(cancel_after, steps, victim.scope)
            await wait_all_tasks_blocked()
            assert all(call.result is not None for call in neighbours)
            outcomes.add((victim.cancelled, b"victim" in store.payloads("a")))
            again = await handle.append("custom", b"victim", **options)
        if way == "old seq" and wish == "key":
            assert store.payloads("a") == [b"first", b"victim", b"victim"]
        else:
            assert store.payloads("a").count(b"victim") == 1
        assert again.events[0] in store.stored("a")
        assert len(store.stored("a")) == len({event.seq for event in store.stored("a")})
        if not victim.cancelled:
            assert victim.result.events == again.events
            break
    else:
        pytest.fail(f"the victim never got through in {STEPS_MAX} steps")

    assert (True, way == "old seq") in outcomes  # cancelled at the entry: nothing written


@pytest.mark.parametrize("waits_for", ["entry", "head", "room in the inbox", "its turn"])
async def test_cancelled_before_the_actor_took_it_nothing_is_written(opened, store, waits_for):
    """At every wait before the step the message is taken back."""
    async with opened(group_events_max=1, inbox_messages_max=2) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        if waits_for == "head":
            store.reads.close()
        else:
            await handle.append("custom", b"first")
        if waits_for in {"room in the inbox", "its turn"}:
            store.commits.close()
            # One is written, one fills the open group, one is in the task's hands; then the inbox.
            await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(3)])
        if waits_for == "room in the inbox":
            await start_in_order(nursery, *[(handle.append, *custom(b"i%d" % n)) for n in range(2)])
        victim = start(nursery, handle.append, "custom", b"victim")
        if waits_for == "entry":
            victim.scope.cancel()
        await wait_all_tasks_blocked()
        victim.scope.cancel()
        await wait_all_tasks_blocked()
        assert victim.cancelled
        store.reads.open()
        store.commits.open()
        await wait_all_tasks_blocked()
        await handle.append("custom", b"last")

    assert b"victim" not in store.payloads("a")
    assert store.payloads("a")[-1] == b"last"


async def test_cancelled_in_the_actors_hands_it_is_not_admitted(opened, store):
    """The task holds the message and waits for room in the group; its caller goes; it is left out."""
    async with opened(group_events_max=1) as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        store.commits.close()
        calls = await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(4)])
        calls[2].scope.cancel()
        await wait_all_tasks_blocked()
        store.commits.open()

    assert store.payloads("a") == [b"first", b"0", b"1", b"3"]


async def test_cancelled_in_a_group_it_is_written_and_a_repeat_finds_it(opened, store):
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        store.commits.close()
        batch = [NewEvent("custom", b"1"), NewEvent("custom", b"2")]
        one = start(nursery, handle.append, "custom", b"0", key=b"k")
        await wait_all_tasks_blocked()
        two = start(nursery, handle.extend, batch, seq=3)
        await wait_all_tasks_blocked()
        one.scope.cancel()
        two.scope.cancel()
        await wait_all_tasks_blocked()
        assert one.cancelled
        assert two.cancelled
        store.commits.open()
        assert (await handle.append("custom", b"0", key=b"k")).repeated
        assert (await handle.extend(batch, seq=3)).repeated

    assert store.payloads("a") == [b"first", b"0", b"1", b"2"]


async def test_an_overtaken_event_whose_caller_has_gone_is_left_out(opened, store):
    """Nobody waits for it and it was refused: it is not tried again behind its caller's back."""
    async with opened() as runtime, trio.open_nursery() as nursery:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first")
        store.commits.close()
        gone, stays = await start_in_order(nursery, *[(handle.append, *custom(b"%d" % n)) for n in range(2)])
        gone.scope.cancel()
        await wait_all_tasks_blocked()
        store.before_write.append(lambda: store.write_foreign("a", b"foreign"))
        store.commits.open()

    assert stays.result.seq == 3
    assert store.payloads("a") == [b"first", b"foreign", b"1"]


async def test_a_batch_is_admitted_whole_or_not_at_all(opened, store, kernel, monkeypatch):
    """A clock that fails on the third event leaves no trace of the first two."""
    async with opened(backoff_initial_seconds=0.001) as runtime:
        handle = runtime.workflow("a")
        await handle.append("custom", b"first", timestamp=1)
        ticks = iter([1, 2])
        monkeypatch.setattr(runtime._supervisor, "_wall_time_ns", lambda: next(ticks))
        with pytest.raises(Exception, match="crashed"):
            await handle.extend([NewEvent("custom", b"%d" % n) for n in range(4)])
        monkeypatch.setattr(runtime._supervisor, "_wall_time_ns", kernel.wall_time_ns)
        assert (await handle.append("custom", b"last")).seq == 2

    assert store.payloads("a") == [b"first", b"last"]


# -- Ctrl-C: pytest runs tests below the main task, so these bring their own run --


class Interrupting(InlineKernel):
    """A kernel that sends a real SIGINT at the n-th time something is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.at: str | None = None

    def _perhaps(self, place: str) -> None:
        if self.at == place:
            self.at = None
            signal.raise_signal(signal.SIGINT)

    def wall_time_ns(self) -> int:
        self._perhaps("wall time")
        return super().wall_time_ns()

    def open_memory_channel(self, size):
        channel = super().open_memory_channel(size)
        self._perhaps("inbox made")
        return channel

    def spawn(self, nursery, function, *args) -> None:
        self._perhaps("spawn")
        super().spawn(nursery, function, *args)

    async def park(self, undo) -> None:
        self._perhaps("park")
        await super().park(undo)

    async def park_with(self, abort) -> None:
        self._perhaps("park")
        await super().park_with(abort)


def run_interrupted(main) -> tuple[FaultyStore, BaseException | None]:
    """Run a program in which SIGINT arrives; gives the store and what left the run."""
    kernel = Interrupting()
    stores = []

    async def whole() -> None:
        stores.append(FaultyStore(kernel))
        await main(kernel, stores[0])

    try:
        trio.run(whole, clock=MockClock(autojump_threshold=0))
    except BaseException as error:  # noqa: BLE001  # the test looks at it
        return stores[0], error
    return stores[0], None


@pytest.mark.parametrize("place", ["wall time", "park"])
def test_ctrl_c_inside_the_direct_step_leaves_seq_and_rows_consistent(place):
    """The interrupt waits until the step is whole; the event is written, and the next takes the next seq."""
    caught = []

    async def main(kernel, store) -> None:
        async with open_runtime(store, kernel=kernel) as runtime:
            handle = runtime.workflow("a")
            await handle.append("custom", b"0")
            kernel.at = place
            try:
                await handle.append("custom", b"1")
            except KeyboardInterrupt:
                caught.append(handle._supervisor.actors["a"].next_seq)
            assert (await handle.append("custom", b"2")).seq == 3
            assert (await handle.append("custom", b"1", seq=2)).repeated

    store, error = run_interrupted(main)

    assert error is None
    assert caught == [3]
    assert store.payloads("a") == [b"0", b"1", b"2"]


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("place", ["inbox made", "spawn", "park"])
def test_ctrl_c_while_a_message_is_posted_leaves_an_actor_that_answers(place, batch):
    """An inbox without its task would never answer again."""
    caught = []

    async def main(kernel, store) -> None:
        async with open_runtime(store, kernel=kernel) as runtime:
            handle = runtime.workflow("a")
            await handle.append("custom", b"0")
            kernel.at = place
            try:
                if batch:
                    await handle.extend([NewEvent("custom", b"0")], seq=1)
                else:
                    await handle.append("custom", b"0", seq=1)
            except KeyboardInterrupt:
                caught.append(1)
            with trio.fail_after(5):
                assert (await handle.append("custom", b"0", seq=1)).repeated

    store, error = run_interrupted(main)

    assert error is None
    assert caught == [1]
    assert store.payloads("a") == [b"0"]


def test_ctrl_c_while_a_record_is_set_leaves_a_whole_group():
    async def main(kernel, store) -> None:
        async with open_runtime(store, kernel=kernel) as runtime:
            kernel.at = "park"
            with pytest.raises(KeyboardInterrupt):
                await runtime.set_record("n", b"k", b"v")
            await runtime.workflow("a").append("custom", b"0")
            assert await store.record("n", b"k") == b"v"

    store, error = run_interrupted(main)

    assert error is None
    assert store.payloads("a") == [b"0"]


def test_ctrl_c_while_parked_leaves_the_runtime_as_itself_and_what_was_accepted_is_written():
    """KeyboardInterrupt reaches the body bare, leaves open_runtime bare, and closing flushes."""

    async def main(kernel, store) -> None:
        async with open_runtime(store, kernel=kernel) as runtime:
            handle = runtime.workflow("a")
            await handle.append("custom", b"0")
            store.before_write.append(lambda: signal.raise_signal(signal.SIGINT))
            await handle.append("custom", b"1")

    store, error = run_interrupted(main)

    assert type(error) is KeyboardInterrupt
    assert store.payloads("a") == [b"0", b"1"]


def test_ctrl_c_again_while_the_last_commit_is_awaited_still_leaves_bare():
    """However impatient: the commit under way is awaited, and one bare KeyboardInterrupt comes out."""

    @trio.lowlevel.enable_ki_protection
    async def interrupt(store) -> None:
        for _ in range(3):
            await trio.sleep(1)
            signal.raise_signal(signal.SIGINT)
        await trio.sleep(1)
        store.commits.open()

    seen = []

    async def main(kernel, store) -> None:
        async with trio.open_nursery() as nursery:
            try:
                async with open_runtime(store, kernel=kernel) as runtime:
                    store.commits.close()
                    start(nursery, runtime.workflow("a").append, "custom", b"0")
                    await wait_all_tasks_blocked()
                    nursery.start_soon(interrupt, store)
                    await trio.sleep_forever()
            except KeyboardInterrupt:
                seen.append(trio.current_time())

    store, error = run_interrupted(main)

    assert error is None
    assert seen == [4]
    assert store.payloads("a") == [b"0"]


def test_ctrl_c_while_closing_ends_the_wait_and_still_awaits_the_commit():
    """An impatient user gets out at once; what was in flight is written, what was not is refused."""
    calls = []

    @trio.lowlevel.enable_ki_protection  # so that it reaches the main task, which waits
    async def interrupt(store) -> None:
        await wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGINT)
        await trio.sleep(1)
        store.commits.open()

    async def main(kernel, store) -> None:
        async with trio.open_nursery() as nursery:
            try:
                async with open_runtime(store, kernel=kernel) as runtime:
                    handle = runtime.workflow("a")
                    await handle.append("custom", b"0")
                    store.commits.close()
                    for number in (1, 2):
                        calls.append(start(nursery, handle.append, "custom", b"%d" % number))
                        await wait_all_tasks_blocked()
                    nursery.start_soon(interrupt, store)
            except KeyboardInterrupt:
                assert trio.current_time() == 1
                await wait_all_tasks_blocked()
                raise

    store, error = run_interrupted(main)

    assert isinstance(error, BaseExceptionGroup)  # the test's own nursery wraps it
    assert [type(inner) for inner in error.exceptions] == [KeyboardInterrupt]
    assert calls[0].result.seq == 2
    assert calls[1].error.written == "no"
    assert store.payloads("a") == [b"0", b"1"]
