"""Thousands of simulated power cuts through the store itself: nothing acknowledged is ever lost.

And the same cuts under settings that do lose, because a test that cannot fail proves nothing.
"""

import collections
import random

import apsw
import pytest

from treadle.errors import StoreError
from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.kernel import InlineKernel
from treadle.log import chain_digest, root_digest
from treadle.sim import PowerCutError, SimulatedDisk
from treadle.stores import Batch, Head, StoreOptions, Unit
from treadle.stores.sqlite import open_store, scan_wal

pytestmark = pytest.mark.slow

LOGS = [workflow_id(f"log-{number}") for number in range(6)]


def unit_of(head: Head, payload: bytes) -> Unit:
    """Make a unit of one event."""
    event = WorkflowEvent(head.next_seq, head.next_seq, EventKind.CUSTOM, payload)
    return Unit(
        (
            Batch(
                head.workflow_id,
                head.digest,
                (event,),
                (chain_digest(head.digest, event),),
                token=head.token,
            ),
        )
    )


class World:
    """One disk, many cuts; the disk of the one before is the next one's beginning, for a few rounds."""

    def __init__(self, *, synchronous: str = "FULL", lying: bool = False, powersafe: bool = True) -> None:
        self.disk = SimulatedDisk(draw=random.random, powersafe_overwrite=powersafe)
        self.synchronous = synchronous
        self.lying = lying
        self.acknowledged: collections.Counter = collections.Counter()

    async def live_until_the_cut(self, seed: random.Random) -> None:
        """Write groups and checkpoint now and then, until the power goes."""
        self.disk.draw = seed.random
        store = await open_store(StoreOptions("/db", "/db"), InlineKernel(), vfs=self.disk.name)
        try:
            store._writer.connection.pragma("synchronous", self.synchronous)
            store._writer._checkpoint_at = seed.randrange(20, 80)
            self.disk.lying = self.lying
            self.disk.cut_at = self.disk.operations + seed.randrange(5, 400)
            while True:
                chosen = seed.sample(LOGS, seed.randrange(1, 5))
                heads = await store.heads(chosen)
                await store.append([unit_of(head, seed.randbytes(seed.randrange(900))) for head in heads])
                for head in heads:
                    self.acknowledged[head.workflow_id] = head.next_seq
                await store.maintain()
        except PowerCutError:
            pass
        finally:
            # Of a process without power nothing reaches the disk; this only frees what Python holds.
            await store.aclose()
            self.disk.lying = False

    async def loss(self) -> str | None:
        """Open again and say what is wrong, or None; never raises for a damaged disk."""
        wal = self.disk.durable_files().get("/db-wal", b"")
        try:
            alarm = scan_wal(_Reader(wal)).bad_frame
            store = await open_store(StoreOptions("/db", "/db"), InlineKernel(), vfs=self.disk.name)
        except (StoreError, UnicodeDecodeError) as error:
            return f"not to be opened: {error}"
        try:
            if alarm is not None:
                return f"the scan of the log alarms at frame {alarm}"
            if damage := await store.check_structure():
                return f"damage: {damage[0].message}"
            for name in LOGS:
                if problem := self._problem(name, await store.audit(name, limit=1_000_000)):
                    return problem
        except (StoreError, UnicodeDecodeError) as error:
            return f"not to be read: {error}"
        finally:
            await store.aclose()
        return None

    def _problem(self, name, rows):
        digest = root_digest(name)
        for seq, row in enumerate(rows, 1):
            if row.seq != seq:
                return f"{name}: a gap at {seq}"
            digest = chain_digest(digest, WorkflowEvent(row.seq, row.timestamp, row.kind, row.payload))
            if row.digest != digest:
                return f"{name}: the chain breaks at {seq}"
        if len(rows) < self.acknowledged[name]:
            return f"{name}: {self.acknowledged[name]} acknowledged, {len(rows)} there"
        return None


class _Reader:
    """Bytes as the scan reads them."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    def read(self, size: int) -> bytes:
        part = self._content[self._place : self._place + size]
        self._place += size
        return part


async def losses(count: int, **settings) -> list[str]:
    """Cut the power many times; what was lost, with the seeds to see it again."""
    found = []
    world = None
    for number in range(count):
        if world is None or number % 10 == 0:
            world = World(**settings)
        seed = random.Random(number)
        await world.live_until_the_cut(seed)
        if problem := await world.loss():
            found.append(f"cut {number}: {problem}")
            world = None
    return found


async def test_two_thousand_power_cuts_lose_nothing_acknowledged():
    assert await losses(2_000) == []


async def test_the_same_cuts_lose_events_when_commits_are_not_synced():
    """Synchronous NORMAL leaves the newest commits to the next checkpoint."""
    assert len(await losses(100, synchronous="NORMAL")) > 10


async def test_the_same_cuts_lose_events_on_a_disk_that_lies():
    assert len(await losses(100, lying=True)) > 10


async def test_cuts_on_a_disk_that_endangers_whole_sectors_lose_nothing():
    """SQLite is told so, and fills the last sector of a commit up."""
    assert await losses(300, powersafe=False) == []


async def test_the_same_cuts_lose_events_when_sqlite_is_not_told(monkeypatch):
    """What was synced long ago goes with what is written beside it."""
    monkeypatch.setattr(
        "treadle.sim.disk.mount.OpenFile.xDeviceCharacteristics",
        lambda _: apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE,
    )

    assert len(await losses(300, powersafe=False)) > 3
