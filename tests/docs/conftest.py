"""What the tests of README, docs and examples share: running a reader's program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest


@attrs.frozen
class Ended:
    """How a program ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def _runner() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, Path(__file__).with_name("program_runner.py")]
    surroundings = {**os.environ, "PYTHONWARNINGS": "error", "NO_COLOR": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings
    ) as process:
        yield process
        process.stdin.close()
        assert process.wait(timeout=10) == 0


@pytest.fixture
def run_program(_runner: subprocess.Popen[str], tmp_path: Path) -> Callable[[str], Ended]:
    """Run a program in the test's folder, as a fresh process with warnings as errors."""

    def run(code: str) -> Ended:
        (tmp_path / "example.py").write_text(code)
        _runner.stdin.write(f"{tmp_path}\n")
        _runner.stdin.flush()
        returncode = int(_runner.stdout.readline())
        return Ended(returncode, (tmp_path / "stdout").read_text(), (tmp_path / "stderr").read_text())

    return run
