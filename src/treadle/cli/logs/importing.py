"""`treadle log import`: other people's files become logs, many at a time, each all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AsyncExitStack, closing
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, Literal

import attrs
import trio
from cyclopts import Parameter

from treadle.cli.exits import CommandError
from treadle.cli.files import STDIN, opened, size_bytes, told_name
from treadle.cli.importer import Importer, Tally, told
from treadle.cli.notes import note
from treadle.cli.options import DEFAULT_STORE, Flag, OutputOption, StoreOption
from treadle.cli.output import progress, show_facts
from treadle.cli.stores import writing_runtime
from treadle.errors import TreadleError
from treadle.formats import ImportedLog, StoreRecord, decompressed, detect
from treadle.formats import read as read_format
from treadle.runtime import RuntimeConfig

EXAMPLES: Final = """Examples:

  treadle log import receipt.xes.gz --store r.db
  treadle log import history.json --id order-1
  treadle log import *.jsonl --check
  zcat export.jsonl.gz | treadle log import -
"""
USAGE: Final = "Usage: treadle log import [OPTIONS] FILE..."
LOG_EVENTS_MAX: Final = 10_000_000
"""A log is imported as one batch, however long: its format's own limit on size has judged it before."""
_CONFIG: Final = RuntimeConfig(batch_events_max=LOG_EVENTS_MAX)


@attrs.frozen
class Source:
    """A file to import.

    Args:
        name: its path, or `-` for stdin.
        format_name: its format, or None to find out.
        workflow_id: names its log, or None.
    """

    name: str
    format_name: str | None
    workflow_id: str | None

    def items(self, advance: Callable[[float], None]) -> Generator[ImportedLog | StoreRecord, None, None]:
        """Read the file.

        Args:
            advance: told how many bytes of the file were taken.

        Yields:
            Logs and the records they cite, as they come.

        Raises:
            OSError: the file cannot be read.
            FormatError: it is not what its format says.
            InvalidValueError: the id is none, or its format takes none.
            CommandError: stdin holds a history, and nobody said whose.
        """
        with opened(self.name, advance) as chunks:
            source = told_name(self.name)
            plain, format_name = chunks, self.format_name
            if self.name == STDIN and self.workflow_id is None:
                plain, format_name = _named_format(chunks, format_name)
            yield from read_format(
                plain, source=source, format_name=format_name, workflow_id=self.workflow_id
            )


def import_files(
    file: Annotated[list[str], Parameter(allow_leading_hyphen=True, negative="", consume_multiple=True)],
    /,
    *,
    format: Annotated[Literal["jsonl", "xes", "history"] | None, Parameter()] = None,  # noqa: A002  # the option's name
    id: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,  # noqa: A002  # the option's name
    check: Flag = False,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Import event logs: XES (IEEE 1849), Temporal and Cadence histories, JSON Lines; gzip or plain.

    Each log (a trace, a history) is written whole or not at all. What is already there is not written
    again, so an import that was stopped is continued by running it again; a log that has grown since is
    continued where it ended. A log that differs from what is stored is a conflict (exit code 5).

    Args:
        file: files to import; - reads stdin.
        format: their format, when it cannot be told from content and name.
        id: the workflow id of a history; the file's name without its endings if left out.
        check: read each file to its end before anything of it is written.
        output: how the summary is printed.
        store: the store; made if it does not exist.

    Raises:
        CommandError: the options contradict each other.
        FormatError: a file is not what its format says.
        AdmissionError: a log differs from what is stored.
        OSError: a file cannot be read.
        StoreError: the store could not be opened or written.
    """
    sources = [Source(name, format, id) for name in file]
    _check(sources, check=check)
    tally = trio.run(_import, store, sources, check)
    if tally.wrote_nothing:
        note("nothing was written: all of it is already there")
    facts = attrs.asdict(tally)
    show_facts(output, "imported", facts, {label.replace("_", " "): value for label, value in facts.items()})


def _check(sources: list[Source], *, check: bool) -> None:
    if len(sources) > 1 and sources[0].workflow_id is not None:
        raise CommandError("--id names one log, got several files; import them one by one")
    if [source.name for source in sources].count(STDIN) > (0 if check else 1):
        raise CommandError("stdin can be read once; give a file instead of - (with --check, or twice)")
    # A misspelt name among many files is told before the first of them is written.
    for source in sources:
        if source.name != STDIN:
            with Path(source.name).open("rb"):
                pass


async def _import(url: str, sources: list[Source], check: bool) -> Tally:  # noqa: FBT001  # handed on by position through trio.run
    tally = Tally()
    if check:
        try:
            await _read_through(sources)
        except TreadleError as error:
            raise told(error, tally) from error.__cause__
    importer: Importer | None = None
    async with AsyncExitStack() as stack:
        for source in sources:
            bar = progress(f"importing {Path(source.name).name}", size_bytes(source.name))
            with bar as advance, closing(source.items(advance)) as items:
                first: list[ImportedLog | StoreRecord] = []
                if importer is None:
                    # A file that is none, a slip in a name most likely, makes no store.
                    first = _up_to_the_first_log(items, tally)
                    runtime = await stack.enter_async_context(writing_runtime(url, _CONFIG))
                    importer = Importer(runtime, tally)
                await importer.take(chain(first, items), source.name)
            tally.files += 1
    return tally


def _up_to_the_first_log(
    items: Iterator[ImportedLog | StoreRecord], tally: Tally
) -> list[ImportedLog | StoreRecord]:
    found: list[ImportedLog | StoreRecord] = []
    try:
        for item in items:
            found.append(item)
            if isinstance(item, ImportedLog):
                break
    except TreadleError as error:
        raise told(error, tally) from error.__cause__
    return found


async def _read_through(sources: list[Source]) -> None:
    for source in sources:
        with progress(f"checking {Path(source.name).name}", size_bytes(source.name)) as advance:
            for _ in source.items(advance):
                await trio.lowlevel.checkpoint()


def _named_format(chunks: Iterable[bytes], format_name: str | None) -> tuple[Iterable[bytes], str | None]:
    """See that stdin, which has no name, holds a format that names its logs itself."""
    plain = decompressed(chunks, source="stdin")
    first = next(plain, b"")
    found = detect("stdin", first)
    if (format_name or found.name) == "history":
        raise CommandError("a history does not say whose it is, and stdin has no name; give --id")
    return chain((first,), plain), format_name or found.name
