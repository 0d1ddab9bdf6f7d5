"""Several processes on one file, and processes that die."""

import os
import random
import signal
import time

import pytest
from sqlite_helpers import chain_is_whole, opened, payloads_of, run_worker, start_worker


async def test_two_processes_that_race_on_one_log_leave_no_gap(tmp_path):
    path = tmp_path / "store.db"
    racers = [start_worker("race", path, "shared", 60, mark) for mark in "xy"]
    won = [[int(line) for line in racer.communicate(timeout=60)[0].split()] for racer in racers]

    assert [racer.returncode for racer in racers] == [0, 0]
    assert sorted(won[0] + won[1]) == list(range(1, 121))

    async with opened(path) as store:
        stored = await payloads_of(store, "shared")
        assert [stored[seq - 1] for seq in won[0]] == [b"x"] * 60
        assert chain_is_whole(await store.audit("shared"), "shared")
        assert await store.check_structure() == []


async def test_what_another_process_writes_is_seen(tmp_path):
    path = tmp_path / "store.db"
    async with opened(path) as store:
        counter = await store.change_counter()
        run_worker("append", path, "foreign", "a")

        assert await store.change_counter() != counter
        assert await payloads_of(store, "a") == [b"foreign"]


def write_until_killed(path, seed):
    """Kill a writer somewhere; the lines it had written, one for each group it was told is durable."""
    process = start_worker("write_until_killed", path, 100_000)
    process.stdout.readline()
    time.sleep(seed.random() * 0.15)  # a kill comes from outside, at any instant of real time
    os.kill(process.pid, signal.SIGKILL)
    lines = process.stdout.read().splitlines()
    process.stdout.close()
    process.wait()
    return lines


async def kill_and_look(path, seed):
    """Everything acknowledged before a kill is there, and whole."""
    lines = write_until_killed(path, seed)
    acknowledged = int(lines[-1]) - 1 if lines else 1
    async with opened(path) as store:
        for number in range(20):
            rows = await store.audit(f"log-{number}", limit=1_000_000)
            assert len(rows) >= acknowledged
            assert chain_is_whole(rows, f"log-{number}")
        assert await store.check_structure() == []


async def test_sigkill_loses_nothing_acknowledged(tmp_path):
    seed = random.Random(1)
    for _ in range(2):
        await kill_and_look(tmp_path / "store.db", seed)


@pytest.mark.slow
async def test_fifty_times_sigkill_loses_nothing_acknowledged(tmp_path):
    seed = random.Random(2)
    for number in range(50):
        await kill_and_look(tmp_path / f"{number // 10}.db", seed)
