"""`treadle store prune`: what a retention policy lets go, goes, and the file may shrink."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import attrs
import trio
from cyclopts import Parameter
from cyclopts.validators import Number

from treadle.cli.durable.connecting import CodecsOption, existing_store
from treadle.cli.durable.modules import load_codecs
from treadle.cli.exits import CommandError
from treadle.cli.notes import note
from treadle.cli.options import (
    DEFAULT_STORE,
    WHOLE,
    Flag,
    OutputFormat,
    OutputOption,
    PrefixOption,
    StoreOption,
)
from treadle.cli.output import Column, Rows, counted, progress
from treadle.payloads import CodecChain
from treadle.runtime import RetentionPolicy, RetentionRule, open_runtime
from treadle.runtime.retention import Removal, Sweep, Swept, compact
from treadle.stores import Store

EXAMPLES: Final = """Examples:

  treadle store prune --dry-run
  treadle store prune --keep-closed-days 30
  treadle store prune --keep-closed 1000 --prefix order-
  treadle store prune --compact
"""
_COLUMNS: Final = (
    Column("doing", 6),
    Column("events", 12, right=True),
    Column("workflow", 24),
    Column("why"),
)
_NotNegative: Final = Number(gte=0)


@attrs.frozen
class _Wish:
    """What the options ask for."""

    policy: RetentionPolicy
    dry_run: bool
    compact: bool
    codecs: CodecChain


def prune(
    *,
    dry_run: Flag = False,
    keep_closed_days: Annotated[
        float | None, Parameter(show_default=False, validator=_NotNegative, metavar="DAYS")
    ] = None,
    keep_closed: Annotated[
        int | None, WHOLE, Parameter(show_default=False, validator=_NotNegative, metavar="NUMBER")
    ] = None,
    prefix: PrefixOption = "",
    compact: Flag = False,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Remove what lies before the last baseline of each log, and closed logs that need not be kept.

    A baseline is a BASELINE event in a plain log (`treadle workflow baseline`), and in a durable workflow the
    start of its current run. Closed is a durable workflow that has ended, or a plain log whose last event
    says so; closed logs go only with --keep-closed-days or --keep-closed. What a branch, a projection, a
    run, a parent or a waiting message still needs is kept, and it is said why.

    It works in small steps while others use the store, and may be killed and run again. A deleted id keeps
    its place: what is appended to it goes on behind its last seq.

    Args:
        dry_run: tell what would go, and change nothing.
        keep_closed_days: delete logs that were closed, and what-if branches made, more days ago.
        keep_closed: delete closed logs but for the last so many.
        prefix: only workflows whose id begins so.
        compact: write events anew where removed ones have left holes, so that the file shrinks; only the
            rest of its slack is left for `treadle store vacuum`.
        codecs: what payloads go through; needed for durable workflows with encoded ones.
        output: how the rows are printed.
        store: the store, which must exist.

    Raises:
        CommandError: the options contradict each other.
        StoreError: the store could not be opened, read or written.
    """
    if dry_run and compact:
        raise CommandError("--dry-run changes nothing, and --compact writes; leave one of them out")
    rule = RetentionRule(prefix=prefix, closed_days_max=keep_closed_days, closed_count_max=keep_closed)
    wish = _Wish(RetentionPolicy(rule), dry_run, compact, load_codecs(codecs))
    trio.run(_prune, store, wish, output)


async def _prune(url: str, wish: _Wish, output: OutputFormat) -> None:
    async with (
        existing_store(url, read_only=wish.dry_run) as store,
        open_runtime(store, codecs=wish.codecs) as runtime,
    ):
        before = _size_bytes(store)
        with Rows(output, *_COLUMNS) as rows:

            def told(removal: Removal) -> None:
                cells = (removal.doing, f"{removal.events:,}", removal.workflow_id, removal.reason)
                rows.add(attrs.asdict(removal), *cells)

            sweep = Sweep(runtime, wish.policy, dry=wish.dry_run, told=told)
            with progress("looking", await store.count_workflows(prefix=wish.policy.rules[0].prefix)) as seen:
                await sweep.look(seen)
        if not wish.dry_run:
            await give_back(sweep)
        if wish.compact:
            with progress("compacting", await store.position()) as advance:
                await compact(sweep, advance)
    _summarise(sweep.swept, wish, before, None if wish.dry_run else _size_bytes(store))


async def give_back(sweep: Sweep) -> None:
    """Give back the room of what was removed, with progress.

    Args:
        sweep: whose store.
    """
    with progress("giving back", sweep.swept.events_removed) as advance:
        await sweep.reclaim(advance)


def _size_bytes(store: Store) -> int | None:
    return None if store.path is None else Path(store.path).stat().st_size


def _summarise(swept: Swept, wish: _Wish, before: int | None, after: int | None) -> None:
    verbs = ("would cut", "would delete") if wish.dry_run else ("cut", "deleted")
    note(
        f"looked at {counted(swept.logs_seen, 'log')}: {verbs[0]} {swept.logs_cut:,}, {verbs[1]}"
        f" {swept.logs_deleted:,}, kept {swept.logs_kept:,} that somebody needs;"
        f" {counted(swept.events_removed, 'event')} {'would go' if wish.dry_run else 'gone'}"
    )
    if before is not None and after is not None:
        note(f"the file had {before:,} bytes and has {after:,}")
        if not wish.compact and after > before // 2 and swept.events_reclaimed:
            note("--compact closes the holes between the events that are left")
