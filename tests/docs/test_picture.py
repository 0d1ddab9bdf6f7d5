"""The README's picture shows what its command prints now, but for the figures."""

from __future__ import annotations

import html
import re
import runpy
import shlex
from pathlib import Path

from treadle.cli import main

ROOT = Path(__file__).parents[2]
DRAW = ROOT / "docs" / "pictures" / "draw.py"
PICTURE = DRAW.with_name("sim-run.svg")
FIGURE = re.compile(r"[0-9a-f]{32}|[\d,:]*\d")


def lines_of(picture: str) -> list[str]:
    """Read the lines of a terminal that was drawn, without the frame of a table."""
    pieces: dict[int, str] = {}
    for number, text in re.findall(r'clip-path="url\(#\w+-line-(\d+)\)">(.*?)</text>', picture):
        pieces[int(number)] = pieces.get(int(number), "") + html.unescape(text).replace("\xa0", " ")
    return [re.sub(r"[^\S\n]+", " ", re.sub("[│┌┐└┘┬┴─]", " ", pieces[at])).strip() for at in sorted(pieces)]


def told_for_certain(lines: list[str]) -> list[str]:
    """Leave out figures, and which faults there were: they are the seed's, and change with the code."""
    words = [FIGURE.sub("#", re.sub(r"\s+", " ", line.strip())) for line in lines]
    return [line for line in words if line and not re.match(r"(faults made )?# \w+$", line)]


def test_the_picture_shows_what_its_command_prints(capsys):
    """Every label, every promise and what is said of it; whoever changes them draws it again."""
    command = runpy.run_path(str(DRAW))["COMMAND"]
    shown = lines_of(PICTURE.read_text(encoding="utf-8"))
    assert main(shlex.split(command)[1:]) == 0

    assert f"$ {command}" == shown[0]
    assert told_for_certain(capsys.readouterr().out.splitlines()) == told_for_certain(shown[1:])
    assert any(line.startswith("faults made ") for line in shown)


def test_the_picture_asks_nobody_for_anything():
    """No font, no image, no script: the one address in it is the name of its language."""
    picture = PICTURE.read_text(encoding="utf-8")

    assert ["http://www.w3.org/2000/svg"] == re.findall(r"\w+://[^\"'\s<)]+", picture)
    assert not re.search(r"@import|@font-face|<script|<image|href", picture)


def test_the_readme_has_the_picture():
    assert f"](docs/pictures/{PICTURE.name})" in (ROOT / "README.md").read_text()
