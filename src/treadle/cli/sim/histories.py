"""Histories on disk: saved whole, read back, and held against one another line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from treadle.errors import FormatError
from treadle.sim.history import HISTORY_VERSION
from treadle.sim.lines import Lines
from treadle.sim.plan import Plan
from treadle.sim.running import Run

SHOWN_CHARACTERS_MAX: Final = 300
"""How much of a line is shown where two histories part."""


@attrs.frozen
class Saved:
    """A history that was saved.

    Attributes:
        path: where it is.
        header: its first line.
        lines: all of them, the first included, without their ends.
        seed: the world's seed.
        plan: its plan.
    """

    path: Path
    header: Mapping[str, Any]
    lines: Sequence[bytes]
    seed: int
    plan: Plan

    def other_code(self, header: Mapping[str, Any]) -> list[str]:
        """Tell in what the code that made it differs from another.

        Args:
            header: what a history made here and now begins with.

        Returns:
            A sentence for each difference; empty for the same code.
        """
        words = {"treadle": "treadle", "code": "treadle's sources", "own": "the workload's file"}
        return [
            f"{word}: {self.header.get(key)!r} then, {header[key]!r} now"
            for key, word in words.items()
            if self.header.get(key) != header[key]
        ]


def save(run: Run, path: Path) -> Path:
    """Write a history.

    Args:
        run: whose.
        path: where to; written over.

    Returns:
        The path.

    Raises:
        OSError: it could not be written.
    """
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in run.lines)
    return path


def usual_path(run: Run) -> Path:
    """Name a history by what it holds: another one is never written over.

    Args:
        run: whose.

    Returns:
        A path in the current folder.
    """
    return Path(f"sim-{run.seed}-{run.digest[:8]}.jsonl")


def load(path: Path) -> Saved:
    """Read a history that was saved.

    Args:
        path: where it is.

    Returns:
        The history.

    Raises:
        FormatError: it is none, or one of a later version.
        OSError: it could not be read.
    """
    with path.open("rb") as file:
        lines = Lines(line.rstrip(b"\r\n") for line in file)
    try:
        header = msgspec.json.decode(lines[0] if lines else b"", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise FormatError(
            f"expected a history's header, a JSON object, got {(lines[0] if lines else b'')[:60]!r}",
            source=str(path),
            line=1,
        ) from error
    version, seed, plan = header.get("history"), header.get("seed"), header.get("plan")
    if type(version) is not int or not isinstance(plan, dict) or type(seed) is not int:
        raise FormatError(
            "expected the header of a simulated history, with history, seed and plan; `treadle sim run"
            " --history FILE` writes one",
            source=str(path),
            line=1,
        )
    if version > HISTORY_VERSION:
        raise FormatError(
            f"it is of version {version}, this treadle reads up to {HISTORY_VERSION}; use a newer one",
            source=str(path),
            line=1,
        )
    return Saved(path, header, lines, seed, Plan.from_json(plan))


@attrs.frozen
class Parting:
    """The first line at which two histories differ.

    Attributes:
        line: which, from 1.
        first: that line of the one; None behind its end.
        second: that line of the other.
    """

    line: int
    first: str | None
    second: str | None


def parting(first: Sequence[bytes], second: Sequence[bytes], *, begin: int = 0) -> Parting | None:
    """Hold two histories against each other, byte for byte.

    Args:
        first: lines.
        second: lines.
        begin: how many lines to pass over.

    Returns:
        Where they part, or None when they are the same.
    """
    for place in range(begin, max(len(first), len(second))):
        one, other = _line(first, place), _line(second, place)
        if one != other:
            return Parting(place + 1, _shown(one), _shown(other))
    return None


def _line(lines: Sequence[bytes], place: int) -> bytes | None:
    return lines[place] if place < len(lines) else None


def _shown(line: bytes | None) -> str | None:
    return None if line is None else line.decode(errors="backslashreplace")[:SHOWN_CHARACTERS_MAX]
