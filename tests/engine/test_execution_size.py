"""A workflow that waits in memory is small."""

import gc
import tracemalloc

from driven import Driven

from treadle import activity, workflow

PARKED_SIZE_BYTES_MAX = 8_000
COUNT = 200


@activity.define
async def work(value: int) -> int: ...


@workflow.define
async def parked(value: int) -> int:
    with workflow.move_on_after(3600):
        return await workflow.activity(work, value)
    return 0


def test_a_parked_workflow_takes_less_than_8_kilobytes():
    """Execution, scheduler, task, scope, timer, and an activity that has not ended; its log is not there."""
    log = Driven(parked, 1, activities=[work]).log
    first = Driven(parked, 1, activities=[work])
    first.replayed(log)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [first.replayed(log) for _ in range(COUNT)]
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert COUNT == len(kept)
    assert (after - before) / COUNT < PARKED_SIZE_BYTES_MAX
