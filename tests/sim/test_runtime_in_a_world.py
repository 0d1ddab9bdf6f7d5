"""The real runtime lives in a world: it waits through the kernel alone, so one seed decides its run."""

import pytest
import trio

import treadle
from treadle.testing import run_in_world


async def orders(kernel, url):
    """Writers that share logs, cancelled ones among them, and a reader; the trace tells who went when."""
    trace = []
    async with treadle.open_runtime(url, kernel=kernel) as runtime:

        async def writer(number):
            workflow = runtime.workflow(f"order-{number % 3}")
            with trio.move_on_after(1 if number % 4 else 0.001) as scope:
                for turn in range(3):
                    appended = await workflow.append("custom", b"%d/%d" % (number, turn))
                    trace.append((number, turn, appended.seq))
                    await kernel.sleep(kernel.random() / 1_000)
            trace.append((number, scope.cancelled_caught))

        async with trio.open_nursery() as nursery:
            for number in range(8):
                kernel.spawn(nursery, writer, number)
        for number in range(3):
            seqs = [event.seq async for event in runtime.workflow(f"order-{number}").read()]
            assert list(range(1, len(seqs) + 1)) == seqs
    return trace


@pytest.mark.parametrize("scheme", ["memory:", "sqlite:"])
def test_runtime_waits_through_the_kernel_alone(tmp_path, scheme):
    runs = set()
    for seed in range(4):
        urls = [scheme if scheme == "memory:" else f"{scheme}{tmp_path}/{seed}-{again}.db" for again in "ab"]
        traces = [repr(run_in_world(orders, url, seed=seed)) for url in urls]
        runs.update(traces)

        assert traces[0] == traces[1]
    assert 4 == len(runs)
