"""The kernels: each wait does what its name says, in production, inline, and in a world."""

import threading
import time

import pytest
import trio
import trio.testing

from treadle.kernel import InlineKernel, TrioKernel
from treadle.testing import WorldKernel, run_in_world

KERNELS = [TrioKernel, InlineKernel, WorldKernel]


@pytest.fixture(params=KERNELS, ids=lambda kernel: kernel.__name__)
def run(request):
    """Run a program `async def program(kernel)` under one of the kernels, time being virtual."""
    if request.param is WorldKernel:
        return lambda program: run_in_world(program, seed=5)
    clock = trio.testing.MockClock(autojump_threshold=0.01)
    return lambda program: trio.run(program, request.param(), clock=clock)


class OneShot:
    """The smallest thing one can wait for."""

    def __init__(self, kernel):
        self.kernel, self.waiting = kernel, []

    async def wait(self):
        task = trio.lowlevel.current_task()
        self.waiting.append(task)
        await self.kernel.park(lambda: self.waiting.remove(task))

    def fire(self):
        while self.waiting:
            self.kernel.wake(self.waiting.pop())


def test_parked_task_goes_on_when_woken(run):
    async def program(kernel):
        shot, trace = OneShot(kernel), []

        async def waiter():
            await shot.wait()
            trace.append("woken")

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, waiter)
            while not shot.waiting:
                await kernel.turn()
            trace.append("firing")
            shot.fire()
        return trace

    assert ["firing", "woken"] == run(program)


def test_cancelled_park_is_undone_once(run):
    async def program(kernel):
        shot = OneShot(kernel)
        with trio.move_on_after(1) as scope:
            await shot.wait()
        return scope.cancelled_caught, shot.waiting

    assert (True, []) == run(program)


def test_park_under_a_cancelled_scope_is_undone_too(run):
    async def program(kernel):
        shot = OneShot(kernel)
        with trio.CancelScope() as scope:
            scope.cancel()
            await shot.wait()
        return scope.cancelled_caught, shot.waiting

    assert (True, []) == run(program)


def test_a_wake_up_that_came_first_wins_over_a_cancellation(run):
    async def program(kernel):
        shot, trace = OneShot(kernel), []

        async def waiter():
            await shot.wait()
            trace.append("woken")

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, waiter)
            while not shot.waiting:
                await kernel.turn()
            shot.fire()
            nursery.cancel_scope.cancel()
        return trace

    assert ["woken"] == run(program)


def test_sleep_takes_its_time(run):
    async def program(kernel):
        start = trio.current_time()
        await kernel.sleep(3)
        return trio.current_time() - start

    assert 3 == pytest.approx(run(program), abs=0.1)


def test_sleep_is_cut_by_a_deadline(run):
    async def program(kernel):
        start = trio.current_time()
        with trio.move_on_after(2):
            await kernel.sleep(60)
        return trio.current_time() - start

    assert 2 == pytest.approx(run(program), abs=0.1)


def test_negative_sleep_is_refused(run):
    async def program(kernel):
        await kernel.sleep(-1)

    with pytest.raises(ValueError, match=r"seconds|duration"):
        run(program)


@pytest.mark.parametrize(
    "wait", ["turn", "checkpoint_if_cancelled", "sleep", "run_blocking", "send", "receive"]
)
def test_every_wait_is_a_checkpoint(run, wait):
    async def program(kernel):
        ran = []
        sender, receiver = kernel.open_memory_channel(1)
        calls = {
            "turn": kernel.turn,
            "checkpoint_if_cancelled": kernel.checkpoint_if_cancelled,
            "sleep": lambda: kernel.sleep(0),
            "run_blocking": lambda: kernel.run_blocking(ran.append, 1),
            "send": lambda: sender.send(1),
            "receive": receiver.receive,
        }
        with trio.CancelScope() as scope:
            scope.cancel()
            await calls[wait]()
        with pytest.raises(trio.WouldBlock):
            receiver.receive_nowait()
        return scope.cancelled_caught, ran

    assert (True, []) == run(program)


def test_checkpoint_if_cancelled_gives_no_turn_otherwise(run):
    async def program(kernel):
        trace = []

        async def other():
            trace.append("other")

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, other)
            for _ in range(20):
                await kernel.checkpoint_if_cancelled()
            trace.append("still here")
        return trace

    assert ["still here", "other"] == run(program)


def test_started_task_runs_to_its_first_checkpoint_even_when_cancelled(run):
    async def program(kernel):
        trace = []

        async def child():
            trace.append("began")
            await kernel.turn()
            trace.append("never")

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, child)
            nursery.cancel_scope.cancel()
        return trace

    assert ["began"] == run(program)


def test_blocking_call_returns_and_raises_as_it_is(run):
    async def program(kernel):
        with pytest.raises(ZeroDivisionError):
            await kernel.run_blocking(divmod, 1, 0)
        return await kernel.run_blocking(divmod, 7, 2)

    assert (3, 1) == run(program)


def test_chance_lies_between_zero_and_one(run):
    async def program(kernel):
        await kernel.turn()
        return [kernel.random() for _ in range(100)]

    draws = run(program)
    assert all(0 <= draw < 1 for draw in draws)
    assert len(set(draws)) > 1


# -- channels: Trio's semantics, whoever's they are --


def test_channel_is_first_in_first_out_and_bounded(run):
    async def program(kernel):
        sender, receiver = kernel.open_memory_channel(2)
        sender.send_nowait(1)
        await sender.send(2)
        with pytest.raises(trio.WouldBlock):
            sender.send_nowait(3)
        got = [await receiver.receive(), receiver.receive_nowait()]
        with pytest.raises(trio.WouldBlock):
            receiver.receive_nowait()
        return got

    assert [1, 2] == run(program)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_waiting_senders_keep_their_order(run, size):
    async def program(kernel):
        sender, receiver = kernel.open_memory_channel(size)

        async def sending():
            for number in range(10):
                await sender.send(number)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, sending)
            return [await receiver.receive() for _ in range(10)]

    assert list(range(10)) == run(program)


def test_receiver_that_waits_gets_the_value(run):
    async def program(kernel):
        sender, receiver = kernel.open_memory_channel(0)
        got = []

        async def receiving():
            got.append(await receiver.receive())

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, receiving)
            await kernel.sleep(1)
            sender.send_nowait("value")
        return got

    assert ["value"] == run(program)


def test_cancelled_waiters_leave_nothing_behind(run):
    async def program(kernel):
        sender, receiver = kernel.open_memory_channel(0)
        with trio.move_on_after(1):
            await sender.send("never sent")
        with pytest.raises(trio.WouldBlock):
            receiver.receive_nowait()
        with trio.move_on_after(1):
            await receiver.receive()
        with pytest.raises(trio.WouldBlock):
            sender.send_nowait("nobody receives")
        return "done"

    assert "done" == run(program)


def test_closing_the_receiver_breaks_senders_and_closes_receivers(run):
    async def program(kernel):
        trace = []
        full, end = kernel.open_memory_channel(1)
        full.send_nowait(0)
        _, empty = kernel.open_memory_channel(1)

        async def noting(call, *args):
            try:
                await call(*args)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                trace.append(type(error).__name__)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, noting, full.send, 1)
            kernel.spawn(nursery, noting, full.send, 2)
            kernel.spawn(nursery, noting, empty.receive)
            await kernel.sleep(1)
            end.close()
            empty.close()
            end.close()
        with pytest.raises(trio.BrokenResourceError):
            full.send_nowait(3)
        with pytest.raises(trio.BrokenResourceError):
            await full.send(3)
        with pytest.raises(trio.ClosedResourceError):
            end.receive_nowait()
        with pytest.raises(trio.ClosedResourceError):
            await end.receive()
        return sorted(trace)

    assert ["BrokenResourceError", "BrokenResourceError", "ClosedResourceError"] == run(program)


# -- what differs --


async def test_production_runs_blocking_calls_in_a_thread():
    assert threading.get_ident() != await TrioKernel().run_blocking(threading.get_ident)


async def test_blocking_calls_in_production_are_bounded():
    kernel, running, most = TrioKernel(threads_max=2), [], []

    def block():
        running.append(1)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            kernel.spawn(nursery, kernel.run_blocking, block)

    assert max(most) <= 2


async def test_blocking_call_is_never_abandoned():
    ended = []
    with trio.move_on_after(0.01):
        await TrioKernel().run_blocking(lambda: (time.sleep(0.05), ended.append(1)))

    assert [1] == ended


async def test_inline_kernel_runs_blocking_calls_here():
    assert threading.get_ident() == await InlineKernel().run_blocking(threading.get_ident)


def test_production_tells_the_wall_time():
    before = time.time_ns()

    assert before <= TrioKernel().wall_time_ns() <= time.time_ns()


@pytest.mark.parametrize("kernel", [InlineKernel, WorldKernel])
def test_virtual_wall_time_follows_the_clock(kernel):
    async def program(kernel):
        start = kernel.wall_time_ns()
        await kernel.sleep(90)
        return kernel.wall_time_ns() - start

    if kernel is WorldKernel:
        assert 90_000_000_000 == run_in_world(program)
    else:
        clock = trio.testing.MockClock(autojump_threshold=0)
        assert 90_000_000_000 == pytest.approx(trio.run(program, InlineKernel(), clock=clock), rel=1e-6)
