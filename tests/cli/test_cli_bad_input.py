"""Simulations and stress refuse what cannot be right: the table of the page on bad input, row by row."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "bad-input.md"
ROW = re.compile(r"^\| (\d+) \| `treadle ([^`]+)` \| `([^`]+)` \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())
NOTES = "notes.txt"


def test_no_row_fell_through_the_parser():
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| \d", line)]

    assert len(lines) == len(ROWS) > 40
    for command in ("sim shrink", "sim crash", "sim search", "sim report", "stress"):
        assert any(words.startswith(command) for _, words, _ in ROWS), command


@pytest.mark.parametrize(("code", "command", "says"), ROWS, ids=[command for _, command, _ in ROWS])
def test_bad_input_is_told_and_changes_nothing(treadle, code, command, says):
    notes = Path(NOTES)
    notes.write_text("order 7")

    ran = treadle(*shlex.split(command))

    assert says in " ".join(ran.err.split())
    assert (int(code), "") == (ran.code, ran.out)
    assert [notes] == list(Path().iterdir())
    assert "order 7" == notes.read_text()
