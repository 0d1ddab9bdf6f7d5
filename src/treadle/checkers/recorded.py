"""Recorded histories as lines of JSON: read into a `History`, and written from one.

    {"history": 1, "clock": "monotonic ns"}
    {"op": 17, "client": "c3", "begin": 40, "end": 44, "outcome": "ok", "reads": [...], "writes": [...]}
    {"follower": "f1", "workflow": "a", "from": 1, "marks": ["c1.0", "c2.3"]}
    {"quarantine": "a", "begin": 50, "end": 80}
    {"crash": "a", "at": 31}
    {"log": "a", "marks": ["c1.0", "c2.3"], "kept": 2}

The first key of a line tells what it is; lines of other kinds are somebody else's and passed over, but must
be JSON. A mistake in a known line is an error, unknown keys in it included: left out, it could hide exactly
the operation that breaks a promise. docs/reference/histories.md tells the format in full.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, Literal, NoReturn

import msgspec
from msgspec import Meta

from treadle.checkers.operations import (
    Branching,
    Crash,
    Cutting,
    History,
    Kept,
    Lifetime,
    MisfitError,
    Observed,
    Operation,
    Part,
    Quarantine,
    Read,
    Write,
)
from treadle.errors import FormatError

VERSION: Final = 1

_FIRST_KEY: Final = re.compile(rb'\s*\{\s*"([^"\\]*)"')
_Seq = Annotated[int, Meta(ge=1)]


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    pass


class _Read(_Line):
    workflow: str
    first_seq: _Seq = msgspec.field(name="from", default=1)
    marks: tuple[str, ...] | None = None
    next_seq: _Seq | None = None


class _Write(_Line):
    workflow: str
    marks: tuple[str, ...]
    seq: _Seq | None = None


class _Branch(_Line):
    workflow: str
    parent: str
    at: _Seq
    mark: str


class _First(_Line):
    workflow: str
    first_seq: _Seq = msgspec.field(name="from")


class _Operation(_Line):
    op: int
    client: str
    begin: int
    end: int | None
    outcome: Literal["ok", "refused", "unknown"]
    reads: tuple[_Read, ...] = ()
    writes: tuple[_Write, ...] = ()
    error: str | None = None
    branches: tuple[_Branch, ...] = ()
    cuts: tuple[_First, ...] = ()
    kept: tuple[_First, ...] = ()
    # For people and for reports; no promise hangs on them.
    call: str | None = None
    since: int | None = None
    at: int | None = None


class _Log(_Line):
    log: str
    marks: tuple[str, ...]
    kept: _Seq = 1


class _Follower(_Line):
    follower: str
    workflow: str
    marks: tuple[str, ...]
    first_seq: _Seq = msgspec.field(name="from", default=1)


class _Quarantine(_Line):
    quarantine: str
    begin: int
    end: int | None = None


class _Crash(_Line):
    crash: str
    at: int


class _Header(msgspec.Struct):
    history: int


_DECODERS: Final[dict[bytes, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(line)
    for kind, line in {
        b"op": _Operation,
        b"log": _Log,
        b"follower": _Follower,
        b"quarantine": _Quarantine,
        b"crash": _Crash,
        b"history": _Header,
    }.items()
}
_anything: Final = msgspec.json.Decoder(msgspec.Raw)
_encoder: Final = msgspec.json.Encoder()


def read_history(lines: Iterable[bytes], *, source: str | None = None) -> History:
    """Read a recorded history.

    Args:
        lines: its lines of JSON, with or without line ends.
        source: the file's name, for messages.

    Returns:
        The history.

    Raises:
        FormatError: a line is no JSON or not what its first key says, a part contradicts another, the
            format is newer, or there is nothing to check. It names the line.
    """
    reader = HistoryReader(source)
    for line in lines:
        reader.take(line)
    return reader.finish()


class HistoryReader:
    """Takes line after line.

    Args:
        source: the file's name, for messages.

    Attributes:
        passed_over: how many lines of other kinds there were, by their first key.
    """

    def __init__(self, source: str | None = None) -> None:
        self.passed_over: Counter[str] = Counter()
        self._source = source
        self._line = 0
        self._strings: dict[str, str] = {}
        self._operations: list[Operation] = []
        self._logs: dict[str, tuple[str, ...]] = {}
        self._kept: dict[str, int] = {}
        self._followers: list[Observed] = []
        self._quarantines: list[Quarantine] = []
        self._crashes: list[Crash] = []
        self._lines: dict[Part, list[int]] = {
            "operations": [], "logs": [], "followers": [], "quarantines": [], "crashes": []
        }  # fmt: skip

    def take(self, text: bytes) -> None:
        """Take the next line; an empty one is passed over.

        Args:
            text: the line.

        Raises:
            FormatError: it is no JSON, not what its first key says, or tells a log again.
        """
        self._line += 1
        found = _FIRST_KEY.match(text)
        if found is None:
            if text.strip():
                self._refuse(
                    f"a line is a JSON object whose first key says what it is, got {_brief(text)};"
                    " is it another file?"
                )
            return
        kind = found[1]
        decoder = _DECODERS.get(kind, _anything)
        try:
            line = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            what = f"a line of {kind.decode(errors='replace')!r} has another form"
            self._refuse(f"{what}: {error}; was the file cut short, or changed?")
        if kind == b"op":
            self._operations.append(self._operation(line))
            self._lines["operations"].append(self._line)
        elif decoder is _anything:
            self.passed_over[kind.decode(errors="replace")] += 1
        else:
            self._take_other(line)

    def _take_other(self, line: Any) -> None:
        if isinstance(line, _Log):
            if line.log in self._logs:
                first = self._lines["logs"][list(self._logs).index(line.log)]
                self._refuse(f"each log is told once, got {line.log!r} at line {first} and again; remove one")
            self._logs[self._one(line.log)] = self._ones(line.marks)
            self._lines["logs"].append(self._line)
            if line.kept > 1:
                self._kept[self._one(line.log)] = line.kept
        elif isinstance(line, _Follower):
            seen = Observed(line.follower, self._one(line.workflow), line.first_seq, self._ones(line.marks))
            self._followers.append(seen)
            self._lines["followers"].append(self._line)
        elif isinstance(line, _Quarantine):
            self._quarantines.append(Quarantine(self._one(line.quarantine), line.begin, line.end))
            self._lines["quarantines"].append(self._line)
        elif isinstance(line, _Crash):
            self._crashes.append(Crash(self._one(line.crash), line.at))
            self._lines["crashes"].append(self._line)
        elif line.history != VERSION:
            self._refuse(f"this treadle reads version {VERSION}, got {line.history}; use a newer treadle")

    def _operation(self, line: _Operation) -> Operation:
        one, ones = self._one, self._ones
        reads = tuple(
            Read(
                one(read.workflow),
                None if read.marks is None else ones(read.marks),
                read.first_seq,
                read.next_seq,
            )
            for read in line.reads
        )
        writes = tuple(Write(one(write.workflow), ones(write.marks), write.seq) for write in line.writes)
        client = one(line.client)
        lifetimes = self._lifetimes(line) if line.branches or line.cuts or line.kept else ()
        return Operation(
            line.op, client, line.begin, line.end, line.outcome, reads, writes, line.error, lifetimes
        )

    def _lifetimes(self, line: _Operation) -> tuple[Lifetime, ...]:
        one = self._one
        return (
            *(Branching(one(b.workflow), one(b.parent), b.at, one(b.mark)) for b in line.branches),
            *(Cutting(one(cut.workflow), cut.first_seq) for cut in line.cuts),
            *(Kept(one(told.workflow), told.first_seq) for told in line.kept),
        )

    # A mark comes again in each read that saw it and in its log. One string for all of them is less to hold,
    # and is compared by its place in memory. Not `sys.intern`: some Pythons never let go of such a string.

    def _one(self, text: str) -> str:
        return self._strings.setdefault(text, text)

    def _ones(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(self._strings.setdefault, texts, texts))

    def finish(self) -> History:
        """Put the history together.

        Returns:
            The history.

        Raises:
            FormatError: a part of it contradicts another, or there is nothing to check.
        """
        if not (self._operations or self._logs or self._followers):
            self._line = 0
            self._refuse("a history has operations, followers or logs, got none; is it another file?")
        try:
            return History(
                tuple(self._operations),
                self._logs,
                tuple(self._followers),
                tuple(self._quarantines),
                tuple(self._crashes),
                self._kept,
            )
        except MisfitError as error:
            self._line = self._lines[error.part][error.place]
            raise FormatError(str(error), source=self._source, line=self._line) from error

    def _refuse(self, message: str) -> NoReturn:
        raise FormatError(message, source=self._source, line=self._line or None)


def _brief(text: bytes) -> str:
    return ascii(text[:40].decode(errors="replace"))


def history_lines(history: History) -> Iterator[bytes]:
    """Write a history.

    Args:
        history: the history.

    Yields:
        Its lines, each with its line end; `read_history` gives the same history again.
    """
    yield b'{"history":%d}\n' % VERSION
    for operation in history.operations:
        yield operation_line(operation)
    for seen in history.followers:
        yield _encoded(_Follower(seen.follower, seen.workflow, seen.marks, seen.first_seq))
    for period in history.quarantines:
        yield _encoded(_Quarantine(period.workflow, period.begin, period.end))
    for crash in history.crashes:
        yield _encoded(_Crash(crash.workflow, crash.at))
    for name, marks in history.logs.items():
        yield _encoded(_Log(name, marks, history.kept.get(name, 1)))


def operation_line(operation: Operation) -> bytes:
    """Write one operation, as a recorder does when it has ended.

    Args:
        operation: the operation.

    Returns:
        Its line, with its line end.
    """
    return _encoded(
        _Operation(
            operation.op,
            operation.client,
            operation.begin,
            operation.end,
            operation.outcome,
            tuple(
                _Read(read.workflow, read.first_seq, read.marks, read.next_seq) for read in operation.reads
            ),
            tuple(_Write(write.workflow, write.marks, write.seq) for write in operation.writes),
            operation.error,
            *_lifetime_lines(operation.lifetimes),
        )
    )


def _lifetime_lines(
    lifetimes: tuple[Lifetime, ...],
) -> tuple[tuple[_Branch, ...], tuple[_First, ...], tuple[_First, ...]]:
    return (
        tuple(_Branch(b.workflow, b.parent, b.at, b.mark) for b in lifetimes if isinstance(b, Branching)),
        tuple(_First(cut.workflow, cut.first_seq) for cut in lifetimes if isinstance(cut, Cutting)),
        tuple(_First(told.workflow, told.first_seq) for told in lifetimes if isinstance(told, Kept)),
    )


def _encoded(line: _Line) -> bytes:
    return _encoder.encode(line) + b"\n"
