"""Every program in examples/ runs as it stands, in an empty folder, with warnings as errors."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, run_program):
    """The program holds its own assertions, and tells what it did; run again, it finds what it left."""
    ended = run_program(example.read_text())

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout

    again = run_program(example.read_text())

    assert again.returncode == 0, again.stderr


DURABLE = [path for path in EXAMPLES if "@workflow.define" in path.read_text()]
DIES = """
import os, runpy, sys
from treadle.stores.sqlite.store import SqliteStore
append, left = SqliteStore.append, [{groups}]

async def dying(self, units):
    if not left[0]:
        os._exit(137)
    left[0] -= 1
    return await append(self, units)

SqliteStore.append = dying
runpy.run_path("the_example.py", run_name="__main__")
"""


@pytest.mark.parametrize("example", DURABLE, ids=lambda path: path.stem)
def test_an_example_that_was_killed_goes_on_when_it_is_run_again(example, run_program, tmp_path):
    """Killed before one transaction after another, as a reader would with `kill -9`, and then let live."""
    code = example.read_text()
    (tmp_path / "the_example.py").write_text(code)
    for groups in (2, 4):
        ended = run_program(DIES.format(groups=groups))

        assert ended.returncode in {0, 137}, ended.stderr
    ended = run_program(code)

    assert ended.returncode == 0, ended.stderr


def test_there_are_examples() -> None:
    """The folder is where the tests look for it."""
    assert len(EXAMPLES) >= 3
