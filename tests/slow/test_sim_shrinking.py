"""The proof of shrinking: real bugs, planted into a copy of the package, found, made small, and shown again.

Each step is a process of its own, as a user's would be.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from mutants import JUDGING, MEMORY, MUTANTS
from test_sim_mutants import copy_of_package

import treadle

pytestmark = pytest.mark.slow

SMALLER = 3
"""How many times fewer lines the history of the shrunk run has at least; it is mostly ten times."""
COMMAND_SECONDS_MAX = 400


def planted(name, file=None):
    """Find a bug of the other tests by its name."""
    (found,) = [one for one in MUTANTS if one.name == name and file in {None, one.file}]
    return found


BUGS = {
    "memory store": (planted("a key is not remembered", MEMORY), ("logs",)),
    "disk store": (planted("keys are not written"), ("logs", "--store", "disk", "--faults", "duplicate=500")),
    "workflows": (planted("a signal reaches the code twice"), ("workflows",)),
    "stale runners": (planted("an epoch is not compared", JUDGING), ("workflows", "--faults", "pause=60000")),
}


@pytest.fixture
def call(tmp_path):
    """Run treadle from a copy of the package, in the test's folder."""

    def run(*arguments, copy):
        ran = subprocess.run(
            [sys.executable, "-m", "treadle", *arguments, "-o", "json"],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert ran.returncode in {0, 4}, ran.stderr
        return ran.returncode, json.loads(ran.stdout)

    return run


def plant(bug, folder):
    copy = copy_of_package(folder)
    path = copy / "treadle" / bug.file
    source = path.read_text()
    assert source.count(bug.old) == 1
    path.write_text(source.replace(bug.old, bug.new))
    return copy


def broken(told):
    return {promise for promise, count in told["promises"].items() if count}


@pytest.mark.parametrize("kind", BUGS)
def test_a_planted_bug_is_shrunk_and_its_command_shows_it_in_a_fresh_process(kind, call, tmp_path):
    bug, options = BUGS[kind]
    copy = plant(bug, tmp_path / "copy")
    _, soaked = call("sim", "soak", *options, "--seeds", "60", copy=copy)
    history = soaked["broken"][0]["history"]
    _, first = call("sim", "replay", "--history", history, copy=copy)

    code, shrunk = call("sim", "shrink", "--history", history, "--minutes", "1", copy=copy)

    assert code == 4
    assert broken(first) & broken(shrunk)
    assert shrunk["lines"] * SMALLER <= first["lines"]
    sizes = shrunk["sizes"]
    assert all(one["to"] <= one["from"] for name, one in sizes.items() if name not in {"seed", "decisions"})

    words = shlex.split(shrunk["reproduce"])[1:]
    code, again = call(*words, copy=copy)
    assert (code, again["digest"]) == (4, shrunk["digest"])
    _, replayed = call("sim", "replay", "--history", shrunk["history"], copy=copy)
    assert (replayed["same"], replayed["same_code"]) == (True, True)
    # It is the bug that was planted, and nothing else: without it the same world holds.
    assert call(*words, copy=Path(treadle.__file__).parents[1])[0] == 0


def test_a_crash_that_loses_what_was_acknowledged_is_found_and_shrunk(call, tmp_path):
    """From `sim crash`, whose kills no option says."""
    bug = planted("a message is used, and not taken in the same unit")
    copy = plant(bug, tmp_path / "copy")
    small = ("workflows", "--workflows", "2", "--duration", "60", "--faults", "none", "--pairs", "0")
    worlds = (call("sim", "crash", str(seed), *small, copy=copy)[1] for seed in range(20))
    found = next((told["broken"][0] for told in worlds if told["broken"]), None)
    assert found is not None

    code, shrunk = call("sim", "shrink", "--history", found["history"], "--minutes", "1", copy=copy)

    assert code == 4
    code, again = call(*shlex.split(shrunk["reproduce"])[1:], copy=copy)
    assert (code, again["digest"]) == (4, shrunk["digest"])
    assert shrunk["sizes"]["kills"]["to"] <= shrunk["sizes"]["kills"]["from"]


def test_an_order_that_loses_a_message_is_searched_for_and_shrunk(call, tmp_path):
    """One task is late by one decision; where no order of a seed shows that, what was forced is kept."""
    bug = planted("a message between the last look and falling asleep is lost")
    copy = plant(bug, tmp_path / "copy")
    small = ("logs", "--workflows", "1", "--clients", "3", "--operations", "6", "--duration", "1")
    options = (*small, "--faults", "none", "--runs", "300")
    worlds = (call("sim", "search", str(seed), *options, copy=copy)[1] for seed in range(1, 20))
    found = next((told["broken"][0] for told in worlds if told["broken"]), None)
    assert found is not None
    assert 1 == len(found["forced"])

    code, shrunk = call("sim", "shrink", "--history", found["history"], "--minutes", "1", copy=copy)

    assert code == 4
    assert shrunk["sizes"]["lines"]["to"] <= shrunk["sizes"]["lines"]["from"]
    assert shrunk["sizes"]["operations each"]["to"] < 6
    code, again = call(*shlex.split(shrunk["reproduce"])[1:], copy=copy)
    assert (code, again["digest"]) == (4, shrunk["digest"])
