"""The stack: where every task stands, in the user's own lines."""

from driving import parked

from treadle.engine.driver import (
    Event,
    Lock,
    Scheduler,
    StackFrame,
    TaskStack,
    checkpoint,
    fail_after,
    open_memory_channel,
    open_nursery,
    park,
    sleep,
    sleep_forever,
    wait_until,
)


def lines_of(function, *offsets):
    code = function.__code__
    return tuple(StackFrame(__file__, code.co_firstlineno + at, code.co_qualname) for at in offsets)


def test_the_stack_is_a_tree_of_tasks_with_lines():
    async def deep():
        with fail_after(5):
            await sleep(9)

    async def child():
        await deep()

    async def main():
        async with open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(sleep_forever, name="idle")

    scheduler = parked(main)

    assert (
        TaskStack(
            main.__qualname__,
            lines_of(main, 1),
            "the end of its children",
            (
                TaskStack(child.__qualname__, lines_of(child, 1) + lines_of(deep, 2), "sleep", ()),
                TaskStack("idle", (), "being cancelled", ()),
            ),
        ),
    ) == scheduler.stack()
    scheduler.evict()


def test_what_a_task_waits_for_is_said():
    async def hold(lock):
        async with lock:
            await sleep_forever()

    async def until():
        await wait_until(is_it_so)

    def is_it_so():
        return False

    async def main():
        lock = Lock()
        async with open_nursery() as nursery:
            nursery.start_soon(hold, lock)
            await checkpoint()
            await checkpoint()
            nursery.start_soon(lock.acquire)
            nursery.start_soon(Event().wait)
            nursery.start_soon(open_memory_channel(0)[1].receive)
            nursery.start_soon(until)
            nursery.start_soon(park, bool, "charge_card #3")

    scheduler = parked(main)

    assert [
        "being cancelled", "Lock.acquire", "<treadle event, 1 waiting>", "a value of a channel",
        f"wait_until({is_it_so.__qualname__})", "charge_card #3",
    ] == [child.waiting_for for child in scheduler.stack()[0].children]  # fmt: skip
    scheduler.evict()


def test_a_task_that_is_ready_waits_for_nothing():
    async def main():
        pass

    scheduler = Scheduler()
    scheduler.start_main(main)

    assert [""] == [task.waiting_for for task in scheduler.stack()]
    scheduler.evict()


def test_frames_inside_async_generators_are_seen():
    async def numbers():
        await sleep_forever()
        yield 1

    async def main():
        async for _ in numbers():
            pass

    scheduler = parked(main)

    assert lines_of(main, 1) + lines_of(numbers, 1) == scheduler.stack()[0].frames
    scheduler.evict()
