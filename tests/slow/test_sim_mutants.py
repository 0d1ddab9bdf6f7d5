"""The proof of the tool: worlds find planted bugs within some seeds; the real code holds in all of them."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mutants import MUTANTS

import treadle

PACKAGE = Path(treadle.__file__).parent
PROCESSES = 2
MUTANTS_MIN = 60
CHILD_SECONDS_MAX = 200


def copy_of_package(folder):
    """Make a copy that may be changed; the tree never is."""
    shutil.copytree(PACKAGE, folder / "treadle", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run_worlds(folder, workload, seeds, stop):
    """Run worlds in the copy, in a process of its own."""
    command = [sys.executable, str(Path(__file__).parent / "mutant_worlds.py")]
    done = subprocess.run(
        [*command, str(folder), workload, str(seeds), stop],
        capture_output=True,
        text=True,
        timeout=CHILD_SECONDS_MAX,
        check=True,
    )
    return json.loads(done.stdout)


def find(mutant, folder):
    """Plant one bug and look for it."""
    copy = copy_of_package(folder)
    path = copy / "treadle" / mutant.file
    source = path.read_text(encoding="utf-8")
    assert 1 == source.count(mutant.old), f"{mutant.name}: its place in {mutant.file} is there once"
    path.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
    return run_worlds(copy, mutant.workload, mutant.seeds, "stop")


def test_each_planted_bug_has_its_place():
    """In the quick suite as well: whoever changes such a line changes the bug with it."""
    sources = {mutant.file: (PACKAGE / mutant.file).read_text(encoding="utf-8") for mutant in MUTANTS}

    assert [] == [mutant.name for mutant in MUTANTS if sources[mutant.file].count(mutant.old) != 1]


@pytest.mark.slow
def test_each_planted_bug_is_found_within_its_seeds(tmp_path):
    """By a violated promise, not by an error of the tool."""
    assert len(MUTANTS) >= MUTANTS_MIN
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    with ThreadPoolExecutor(PROCESSES) as pool:
        folders = [tmp_path / str(number) for number in range(len(MUTANTS))]
        found = list(pool.map(find, MUTANTS, folders))

    survived = [
        (mutant.name, one) for mutant, one in zip(MUTANTS, found, strict=True) if not one["violations"]
    ]
    assert [] == survived


@pytest.mark.slow
@pytest.mark.parametrize("workload", sorted({mutant.workload for mutant in MUTANTS}))
def test_the_real_code_holds_every_promise_over_the_same_seeds(tmp_path, workload):
    seeds = max(mutant.seeds for mutant in MUTANTS if mutant.workload == workload)

    held = run_worlds(copy_of_package(tmp_path), workload, seeds, "all")

    assert {"worlds": seeds, "violations": [], "errors": {}} == held
