"""`treadle workflow patches`: which stored workflows still need which version of their code."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

import attrs
import msgspec
import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import CodecsOption, existing_store
from treadle.cli.durable.modules import load_codecs
from treadle.cli.durable.replaying import read_run
from treadle.cli.options import DEFAULT_STORE, OutputFormat, OutputOption, StoreOption
from treadle.cli.output import Column, Rows
from treadle.engine import Status
from treadle.engine.records import Patched
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.payloads import CodecChain
from treadle.stores import Head, Store

USAGE: Final = "Usage: treadle workflow patches [OPTIONS] [PATCH]"
EXAMPLES: Final = """Examples:

  treadle workflow patches
  treadle workflow patches tax-2026
"""
_COLUMNS: Final = (
    Column("patch", 20),
    Column("workflow", 20),
    Column("with", 7, right=True),
    Column("deprecated", 10, right=True),
    Column("without", 7, right=True),
    Column("so"),
)
_ID_COLUMNS: Final = (Column("took", 10), Column("workflow", whole=True))


@attrs.define
class Count:
    """The open runs of one workflow, by what they say of one patch.

    Attributes:
        patched: runs that went the new way because of `patched`.
        deprecated: runs that have passed `deprecate_patch`.
        without: runs that have passed neither, and may still go the old way.
    """

    patched: int = 0
    deprecated: int = 0
    without: int = 0

    def advice(self) -> str:
        """Tell what may become of the line in the code."""
        if self.without:
            return "keep patched() and the old way"
        if self.patched:
            return "deprecate_patch() is enough"
        return "the line may go"


def patches(
    patch: Annotated[str | None, Parameter(allow_leading_hyphen=False)] = None,
    /,
    *,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """List for each patch how many open workflows have it in their log, and how many may go the old way.

    Only the newest run of workflows that have not ended counts. With a patch named, the workflows are
    listed one by one.

    Args:
        patch: list the workflows of this patch.
        codecs: what payloads go through.
        output: how it is printed.
        store: the store.

    Raises:
        CodecError: payloads are encoded, and their codecs were not given.
        StoreError: the store could not be opened or read.
    """
    trio.run(_patches, store, patch, load_codecs(codecs), output)


async def _patches(url: str, patch: str | None, chain: CodecChain, output: OutputFormat) -> None:
    async with existing_store(url, read_only=True) as store:
        if patch is None:
            await _show_counts(store, chain, output)
        else:
            await _show_workflows(store, patch, chain, output)


async def _show_counts(store: Store, chain: CodecChain, output: OutputFormat) -> None:
    runs: dict[str, int] = {}
    marked: dict[tuple[str, str], Count] = {}
    async with aclosing(_open_runs(store, chain)) as found:
        async for _, name, marks in found:
            runs[name] = runs.get(name, 0) + 1
            for patch_id, deprecated in marks.items():
                count = marked.setdefault((patch_id, name), Count())
                count.deprecated += deprecated
                count.patched += not deprecated
    with Rows(output, *_COLUMNS) as rows:
        for (patch_id, name), count in sorted(marked.items()):
            count.without = runs[name] - count.patched - count.deprecated
            record = {"patch": patch_id, "name": name, **attrs.asdict(count), "advice": count.advice()}
            figures = (str(count.patched), str(count.deprecated), str(count.without))
            rows.add(record, patch_id, name, *figures, count.advice())


async def _show_workflows(store: Store, patch: str, chain: CodecChain, output: OutputFormat) -> None:
    # Collected first: which code knows the patch at all is seen from all its runs together.
    names: set[str] = set()
    seen: list[tuple[WorkflowId, str, str]] = []
    async with aclosing(_open_runs(store, chain)) as found:
        async for workflow_id, name, marks in found:
            took = "without" if patch not in marks else "deprecated" if marks[patch] else "with"
            seen.append((workflow_id, name, took))
            if patch in marks:
                names.add(name)
    with Rows(output, *_ID_COLUMNS) as rows:
        for workflow_id, name, took in seen:
            if name in names:
                record = {
                    "patch": patch,
                    "workflow_id": workflow_id,
                    "name": name,
                    "took": took,
                }
                rows.add(record, took, workflow_id)


async def _open_runs(
    store: Store, chain: CodecChain
) -> AsyncGenerator[tuple[WorkflowId, str, dict[str, bool]], None]:
    """Give every durable workflow that has not ended: id, name, the patches of its newest run."""
    for status in (Status.RUNNING, Status.HELD):
        after: WorkflowId | None = None
        while page := await store.list_workflows(status=status, after=after):
            after = page[-1]
            for head in await store.heads(page):
                if head.facts is not None:
                    yield head.workflow_id, head.facts.name, _marks(await _marked_events(store, head, chain))


async def _marked_events(store: Store, head: Head, chain: CodecChain) -> list[WorkflowEvent]:
    return [event for event in await read_run(store, head, chain) if event.kind is EventKind.PATCHED]


def _marks(events: list[WorkflowEvent]) -> dict[str, bool]:
    records = [msgspec.json.decode(event.payload, type=Patched) for event in events]
    return {record.id: record.deprecated for record in records}
