"""A process killed in the middle of a branch, a transaction, a cut or a removal leaves before, or after."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import lifetimes_worker
import pytest
import trio

from treadle import open_runtime
from treadle.checkers import chain, gap_free
from treadle.events import EventKind

WORKER = Path(__file__).parent / "lifetimes_worker.py"
PLACES_MAX = 200
CHANGES = ("branch", "transact", "cut", "delete")
CHILD_SECONDS_MAX = 60
pytestmark = pytest.mark.slow


def carry_out(path, deed, place):
    """Run a deed in a process; tell whether it came to its end."""
    command = [sys.executable, str(WORKER), "one", str(path), deed, str(place)]
    done = subprocess.run(command, capture_output=True, timeout=CHILD_SECONDS_MAX, check=False)
    assert done.returncode in {0, -9}, done.stderr.decode()
    return done.returncode == 0


async def shown(runtime):
    """All that anybody can see of a store, without what differs between two runs of a deed."""
    store, logs = runtime.store, {}
    names = [*await store.list_workflows(hidden=True), "gone", "new"]
    for head in await store.heads(list(dict.fromkeys(names))):
        events = await store.read(head.workflow_id, head.first_kept_seq)
        rows = await store.audit(head.workflow_id, head.first_kept_seq - 1)
        first = head.first_kept_seq
        assert [] == gap_free(head.workflow_id, events, first_seq=first, next_seq=head.next_seq)
        assert [] == chain(
            head.workflow_id, rows, first_seq=first, digest_before=head.digest_before, head=head[1:3]
        )
        logs[head.workflow_id] = (first, [_told(event) for event in events], [row.key for row in rows])
    feed = [(one.workflow_id, one.event.seq) for one in await store.feed(0, limit=1_000)]
    assert [] == await store.check_structure()
    return logs, feed, await store.list_workflows()


def _told(event):
    return event.seq, event.kind, None if event.kind is EventKind.BRANCHED else event.payload


def look(path, then=None):
    """Open a store and look at it, after one more deed perhaps."""

    async def main():
        async with open_runtime(path) as runtime:
            if then is not None:
                await then(runtime)
            return await shown(runtime)

    return trio.run(main)


def copied(folder, to):
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    return to / "store.db"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder with a store, and what it shows."""
    folder = tmp_path_factory.mktemp("filled")
    return folder, look(folder / "store.db", lifetimes_worker.fill)


@pytest.mark.parametrize("deed", CHANGES)
def test_a_change_that_is_killed_at_any_statement_is_there_whole_or_not_at_all(filled, tmp_path, deed):
    folder, before = filled
    after = look(copied(folder, tmp_path / "whole"), getattr(lifetimes_worker, deed))
    assert before != after
    found = []
    for place in range(1, PLACES_MAX):
        path = copied(folder, tmp_path / "killed")
        ended = carry_out(path, deed, place)
        found.append(look(path))
        if ended:
            break

    assert ended
    assert all(one in (before, after) for one in found)
    assert len(found) > 3
    assert found[0] == before
    assert found[-1] == after


@pytest.mark.parametrize("deed", ["reclaim", "compact"])
def test_nobody_sees_a_removal_that_is_killed_and_it_can_be_carried_on(filled, tmp_path, deed):
    folder, before = filled
    place = 1
    while not carry_out(path := copied(folder, tmp_path / "killed"), deed, place):
        assert look(path) == before
        assert look(path, getattr(lifetimes_worker, deed)) == before
        place += 3 if deed == "reclaim" else 7
        assert place < PLACES_MAX * 7

    assert look(path) == before
    assert place > 10


def kill_somewhere(path, seed, seconds):
    """Kill a busy process; the lines in which it told what was acknowledged."""
    command = [sys.executable, str(WORKER), "many", str(path), str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n", process.stderr.read().decode()
    time.sleep(seconds)  # a kill comes from outside, at any instant of real time
    process.kill()
    lines = process.stdout.read().decode().splitlines()
    assert b"" == process.stderr.read()
    process.wait()
    process.stdout.close()
    process.stderr.close()
    return [line.split(" ") for line in lines]


def test_all_that_was_told_before_a_kill_is_there_and_no_twin_is_alone(tmp_path):
    draws, path, told = random.Random(3), tmp_path / "store.db", []
    for seed in range(12):
        told += kill_somewhere(path, seed, draws.random() * 0.5)

        logs, _, _ = look(path)
        assert logs.get("twin-0") == logs.get("twin-1")

    async def next_seqs(runtime):
        for what, name, *seq in told:
            if what == "together":
                assert await runtime.workflow("twin-0").next_seq() > int(name)
            else:
                assert await runtime.workflow(name).next_seq() > int(seq[0])
        return runtime

    look(path, next_seqs)
    assert {"appended", "branched", "together"} == {what for what, *_ in told}
