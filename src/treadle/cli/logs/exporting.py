"""`treadle log export`: logs become a file, whole or not at all."""

from __future__ import annotations

import gzip
import os
import secrets
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated, Final, Literal, cast

import trio
from cyclopts import Parameter

from treadle.checkers import Violation, chain
from treadle.cli.exits import CommandError
from treadle.cli.notes import STDOUT, note
from treadle.cli.options import DEFAULT_STORE, Flag, OutputOption, PrefixOption, StoreOption
from treadle.cli.output import counted, progress, show_facts
from treadle.cli.stores import chosen_workflows, path_of, reading_store
from treadle.errors import CorruptStoreError, UsageError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.formats import FORMATS, ImportedLog, StoreRecord, cited, writer
from treadle.log import root_digest
from treadle.stores import PAGE_EVENTS, Head, LogPage, Store

EXAMPLES: Final = """Examples:

  treadle log export -f all.jsonl.gz
  treadle log export order-1 order-2 > two.jsonl
  treadle log export --format xes --prefix case- -f cases.xes
"""
USAGE: Final = "Usage: treadle log export [OPTIONS] [WORKFLOW-ID...]"
LOGS_A_HOP: Final = 256
"""How many logs are asked for at once; short ones come together in one hop to the store."""

FormatName = Literal["jsonl", "xes"]

_NAMES: Final[tuple[FormatName, ...]] = ("jsonl", "xes")
_STORE_SUFFIXES: Final = ("", "-wal", "-shm", "-journal", "-poisoned")
"""What a store's files are called, beginning with its path."""
_SQLITE_HEADER: Final = b"SQLite format 3\0"


def export(
    workflow_id: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    /,
    *,
    prefix: PrefixOption = "",
    format: FormatName | None = None,  # noqa: A002  # the option's name
    file: Annotated[str | None, Parameter(name=["--file", "-f"])] = None,
    force: Flag = False,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write logs as JSON Lines or XES, to a file or to stdout; all of them when none is named.

    JSON Lines lose nothing and can be imported again. A branch is written whole, with what it shares; of a
    log whose beginning was removed the rest, with the digest before it; of a deleted one nothing. A log that
    came from XES goes back to XES as it was; logs that came under different XES headers need a file for
    each. A file appears whole or not at all, and is compressed when its name ends in .gz.

    Args:
        workflow_id: the workflows to write; all if left out.
        prefix: only workflows whose id begins so.
        format: jsonl or xes; told by the file's name if left out, and jsonl on stdout.
        file: where to; stdout if left out.
        force: replace the file if it exists; never a store.
        output: how the summary is printed; only with --file, since stdout otherwise holds the logs.
        store: the store.

    Raises:
        CommandError: the options contradict each other, or the file exists or tells no format.
        UsageError: the file is the store itself, or another database.
        FormatError: the format cannot carry these logs.
        OSError: the file cannot be written.
        NotFoundError: there is no such workflow.
        StoreError: the store could not be opened or read, or holds something else than was written.
    """
    names = workflow_id or []
    if names and prefix:
        raise CommandError("workflows are named or chosen by --prefix, got both")
    if file is None and output != "table":
        raise CommandError("--output is about the summary, and stdout holds the logs; give --file as well")
    chosen = format or _format_of(file)
    if file is not None:
        _check_target(file, store, force=force)
    workflows, events = trio.run(_export, store, names, prefix, chosen, file)
    if file is None:
        note(f"{counted(workflows, 'workflow')} written")
    else:
        facts = {"file": file, "format": chosen, "workflows": workflows, "events": events}
        show_facts(output, "exported", facts, facts)


def _format_of(file: str | None) -> FormatName:
    if file is None:
        return "jsonl"
    plain = file.lower().removesuffix(".gz")
    for name in _NAMES:
        if plain.endswith(FORMATS[name].endings):
            return name
    known = " or ".join(f"{' or '.join(FORMATS[name].endings)} ({name})" for name in _NAMES)
    raise CommandError(
        f"{file} does not tell its format; expected a name that ends in {known}, with or without .gz;"
        " or give --format"
    )


def _check_target(file: str, store: str, *, force: bool) -> None:
    path = os.path.realpath(path_of(store))
    if any(_is_same(file, path + suffix) for suffix in _STORE_SUFFIXES):
        raise UsageError(f"{file} belongs to the store that is exported; choose another name")
    if os.path.lexists(file):
        if not force:
            raise CommandError(f"{file} exists; choose another name, or --force to replace it")
        if _is_database(Path(file)):
            raise UsageError(
                f"{file} is a SQLite database, which --force does not replace; choose another name"
            )
    if not Path(file).parent.is_dir():
        raise CommandError(f"{file} lies in no folder; make {Path(file).parent} first")


def _is_same(file: str, other: str) -> bool:
    if os.path.realpath(file) == other:
        return True
    return Path(file).exists() and Path(other).exists() and Path(file).samefile(other)


def _is_database(path: Path) -> bool:
    # A regular file only: whoever opens a pipe waits for its other end.
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE_HEADER)) == _SQLITE_HEADER


async def _export(
    url: str, names: list[str], prefix: str, format_name: str, file: str | None
) -> tuple[int, int]:
    workflows = events = 0
    async with reading_store(url) as store:
        async with aclosing(chosen_workflows(store, names, prefix)) as pages:
            chosen = [name async for page in pages for name in page]
        records = await _cited_records(store, chosen)
        with _opened(file) as out, progress("exporting", len(chosen)) as advance:
            formatted = writer(format_name)
            out.write(formatted.begin(records))
            async with aclosing(_whole_logs(store, chosen)) as logs:
                async for log in logs:
                    out.write(formatted.log(log))
                    advance(1)
                    workflows += 1
                    events += len(log.events)
            out.write(formatted.end())
    return workflows, events


async def _cited_records(store: Store, chosen: list[WorkflowId]) -> list[StoreRecord]:
    # A file's records stand before its logs, so the logs are looked at once before they are written.
    found: dict[tuple[str, bytes], StoreRecord] = {}
    async with aclosing(_pages(store, chosen)) as pages:
        async for page in pages:
            if not page.events:
                continue  # deleted since it was listed
            first = ImportedLog(page.workflow_id, (page.events[0],))
            for name in cited(first):
                if name not in found:
                    found[name] = await _record(store, first, *name)
    return list(found.values())


async def _record(store: Store, first: ImportedLog, namespace: str, key: bytes) -> StoreRecord:
    value = await store.record(namespace, key)
    if value is None:
        raise CorruptStoreError(
            f"the record {key.hex()} of {namespace!r} that {first.workflow_id!r} cites is missing;"
            " restore a backup, or import its file again",
            workflow_id=first.workflow_id,
            seq=first.events[0].seq,
        )
    return StoreRecord(namespace, key, value)


async def _whole_logs(store: Store, chosen: list[WorkflowId]) -> AsyncGenerator[ImportedLog, None]:
    for place in range(0, len(chosen), LOGS_A_HOP):
        for head in await store.heads(chosen[place : place + LOGS_A_HOP]):
            if head.first_kept_seq < head.next_seq:
                yield await _whole_log(store, head)


async def _whole_log(store: Store, head: Head) -> ImportedLog:
    # Read as raw as it lies there: a writer computes the chain anew, and would hide what has changed.
    events: list[WorkflowEvent] = []
    keys: list[bytes | None] = []
    seq, digest = head.first_kept_seq, head.digest_before
    while rows := await store.audit(head.workflow_id, seq - 1):
        _refuse_damage(chain(head.workflow_id, rows, first_seq=seq, digest_before=digest))
        events.extend(WorkflowEvent(row.seq, row.timestamp, row.kind, row.payload) for row in rows)
        keys.extend(row.key for row in rows)
        seq, digest = rows[-1].seq + 1, rows[-1].digest
        if len(rows) < PAGE_EVENTS:
            break
    # A log that somebody appends to right now may by now reach beyond the head that was read first.
    if seq <= head.next_seq:
        end = (head.next_seq, head.digest)
        _refuse_damage(chain(head.workflow_id, (), first_seq=seq, digest_before=digest, head=end))
    # A branch's chain begins with its parent's name, also where it begins at seq 1.
    is_whole = head.first_kept_seq == 1 and head.digest_before == root_digest(head.workflow_id)
    return ImportedLog(
        head.workflow_id,
        tuple(events),
        keys=tuple(keys) if any(keys) else None,
        previous_digest=None if is_whole else head.digest_before,
    )


def _refuse_damage(violations: list[Violation]) -> None:
    for found in violations:
        raise CorruptStoreError(
            f"workflow {found.workflow_id!r}, seq {found.seq}: {found.message};"
            " only what is as it was written is exported: restore a backup (`treadle log verify` tells all)",
            workflow_id=found.workflow_id,
            seq=found.seq,
        )


async def _pages(store: Store, chosen: list[WorkflowId]) -> AsyncGenerator[LogPage, None]:
    place = 0
    while place < len(chosen):
        pages = await store.read_many(chosen[place : place + LOGS_A_HOP])
        for page in pages:
            yield page
        place += len(pages)


@contextmanager
def _opened(file: str | None) -> Iterator[IO[bytes]]:
    """Open what is written to: stdout, or a draft that takes its name only when it is whole."""
    try:
        with _stdout() if file is None else _draft(file) as out:
            yield out
    except OSError as error:
        # A full disk names no file, and a draft's name says nothing to whoever chose another.
        error.filename, error.filename2 = file or STDOUT, None
        raise


@contextmanager
def _stdout() -> Iterator[IO[bytes]]:
    sys.stdout.flush()
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


@contextmanager
def _draft(file: str) -> Iterator[IO[bytes]]:
    draft = Path(f"{file}.new-{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as raw:
            if file.lower().endswith(".gz"):
                with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                    yield cast("IO[bytes]", packed)
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        draft.replace(file)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
