"""Replay of a history of 1,000 activities: treadle's `Execution.replay` against Temporal's `Replayer`.

The same workflow on both sides: each activity with the result of the one before. treadle's figure holds the
whole of a replay (arguments encoded and compared with the log, results decoded, every check made); reading
the rows is not in it, as Temporal's history is parsed before its clock starts. Both take turns in one run.

    python benchmarks/replay_activities.py                                     # treadle alone
    python benchmarks/replay_activities.py --temporal PYTHON [--sandboxed]     # a Python that has temporalio

The plain loop is the yardstick that goes with the machine: a coroutine driven by hand that encodes each
argument, compares it with the recorded bytes and decodes each result, and does nothing else. Beside it stand
histories of other shapes: activities side by side, a deadline round each activity, larger values.
"""

from __future__ import annotations

import argparse
import contextlib
import time
import types
from collections.abc import Callable, Generator
from typing import Any

import attrs
import msgspec
from common import emit, interleaved
from peers_runs import peer_rate

from treadle import WorkflowEvent, activity, workflow
from treadle.engine import ActivityDone, Completed, Execution, Registry, Start, WorkflowDefinition
from treadle.payloads import JsonConverter

ACTIVITIES = 1_000
REPEATS = 30
SECOND_NS = 1_000_000_000


@attrs.frozen
class Order:
    """A value of some fields, as real activities pass them."""

    id: str
    customer: str
    cents: int
    lines: list[str]


ORDER = Order("order-17", "Ada Lovelace", 4_200, ["a pedal", "a loom", "a shuttle"])


@activity.define
async def step(value: int) -> int:
    """Do next to nothing."""
    return value + 1


@activity.define
async def enrich(order: Order, number: int) -> Order:
    """Give back what came."""
    return attrs.evolve(order, cents=number)


@workflow.define
async def one_by_one(count: int) -> int:
    """Each activity with the result of the one before."""
    value = 0
    for _ in range(count):
        value = await workflow.activity(step, value)
    return value


@workflow.define
async def side_by_side(count: int) -> int:
    """All activities at once."""
    total = 0

    async def one(value: int) -> None:
        nonlocal total
        total += await workflow.activity(step, value)

    async with workflow.open_nursery() as nursery:
        for value in range(count):
            nursery.start_soon(one, value)
    return total


@workflow.define
async def with_deadlines(count: int) -> int:
    """A durable timer round each activity."""
    value = 0
    for _ in range(count):
        with workflow.fail_after(3_600):
            value = await workflow.activity(step, value)
    return value


@workflow.define
async def with_values(count: int) -> int:
    """Larger arguments and results."""
    order = ORDER
    for number in range(count):
        order = await workflow.activity(enrich, order, number)
    return order.cents


CONVERTER = JsonConverter()
REGISTRY = Registry([one_by_one, side_by_side, with_deadlines, with_values], [step, enrich])


def new_execution(definition: WorkflowDefinition[..., Any]) -> Execution:
    """An execution that nothing was given to."""
    return Execution(definition, "measured", REGISTRY, CONVERTER)


def history_of(definition: WorkflowDefinition[..., Any], count: int) -> list[WorkflowEvent]:
    """Run the workflow, each activity with its real result, and keep what the log would hold."""
    execution = new_execution(definition)
    now_ns = SECOND_NS
    events = list(execution.activate(Start(CONVERTER.encode([count]), bytes(16)), now_ns).events)
    while execution.activities:
        seq, pending = next(iter(execution.activities.items()))
        arguments = CONVERTER.decode(pending.args_json, list[Any])
        if pending.name == step.name:
            result = CONVERTER.encode(arguments[0] + 1)
        else:
            result = CONVERTER.encode({**arguments[0], "cents": arguments[1]})
        now_ns += 1_000_000
        events += execution.activate(ActivityDone(seq, Completed(result)), now_ns).events
    assert execution.status.is_closed
    return events


def replayed_us(definition: WorkflowDefinition[..., Any], events: list[WorkflowEvent], count: int) -> float:
    """CPU microseconds for each activity, from a new execution to the end of its replay."""
    start = time.process_time()
    for _ in range(REPEATS):
        execution = new_execution(definition)
        execution.replay(events)
        assert execution.finish_replay() is None
        assert execution.status.is_closed
        execution.evict()
    return (time.process_time() - start) / (REPEATS * count) * 1e6


@types.coroutine
def _ask(value: int) -> Generator[int, int, int]:
    return (yield value)


async def plain_workflow(count: int) -> int:
    """What `one_by_one` does, without treadle."""
    value = 0
    for _ in range(count):
        value = await _ask(value)
    return value


def plain_us(events: list[WorkflowEvent], count: int) -> float:
    """CPU microseconds for each activity of the plain loop, over the payloads of `one_by_one`."""
    scheduled, completed = events[1:-1:2], events[2:-1:2]
    prefix = scheduled[0].payload.removesuffix(b"[0]}")
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(dict).decode
    start = time.process_time()
    for _ in range(REPEATS):
        workflow_code = plain_workflow(count)
        asked = workflow_code.send(None)
        with contextlib.suppress(StopIteration):
            for command, answer in zip(scheduled, completed, strict=True):
                assert command.payload == b"%b%b}" % (prefix, encode((asked,)))
                asked = workflow_code.send(decode(answer.payload)["result"])
        assert asked == count - 1
    return (time.process_time() - start) / (REPEATS * count) * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--temporal", metavar="PYTHON", help="measure Temporal's Replayer too, with this Python"
    )
    parser.add_argument("--sandboxed", action="store_true", help="and once more in its sandbox")
    told = parser.parse_args()
    measures: dict[str, Callable[[], float]] = {}
    events = {}
    for definition in (one_by_one, side_by_side, with_deadlines, with_values):
        history = events[definition.name] = history_of(definition, ACTIVITIES)
        measures[definition.name] = lambda definition=definition, history=history: (
            1e6 / replayed_us(definition, history, ACTIVITIES)
        )
    measures["plain loop"] = lambda: 1e6 / plain_us(events["one_by_one"], ACTIVITIES)
    if told.temporal:
        size = ("--steps", str(ACTIVITIES), "--workflows", "1")
        modes = ("replay", "replay-sandboxed") if told.sandboxed else ("replay",)
        for mode in modes:
            measures[f"temporal {mode}"] = lambda mode=mode: peer_rate(told.temporal, "temporal", mode, *size)
    rates = interleaved(measures)
    results: dict[str, object] = {
        "activities_a_second": {name: round(rate) for name, rate in rates.items()},
        "us_an_activity": {name: round(1e6 / rates[name], 2) for name in events},
        "times_the_plain_loop": round(rates["plain loop"] / rates["one_by_one"], 2),
        "events": {name: len(history) for name, history in events.items()},
    }
    if told.temporal:
        results["times_temporal"] = round(rates["one_by_one"] / rates["temporal replay"], 1)
    emit("replay_activities", results)


if __name__ == "__main__":
    main()
