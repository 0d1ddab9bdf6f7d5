"""`treadle log salvage`: what is sound of a damaged store, in a new file; what is lost, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

import attrs
import trio
from cyclopts import Parameter

from treadle.cli.audit import Audit
from treadle.cli.exits import OK, VIOLATION, CommandError
from treadle.cli.notes import write_out
from treadle.cli.options import OutputFormat, OutputOption
from treadle.cli.output import counted, printable, progress, show_facts
from treadle.cli.stores import no_store, path_of, reading_store
from treadle.engine import HeadFold
from treadle.errors import InternalError, TreadleError
from treadle.events import KIND_BY_NUMBER, trusted_event
from treadle.stores import AuditRow, HeadFacts, sqlite

EXAMPLES: Final = """Examples:

  treadle log salvage broken.db saved.db
  treadle log salvage broken.db saved.db -o json > what-is-lost.json
"""
USAGE: Final = "Usage: treadle log salvage [OPTIONS] STORE NEW_FILE"
_MEMORY: Final = "memory:"


def salvage(
    store: Annotated[str, Parameter(allow_leading_hyphen=False)],
    new_file: Annotated[str, Parameter(allow_leading_hyphen=False)],
    /,
    *,
    output: OutputOption = "table",
) -> int:
    """Save what can be read of a damaged store into a new file, and name what cannot.

    The damaged file is read page by page, without SQLite, and not changed. An event is taken only when the
    digest chain proves it; a log's longest stretch without a gap keeps its id, further ones get names such
    as order-1@52. Keys, messages, records and what is kept of durable workflows come along where a checksum
    or an index vouches for them. The new file is verified. Restore a backup instead, if there is one.

    The exit code is 4 when something is lost. What of a log was never heard of cannot be named: hold the
    result against a watermark or a backup.

    Args:
        store: the damaged store; no process may have it open.
        new_file: the new store; nothing may exist there.
        output: how the summary is printed.

    Returns:
        The exit code.

    Raises:
        CommandError: the store is one in memory.
        UsageError: there is something at the new file's place.
        StoreError: there is no damaged store, it is in use, it is none of ours, nothing of it can be found,
            or the new file cannot be written.
    """
    if store.lower().startswith(_MEMORY) or new_file.lower().startswith(_MEMORY):
        raise CommandError("a memory store lies in no file; name a file")
    path = path_of(store)
    if (missing := no_store(store)) is not None:
        raise missing
    with progress("salvaging", None) as advance:
        saved = sqlite.salvage(path, path_of(new_file), facts_of, advance)
    trio.run(_verify, new_file)
    is_whole = _show(output, saved, new_file)
    return OK if is_whole else VIOLATION


def facts_of(rows: Iterable[AuditRow], kept: HeadFacts | None) -> HeadFacts | None:
    """Tell the head facts of a durable workflow whose events were saved.

    Args:
        rows: the events of its run.
        kept: what the damaged store has kept, if that is sound.

    Returns:
        Those kept, when the events say the same; those that the events tell, when none were kept; None when
        they contradict each other, so that the end of the log must be missing, or cannot be told.
    """
    fold = HeadFold()
    try:
        for row in rows:
            fold.add(trusted_event(row.seq, row.timestamp, KIND_BY_NUMBER[row.kind], row.payload))
    except TreadleError:
        return None
    if kept is not None:
        return kept if fold.problem(kept) is None else None
    if fold.status is None or fold.name is None:
        return None
    return HeadFacts(fold.status, fold.run_start_seq, fold.wake_up_ns, fold.name)


async def _verify(url: str) -> None:
    async with reading_store(url) as store:
        audit = Audit(store)
        await audit.check_structure()
        after = None
        with progress("verifying", await store.count_workflows(hidden=True)) as advance:
            while page := await store.list_workflows(after=after, hidden=True):
                await audit.check_logs(page, advance)
                after = page[-1]
            await audit.check_shared()
    if audit.damage:
        raise InternalError(
            f"{url}: what was saved does not verify: {audit.damage[0].message}; this is a bug of treadle,"
            " please report it, and keep the damaged file"
        )


def _show(output: OutputFormat, saved: sqlite.Salvaged, new_file: str) -> bool:
    counts = saved.counts
    lost_events = sum(lost.last_seq - lost.first_seq + 1 for lost in saved.lost)
    is_whole = not (
        saved.lost
        or saved.lost_logs
        or saved.lost_names
        or counts.keys_lost
        or counts.facts_lost
        or counts.messages_lost
        or counts.records_lost
        or counts.epoch_is_lost
        or saved.pages_unread
    )
    record: dict[str, Any] = {
        "file": new_file,
        "whole": is_whole,
        **attrs.asdict(saved),
        "events_lost": lost_events,
    }
    rows = {
        "new file": new_file,
        "pages read": saved.pages - saved.pages_unread,
        "pages that the disk could not read": saved.pages_unread or None,
        "write-ahead log": "damaged" if saved.wal_is_damaged else None,
        "logs": saved.logs,
        "events": counts.events,
        "messages": counts.messages,
        "records": counts.records,
        "events known to be lost": lost_events,
        "logs of which nothing is left": len(saved.lost_logs) or None,
        "logs that lost their id": list(saved.lost_names) or None,
        "keys lost": counts.keys_lost or None,
        "messages lost": counts.messages_lost or None,
        "records lost": counts.records_lost or None,
        "workflows that will not run": counts.facts_lost or None,
        "runner's epoch": "lost: it begins anew" if counts.epoch_is_lost else None,
        "verdict": "nothing is known to be lost" if is_whole else "SOMETHING IS LOST",
    }
    if output == "table":
        _tell(saved)
    show_facts(output, "salvaged", record, rows)
    return is_whole


def _tell(saved: sqlite.Salvaged) -> None:
    for lost in saved.lost:
        seqs = (
            f"seq {lost.first_seq}"
            if lost.first_seq == lost.last_seq
            else f"seqs {lost.first_seq} to {lost.last_seq}"
        )
        events = counted(lost.last_seq - lost.first_seq + 1, "event")
        write_out(f"lost: workflow {printable(lost.workflow_id)} {seqs} ({events})\n")
    for name in saved.lost_logs:
        write_out(f"lost: workflow {printable(name)}: no event of it could be read\n")
    for aside in saved.asides:
        write_out(
            f"aside: workflow {printable(aside.workflow_id)} seqs {aside.first_seq} to {aside.last_seq}"
            f" kept as {printable(aside.kept_as)}\n"
        )
