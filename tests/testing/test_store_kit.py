"""The store kit finds what is wrong: each planted fault fails a check, and the state machine too."""

import subprocess
import sys

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from treadle.kernel import InlineKernel
from treadle.stores import Graft, Refused, Repeated, Unit
from treadle.stores.memory import MemoryStore
from treadle.testing import LogWriter, check_name, store_checks, store_machine


class FactoryOf:
    """Opens one of the broken stores below."""

    durable = False

    def __init__(self, cls):
        self.cls = cls

    def open(self):
        return Opened(self.cls(InlineKernel()))


class Opened:
    """A store already open, closed at the end of the block."""

    def __init__(self, store):
        self.store = store

    async def __aenter__(self):
        return self.store

    async def __aexit__(self, *_):
        await self.store.aclose()


class IgnoresDigests(MemoryStore):
    """Compares the seq alone."""

    async def append(self, units):
        heads = {head.workflow_id: head for unit in units for head in map(self._head, _logs(unit))}
        return await super().append([_with_digests(unit, heads) for unit in units])


def _logs(unit):
    return [batch.workflow_id for batch in unit.batches]


def _with_digests(unit, heads):
    if isinstance(unit, Graft) or unit.branches or unit.begun:
        return unit  # what begins a log says its digest twice, and would be no unit any more
    return unit._replace(
        batches=tuple(
            batch._replace(digest_before=heads[batch.workflow_id].digest)
            if batch.events and batch.events[0].seq == heads[batch.workflow_id].next_seq
            else batch
            for batch in unit.batches
        )
    )


class WritesRepeatsAgain(MemoryStore):
    """Takes a repeat for something to be told in the feed."""

    told_again = False

    def _decide(self, unit, view):
        outcome = super()._decide(unit, view)
        self.told_again = isinstance(outcome, Repeated)
        return outcome

    async def feed(self, *args, **options):
        found = await super().feed(*args, **options)
        again = [found[-1]._replace(position=found[-1].position + 1)] if found else []
        return found + (again if self.told_again else [])


class HalfUnits(MemoryStore):
    """Keeps the records of a refused unit."""

    def _decide(self, unit, view):
        outcome = super()._decide(unit, view)
        if isinstance(outcome, Refused) and not isinstance(unit, Graft):
            self._apply(Unit(records=unit.records))
        return outcome


class ForgetsTakenMessages(MemoryStore):
    """Knows a message only while it waits."""

    def _apply(self, unit):
        super()._apply(unit)
        for mailbox in self._mailboxes.values():
            mailbox.known = set(mailbox.waiting)


class PagesShort(MemoryStore):
    """Gives one event less than asked for."""

    async def read(self, workflow_id, from_seq=1, to_seq=None, *, limit=2_000):
        return (await super().read(workflow_id, from_seq, to_seq, limit=limit))[: max(1, limit - 1)]


class SortsByTime(MemoryStore):
    """Answers `between` in the order of the times."""

    async def between(self, workflow_id, since, until, *, after_seq=0, limit=2_000):
        found = await super().between(workflow_id, since, until, after_seq=after_seq, limit=limit)
        return sorted(found, key=lambda event: event.timestamp)


class MatchesPatterns(MemoryStore):
    """Takes a prefix for a pattern."""

    async def list_workflows(self, *, prefix="", after=None, status=None, limit=1_000):
        return await super().list_workflows(
            prefix=prefix.rstrip("%"), after=after, status=status, limit=limit
        )


class StandsStill(MemoryStore):
    """Fences nobody."""

    async def raise_epoch(self):
        await super().raise_epoch()
        self._epoch = 1
        return 1


class TrustsTokens(MemoryStore):
    """Takes any token of its own for a fresh head, and compares the seq alone."""

    def _head(self, workflow_id):
        return super()._head(workflow_id)._replace(token="good")  # noqa: S106  # no password

    def _decide(self, unit, view):
        if isinstance(unit, Graft):
            return super()._decide(unit, view)
        return super()._decide(unit._replace(batches=tuple(map(self._trusted, unit.batches))), view)

    def _trusted(self, batch):
        head = self._head(batch.workflow_id)
        fits = batch.token == head.token and batch.events[0].seq == head.next_seq
        return batch._replace(digest_before=head.digest) if fits else batch


class LosesFacts(MemoryStore):
    """Clears the facts with a batch that has none."""

    def _apply_batch(self, batch):
        super()._apply_batch(batch)
        self._logs[batch.workflow_id].facts = batch.facts


class ForgetsWhatItShares(MemoryStore):
    """Gives branches their own events alone."""

    def _begin(self, unit):
        super()._begin(unit)
        for branch in unit.branches:
            self._logs[branch.workflow_id].shared = ()


class CutsAnyHead(MemoryStore):
    """Cuts a log wherever it stands by now."""

    async def append(self, units):
        return await super().append(_each(units, self._moved))

    def _moved(self, unit):
        cuts = []
        for cut in unit.cuts:
            head = self._head(cut.workflow_id)
            cuts.append(cut._replace(next_seq=max(head.next_seq, cut.first_kept_seq), digest=head.digest))
        return unit._replace(cuts=tuple(cuts))


def _each(units, change):
    """Change what is a unit; all else is for the store to refuse."""
    is_list = isinstance(units, list | tuple)
    return [change(unit) if isinstance(unit, Unit) else unit for unit in units] if is_list else units


class RemovesWhatIsShared(MemoryStore):
    """Asks only the log itself what is needed."""

    def _needed(self):
        return {}


class IgnoresPositions(MemoryStore):
    """Takes what was decided on an old listing."""

    async def append(self, units):
        return await super().append(_each(units, lambda unit: unit._replace(position=None)))


class KnowsKeysForEver(MemoryStore):
    """Finds the keys of events that were cut."""

    async def find_key(self, workflow_id, key):
        log = self._logs.get(workflow_id)
        seqs = (log.keys or {}).get(key) if log is not None else None
        return log.event(seqs[-1]) if seqs else await super().find_key(workflow_id, key)


class KnowsTheLatestUseOfAKey(MemoryStore):
    """Forgets that a branch shares the key of an event, once the parent has it for another one."""

    async def append(self, units):
        outcomes = await super().append(units)
        for log in self._logs.values():
            log.keys = {key: seqs[-1:] for key, seqs in (log.keys or {}).items()} or None
        return outcomes


class GuardsNoBeginnings(MemoryStore):
    """Takes a log that was cut for what was read of it before."""

    async def append(self, units):
        def blind(unit):
            return unit._replace(guards=tuple(guard._replace(first_kept_seq=None) for guard in unit.guards))

        return await super().append(_each(units, blind))


class ListsTheDeleted(MemoryStore):
    """Lists every log that ever had an event."""

    def _is_listed(self, workflow_id, *, hidden):
        return hidden or not self._logs[workflow_id].hidden


BROKEN = [
    IgnoresDigests,
    WritesRepeatsAgain,
    HalfUnits,
    ForgetsTakenMessages,
    PagesShort,
    SortsByTime,
    MatchesPatterns,
    StandsStill,
    LosesFacts,
    TrustsTokens,
    ForgetsWhatItShares,
    CutsAnyHead,
    RemovesWhatIsShared,
    IgnoresPositions,
    KnowsKeysForEver,
    KnowsTheLatestUseOfAKey,
    GuardsNoBeginnings,
    ListsTheDeleted,
]
# A key of what was cut, and a deleted log's branch, come up too seldom there: the checks look for them.
LIFETIMES = [ForgetsWhatItShares, CutsAnyHead, IgnoresPositions, ListsTheDeleted, KnowsTheLatestUseOfAKey]


async def first_failing_check(cls):
    for check in store_checks():
        try:
            await check(FactoryOf(cls))
        except (AssertionError, IndexError):  # reading what is gone ends in either
            return check_name(check)
    return None


@pytest.mark.parametrize("cls", BROKEN)
async def test_planted_fault_fails_a_check(cls):
    assert await first_failing_check(cls)


async def test_a_right_store_fails_none():
    assert await first_failing_check(MemoryStore) is None


@pytest.mark.parametrize(
    "cls",
    [
        IgnoresDigests,
        WritesRepeatsAgain,
        HalfUnits,
        LosesFacts,
        TrustsTokens,
        *(pytest.param(cls, marks=pytest.mark.slow) for cls in LIFETIMES),
    ],
)
def test_state_machine_tells_a_broken_store_from_the_reference(cls):
    machine = store_machine(lambda: FactoryOf(cls))
    thorough = settings(max_examples=300, deadline=None, derandomize=True, phases=[Phase.generate])

    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=thorough)


def test_checks_are_named_as_promises_and_say_them():
    names = [check_name(check) for check in store_checks()]

    assert sorted(set(names)) == sorted(names)
    assert len(names) > 80
    assert all(check.__doc__ for check in store_checks())


def test_writer_goes_on_where_a_head_stands():
    log = LogWriter.fresh(7)
    batch = log.batch(b"1", b"2", timestamps=(5,))

    assert [(1, 5), (2, 2_000)] == [(event.seq, event.timestamp) for event in batch.events]
    assert ("7", 3, batch.digests[1]) == (log.workflow_id, log.next_seq, log.digest)


def test_importing_the_kit_needs_neither_pytest_nor_hypothesis():
    code = (
        "import sys\n"
        "sys.modules['pytest'] = sys.modules['hypothesis'] = None\n"
        "import treadle.testing\n"
        "treadle.testing.store_checks()\n"
    )

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
