"""The pytest plugin: options and fixtures, and a start that does not import treadle."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import toy_shop_versions as versions

from treadle.testing import run_workflow

# Every test starts a pytest of its own, and that takes seconds.
pytestmark = pytest.mark.slow

HERE = Path(__file__).parent

FAULTY = """
import nondeterministic

def test_counts(rehearse):
    rehearse(nondeterministic.counts, activities={"step": "done"}, guard=False)
"""
CLEANS_UP_WRONGLY = """
import nondeterministic

def test_cleans_up(rehearse):
    nondeterministic.drawn["count"] = 0
    rehearse(nondeterministic.cleans_up_wrongly, activities={"step": "done"}, guard=False, paranoid=False)
    nondeterministic.drawn["count"] = 0
"""
HISTORIES = """
import toy_shop_versions as shop_versions
from treadle.testing import replay

def test_history(treadle_history):
    replay(treadle_history, shop_versions.VERSION)
"""
GUARDED = """
import nondeterministic
from treadle.testing import run_workflow

def test_draws(no_entropy):
    run_workflow(nondeterministic.draws, activities={"step": "done"}, guard=False)
"""

WORLDS = """
import pytest
import parcels
from treadle.sim import current_world, stand_in
from treadle.testing import lasting, simulate

async def takes_money(order_id, cents):
    await stand_in(200)
    notes = current_world().notes
    notes["cents"] = notes.get("cents", 0) + cents

@pytest.mark.parametrize("item", ["lid"])
def test_paid_once(item, world):
    models = {parcels.reserve: item, parcels.charge: takes_money, parcels.ship: lasting(1, "")}
    assert simulate(parcels.order, "o-1", 700, activities=models, world=world).notes["cents"] == 700

def test_without():
    pass
"""


def run_pytest(folder, code, *arguments, ini=""):
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {HERE} {HERE.parent / 'worlds'}\n{ini}")
    (folder / "test_it.py").write_text(code)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "_treadle_pytestplugin", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_plugin_does_not_import_treadle():
    """Every run of pytest in the user's environment loads it, also where there are no workflows."""
    code = "import _treadle_pytestplugin, sys; print([n for n in sys.modules if n.startswith('treadle')])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == ended.stdout.strip()


def test_option_makes_rehearsals_paranoid(tmp_path):
    without = run_pytest(tmp_path, FAULTY)
    paranoid = run_pytest(tmp_path, FAULTY, "--treadle-paranoid")
    by_ini = run_pytest(tmp_path, FAULTY, ini="treadle_paranoid = true\n")

    assert 0 == without.returncode, without.stdout
    assert 1 == paranoid.returncode == by_ini.returncode
    assert "number 2" in paranoid.stdout


def test_paranoid_rehearsals_are_evicted_as_well(tmp_path):
    assert 0 == run_pytest(tmp_path, CLEANS_UP_WRONGLY).returncode

    ended = run_pytest(tmp_path, CLEANS_UP_WRONGLY, "--treadle-paranoid")

    assert 1 == ended.returncode
    assert "NondeterminismError" in ended.stdout


def test_each_history_of_the_folder_is_a_test(tmp_path):
    histories = tmp_path / "histories"
    histories.mkdir()
    for number in (1, 2):
        rehearsal = run_workflow(versions.sale, "A", number, activities={"pick": 1, "charge": "r"})
        rehearsal.export(histories / f"sale-{number}.jsonl")
    ini = "treadle_histories = histories\n"

    same = run_pytest(tmp_path, HISTORIES.replace("VERSION", "sale"), "-v", ini=ini)
    changed = run_pytest(tmp_path, HISTORIES.replace("VERSION", "other_argument"), ini=ini)

    assert 0 == same.returncode, same.stdout
    assert "test_history[sale-1.jsonl] PASSED" in same.stdout
    assert "2 failed" in changed.stdout


@pytest.mark.parametrize(("ini", "words"), [("", "treadle_histories in the ini"), ("empty", "got none")])
def test_missing_histories_are_told(tmp_path, ini, words):
    """A folder that nobody fills would otherwise pass for ever."""
    (tmp_path / "empty").mkdir()
    ended = run_pytest(
        tmp_path, HISTORIES.replace("VERSION", "sale"), ini=f"treadle_histories = {ini}\n" if ini else ""
    )

    assert ended.returncode
    assert words in ended.stdout + ended.stderr


def test_fixture_guards_a_whole_test(tmp_path):
    ended = run_pytest(tmp_path, GUARDED)

    assert 1 == ended.returncode
    assert "EntropyError" in ended.stdout


def test_the_fixture_world_runs_a_test_in_many_worlds_and_tells_how_to_run_one_again(tmp_path):
    """The first crash that shows the bug is named by seed and append; pasted, its line shows it again."""
    ran = run_pytest(tmp_path, WORLDS, "-q")

    again = re.search(r"again: pytest '?(test_it\.py::\S+\])'?", ran.stdout)
    assert ran.returncode == 1, ran.stdout
    assert again is not None, ran.stdout
    assert "Conditions(seed=" in ran.stdout
    assert re.search(r"\d+ failed, \d+ passed", ran.stdout)
    only = run_pytest(tmp_path, WORLDS, "-q", again[1])
    assert "1 failed in" in only.stdout

    few = run_pytest(tmp_path, WORLDS, "-q", "--treadle-worlds", "3")
    assert "4 passed" in few.stdout
    none = run_pytest(tmp_path, WORLDS, "-q", "--treadle-worlds", "0")
    assert "treadle_worlds is a whole number from 1, got '0'" in none.stdout + none.stderr
    ini = run_pytest(tmp_path, WORLDS, "-q", ini="treadle_worlds = 2\n")
    assert "3 passed" in ini.stdout


def test_a_fixture_world_of_the_test_s_own_is_left_alone(tmp_path):
    code = "import pytest\n@pytest.fixture\ndef world(): return 7\ndef test_it(world): assert world == 7\n"

    assert "1 passed" in run_pytest(tmp_path, code, "-q").stdout
