"""A world: one seed decides everything, time passes at once, and nobody waits outside its kernel."""

import pytest
import trio

from treadle.errors import InternalError
from treadle.testing import KernelDeadlockError, KernelViolationError, WorldKernel, run_in_world


async def busy_program(kernel, *, raw=False):
    """Workers with tied deadlines, a bounded queue, cancelled senders, a committer: much to decide."""
    trace = []
    sender, receiver = trio.open_memory_channel(2) if raw else kernel.open_memory_channel(2)

    async def committer():
        while True:
            value = await receiver.receive()
            await kernel.run_blocking(trace.append, ("commit", value, kernel.random()))

    async def worker(number):
        with trio.move_on_after(1.5 if number % 3 == 0 else 10) as scope:
            for turn in range(4):
                await sender.send((number, turn))
                await kernel.sleep(0.5 * (number % 2))
        trace.append(("left", number, scope.cancelled_caught, kernel.wall_time_ns()))

    async with trio.open_nursery() as servers:
        kernel.spawn(servers, committer)
        async with trio.open_nursery() as clients:
            for number in range(7):
                kernel.spawn(clients, worker, number)
        servers.cancel_scope.cancel()
    return trace


def test_same_seed_gives_the_same_run():
    runs = {repr(run_in_world(busy_program, seed=3)) for _ in range(10)}

    assert 1 == len(runs)


def test_other_seeds_give_other_runs():
    runs = {repr(run_in_world(busy_program, seed=seed)) for seed in range(20)}

    assert 20 == len(runs)


def test_program_that_waits_through_the_kernel_breaks_nothing():
    for seed in range(20):
        run_in_world(busy_program, seed=seed, guard=True)


def line_of(function, text):
    """The number of the line in a function that holds a text."""
    import inspect  # noqa: PLC0415

    lines, first = inspect.getsourcelines(function)
    return next(first + place for place, line in enumerate(lines) if text in line)


async def raw_event(kernel):
    event = trio.Event()

    async def waiter():
        await event.wait()  # here

    async with trio.open_nursery() as nursery:
        kernel.spawn(nursery, waiter)
        await kernel.sleep(1)
        event.set()


async def raw_sleep(kernel):
    await kernel.turn()
    await trio.sleep(1)  # here


async def raw_checkpoint(kernel):
    await kernel.turn()
    await trio.lowlevel.checkpoint()  # here


async def raw_thread(kernel):
    await kernel.turn()
    await trio.to_thread.run_sync(int)  # here


async def raw_channel(kernel):
    await kernel.turn()
    _, receiver = trio.open_memory_channel(1)
    with trio.move_on_after(1):
        await receiver.receive()  # here


async def raw_start(kernel):
    async def child():
        pass

    await kernel.turn()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)  # here


async def raw_system_task(kernel):
    async def lives_on():
        pass

    await kernel.turn()
    trio.lowlevel.spawn_system_task(lives_on)  # here
    await kernel.turn()


@pytest.mark.parametrize(
    "program",
    [raw_event, raw_sleep, raw_checkpoint, raw_thread, raw_channel, raw_start, raw_system_task],
)
def test_whoever_goes_round_the_kernel_is_named_with_the_line(program):
    with pytest.raises(KernelViolationError) as caught:
        run_in_world(program)

    assert f"test_kernel_guard.py:{line_of(program, '# here')} in {program.__name__}" in str(
        caught.value
    ) or (f"test_kernel_guard.py:{line_of(program, '# here')} in waiter" in str(caught.value))
    assert program.__name__ in caught.value.violations[0]


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
def test_a_generator_that_is_left_open_is_closed_by_trio_and_breaks_nothing():
    """Whoever is killed in the middle of one cannot close it."""
    closed = []

    async def numbers():
        try:
            yield 1
        finally:
            closed.append(True)

    async def program(kernel):
        async for _ in numbers():
            break
        for _ in range(3):
            await kernel.turn()

    run_in_world(program)

    assert [True] == closed


def test_raw_channel_between_many_tasks_is_reported():
    with pytest.raises(KernelViolationError):
        run_in_world(lambda kernel: busy_program(kernel, raw=True))


def test_waking_a_parked_task_round_the_kernel_is_reported():
    async def program(kernel):
        parked = []

        async def sleeper():
            parked.append(trio.lowlevel.current_task())
            await kernel.park(lambda: None)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, sleeper)
            await kernel.sleep(1)
            trio.lowlevel.reschedule(parked[0])

    with pytest.raises(KernelViolationError, match=r"woken round the kernel by test_kernel_guard\.py"):
        run_in_world(program)


def test_violations_stand_before_the_error_they_led_to():
    async def program(kernel):
        await kernel.turn()
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with pytest.raises(KernelViolationError) as caught:
        run_in_world(program)

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_guard_can_be_left_out():
    run_in_world(raw_sleep, guard=False)


def test_error_of_the_program_leaves_as_itself():
    async def program(kernel):
        await kernel.turn()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_in_world(program)


def test_deadlock_names_every_waiting_task_with_its_line():
    async def program(kernel):
        _, receiver = kernel.open_memory_channel(1)

        async def starving():
            await receiver.receive()

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, starving)
            await kernel.park(lambda: None)

    with pytest.raises(KernelDeadlockError, match=r"seed 7: every task waits.*in program; .*in starving"):
        run_in_world(program, seed=7)


def test_waking_twice_is_refused():
    async def program(kernel):
        with pytest.raises(InternalError, match="parked"):
            kernel.wake(trio.lowlevel.current_task())
        tasks = []

        async def sleeper():
            tasks.append(trio.lowlevel.current_task())
            await kernel.park(lambda: None)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, sleeper)
            await kernel.sleep(1)
            kernel.wake(tasks[0])
            with pytest.raises(InternalError, match="second"):
                kernel.wake(tasks[0])

    run_in_world(program)


def test_arguments_and_result_go_through():
    async def program(kernel, one, two):
        await kernel.turn()
        return kernel, one + two

    kernel, total = run_in_world(program, 1, 2)

    assert (WorldKernel, 3) == (type(kernel), total)
    assert kernel.decisions >= 2


def test_deadlines_pass_in_their_order_and_at_once():
    async def program(kernel):
        trace = []

        async def worker(seconds):
            with trio.move_on_after(seconds):
                await kernel.park(lambda: None)
            trace.append((seconds, trio.current_time()))

        async with trio.open_nursery() as nursery:
            for seconds in (3_000_000, 20, 1):
                kernel.spawn(nursery, worker, seconds)
        return trace

    assert [(1, 1.0), (20, 20.0), (3_000_000, 3_000_000.0)] == run_in_world(program)


def test_others_run_while_a_blocking_call_is_in_flight():
    async def program(kernel):
        trace = []

        async def other():
            for _ in range(3):
                trace.append("other")
                await kernel.turn()

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, other)
            await kernel.run_blocking(trace.append, "call")
            trace.append("after")
        return tuple(trace)

    traces = {run_in_world(program, seed=seed) for seed in range(40)}

    assert {True, False} == {trace.index("other") < trace.index("call") for trace in traces}
    assert any("other" in trace[trace.index("call") : trace.index("after")] for trace in traces)


def test_turns_without_end_are_told_not_run_for_ever(monkeypatch):
    monkeypatch.setattr("treadle.sim.world_kernel.INSTANT_DECISIONS_MAX", 500)

    async def program(kernel):
        done = []

        async def later():
            await kernel.sleep(1)
            done.append(1)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, later)
            while not done:
                await kernel.turn()

    with pytest.raises(KernelDeadlockError, match="take turns and time cannot pass"):
        run_in_world(program)
