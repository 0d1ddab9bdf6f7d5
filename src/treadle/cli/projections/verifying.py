"""`treadle projection verify`: what is kept of a projection, held against a rebuild from the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import attrs
import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import CodecsOption
from treadle.cli.durable.modules import load_codecs
from treadle.cli.exits import OK, VIOLATION
from treadle.cli.notes import note
from treadle.cli.options import DEFAULT_STORE, OutputFormat, OutputOption, StoreOption
from treadle.cli.output import counted, progress, show_facts
from treadle.cli.projections.finding import AnyProjection, find_kept, load_projection, shelf_of
from treadle.cli.projections.showing import NameArgument
from treadle.cli.stores import reading_store
from treadle.payloads import CodecChain
from treadle.projections import Projections, Verdict

USAGE: Final = "Usage: treadle projection verify NAME [MODULE] [OPTIONS]"
EXAMPLES: Final = """Examples:

  treadle projection verify totals shop.views
  treadle projection verify totals shop.views:TOTALS -o json
  treadle projection verify treadle:retries
"""
MODULE_HELP: Final = (
    "the module in which the projection is, or MODULE:NAME of the variable that holds it, or its set."
)
ModuleArgument = Annotated[str | None, Parameter(name="MODULE", help=MODULE_HELP, show_default=False)]
DIFFERENCES_SHOWN_MAX: Final = 10
"""How many differences a table shows: the first one is where to look."""


def verify(
    name: NameArgument,
    module: ModuleArgument = None,
    /,
    *,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Hold what is kept of a projection against a rebuild from the log, and say where they part.

    Both sides are taken at the position of the checkpoint: nothing is written, and whoever keeps the
    projection up goes on. Of a store from which events were removed, the rebuild begins at the baseline that
    was kept, and it says so. Exit code 4 when they differ: the first key, workflow and position are named.

    Args:
        name: the projection.
        module: where its code is; treadle:retries needs none.
        codecs: what payloads go through; needed for states that were encoded.
        output: how the verdict is printed.
        store: the store, which must exist.

    Returns:
        The exit code: 4 when both sides differ.

    Raises:
        NotFoundError: there is no such module, no such projection in it, or nothing is kept of it.
        ProjectionVersionError: another version of its fold has made what is kept.
        StoreError: the store could not be opened or read.
    """
    chain = load_codecs(codecs)
    projection = load_projection(name, module, chain)
    verdict = trio.run(_verify, store, projection, chain)
    _show(verdict, output)
    return OK if verdict.same else VIOLATION


async def _verify(url: str, projection: AnyProjection, codecs: CodecChain) -> Verdict:
    async with reading_store(url) as store:
        await find_kept(shelf_of(store, codecs), projection.name)
        views = Projections(projection)
        with reached("verifying", await store.position()) as progressed:
            (verdict,) = await views.verify(store=store, codecs=codecs, progress=progressed)
    return verdict


@contextmanager
def reached(what: str, newest: int) -> Iterator[Callable[[int, int], None]]:
    """Show how far up the feed something has come.

    Args:
        what: what is going on.
        newest: the last position.

    Yields:
        A function that is told the position reached, and the one aimed at.
    """
    last = 0
    with progress(what, newest) as advance:

        def progressed(position: int, _: int) -> None:
            nonlocal last
            advance(position - last)
            last = position

        yield progressed


def _show(verdict: Verdict, output: OutputFormat) -> None:
    record = {"projection": verdict.name, "same": verdict.same, **attrs.asdict(verdict)}
    record.pop("name")
    rows = {
        "version": verdict.version,
        "at position": verdict.position,
        "rebuilt from": beginning_text(verdict.from_position),
        "events read": verdict.events,
        "keys": verdict.keys,
        "differing": verdict.differing,
        "verdict": "holds" if verdict.same else "BROKEN",
    }
    show_facts(output, f"projection {verdict.name}", record, rows)
    for found in verdict.differences[:DIFFERENCES_SHOWN_MAX]:
        whose = "" if found.key is None else f"key {found.key!r}: "
        note(
            f"{whose}position {found.position:,}, workflow {found.workflow_id!r}, seq {found.seq}:"
            f" {found.why}; kept {_cut(found.kept)}, rebuilt {_cut(found.rebuilt)}"
        )
    rest = verdict.differing - DIFFERENCES_SHOWN_MAX
    if rest > 0:
        note(f"and {counted(rest, 'key')} more; -o json shows the first hundred")


def beginning_text(position: int) -> str:
    """Word where a rebuild has begun.

    Args:
        position: 0, or that of a baseline.

    Returns:
        The words.
    """
    if not position:
        return "the first event"
    return f"the baseline kept at position {position:,}: events up to there may have been removed"


def _cut(text: str | None) -> str:
    return "nothing" if text is None else text if len(text) <= 60 else f"{text[:59]}…"
