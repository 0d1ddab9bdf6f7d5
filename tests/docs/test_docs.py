"""Every code block of README and docs runs as it stands."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from treadle.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TREADLE = [sys.executable, "-m", "treadle"]


def blocks(language: str) -> list[object]:
    """All blocks of a language, named by page and number."""
    found = []
    for page in PAGES:
        for number, block in enumerate(BLOCK.finditer(page.read_text()), 1):
            if block[1] == language:
                found.append(pytest.param(block[2], id=f"{page.relative_to(ROOT)}-{number}"))
    return found


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "error", "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("code", blocks("python"))
def test_every_python_block_runs(code: str, tmp_path: Path) -> None:
    """A reader may paste any block into a file and run it; what a comment says is printed, is printed."""
    (tmp_path / "example.py").write_text(code)

    ended = run([sys.executable, "example.py"], tmp_path)

    assert ended.returncode == 0, ended.stderr
    for promised in re.findall(r"print\(.*\)  # (.+)$", code, re.MULTILINE):
        assert promised in ended.stdout


@pytest.mark.parametrize("session", blocks("console"))
def test_every_console_block_runs(
    session: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The commands of a block work one after the other in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TREADLE_STORE", raising=False)
    for line in session.splitlines():
        if not line.startswith("$ "):
            continue
        words = shlex.split(line[2:], comments=True)
        assert words[0] == "treadle", f"only treadle itself can be tried here: {line}"
        # In this process: starting Python for each of some eighty lines would take half a minute.
        code = main(words[1:])
        assert code == 0, f"{line}\n{capsys.readouterr().err}"


def test_the_first_example_survives_kill_9(tmp_path: Path) -> None:
    """Killed with SIGKILL and started again, the README's example goes on and repeats no step."""
    code = BLOCK.findall((ROOT / "README.md").read_text())
    example = next(text for language, text in code if language == "python")
    (tmp_path / "example.py").write_text(example)
    printed = 0
    with subprocess.Popen(
        [sys.executable, "example.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        for line in first.stdout:
            printed += line.startswith("durable:")
            if printed == 40:
                first.send_signal(signal.SIGKILL)
                break

    second = run([sys.executable, "example.py"], tmp_path)
    count = run([*TREADLE, "log", "read", "order-A-17", "--store", "orders.db", "-o", "jsonl"], tmp_path)

    assert second.returncode == 0, second.stderr
    already = int(second.stdout.split()[0])
    assert already >= printed
    assert len(count.stdout.splitlines()) == 300


def test_every_relative_link_leads_somewhere() -> None:
    """No page points at a file that is not there."""
    pages = [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []


def test_the_gate_runs_the_readmes_two_commands() -> None:
    """`.ci/run` takes both commands from the README, so they cannot drift apart."""
    readme = (ROOT / "README.md").read_text()
    gate = (ROOT / ".ci" / "run").read_text()

    assert "<!-- command: demo -->" in readme
    assert "<!-- command: test -->" in readme
    assert "readme_command demo" in gate
    assert "readme_command test" in gate
