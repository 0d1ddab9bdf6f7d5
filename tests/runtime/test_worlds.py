"""The whole runtime in worlds from a seed: no wait outside the kernel, and every promise under faults."""

from __future__ import annotations

import random
from collections import Counter

import attrs
import pytest
import trio
from faulty import FULL, UNAVAILABLE, UNKNOWN, FaultyStore

from treadle import NewEvent, RuntimeConfig, open_runtime
from treadle.errors import AdmissionError, TreadleError
from treadle.testing import WorldKernel, run_in_world

WORKFLOWS = ("a", "b", "c")


@attrs.define
class Record:
    """What one caller was told about one wish: payloads, and how each attempt ended."""

    workflow_id: str
    payloads: tuple[bytes, ...]
    repeatable: bool
    attempts: list[str] = attrs.Factory(list)
    seq: int | None = None


async def caller(kernel, runtime, chance: random.Random, number: int, records: list[Record]) -> None:
    """Make a few wishes of every kind; repeat those that may be repeated until they are answered."""
    for wish in range(chance.randrange(1, 5)):
        payloads = tuple(b"%d/%d/%d" % (number, wish, n) for n in range(chance.choice([1, 1, 1, 2, 3])))
        way = chance.choice(["plain", "key", "seq", "seq"])
        record = Record(chance.choice(WORKFLOWS), payloads, way != "plain")
        records.append(record)
        handle = runtime.workflow(record.workflow_id)
        options = await options_for(way, handle, payloads)
        for _ in range(6 if record.repeatable else 1):
            record.attempts.append("cancelled")
            with trio.CancelScope() as scope:
                if chance.random() < 0.3:
                    scope.deadline = kernel.current_time() + chance.choice([0, 0, 0.001])
                await attempt(handle, record, options)
            await kernel.sleep(chance.choice([0, 0, 0.01]))
            if record.attempts[-1] == "refused" or chance.random() < 0.3:
                break


async def options_for(way: str, handle, payloads: tuple[bytes, ...]) -> dict:
    """Word what makes a wish repeatable."""
    if way == "seq":
        return {"seq": await handle.next_seq()}
    if way == "key":
        return {"key": payloads[0]} if len(payloads) == 1 else {"keys": [None, *payloads[1:]]}
    return {}


async def attempt(handle, record: Record, options: dict) -> None:
    """Send a wish once and note how it ended."""
    try:
        if len(record.payloads) == 1:
            appended = await handle.append("custom", record.payloads[0], **options)
        else:
            appended = await handle.extend([NewEvent("custom", p) for p in record.payloads], **options)
    except AdmissionError as error:
        record.attempts[-1] = "refused" if error.written == "no" else "an unknown refusal"
    except TreadleError as error:
        record.attempts[-1] = error.written
    else:
        assert tuple(event.payload for event in appended.events) == record.payloads
        record.attempts[-1] = "acknowledged"
        record.seq = appended.events[0].seq


async def disturb(kernel, store: FaultyStore, chance: random.Random) -> None:
    """Let rivals write, let commits fail, let commits and reads hang for a while."""
    for number in range(chance.randrange(12)):
        what = chance.randrange(5)
        if what == 0:
            name = chance.choice(WORKFLOWS)
            payload = b"foreign %d" % number
            store.before_write.append(lambda name=name, payload=payload: store.write_foreign(name, payload))
        elif what == 1:
            error = chance.choice([UNKNOWN, UNKNOWN, UNAVAILABLE, FULL])
            store.fail_next(error, written=error is UNKNOWN and chance.random() < 0.5)
        elif what == 2:
            store.commits.close()
        elif what == 3:
            store.reads.close()
        await kernel.sleep(chance.choice([0, 0, 0.001]))
        store.commits.open()
        store.reads.open()


async def follow(runtime, name: str, seen: list[bytes]) -> None:
    async for event in runtime.workflow(name).follow():
        seen.append(event.payload)  # noqa: PERF401  # endless, and looked at while it goes on


async def storm(kernel: WorldKernel, seed: int) -> tuple[FaultyStore, list[Record], list]:
    chance = random.Random(seed)
    store = FaultyStore(kernel, shared=True)
    config = RuntimeConfig(
        group_events_max=chance.choice([1, 2, 5, 100]),
        inbox_messages_max=chance.choice([1, 2, 64]),
        page_events=chance.choice([1, 3, 100]),
        readmissions_max=chance.choice([1, 3, 16]),
        close_timeout_seconds=chance.choice([0.0001, 10]),
        idle_actors_max=chance.choice([1, 100]),
    )
    records: list[Record] = []
    seen: list[bytes] = []
    trace: list = []
    async with open_runtime(store, kernel=kernel, config=config) as runtime:
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as callers:
                kernel.spawn(nursery, follow, runtime, "a", seen)
                kernel.spawn(callers, disturb, kernel, store, chance)
                for number in range(chance.randrange(1, 9)):
                    kernel.spawn(
                        callers, caller, kernel, runtime, random.Random(f"{seed} {number}"), number, records
                    )
            # A rival's last event is found by the next poll.
            await kernel.sleep(1)
            nursery.cancel_scope.cancel()
        assert seen == store.payloads("a")
        assert runtime._changes._interests == {}
        replayed = [r async for r in runtime.replay_all(lambda s, e: [*s, e.payload], list)]
        assert {r.workflow_id: r.state for r in replayed} == {
            name: store.payloads(name) for name in WORKFLOWS if store.stored(name)
        }
        statistics = runtime.statistics()
        trace = [(statistics, [[unit.batches for unit in group] for group in store.groups])]
    return store, records, trace


def check(store: FaultyStore, records: list[Record]) -> None:
    counts = {name: Counter(store.payloads(name)) for name in WORKFLOWS}
    for record in records:
        times = {counts[record.workflow_id][payload] for payload in record.payloads}
        assert len(times) == 1, ("a batch is whole or not there", record)
        (there,) = times
        ends = set(record.attempts)
        if record.repeatable and len(record.payloads) == 1:
            assert there <= 1, ("a repeat with seq or key never doubles", record)
        if "acknowledged" in ends:
            assert there >= 1, ("what is acknowledged is there", record)
            stored = store.stored(record.workflow_id)[record.seq - 1 :][: len(record.payloads)]
            assert tuple(event.payload for event in stored) == record.payloads
        if not record.repeatable:
            assert there <= 1, ("at most once for each attempt", record)
        if ends <= {"no", "refused"}:
            assert there == 0, ("surely not written is not there", record)


MORE_BLOCKS = [pytest.param(block, marks=pytest.mark.slow) for block in range(6, 40)]


@pytest.mark.parametrize("block", [*range(6), *MORE_BLOCKS])
def test_a_storm_with_faults_keeps_every_promise(block):
    """Gap-free, acknowledged exactly once, otherwise at most once, surely-not-written surely not."""
    for seed in range(block * 12, block * 12 + 12):
        store, records, _ = run_in_world(storm, seed, seed=seed)
        check(store, records)


def test_the_same_seed_gives_the_same_commits():
    """The runtime waits through its kernel alone: seed by seed one trace, and different seeds differ."""
    traces = [[run_in_world(storm, 5, seed=seed)[2] for _ in range(3)] for seed in range(6)]

    for same in traces:
        assert same[0] == same[1] == same[2]
    assert any(trace[0] != traces[0][0] for trace in traces[1:])


async def over_sqlite(kernel: WorldKernel, path: str) -> list:
    done: list = []

    async def write(number: int) -> None:
        for place in range(4):
            appended = await runtime.workflow(number % 3).append("custom", b"%d/%d" % (number, place))
            done.append((number, appended.seq))

    async with open_runtime(path, kernel=kernel) as runtime:
        async with trio.open_nursery() as nursery:
            for number in range(6):
                kernel.spawn(nursery, write, number)
        states = [r async for r in runtime.replay_all(lambda s, e: [*s, e.payload], list)]
        for name in range(3):
            assert [event.seq for event in await runtime.workflow(name).read().list()] == list(range(1, 9))
    return [done, states]


def test_over_sqlite_the_same_seed_gives_the_same_run(tmp_path):
    """The production store under the same guard: no wait of its own outside the kernel either."""
    pytest.importorskip("treadle.stores.sqlite.store")
    runs = [run_in_world(over_sqlite, str(tmp_path / f"{n}.db"), seed=n // 2) for n in range(4)]

    assert runs[0] == runs[1]
    assert runs[2] == runs[3]
