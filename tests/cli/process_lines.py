"""Waiting for what a process tells."""

from __future__ import annotations

from typing import IO


def await_line(stream: IO[bytes], text: str) -> str:
    """Read lines of a process until one holds a text; give that line."""
    while line := stream.readline():
        if text in line.decode():
            return line.decode()
    raise AssertionError(f"it ended without {text!r}")
