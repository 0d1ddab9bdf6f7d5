"""What the writers of a stress run did and saw, kept so that no kill can take it away.

Each process has a part of its own, written line by line as things happen and before they do: a send stands
there before it is made. So whoever is killed leaves behind what was answered and what was not, and the next
life goes on from there. At the end the parts become one recorded history (`treadle check FILE`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import monotonic_ns
from typing import Any, Final

import attrs
import msgspec

from treadle.checkers import History, Operation, Read, Write, history_lines


class _Began(msgspec.Struct, tag="began"):
    mark: str
    client: str
    workflow: str
    marks: list[str]
    at: int


class _Ended(msgspec.Struct, tag="ended"):
    mark: str
    seq: int
    at: int


class _Saw(msgspec.Struct, tag="saw"):
    client: str
    workflow: str
    begin: int
    end: int
    next_seq: int | None = None
    first_seq: int = 1
    marks: list[str] | None = None


_decode: Final = msgspec.json.Decoder(_Began | _Ended | _Saw).decode
_encode: Final = msgspec.json.Encoder().encode


def mark_text(workflow: int, writer: int, number: int) -> str:
    """Name an event within the whole history.

    Args:
        workflow: the number of its log.
        writer: who wrote it.
        number: his how-many-th there.

    Returns:
        Its mark.
    """
    return f"{workflow}.{writer}.{number}"


def part_of(history: str, process: int) -> Path:
    """Name the part of a process.

    Args:
        history: the file all parts become.
        process: which process.

    Returns:
        The path.
    """
    return Path(f"{history}.part-{process}")


class Recording:
    """The part of one process; opened again by its next life.

    Args:
        path: where it lies.

    Attributes:
        answered: first mark of each batch that was answered in a former life.
    """

    def __init__(self, path: Path) -> None:
        self.answered = {line.mark for line in _lines(path) if isinstance(line, _Ended)}
        self._began = {line.mark for line in _lines(path) if isinstance(line, _Began)}
        # Not buffered: what was written is the kernel's, and outlives a killed process.
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
        # A line that a kill has cut short must not swallow the next one.
        self._write_bytes(b"\n")

    def begin(self, client: str, workflow: str, marks: Sequence[str]) -> None:
        """Note a send before it is made; sent again by a later life, it goes on as the same one."""
        if marks[0] not in self._began:
            self._write(_Began(marks[0], client, workflow, list(marks), monotonic_ns()))

    def end(self, marks: Sequence[str], seq: int) -> None:
        """Note that a send was answered, and where its first event stands."""
        self._write(_Ended(marks[0], seq, monotonic_ns()))

    def saw(
        self,
        client: str,
        workflow: str,
        begin: int,
        *,
        next_seq: int | None = None,
        first_seq: int = 1,
        marks: list[str] | None = None,
    ) -> None:
        """Note what a client saw of a log: its length, or its end from a seq on."""
        self._write(_Saw(client, workflow, begin, monotonic_ns(), next_seq, first_seq, marks))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, line: msgspec.Struct) -> None:
        self._write_bytes(_encode(line) + b"\n")

    def _write_bytes(self, text: bytes) -> None:
        # A part of a line is written only where the disk is full.
        while text:
            text = text[os.write(self._file, text) :]


def _lines(path: Path) -> Iterable[Any]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    for line in text.split(b"\n"):
        try:
            yield _decode(line)
        except msgspec.DecodeError:
            continue  # empty, or cut short by a kill: as if it had not come to that


@attrs.frozen
class Recorded:
    """All parts together.

    Attributes:
        operations: what clients did and saw.
    """

    operations: tuple[Operation, ...]

    @property
    def unknown(self) -> set[str]:
        """The logs to which something was sent that had no answer."""
        return {write.workflow for one in self.operations if one.outcome == "unknown" for write in one.writes}

    def acknowledged(self) -> Iterable[tuple[int, int, int, int]]:
        """Workflow number, writer, event number and seq of each acknowledged event, in the order of time."""
        for one in self.operations:
            for write in one.writes if one.outcome == "ok" else ():
                assert write.seq is not None  # noqa: S101  # told by every answer
                for place, mark in enumerate(write.marks):
                    workflow, writer, number = map(int, mark.split("."))
                    yield workflow, writer, number, write.seq + place


def collect(paths: Iterable[Path]) -> Recorded:
    """Put the parts of all processes together, in the order of time.

    Args:
        paths: of the parts.

    Returns:
        All operations; a send without an answer is unknown.
    """
    began: dict[str, _Began] = {}
    ended: dict[str, _Ended] = {}
    seen: list[_Saw] = []
    for path in paths:
        for line in _lines(path):
            if isinstance(line, _Began):
                began.setdefault(line.mark, line)
            elif isinstance(line, _Ended):
                ended[line.mark] = line
            else:
                seen.append(line)
    sends = [(line.at, line) for line in began.values()]
    looks = [(line.begin, line) for line in seen]
    ordered: list[tuple[int, Any]] = sorted([*sends, *looks], key=lambda timed: timed[0])
    return Recorded(tuple(_operation(number, line, ended) for number, (_, line) in enumerate(ordered, 1)))


def _operation(number: int, line: _Began | _Saw, ended: dict[str, _Ended]) -> Operation:
    if isinstance(line, _Saw):
        marks = None if line.marks is None else tuple(line.marks)
        read = Read(line.workflow, marks, line.first_seq, line.next_seq)
        return Operation(number, line.client, line.begin, line.end, "ok", (read,))
    answer = ended.get(line.mark)
    if answer is None:
        wish = Write(line.workflow, tuple(line.marks))
        return Operation(number, line.client, line.at, None, "unknown", (), (wish,))
    written = Write(line.workflow, tuple(line.marks), answer.seq)
    return Operation(number, line.client, line.at, answer.at, "ok", (), (written,))


def write_history(path: str, history: History) -> None:
    """Write the history as a file for `treadle check`.

    Args:
        path: where; what is there is replaced.
        history: the history.

    Raises:
        OSError: it could not be written.
    """
    with Path(path).open("wb") as file:
        file.writelines(history_lines(history))
