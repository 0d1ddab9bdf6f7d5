"""The page on testing workflows: its tests are run by pytest, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# Every test starts a pytest of its own, and that takes seconds.
pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "test-workflows.md"
BLOCKS = [
    block
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    if "def test_" in block
]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_test_of_the_page_passes(number, tmp_path):
    """Also those that running the block as a program only defines."""
    (tmp_path / "test_page.py").write_text(BLOCKS[number])
    histories = tmp_path / "tests" / "histories"
    histories.mkdir(parents=True)
    if "treadle_history" in BLOCKS[number]:
        write_history(tmp_path, histories / "greet.jsonl")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntreadle_histories = tests/histories\n")

    ended = pytest_in(tmp_path)

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert re.search(r"\d passed", ended.stdout)


def pytest_in(folder):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "_treadle_pytestplugin", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def write_history(folder, path):
    code = (
        "import test_page; from treadle.testing import run_workflow;"
        f" run_workflow(test_page.greet, 'ann').export({str(path)!r})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
