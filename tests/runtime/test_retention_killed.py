"""SIGKILL in the middle of baseline, prune, compact or vacuum leaves what was before, or what is after."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from retention_worker import EVENTS, LOGS, NUMBERED

from treadle import open_runtime, open_store
from treadle.cli.audit import Audit
from treadle.runtime.retention import RetentionPolicy, Sweep

WORKER = Path(__file__).with_name("retention_worker.py")
pytestmark = pytest.mark.slow


def killed(path, seed):
    """Kill the worker somewhere; how many rounds of appends it has said are durable."""
    with subprocess.Popen(
        [sys.executable, str(WORKER), str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("kept 0")
        time.sleep(seed.random() * 0.7)  # a kill comes from outside, at any instant of real time
        os.kill(process.pid, signal.SIGKILL)
        lines = process.stdout.read().splitlines()
    return 1 + sum(line.startswith("kept") for line in lines)


async def whole(path, rounds):
    """Every log gives its state, no event is missing, the chains hold, and what was begun can be ended."""
    async with open_store(path) as store, open_runtime(store) as runtime:
        audit = Audit(store)
        await audit.check_structure()
        await audit.check_logs(await store.list_workflows())
        assert audit.damage == []
        for log in range(LOGS):
            count, ok = await runtime.workflow(f"log-{log}").replay(NUMBERED)
            assert ok
            assert count >= rounds * EVENTS
            assert count % EVENTS == 0
        await Sweep(runtime, RetentionPolicy()).run()
        for log in range(LOGS):
            (head,) = await store.heads([f"log-{log}"])
            assert head.next_seq - head.first_kept_seq <= EVENTS + 1
        shown = sum(
            head.next_seq - head.first_kept_seq for head in await store.heads(await store.list_workflows())
        )
        assert (await store.statistics()).events == shown
        assert await store.reclaim() == 0


async def test_a_kill_leaves_before_or_after(tmp_path):
    """Killed again and again over the same file, which has to take what was half done along."""
    seed = random.Random(5)
    rounds = 0
    for number in range(20):
        path = tmp_path / f"{number // 5}.db"
        rounds = killed(path, seed) + (rounds if number % 5 else 0)
        await whole(path, rounds)
