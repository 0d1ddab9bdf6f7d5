"""Every program in examples/ runs as it stands, in an empty folder, with warnings as errors."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, run_program):
    """The program holds its own assertions, and tells what it did."""
    ended = run_program(example.read_text())

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


def test_there_are_examples() -> None:
    """The folder is where the tests look for it."""
    assert len(EXAMPLES) >= 3
