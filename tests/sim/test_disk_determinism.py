"""The same seed leaves the same bytes: in any process, under any hash seed, on every Python we support."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import apsw
import pytest
from disk_scenarios import medium_scenario, store_scenario

ROOT = Path(__file__).parents[2]
SCENARIOS = Path(__file__).with_name("disk_scenarios.py")
MEDIUM_DIGEST = "f0f25402718ef554a082aff12c8aaa3c"
"""Literal, so that every Python the suite runs on is held against every other."""
MODULES = ("trio", "attrs", "msgspec", "apsw")


def run(python: str, scenario: str, hash_seed: str = "0") -> str:
    """Run a scenario in another process."""
    done = subprocess.run(
        [python, str(SCENARIOS), scenario],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr

    return done.stdout


def pythons() -> list[str]:
    """Find the supported Pythons of this machine: the gate's environments, and what pyenv has."""
    homes = [
        *ROOT.glob(".venv*"),
        *Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob("versions/*"),
    ]
    return sorted(str(home / "bin" / "python") for home in homes if (home / "bin" / "python").exists())


@cache
def abilities(python: str) -> tuple[tuple[int, int], str | None]:
    """Tell a Python's version, and the SQLite it could open a store with."""
    code = (
        "import importlib.util as u, json, sys\n"
        f"there = all(u.find_spec(name) for name in {MODULES})\n"
        "sqlite = None\n"
        "if there:\n import apsw; sqlite = apsw.sqlite_lib_version()\n"
        "print(json.dumps([sys.version_info[:2], sqlite]))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        return (0, 0), None
    version, sqlite = json.loads(done.stdout)
    return tuple(version), sqlite


def one_of(minor: int, sqlite: str | None) -> str:
    """Find a Python of a version, with an SQLite for a store if need be, or skip."""
    for python in pythons():
        version, its_sqlite = abilities(python)
        if version == (3, minor) and sqlite in {None, its_sqlite}:
            return python
    pytest.skip(f"there is no Python 3.{minor} here" + (f" with SQLite {sqlite}" if sqlite else ""))


def test_the_medium_is_the_same_here():
    assert medium_scenario() == MEDIUM_DIGEST


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_the_medium_is_the_same_on_every_python(minor):
    assert run(one_of(minor, None), "medium") == MEDIUM_DIGEST


def test_a_store_leaves_the_same_bytes_again_in_the_same_process():
    """Whatever SQLite has drawn before, for others, has no part in it."""
    first = store_scenario()
    apsw.randomness(7)

    assert store_scenario() == first


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_a_store_leaves_the_same_bytes_in_other_processes(hash_seed):
    assert run(sys.executable, "store", hash_seed) == store_scenario()


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_a_store_leaves_the_same_bytes_on_every_python(minor):
    """With the same SQLite, whose version is in each file's header."""
    assert run(one_of(minor, apsw.sqlite_lib_version()), "store") == store_scenario()
