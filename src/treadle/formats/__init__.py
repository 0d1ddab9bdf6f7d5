"""Other people's files, and our own: bytes in, logs out, and back. Pure: no file is opened here.

`read` takes a file's bytes as they are, finds out whether they are compressed and in which format, and
yields whole logs and the records they cite. A writer from `writer` gives the bytes of a file, log by log.
What a format must offer is told in `treadle.formats.contract`; to add one, write its module and its row
in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Final, cast

import attrs

from treadle.errors import FormatError, InvalidValueError
from treadle.formats import histories, jsonlines, xes
from treadle.formats.compression import decompressed, peeked
from treadle.formats.contract import ImportedLog, StoreRecord, Writer
from treadle.formats.sources import ending, stem
from treadle.formats.xes.writer import cited as cited_xes_header

__all__ = [
    "FORMATS",
    "Format",
    "ImportedLog",
    "StoreRecord",
    "Writer",
    "cited",
    "decompressed",
    "detect",
    "read",
    "stem",
    "writer",
]

DETECT_SIZE_BYTES: Final = 4096
"""How much of a file is looked at to tell its format: white space and comments may come first."""


@attrs.frozen
class Format:
    """A row of the table of formats.

    Args:
        name: what a user calls it.
        module: the module with its ``read`` and, when it can be written, its ``Writer``.
        endings: what its files' names end in, ``.gz`` looked through.
        signs: the first bytes, after white space, by which its files are surely told.
        guesses: the first bytes by which they are told when no ending is known.
        names_logs: whether its files name their logs; where they do not, the caller or the stem does.
    """

    name: str
    module: ModuleType = attrs.field(repr=False)
    endings: tuple[str, ...]
    signs: tuple[bytes, ...]
    guesses: tuple[bytes, ...] = ()
    names_logs: bool = True

    @property
    def writable(self) -> bool:
        """Whether logs can be written in it."""
        return hasattr(self.module, "Writer")


# XML may also come as UTF-16, told by its byte order mark.
FORMATS: Final[dict[str, Format]] = {
    row.name: row
    for row in (
        Format("jsonl", jsonlines, (".jsonl", ".ndjson"), (b'{"line":"log"', b'{"line":"record"')),
        Format("xes", xes, (".xes", ".xml"), (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\0<")),
        Format("history", histories, (".json",), (), (b"{", b"["), names_logs=False),
    )
}
"""The table of formats, by name."""


def read(
    chunks: Iterable[bytes],
    *,
    source: str,
    format_name: str | None = None,
    workflow_id: str | int | None = None,
) -> Iterator[ImportedLog | StoreRecord]:
    """Read a file of any format, compressed or not.

    Args:
        chunks: the file's bytes, cut anywhere.
        source: its name, for messages and for telling its format.
        format_name: a name from `FORMATS`; None finds out.
        workflow_id: names the log of a format whose files do not; None takes the file's stem.

    Returns:
        An iterator over logs and the records they cite: a record comes before the first log that cites
        it, and every log is whole.

    Raises:
        FormatError: the file is of no known format, or not what its format says; what was yielded before
            stands.
        InvalidValueError: no such format, the workflow id is none, or the file's format takes none.
    """
    first, plain = peeked(decompressed(chunks, source=source), DETECT_SIZE_BYTES)
    found = detect(source, first) if format_name is None else _format(format_name)
    reading = found.module.read(plain, source=source, workflow_id=workflow_id)
    yield from cast("Iterator[ImportedLog | StoreRecord]", reading)


def detect(source: str, first_bytes: bytes) -> Format:
    """Tell a file's format: by a sure sign in its bytes, else by its name, else by a guess.

    Args:
        source: the file's name.
        first_bytes: its first plain bytes, up to `DETECT_SIZE_BYTES`.

    Returns:
        The row of `FORMATS`.

    Raises:
        FormatError: the file is empty, or neither its bytes nor its name belong to a known format.
    """
    start = first_bytes.lstrip()
    if not start:
        raise FormatError("a file to import has content, this one is empty; fetch it again", source=source)
    by_name = ending(source)
    tests: tuple[Callable[[Format], bool], ...] = (
        lambda row: start.startswith(row.signs),
        lambda row: by_name in row.endings,
        lambda row: start.startswith(row.guesses),
    )
    for fits in tests:
        for row in FORMATS.values():
            if fits(row):
                return row
    known = ", ".join(f"{row.name} ({', '.join(row.endings)})" for row in FORMATS.values())
    raise FormatError(
        f"a file to import is one of {known}, got bytes that begin with {start[:12]!r};"
        " name its format (--format on the command line)",
        source=source,
    )


def writer(format_name: str) -> Writer:
    """Make a writer for one file.

    Args:
        format_name: a name from `FORMATS`.

    Returns:
        A new writer: ask it to `begin` with the records the logs cite, then for each `log`, then to `end`.

    Raises:
        InvalidValueError: no such format, or one that is only read.
    """
    row = _format(format_name)
    if not row.writable:
        writable = ", ".join(name for name, row in FORMATS.items() if row.writable)
        raise InvalidValueError(f"logs are written as {writable}; {format_name} is only read")
    return cast("Writer", row.module.Writer())


def cited(log: ImportedLog) -> tuple[tuple[str, bytes], ...]:
    """Tell which records a log cites, so that they can be written with it.

    Args:
        log: the log; its first event is enough.

    Returns:
        Namespace and key of each.
    """
    header = cited_xes_header(log)
    return () if header is None else ((xes.NAMESPACE, header),)


def _format(name: str) -> Format:
    found = FORMATS.get(name)
    if found is None:
        raise InvalidValueError(f"a format is one of {', '.join(FORMATS)}, got {name!a}")
    return found
