"""Hundreds of lives on disks that fail in every way at once: what was answered is what is there.

Acknowledged is there, in order; refused is not there; unknown may be either. A life ends in peace, by a
crash or by a power cut, and the next one begins with what is left.
"""

import random

import attrs
import pytest

from treadle.errors import OutcomeUnknownError, StoreError, StorePoisonedError
from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.kernel import InlineKernel
from treadle.log import chain_digest, root_digest
from treadle.sim import PowerCutError, Problem, SimulatedDisk
from treadle.stores import Batch, StoreOptions
from treadle.stores.sqlite import open_store

pytestmark = pytest.mark.slow

LOGS = [workflow_id(name) for name in "abc"]
FULL_OR_BROKEN = {"write": (Problem.FULL, 1.0), "sync": (Problem.IO, 0.2), "read": (Problem.IO, 0.2)}


@attrs.define
class Answers:
    """What was said of each payload; payloads are unlike each other."""

    acknowledged: dict = attrs.Factory(lambda: {name: [] for name in LOGS})
    refused: set = attrs.Factory(set)
    sent: int = 0


async def opened(disk):
    return await open_store(StoreOptions("/db", "/db"), InlineKernel(), vfs=disk.name)


def afflict(disk, seed):
    """Choose what ails the disk in this life."""
    chance = seed.choice([0.02, 0.1, 0.4])
    failing = seed.choice(["write", "sync", "read", "none"])

    def fault(operation, _file):
        problem, often = FULL_OR_BROKEN.get(operation, (Problem.IO, 0.2))
        return problem if operation == failing and seed.random() < chance * often else None

    disk.fault = fault
    if seed.random() < 0.3:
        disk.cut_at = disk.operations + seed.randrange(1, 200)
    if seed.random() < 0.3:
        disk.room_bytes = sum(map(len, disk.files().values())) + seed.randrange(60_000)


def heal(disk):
    disk.fault = disk.cut_at = disk.room_bytes = None


async def send(store, answers, seed):
    """Append one event and remember the answer."""
    answers.sent += 1
    payload, name = b"%d:" % answers.sent + bytes(seed.randrange(2_000)), seed.choice(LOGS)
    try:
        [head] = await store.heads([name])
        event = WorkflowEvent(head.next_seq, 1, EventKind.CUSTOM, payload)
        await store.append([Batch(name, head.digest, (event,), (chain_digest(head.digest, event),))])
    except OutcomeUnknownError:
        raise
    except StoreError:
        answers.refused.add(payload)
        raise
    answers.acknowledged[name].append(payload)


async def live(disk, answers, seed):
    """Open, append until enough or until the end, close."""
    store = await opened(disk)
    afflict(disk, seed)
    try:
        for _ in range(seed.randrange(5, 25)):
            store._writer._checkpoint_at = seed.choice([0, 10, 1_000])
            try:
                await send(store, answers, seed)
                await store.maintain()
            except (OutcomeUnknownError, StorePoisonedError):
                break
            except StoreError:
                disk.room_bytes = disk.room_bytes and disk.room_bytes + seed.randrange(20_000)
        await store.aclose()
    except PowerCutError:
        await store.aclose()
    heal(disk)
    seed.choice([disk.cut_power, disk.sever, lambda: None])()


async def check(disk, answers):
    """Hold what is there against the answers, and take it for the truth from here on."""
    store = await opened(disk)

    assert await store.check_structure() == []

    for name in LOGS:
        digest, found = root_digest(name), []
        for seq, row in enumerate(await store.audit(name, limit=100_000), 1):
            digest = chain_digest(digest, WorkflowEvent(row.seq, row.timestamp, row.kind, row.payload))
            assert (row.seq, row.digest) == (seq, digest)
            found.append(row.payload)
        known = set(answers.acknowledged[name])

        assert [payload for payload in found if payload in known] == answers.acknowledged[name]
        assert answers.refused.isdisjoint(found)

        answers.acknowledged[name] = found
    await store.aclose()


@pytest.mark.parametrize("part", range(10))
async def test_what_was_answered_is_what_is_there(part):
    for number in range(part * 30, part * 30 + 30):
        seed, answers = random.Random(number), Answers()
        with SimulatedDisk(draw=seed.random) as disk:
            for _ in range(6):
                await live(disk, answers, seed)
                await check(disk, answers)
