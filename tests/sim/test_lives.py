"""Lives: severed, nothing one does has an effect; paused, it stands still and knows of nothing."""

import pytest
import trio

from treadle.sim.lives import Life, LifeKernel, SeveredError, inside, survive
from treadle.sim.world_kernel import KernelDeadlockError

SEEDS = range(20)


def live(program, seed=0, **options):
    """Run a program in a world that knows lives."""
    kernel = LifeKernel(seed, **options)
    return trio.run(kernel.run_main, program, (), clock=kernel)


# -- to sever: as kill -9 -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_severed_life_does_nothing_more(seed):
    """Whatever its task was waiting for: to sleep, to be woken, to take a turn, a value, a function's end."""

    async def main(kernel):
        life, done = Life("p"), []
        _, receiver = kernel.open_memory_channel(1)
        waits = {
            "sleep": lambda: kernel.sleep(5),
            "park": lambda: kernel.park(lambda: None),
            "turn": kernel.turn,
            "receive": receiver.receive,
            "blocking": lambda: kernel.run_blocking(done.append, "written"),
        }

        async def task(name, wait):
            try:
                await kernel.sleep(1)
                while True:
                    await wait()
                    await kernel.sleep(0.3)
            finally:
                with trio.CancelScope(shield=True):
                    await kernel.sleep(1)  # a clean-up that waits
                    done.append(f"{name} cleaned up")

        async def all_of_it():
            async with trio.open_nursery() as nursery:
                for name, wait in waits.items():
                    kernel.spawn(nursery, task, name, wait)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, survive, life, all_of_it)
            await kernel.sleep(2)
            kernel.sever(life)
            kernel.sever(life)  # dead is dead
            before = list(done)
            await kernel.sleep(100)
        return before, done

    before, done = live(main, seed)

    assert "written" in before
    assert before == done


def test_a_function_under_way_is_not_run_when_its_life_is_over():
    """As a write that the dying process had not handed to the disk."""

    async def main(kernel):
        life, done = Life("p"), []

        async def write():
            kernel.sever(life)
            await kernel.run_blocking(done.append, "written")

        await survive(life, write)
        return done

    assert [] == live(main)


def test_a_severed_life_wakes_nobody():
    """An answer it would still give goes nowhere."""

    async def main(kernel):
        life, woken = Life("p"), []

        async def asker():
            await kernel.park(lambda: None)
            woken.append(True)

        async def answer(task):
            kernel.sever(life)
            kernel.wake(task)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, asker)
            await kernel.sleep(1)
            (task,) = nursery.child_tasks
            await survive(life, answer, task)
            await kernel.sleep(10)
            assert [] == woken
            nursery.cancel_scope.cancel()

    live(main)


def test_a_severed_life_sends_nothing():
    async def main(kernel):
        life = Life("p")
        sender, receiver = kernel.open_memory_channel(5)

        async def talk():
            await sender.send("before")
            kernel.sever(life)
            await sender.send("after")

        await survive(life, talk)
        assert "before" == receiver.receive_nowait()
        with pytest.raises(trio.WouldBlock):
            receiver.receive_nowait()

    live(main)


def test_a_client_inside_a_life_loses_its_answer_and_lives_on():
    async def main(kernel):
        life = Life("p")

        async def ask():
            with inside(life), pytest.raises(SeveredError):
                await kernel.sleep(10)
            await kernel.sleep(1)  # its own life goes on
            return kernel.current_time()

        async def kill():
            await kernel.sleep(3)
            kernel.sever(life)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, kill)
            return await ask()

    assert 4.0 == live(main)


# -- to pause and to resume: as SIGSTOP and SIGCONT -----------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_paused_life_stands_still_and_then_goes_on_as_if_nothing_had_happened(seed):
    async def main(kernel):
        life, seen, others = Life("p"), [], []

        async def tick(into):
            for _ in range(10):
                await kernel.sleep(1)
                into.append(round(kernel.current_time(), 6))

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, survive, life, tick, seen)
            kernel.spawn(nursery, tick, others)
            await kernel.sleep(3.5)
            kernel.pause(life)
            kernel.pause(life)
            await kernel.sleep(20)
            assert [1, 2, 3] == seen
            kernel.resume(life)
        return seen, others

    seen, others = live(main, seed)

    assert [1, 2, 3, 23.5, *(24.5 + n for n in range(6))] == seen
    assert [float(n) for n in range(1, 11)] == others


def test_a_paused_life_that_is_severed_does_not_come_back():
    async def main(kernel):
        life, seen = Life("p"), []

        async def task():
            await kernel.sleep(1)
            seen.append(True)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, survive, life, task)
            await kernel.sleep(0.5)
            kernel.pause(life)
            await kernel.sleep(5)
            kernel.sever(life)  # and it unwinds, or the nursery would wait for ever
        return seen

    assert [] == live(main)


def test_whoever_is_ready_when_its_life_is_paused_waits_as_well():
    """It was to run at this very instant."""

    async def main(kernel):
        life, seen = Life("p"), []

        async def task():
            while True:
                await kernel.turn()
                seen.append(kernel.current_time())
                if len(seen) > 50:
                    return

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, survive, life, task)
            while not seen:
                await kernel.turn()
            kernel.pause(life)
            count = len(seen)
            await kernel.sleep(7)
            assert count == len(seen)
            kernel.resume(life)
        return seen[count]

    assert 7.0 == live(main)


# -- to jump: as somebody who sets the clock ------------------------------------------------------------


def test_the_wall_clock_jumps_and_waits_do_not():
    async def main(kernel):
        before = kernel.wall_time_ns()
        kernel.jump(-3_600_000_000_000)
        await kernel.sleep(5)
        return kernel.wall_time_ns() - before, kernel.current_time()

    assert (-3_595_000_000_000, 5.0) == live(main, clock_jumps=True)


# -- to survive -----------------------------------------------------------------------------------------


def test_what_a_living_one_raises_is_raised():
    async def main(_kernel):
        async def fail():
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            await survive(Life("p"), fail)

    live(main)


def test_what_a_dying_one_raises_is_thrown_away():
    """It raises in a state that no living one is in."""

    async def main(kernel):
        life = Life("p")

        async def fail():
            try:
                await kernel.sleep(1)
            finally:
                raise ValueError("half done")

        async def kill():
            await kernel.sleep(0.5)
            kernel.sever(life)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, kill)
            return await survive(life, fail)

    assert None is live(main)


def test_an_order_to_stop_from_outside_passes_through_a_dying_life():
    async def main(kernel):
        life = Life("p")

        async def linger():
            async with trio.open_nursery() as nursery:
                kernel.spawn(nursery, kernel.sleep, 100)
                kernel.spawn(nursery, kernel.sleep, 100)

        with trio.move_on_after(1) as scope:
            try:
                await survive(life, linger)
            finally:
                kernel.sever(life)
        return scope.cancelled_caught

    assert live(main)


def test_who_waits_for_ever_is_named_with_a_line_of_its_own():
    """Not with one of the kernel's, however many of its layers it waits through."""

    async def main(kernel):
        async def waits_for_ever():
            await kernel.park(lambda: None)

        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, survive, Life("p"), waits_for_ever)

    with pytest.raises(KernelDeadlockError, match=r"test_lives.py:\d+ in waits_for_ever"):
        live(main)
