"""The checks find what is wrong: bugs planted into the store under a world are each found in some seeds."""

from array import array

import pytest

from treadle.log import chain_digest, root_digest
from treadle.sim import Plan, fault_rates, run_world
from treadle.sim import running as running_module
from treadle.sim.places import MemoryPlace
from treadle.stores import Batch, Written
from treadle.stores.memory import MemoryStore

SEEDS = range(6)

pytestmark = pytest.mark.slow


def rows_of(log):
    """What a log's columns hold, event by event."""
    return list(zip(log.timestamps, log.kinds, log.payloads, strict=True))


def put(log, rows):
    """Let a log hold other events, chained so that no digest shows what was done to them."""
    log.timestamps[:] = array("q", [timestamp for timestamp, _, _ in rows])
    log.kinds[:] = bytes(kind for _, kind, _ in rows)
    log.payloads[:] = [payload for _, _, payload in rows]
    digest = root_digest(log.workflow_id)
    log.digests[:] = digest
    for seq in range(1, len(rows) + 1):
        digest = chain_digest(digest, log.event(seq))
        log.digests += digest


class Buggy(MemoryStore):
    """One that goes wrong after some appends."""

    after = 20

    def __init__(self, kernel):
        super().__init__(kernel)
        self.done = False

    async def append(self, units):
        outcomes = await super().append(units)
        if not self.done and self._commits > self.after and any(isinstance(o, Written) for o in outcomes):
            self.done = self.go_wrong(units, outcomes)
        return outcomes

    def long_logs(self):
        return [log for log in self._logs.values() if len(log.payloads) > 3]


class DropsAnAcknowledgedEvent(Buggy):
    def go_wrong(self, units, outcomes):
        for unit, outcome in zip(units, outcomes, strict=True):
            if isinstance(outcome, Written) and len(unit.batches) == 1:
                log = self._logs[unit.batches[0].workflow_id]
                put(log, rows_of(log)[:-1])
                log.positions.pop()
                keys, last = log.keys or {}, len(log.payloads)
                log.keys = {key: seqs for key, seqs in keys.items() if seqs[-1] <= last}
                return True
        return False


class DoublesAnEvent(Buggy):
    def go_wrong(self, _units, _outcomes):
        for log in self.long_logs():
            rows = rows_of(log)
            put(log, [*rows, rows[-1]])
            log.positions.append(log.positions[-1])
            return True
        return False


class SwapsTwoLogsEvents(Buggy):
    def go_wrong(self, _units, _outcomes):
        logs = self.long_logs()[:2]
        if len(logs) < 2:
            return False
        one, other = map(rows_of, logs)
        one[1], other[1] = other[1], one[1]
        put(logs[0], one)
        put(logs[1], other)
        return True


class SwapsTwoEventsOfALog(Buggy):
    def go_wrong(self, _units, _outcomes):
        for log in self.long_logs():
            first, second, *rest = rows_of(log)
            put(log, [second, first, *rest])
            return True
        return False


class FlipsABit(Buggy):
    def go_wrong(self, _units, _outcomes):
        for log in self.long_logs():
            payload = log.payloads[1]
            log.payloads[1] = payload[:-1] + bytes([payload[-1] ^ 1])
            return True
        return False


class ForgetsKeys(Buggy):
    """Takes the same keyed event twice."""

    after = 0

    def go_wrong(self, _units, _outcomes):
        for log in self._logs.values():
            log.keys = None
        return False


class WritesWhatItRefuses(MemoryStore):
    async def append(self, units):
        outcomes = await super().append(units)
        for unit, outcome in zip(units, outcomes, strict=True):
            if not isinstance(outcome, Written) and unit.batches:
                batch: Batch = unit.batches[0]
                log = self._logs.get(batch.workflow_id)
                if log is not None and not outcome_is_repeat(outcome):
                    offered = [(event.timestamp, event.kind, event.payload) for event in batch.events]
                    put(log, rows_of(log) + offered)
                    log.positions.extend([log.positions[-1]] * len(offered))
        return outcomes


def outcome_is_repeat(outcome):
    return type(outcome).__name__ == "Repeated"


class ReadsPastALine(MemoryStore):
    """Pages skip an event, so followers miss it."""

    async def read(self, workflow_id, from_seq=1, to_seq=None, *, limit=1_000):
        events = await super().read(workflow_id, from_seq, to_seq, limit=limit)
        return events[1:] if from_seq > 1 and len(events) > 1 else events


BUGS = [
    DropsAnAcknowledgedEvent,
    DoublesAnEvent,
    SwapsTwoLogsEvents,
    SwapsTwoEventsOfALog,
    FlipsABit,
    ForgetsKeys,
    WritesWhatItRefuses,
    ReadsPastALine,
]


def worlds(monkeypatch, store):
    """Run some worlds over another store."""

    class Place(MemoryPlace):
        def __init__(self, kernel):
            super().__init__(kernel)
            self._store = store(kernel)

    monkeypatch.setattr(running_module, "MemoryPlace", Place)
    plan = Plan(faults=fault_rates(["all"]), workflows=3, clients=4, duration_seconds=300)
    return [run_world(seed, plan) for seed in SEEDS]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found_within_some_seeds(monkeypatch, bug):
    runs = worlds(monkeypatch, bug)

    assert [run.seed for run in runs if not run.holds]
    assert not any(found.promise == "raises_nothing" for run in runs for found in run.violations)


def test_where_nothing_was_planted_nothing_is_found(monkeypatch):
    assert all(run.holds for run in worlds(monkeypatch, MemoryStore))


@pytest.mark.parametrize("workload", ["logs", "lifetimes", "workflows", "durable_lifetimes"])
def test_a_world_of_next_to_nothing_holds(workload):
    """Logs without an event, clients without an answer: nothing there is not nothing that fits."""
    for seed in range(30):
        plan = Plan(workload=workload, workflows=5, clients=2, operations=3, duration_seconds=9)
        assert () == run_world(seed, plan).violations
