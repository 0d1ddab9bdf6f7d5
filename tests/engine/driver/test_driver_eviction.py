"""Leaving memory: clean-ups run, nothing comes of them, nobody complains."""

import contextlib
import gc
import sys
import warnings

import pytest
import trio
from driving import drive, parked

from treadle.engine.driver import (
    Cancelled,
    CancelScope,
    Event,
    Evicted,
    Lock,
    MisuseError,
    Scheduler,
    checkpoint,
    current_scheduler,
    current_time,
    fail_after,
    move_on_after,
    open_memory_channel,
    open_nursery,
    park,
    sleep,
    sleep_forever,
    wait_until,
)
from treadle.engine.driver import eviction as eviction_module


@pytest.fixture(autouse=True)
def no_complaints():
    """No warning and nothing unraisable, whatever the garbage collector still finds."""
    unraisable = []
    before = sys.unraisablehook
    sys.unraisablehook = unraisable.append
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
            gc.collect()
    finally:
        sys.unraisablehook = before
    assert [] == unraisable
    assert [] == [str(one.message) for one in caught]


def test_tasks_are_unwound_innermost_first():
    order = []

    async def task(name, *below):
        try:
            async with open_nursery() as nursery:
                for number, inner in enumerate(below):
                    nursery.start_soon(task, f"{name}{number}", *inner)
                await sleep_forever()
        finally:
            order.append(name)

    scheduler = parked(task, "m", ((), ()), ())
    scheduler.spawn_system(task, "s")
    scheduler.run()
    scheduler.evict()

    assert ["s", "m1", "m01", "m00", "m0", "m"] == order
    assert scheduler.main_outcome is None
    assert () == scheduler.stack()
    assert {} == scheduler.deadlines


def test_clean_up_runs_and_its_waits_raise_again():
    seen = []

    async def main():
        lock, event = Lock(), Event()
        _sender, receiver = open_memory_channel(0)
        try:
            async with lock, open_nursery() as nursery, receiver:
                with fail_after(5), CancelScope(shield=True):
                    await sleep_forever()
        finally:
            seen.append(current_scheduler().evicting)
            event.set()
            nursery.cancel_scope.cancel()
            seen.append(current_time())
            for wait in (checkpoint, lock.acquire, receiver.receive, sleep_forever):
                try:
                    await wait()
                except BaseException as error:  # noqa: BLE001 -- the eviction is what comes
                    seen.append(type(error).__name__)
            try:
                async with open_nursery() as nursery:
                    nursery.start_soon(sleep, 1)
            finally:
                seen.append("end")

    parked(main).evict()

    assert [True, 0.0, "Evicted", "Evicted", "ClosedResourceError", "Evicted", "end"] == seen


@pytest.mark.parametrize(
    "swallow",
    [BaseException, Evicted],
)
def test_code_that_swallows_the_eviction_and_goes_on_ends_all_the_same(swallow):
    async def main():
        for _ in range(5):
            with contextlib.suppress(swallow):
                await sleep_forever()
        raise ValueError

    scheduler = parked(main)
    scheduler.evict()

    assert scheduler.main_outcome is None


def test_code_that_goes_on_waiting_is_dropped():
    waits = []

    async def main():
        for _ in range(eviction_module._REFUSALS_MAX + 50):
            with contextlib.suppress(BaseException):
                waits.append(1)
                await sleep_forever()

    parked(main).evict()

    assert 1 + eviction_module._REFUSALS_MAX == len(waits)
    eviction_module._never_ending.clear()


def test_foreign_waits_in_a_clean_up_are_refused_too():
    class Foreign:
        def __await__(self):
            yield 1

    async def main():
        try:
            await sleep_forever()
        finally:
            try:
                await Foreign()
            finally:
                seen.append("end")

    seen = []
    parked(main).evict()

    assert ["end"] == seen


def test_tasks_that_never_ran_leave_quietly():
    async def main():
        raise AssertionError

    async def parent():
        async with open_nursery() as nursery:
            nursery.start_soon(main)
            nursery.start_soon(main)
            current_scheduler()._steps_max = 0
            await sleep_forever()

    scheduler = Scheduler()
    scheduler.start_main(main)
    scheduler.spawn_system(main)
    scheduler.evict()

    scheduler = Scheduler(steps_max=1)
    scheduler.start_main(parent)
    with contextlib.suppress(Exception):
        scheduler.run()
    scheduler.evict()


def test_a_resumed_task_that_has_not_run_is_unwound():
    tasks = []

    async def main():
        tasks.append(current_scheduler().main_task)
        try:
            await park(bool, "host")
        except BaseException as error:
            seen.append(type(error))
            raise

    seen = []
    scheduler = parked(main)
    scheduler.resume(tasks[0], 5)
    scheduler.evict()

    assert [Evicted] == seen


def test_aborts_are_not_asked_and_scopes_do_not_catch():
    aborts = []

    async def main():
        with move_on_after(5) as scope:
            try:
                await park(lambda: aborts.append(1), "host")
            finally:
                scope.cancel()
                with contextlib.suppress(Cancelled):
                    await checkpoint()
        raise AssertionError

    parked(main).evict()

    assert [] == aborts


def test_predicates_are_not_tried_any_more():
    tried = []
    scheduler = parked(wait_until, lambda: tried.append(1))
    tried.clear()
    scheduler.evict()

    assert [] == tried


def test_every_await_of_a_workflow_is_a_place_to_evict():
    async def child(lock, event):
        async with lock:
            await event.wait()

    async def main():
        lock, event = Lock(), Event()
        sender, receiver = open_memory_channel(0)
        async with open_nursery() as nursery:
            nursery.start_soon(child, lock, event)
            nursery.start_soon(child, lock, event)
            nursery.start_soon(sender.send, 1)
            await sleep(1)
            await receiver.receive()
            event.set()
            with move_on_after(1):
                await receiver.receive()
            with contextlib.suppress(TimeoutError):
                await checkpoint()

    def turns_until_the_end():
        scheduler = Scheduler()
        scheduler.start_main(main)
        yield scheduler
        scheduler.run()
        while scheduler.main_outcome is None:
            yield scheduler
            scheduler.now_ns = min(scheduler.deadlines.values())
            scheduler.fire(scheduler.now_ns)
            yield scheduler
            scheduler.run()

    places = sum(1 for _ in turns_until_the_end())
    assert 5 == places
    for place in range(places):
        for number, scheduler in enumerate(turns_until_the_end()):
            if number == place:
                scheduler.evict()
                break
        assert scheduler.main_outcome is None


# -- async generators --


async def ticks(log):
    try:
        while True:
            yield 1
    finally:
        log.append("closed")


def test_a_dropped_generator_is_closed_on_the_spot():
    async def main():
        async for _ in ticks(log):
            break
        log.append("after")
        await checkpoint()

    log = []
    drive(main)

    assert ["closed", "after"] == log


def test_a_generator_that_is_open_at_eviction_is_closed_by_it():
    async def main():
        async for _ in ticks(log):
            await sleep_forever()

    async def suspended_inside():
        try:
            await sleep_forever()
            yield 1
        finally:
            log.append("closed inside")

    async def other():
        async for _ in suspended_inside():
            pass

    log = []
    parked(main).evict()
    parked(other).evict()

    assert ["closed", "closed inside"] == log


def test_a_dropped_generator_that_waits_is_told(no_complaints):
    async def untidy():
        try:
            yield 1
        finally:
            await checkpoint()

    async def main():
        async for _ in untidy():
            break
        await checkpoint()

    drive(main)

    assert ["untidy" in str(one.message) for one in no_complaints] == [True]
    assert ResourceWarning is no_complaints[0].category
    no_complaints.clear()


def test_generators_are_kept_from_trio_and_its_hooks_are_put_back():
    async def main():
        stream = ticks(log)
        kept.append(stream)
        await anext(stream)
        await checkpoint()

    async def host():
        before = sys.get_asyncgen_hooks()
        scheduler = parked(main)
        assert before == sys.get_asyncgen_hooks()
        with scheduler.hooked():
            assert before != sys.get_asyncgen_hooks()
        assert before == sys.get_asyncgen_hooks()
        scheduler.evict()
        assert before == sys.get_asyncgen_hooks()
        runner = trio._core._run.GLOBAL_RUN_CONTEXT.runner
        assert [] == list(runner.asyncgens.alive)
        kept.clear()
        assert ["closed"] == log

    log, kept = [], []
    trio.run(host)


def test_hooks_are_put_back_after_an_error():
    async def main():
        while True:
            await checkpoint()

    before = sys.get_asyncgen_hooks()
    scheduler = Scheduler(steps_max=5)
    scheduler.start_main(main)
    with pytest.raises(Exception, match="5 steps"):
        scheduler.run()

    assert before == sys.get_asyncgen_hooks()
    scheduler.evict()


def test_workflow_code_does_not_evict_itself():
    async def main():
        with pytest.raises(MisuseError):
            current_scheduler().evict()

    drive(main)
