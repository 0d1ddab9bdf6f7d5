"""`treadle workflow diff`: two logs side by side, from where they part."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import attrs
import msgspec
import trio
from cyclopts import Parameter
from rich.cells import cell_len, set_cell_size

from treadle.cli.durable.connecting import CodecsOption
from treadle.cli.durable.modules import load_codecs
from treadle.cli.durable.words import event_words
from treadle.cli.notes import write_out
from treadle.cli.options import DEFAULT_STORE, WHOLE, Flag, OutputFormat, OutputOption, Positive, StoreOption
from treadle.cli.output import Column, Rows, event_record, payload_cell, printable, screen_width, show_facts
from treadle.cli.stores import known_workflows, reading_runtime
from treadle.engine.marks import MARK_KINDS, read_branched
from treadle.engine.origins import decoded_event, origin_in
from treadle.events import WorkflowEvent
from treadle.payloads import CodecChain
from treadle.runtime.diffing import DiffRow, LogDiff, Parting
from treadle.stores import Head, Store

EXAMPLES: Final = """Examples:

  treadle workflow diff order-7 what-if-7
  treadle workflow diff order-7 order-8 --ignore-times --limit 20
  treadle workflow diff order-7 what-if-7 -o json
"""
USAGE: Final = "Usage: treadle workflow diff [OPTIONS] LEFT RIGHT"
SIDE_WIDTH: Final = 60
"""How many cells a side has where no terminal says how wide it is."""
_SIDE_WIDTH_MIN: Final = 20
_BESIDE_WIDTH: Final = 16


@attrs.frozen
class Side:
    """How the events of one log are worded.

    Args:
        head: the log's.
        chain: decodes its payloads, if a durable workflow wrote them.
        branched: the events that say where a branch's shared events were written, the newest first.
    """

    head: Head
    chain: CodecChain
    branched: Sequence[WorkflowEvent] = ()

    def _plain(self, event: WorkflowEvent) -> WorkflowEvent:
        if event.kind in MARK_KINDS:
            return event
        origin, _ = origin_in(self.head.workflow_id, event.seq, self.branched)
        return decoded_event(origin, event, self.chain)

    def words(self, event: WorkflowEvent | None) -> str:
        """Word an event for people."""
        if event is None:
            return ""
        if self.head.facts is None:
            return f"{event.kind.name} {payload_cell(event.payload)}"
        return f"{event.kind.name} {event_words(self._plain(event))}"

    def record(self, event: WorkflowEvent | None) -> dict[str, Any] | None:
        """Word an event for JSON."""
        if event is None:
            return None
        if self.head.facts is None:
            return event_record(self.head.workflow_id, event)
        plain = self._plain(event)
        return {
            "workflow_id": self.head.workflow_id,
            "seq": event.seq,
            "timestamp": event.timestamp,
            "kind": event.kind.name,
            "what": event_words(plain),
            "payload": msgspec.Raw(plain.payload),
        }


def diff(
    left: Annotated[str, Parameter(allow_leading_hyphen=False)],
    right: Annotated[str, Parameter(allow_leading_hyphen=False)],
    /,
    *,
    ignore_times: Flag = False,
    limit: Annotated[int | None, WHOLE, Parameter(validator=Positive)] = None,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Compare two logs event by event, from the seq at which they part.

    What a branch shares with its parent is passed over and not read, however long it is. Two logs of
    different workflows are compared from their beginnings. Between the two sides stands = where they hold
    the same, | where they differ, < or > where only one of them goes on.

    Args:
        left: one workflow.
        right: the other.
        ignore_times: let two events be equal that differ in their event time alone.
        limit: at most so many rows.
        codecs: what payloads of durable workflows went through.
        output: how the rows are printed; json is one object with the rows in it.
        store: the store.

    Raises:
        InvalidValueError: an id is none.
        NotFoundError: there is no such workflow.
        CodecError: payloads are encoded, and their codecs were not given.
        StoreError: the store could not be opened or read.
    """
    trio.run(_diff, store, (left, right), not ignore_times, limit, load_codecs(codecs), output)


async def _diff(
    url: str,
    names: tuple[str, str],
    times: bool,  # noqa: FBT001  # handed on by position through trio.run
    limit: int | None,
    chain: CodecChain,
    output: OutputFormat,
) -> None:
    async with reading_runtime(url) as runtime:
        for name in names:
            await known_workflows(runtime.store, [name])
        found: LogDiff[Any] = runtime.diff(*names, times=times)
        sides = [await _side(runtime.store, head, chain) for head in await runtime.store.heads(found.names)]
        parting = await found.parting()
        if output == "json":
            rows = [_record(sides, row) async for row in _Limited(found, limit)]
            show_facts(output, "", {**_facts(sides, parting), "rows": rows}, {})
            return
        if output == "table":
            _tell(sides, parting)
        with Rows(output, *_columns(sides)) as table:
            async for row in _Limited(found, limit):
                table.add(_record(sides, row), *_cells(sides, row))


async def _side(store: Store, head: Head, chain: CodecChain) -> Side:
    branched: list[WorkflowEvent] = []
    seq = head.shared_seq + 1 if head.shared_seq and head.facts is not None else 0
    while seq >= head.first_kept_seq:
        branched += await store.read(head.workflow_id, seq, seq)
        seq = read_branched(branched[-1]).previous
    return Side(head, chain, branched)


class _Limited:
    """The first rows of a comparison."""

    def __init__(self, rows: LogDiff[Any], limit: int | None) -> None:
        self._rows = rows
        self._left = limit

    def __aiter__(self) -> _Limited:
        return self

    async def __anext__(self) -> DiffRow[Any]:
        if self._left == 0:
            raise StopAsyncIteration
        if self._left is not None:
            self._left -= 1
        return await anext(self._rows)


def _facts(sides: list[Side], parting: Parting) -> dict[str, Any]:
    return {
        "left": sides[0].head.workflow_id,
        "right": sides[1].head.workflow_id,
        "same": parting.differs_at is None,
        "differs_at": parting.differs_at,
        **attrs.asdict(parting),
    }


def _tell(sides: list[Side], parting: Parting) -> None:
    left, right = (printable(side.head.workflow_id) for side in sides)
    if parting.differs_at is None:
        write_out(f"{left} and {right} hold the same, up to seq {parting.equal_to_seq}\n")
    elif parting.equal_to_seq < parting.first_seq:
        write_out(f"{left} and {right} part at their first event, seq {parting.first_seq}\n")
    else:
        write_out(f"{left} and {right} hold the same up to seq {parting.equal_to_seq} and part there\n")


def _record(sides: list[Side], row: DiffRow[Any]) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "same": row.same,
        "left": sides[0].record(row.left),
        "right": sides[1].record(row.right),
    }


def _columns(sides: list[Side]) -> tuple[Column, ...]:
    left, right = (printable(side.head.workflow_id) for side in sides)
    return (
        Column("seq", 8, right=True),
        Column(_fitted(left), _side_width()),
        Column(" ", 1),
        Column(right),
    )


def _side_width() -> int:
    if not sys.stdout.isatty():
        return SIDE_WIDTH
    return max(_SIDE_WIDTH_MIN, (screen_width() - _BESIDE_WIDTH) // 2)


def _fitted(text: str) -> str:
    width = _side_width()
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _cells(sides: list[Side], row: DiffRow[Any]) -> tuple[str, str, str, str]:
    mark = "=" if row.same else "<" if row.right is None else ">" if row.left is None else "|"
    left, right = (
        _fitted(printable(side.words(event)))
        for side, event in zip(sides, (row.left, row.right), strict=True)
    )
    return str(row.seq), left, mark, right
