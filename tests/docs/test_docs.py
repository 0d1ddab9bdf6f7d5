"""Every code block of README and docs runs as it stands."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from treadle.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


HAS_TESTS_OF_ITS_OWN = ROOT / "docs" / "tutorial-simulation.md"
"""Its programs are files that later ones import; see `test_tutorial_simulation.py`."""
README_EXAMPLES = [block[2] for block in BLOCK.finditer(PAGES[0].read_text()) if block[1] == "python"][:2]
"""They run for seconds, so that a reader can kill them; the tests about that run them to their end, too."""


def blocks(language: str) -> list[object]:
    """All blocks of a language, named by page and number, but for those that have tests of their own."""
    found = []
    for page in [page for page in PAGES if page != HAS_TESTS_OF_ITS_OWN]:
        for number, block in enumerate(BLOCK.finditer(page.read_text()), 1):
            if block[1] == language and block[2] not in README_EXAMPLES:
                found.append(pytest.param(block[2], id=f"{page.relative_to(ROOT)}-{number}"))
    return found


@pytest.mark.parametrize("code", blocks("python"))
def test_every_python_block_runs(code, run_program):
    """A reader may paste any block into a file and run it; what a comment says is printed, is printed."""
    ended = run_program(code)

    assert ended.returncode == 0, ended.stderr
    for promised in re.findall(r"print\(.*\)  # (.+)$", code, re.MULTILINE):
        assert promised in ended.stdout


@pytest.mark.parametrize("page", ["tutorial.md", "tutorial-workflows.md"])
def test_a_tutorial_runs_from_its_top_to_its_end_in_one_folder(page, run_program):
    """As its reader runs it: no program stumbles over what one before it has left."""
    text = (ROOT / "docs" / page).read_text()
    for code in [found[2] for found in BLOCK.finditer(text) if found[1] == "python"]:
        ended = run_program(code)

        assert ended.returncode == 0, ended.stderr
        for promised in re.findall(r"print\(.*\)  # (.+)$", code, re.MULTILINE):
            assert promised in ended.stdout


@pytest.mark.slow
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


def killed(number: int, folder: Path, printed: int) -> tuple[str, int]:
    """Start an example of the README, and end it with SIGKILL when it has printed so many lines."""
    example = README_EXAMPLES[number]
    (folder / "example.py").write_text(example)
    with subprocess.Popen(
        [sys.executable, "example.py"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        for _ in range(printed):
            assert first.stdout.readline()
        first.send_signal(signal.SIGKILL)
    return example, first.returncode


@pytest.mark.parametrize(("number", "says"), [(0, "300 steps are already durable"), (1, "200 notes")])
def test_an_example_that_is_done_may_be_started_again(number, says, run_program):
    """Whoever tries it was too slow to kill it, and tries again."""
    first, second = run_program(README_EXAMPLES[number]), run_program(README_EXAMPLES[number])

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert second.stdout.splitlines() == [says]


def test_the_first_example_survives_kill_9(tmp_path, run_program, capsys):
    """Killed with SIGKILL and started again, the README's example goes on and repeats no step."""
    example, ended = killed(0, tmp_path, printed=41)  # the first line is a greeting

    second = run_program(example)

    assert ended == -signal.SIGKILL
    assert second.returncode == 0, second.stderr
    already = int(second.stdout.split()[0])
    assert 40 <= already < 300
    assert main(["log", "read", "order-A-17", "--store", str(tmp_path / "orders.db"), "-o", "jsonl"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 300


def test_the_second_example_survives_kill_9(tmp_path, run_program, capsys):
    """Killed with SIGKILL and started again, the workflow goes on in both vans; each result is used once."""
    example, ended = killed(1, tmp_path, printed=40)

    second = run_program(example)

    assert ended == -signal.SIGKILL
    assert second.returncode == 0, second.stderr
    *delivered, last = second.stdout.splitlines()
    assert last == "200 notes"
    assert 0 < len(delivered) <= 200 - 40 + 2  # two vans: at most two deliveries were under way
    assert main(["log", "read", "tour-7", "--store", str(tmp_path / "tours.db"), "-o", "jsonl"]) == 0
    kinds = [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()]
    assert kinds.count("ACTIVITY_SCHEDULED") == kinds.count("ACTIVITY_COMPLETED") == 200
    assert kinds[-1] == "WORKFLOW_COMPLETED"


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


def test_every_changelog_fragment_is_of_a_type_that_is_gathered() -> None:
    """One of another type would be left out of the changelog without a word."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    types = [kind["directory"] for kind in project["tool"]["towncrier"]["type"] if kind["showcontent"]]
    fragments = sorted(path.name for path in (ROOT / "changelog.d").glob("*.md"))

    assert "|".join(types) in (ROOT / "CONTRIBUTING.md").read_text()
    assert fragments
    for name in fragments:
        assert re.fullmatch(rf"\d+\.({'|'.join(types)})(\.\d+)?\.md", name), name
