"""The checks find what is wrong: bugs planted into the store under a world are each found in some seeds."""

import attrs
import pytest

from treadle.log import chain_digest, root_digest
from treadle.sim import Plan, fault_rates, run_world
from treadle.sim import running as running_module
from treadle.sim.places import MemoryPlace
from treadle.stores import Batch, Written
from treadle.stores.memory import MemoryStore

SEEDS = range(6)


def rechained(log, workflow_id):
    """Give a log the digests its events would have, so that no digest shows what was done to them."""
    digest = root_digest(workflow_id)
    log.digests.clear()
    for place, event in enumerate(log.events):
        log.events[place] = attrs.evolve(event, seq=place + 1)
        digest = chain_digest(digest, log.events[place])
        log.digests.append(digest)


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
        return [(name, log) for name, log in self._logs.items() if len(log.events) > 3]


class DropsAnAcknowledgedEvent(Buggy):
    def go_wrong(self, units, outcomes):
        for unit, outcome in zip(units, outcomes, strict=True):
            if isinstance(outcome, Written) and len(unit.batches) == 1:
                name = unit.batches[0].workflow_id
                log = self._logs[name]
                for kept in (log.events, log.digests, log.positions):
                    kept.pop()
                log.keys = {key: seq for key, seq in log.keys.items() if seq <= len(log.events)}
                return True
        return False


class DoublesAnEvent(Buggy):
    def go_wrong(self, _units, _outcomes):
        for name, log in self.long_logs():
            log.events.append(log.events[-1])
            log.positions.append(log.positions[-1])
            rechained(log, name)
            return True
        return False


class SwapsTwoLogsEvents(Buggy):
    def go_wrong(self, _units, _outcomes):
        logs = self.long_logs()[:2]
        if len(logs) < 2:
            return False
        (_, one), (_, other) = logs
        one.events[1], other.events[1] = other.events[1], one.events[1]
        for name, log in logs:
            rechained(log, name)
        return True


class SwapsTwoEventsOfALog(Buggy):
    def go_wrong(self, _units, _outcomes):
        for name, log in self.long_logs():
            log.events[0], log.events[1] = log.events[1], log.events[0]
            rechained(log, name)
            return True
        return False


class FlipsABit(Buggy):
    def go_wrong(self, _units, _outcomes):
        for _, log in self.long_logs():
            payload = log.events[1].payload
            log.events[1] = attrs.evolve(log.events[1], payload=payload[:-1] + bytes([payload[-1] ^ 1]))
            return True
        return False


class ForgetsKeys(Buggy):
    """Takes the same keyed event twice."""

    after = 0

    def go_wrong(self, _units, _outcomes):
        for log in self._logs.values():
            log.keys.clear()
        return False


class WritesWhatItRefuses(MemoryStore):
    async def append(self, units):
        outcomes = await super().append(units)
        for unit, outcome in zip(units, outcomes, strict=True):
            if not isinstance(outcome, Written) and unit.batches:
                batch: Batch = unit.batches[0]
                log = self._logs.get(batch.workflow_id)
                if log is not None and not outcome_is_repeat(outcome):
                    log.events += batch.events
                    log.positions += [log.positions[-1]] * len(batch.events)
                    rechained(log, batch.workflow_id)
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


@pytest.mark.parametrize("workload", ["logs", "workflows"])
def test_a_world_of_next_to_nothing_holds(workload):
    """Logs without an event, clients without an answer: nothing there is not nothing that fits."""
    for seed in range(30):
        plan = Plan(workload=workload, workflows=5, clients=2, operations=3, duration_seconds=9)
        assert () == run_world(seed, plan).violations
