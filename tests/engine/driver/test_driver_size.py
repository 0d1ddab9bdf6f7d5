"""A parked workflow is small: millions of them are asleep at any time."""

import gc
import tracemalloc

from treadle.engine.driver import Scheduler, fail_after, park

COUNT = 500


async def main():
    with fail_after(30):
        await park(bool, "activity")


def park_one():
    scheduler = Scheduler()
    scheduler.start_main(main)
    scheduler.run()
    return scheduler


def test_a_workflow_with_one_task_and_one_scope_stays_below_4_kb():
    parked = [park_one() for _ in range(10)]
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        parked += [park_one() for _ in range(COUNT)]
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for scheduler in parked:
        scheduler.evict()

    assert (after - before) / COUNT < 4096
    assert (after - before) / COUNT > 1000, "this cannot be: nothing was kept"
