"""Killed in the middle of following: state and checkpoint are there together, or neither is."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import trio
from projections_worker import COUNT, EACH, views

from treadle import open_store
from treadle.log import PROJECTIONS

pytestmark = pytest.mark.slow
WORKER = Path(__file__).parent / "projections_worker.py"
KILLS = 25
FOR_EVER = 1_000_000


def started(path, appends):
    command = [sys.executable, str(WORKER), str(path), str(appends)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    return process


def let_go(*processes):
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


async def held(path):
    """Read what is kept, and the feed up to where it says it goes."""
    async with open_store(path, read_only=True) as store:
        feed, after = [], 0
        while page := await store.feed(after):
            feed += page
            after = page[-1].position
        found = {}
        for projection in (COUNT, EACH):
            record = json.loads(await store.record(PROJECTIONS, projection.name.encode()))
            found[projection.name] = record["position"]
        states = {
            name: Counter(row.workflow_id for row in feed if row.position <= at) for name, at in found.items()
        }
        kept = views()
        count = await kept.stored("count", store=store)
        each = {
            name: await kept.stored("each", name, store=store) for name in {row.workflow_id for row in feed}
        }
        verdicts = await kept.verify(store=store)
    return found, states, count, each, verdicts


def test_a_kill_leaves_state_and_checkpoint_together(tmp_path):
    path = tmp_path / "killed.db"
    chance, positions = random.Random(7), []
    for _ in range(KILLS):
        process = started(path, FOR_EVER)
        let_go(process)
        time.sleep(0.05 + 0.3 * chance.random())
        process.kill()
        process.communicate()
        found, states, count, each, verdicts = trio.run(held, path)

        assert count == states["count"].total()
        assert {key: value for key, value in each.items() if value} == dict(states["each"])
        assert all(verdict.same for verdict in verdicts)
        positions.append(found["count"])

    assert positions == sorted(positions)
    assert len(set(positions)) > KILLS // 2, "they have hardly followed anything"


def test_of_two_processes_one_keeps_a_projection_up_and_the_other_stands_by(tmp_path):
    path = tmp_path / "two.db"
    processes = [started(path, 200) for _ in range(2)]
    let_go(*processes)
    seen = [json.loads(process.communicate(timeout=90)[0]) for process in processes]

    for name in ("count", "each"):
        assert any("standby" in one[name] for one in seen), "nobody has seen that there are two"
    *_, verdicts = trio.run(held, path)
    assert all(verdict.same for verdict in verdicts)
