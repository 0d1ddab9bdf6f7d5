"""The tutorial on simulation runs as it stands: its files, its commands, and the race it tells of."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from treadle.cli import main
from treadle.sim import FAULTS

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-simulation.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULES = ("roster", "mended")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The reader's folder; his modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


def command(line: str) -> tuple[list[str], int]:
    """What a line of a block calls, and the exit code it tells of."""
    words = shlex.split(line, comments=True)
    found = re.search(r"# ends with (\d+)", line)
    spread = [
        path.name
        for word in words[1:]
        for path in (sorted(Path.cwd().glob(word)) if "*" in word else [Path(word)])
    ]
    assert words[0] == "treadle"
    return spread, int(found[1]) if found else 0


def test_the_tutorial_runs_from_its_top_to_its_end(folder, run_program, capsys):
    """Each file is saved under its name, each command is run, each ends as the page says."""
    seen = []
    for language, text in BLOCK.findall(PAGE.read_text()):
        seen.append(language)
        name = re.match(r"# (\w+\.py)\n", text)
        if language == "python" and name:
            (folder / name[1]).write_text(text)
        elif language == "python":
            ended = run_program(text)
            assert ended.returncode == 0, ended.stderr
            for promised in re.findall(r"print\(.*\)  # (.+)$", text, re.MULTILINE):
                assert promised in ended.stdout
        elif language == "sh":
            for line in text.splitlines():
                arguments, code = command(line)
                assert code == main(arguments), f"{line}\n{capsys.readouterr().err}"
    assert {"python", "sh", "text"} == set(seen)


def test_the_race_is_what_the_page_tells(folder, capsys):
    """Whichever seed it is with today's code: both ask, then both go, as in the lines shown."""
    found = BLOCK.findall(PAGE.read_text())
    first = next(text for language, text in found if language == "python")
    shown = [text for language, text in found if language == "text"]
    (folder / "roster.py").write_text(first)
    assert 4 == main(["sim", "soak", "roster:Roster", "--seeds", "500", "--duration", "120"])
    soaked = capsys.readouterr().err
    (large,) = folder.glob("sim-*.jsonl")
    assert 4 == main(["sim", "shrink", "--history", large.name])
    shrunk = capsys.readouterr()
    (small,) = set(folder.glob("sim-*.jsonl")) - {large}
    notes = [json.loads(line) for line in small.read_text().splitlines() if '"note"' in line]
    violation, sizes, command, history = shown
    told = [json.loads(line) for line in history.splitlines()]

    assert without_numbers(violation) in without_numbers(soaked)
    for line in sizes.splitlines():
        assert without_numbers(line).strip() in without_numbers(shrunk.out)
    assert f"kinds of faults   {len(FAULTS)} -> 0" in sizes
    assert f"kinds of faults   {len(FAULTS)} -> 0" in shrunk.out
    assert without_numbers(command) in without_numbers(shrunk.err)
    assert ["asked", "asked", "signed off", "signed off"] == [note["note"] for note in notes]
    assert [list(note) for note in told] == [list(note) for note in notes]
    assert [note["note"] for note in told] == [note["note"] for note in notes]


def without_numbers(text: str) -> str:
    """Leave out what another seed changes."""
    return re.sub(r"-[0-9a-f]{8}\.|\d+", "", text)
