"""Draws the picture of the README: what a command prints on a terminal, as an SVG without foreign fonts.

Run it again when the words of that command change: ``python docs/pictures/draw.py``.
"""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COMMAND = "treadle sim run workflows --workflows 3 --duration 120 --seed 7"
PICTURE = Path(__file__).with_name("sim-run.svg")
COLUMNS = 118
FONT = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
# rich's own template loads a font over the net; a picture in a README must not ask anybody for anything.
TEMPLATE = (
    """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix { font-family: FONT; font-size: {char_height}px; line-height: {line_height}px; }
.{unique_id}-title { font-size: 18px; font-weight: bold; font-family: FONT; }
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
""".replace("{ font", "{{ font")
    .replace("; }\n", "; }}\n")
    .replace("FONT", FONT)
)


def printed(command: str) -> str:
    """Run a command as on a terminal of `COLUMNS` columns; give what it prints, colours included."""
    surroundings = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    surroundings.pop("NO_COLOR", None)
    words = [sys.executable, "-m", *shlex.split(command)]
    return subprocess.run(words, env=surroundings, capture_output=True, text=True, check=True).stdout


def drawn(command: str, shown: str) -> str:
    """Draw a terminal in which a command was typed."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    console.print(Text.from_ansi(shown.rstrip("\n")))
    return console.export_svg(
        title="a world from one seed", theme=MONOKAI, code_format=TEMPLATE, unique_id="treadle"
    )


if __name__ == "__main__":
    PICTURE.write_text(drawn(COMMAND, printed(COMMAND)), encoding="utf-8")
