"""`treadle log verify`: what is stored, held against what was written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Annotated, Any, Final

import attrs
import trio
from cyclopts import Parameter

from treadle.cli.audit import Audit, Watermark
from treadle.cli.exits import OK, VIOLATION, CommandError
from treadle.cli.notes import note, write_out
from treadle.cli.options import DEFAULT_STORE, Flag, OutputFormat, OutputOption, StoreOption
from treadle.cli.output import counted, printable, progress, show_facts
from treadle.cli.stores import known_workflows, path_of, reading_store
from treadle.errors import CorruptStoreError, StorePoisonedError
from treadle.events import WorkflowId
from treadle.stores import Damage, Store, sqlite

EXAMPLES: Final = """Examples:

  treadle log verify
  treadle log verify order-1 order-2
  treadle log verify --expect 10011:6ac7a484bbe5e23309547455181affd8
  treadle log verify --clear
"""
USAGE: Final = "Usage: treadle log verify [OPTIONS] [WORKFLOW-ID...]"


def verify(
    workflow_id: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    /,
    *,
    expect: Annotated[str | None, Parameter(metavar="POSITION:DIGEST")] = None,
    clear: Flag = False,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Check the store's structure and recompute the digest chain of every log, or of those named.

    Damage is printed with workflow and seq, and the exit code is 4. When all is well, it prints the
    store's position and one digest over all logs as a watermark; keep it elsewhere, and --expect later
    proves that nothing up to that position was changed, lost or deleted. What branches share is read once;
    damage in it names them. Nothing is repaired: restore a backup, or see `treadle log salvage`.

    Args:
        workflow_id: the workflows to check; all, and the structure around them, if left out.
        expect: a watermark from an earlier run.
        clear: when all is well, remove the marker that keeps a store shut after an I/O error.
        output: how the findings are printed.
        store: the store.

    Returns:
        The exit code.

    Raises:
        CommandError: the options contradict each other, or the watermark is none.
        NotFoundError: there is no such workflow.
        StoreError: the store could not be opened or read.
    """
    names = workflow_id or []
    if names and (expect is not None or clear):
        raise CommandError("--expect and --clear are about the whole store; leave the workflow ids out")
    watermark = None if expect is None else Watermark.parsed(expect)
    audit, poisoned = trio.run(_verify, store, names, watermark)
    cleared = clear and poisoned and not audit.damage and _clear(store)
    _show(output, audit, poisoned=poisoned and not cleared, cleared=cleared)
    return VIOLATION if audit.damage else OK


async def _verify(url: str, names: list[str], watermark: Watermark | None) -> tuple[Audit, bool]:
    async with _opened(url) as (store, poisoned):
        audit = Audit(store, watermark)
        total = len(names)
        if not names:
            await audit.check_structure()
            total = await store.count_workflows(hidden=True)
        with progress("verifying", total) as advance:
            try:
                async with aclosing(_chosen(store, names)) as pages:
                    async for page, hidden in pages:
                        await audit.check_logs(page, advance, all_are_read=not names, hidden=hidden)
                await audit.check_shared()
            except CorruptStoreError as error:
                audit.note(Damage(str(error), error.workflow_id, error.seq))
        if not names:
            audit.finish()
    return audit, poisoned


async def _chosen(
    store: Store, names: list[str]
) -> AsyncGenerator[tuple[list[WorkflowId], frozenset[WorkflowId]], None]:
    """Give the logs by pages, with those among them that the digest leaves out as every list does."""
    if names:
        yield await known_workflows(store, names, deleted=True), frozenset()
        return
    after: WorkflowId | None = None
    while page := await store.list_workflows(after=after, hidden=True):
        listed = await store.list_workflows(after=after, limit=len(page))
        yield page, frozenset(page).difference(listed)
        after = page[-1]


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[tuple[Store, bool]]:
    """Open the store even when it is poisoned, which nobody else does."""
    async with AsyncExitStack() as stack:
        try:
            opened: tuple[Store, bool] = await stack.enter_async_context(reading_store(url)), False
        except StorePoisonedError as error:
            note(f"treadle: {error}")
            opened = await stack.enter_async_context(reading_store(url, ignore_poison=True)), True
        yield opened


def _clear(url: str) -> bool:
    return sqlite.clear_poison(path_of(url))


def _show(output: OutputFormat, audit: Audit, *, poisoned: bool, cleared: bool) -> None:
    damage = [attrs.asdict(found) for found in audit.damage]
    facts: dict[str, Any] = {
        "ok": not damage,
        "workflows": audit.workflows,
        "events": audit.events,
        "position": audit.position,
        "digest": audit.digest,
        "poisoned": poisoned,
    }
    rows = {
        "workflows": audit.workflows,
        "events": audit.events,
        "watermark": None if damage or audit.digest is None else f"{audit.position}:{audit.digest}",
        "poison marker": "removed" if cleared else "still there; --clear removes it" if poisoned else None,
        "verdict": f"DAMAGED in {counted(len(damage), 'place')}" if damage else "as written",
    }
    if output == "table":
        for found in audit.damage:
            write_out(f"damaged: {printable(_place(found))}: {printable(found.message)}\n")
    show_facts(output, "verified", {**facts, "damage": damage}, rows)


def _place(found: Damage) -> str:
    if found.workflow_id is None:
        return "store"
    return f"workflow {found.workflow_id}" + ("" if found.seq is None else f" seq {found.seq}")
