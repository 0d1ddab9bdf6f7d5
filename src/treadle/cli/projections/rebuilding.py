"""`treadle projection rebuild`: a state made anew from the log, in the place of what is kept."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from treadle.cli.durable.connecting import CodecsOption, existing_store
from treadle.cli.durable.modules import load_codecs
from treadle.cli.notes import note
from treadle.cli.options import DEFAULT_STORE, Flag, OutputFormat, OutputOption, StoreOption
from treadle.cli.output import show_facts
from treadle.cli.projections.finding import AnyProjection, load_projection
from treadle.cli.projections.showing import NameArgument
from treadle.cli.projections.verifying import ModuleArgument, beginning_text, reached
from treadle.payloads import CodecChain
from treadle.projections import Projections, Rebuilt
from treadle.runtime import open_runtime

USAGE: Final = "Usage: treadle projection rebuild NAME [MODULE] [OPTIONS]"
EXAMPLES: Final = """Examples:

  treadle projection rebuild totals shop.views
  treadle projection rebuild totals shop.views --from-kept
"""


def rebuild(
    name: NameArgument,
    module: ModuleArgument = None,
    /,
    *,
    from_kept: Flag = False,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Make a projection's state anew from the log, and put it in the place of what is kept.

    After its version was raised, a backup was restored, or `treadle projection verify` has found something.
    All at once or not at all: until it is done everybody reads the old state, and a kill on the way leaves
    it. Whoever keeps the projection up meanwhile stands by then, and goes on from the new state.

    Args:
        name: the projection.
        module: where its code is; treadle:retries needs none.
        from_kept: pass over events that were removed, when no baseline is kept to begin at.
        codecs: what payloads go through; needed for states that are to be encoded.
        output: how it is told what it has come to.
        store: the store, which must exist.

    Raises:
        NotFoundError: there is no such module, or no such projection in it.
        InvalidValueError: its fold has raised, its state cannot be kept, or events it needs were removed.
        StoreError: the store could not be opened, read or written.
    """
    chain = load_codecs(codecs)
    projection = load_projection(name, module, chain)
    rebuilt = trio.run(_rebuild, store, projection, chain, from_kept)
    _show(rebuilt, output)


async def _rebuild(url: str, projection: AnyProjection, codecs: CodecChain, from_kept: bool) -> Rebuilt:  # noqa: FBT001
    async with existing_store(url) as store, open_runtime(store, codecs=codecs) as runtime:
        views = Projections(projection)
        with reached("rebuilding", await store.position()) as progressed:
            return await views.rebuild(
                projection.name, host=runtime.host(), progress=progressed, from_kept=from_kept
            )


def _show(rebuilt: Rebuilt, output: OutputFormat) -> None:
    record = attrs.asdict(rebuilt)
    record = {"projection": record.pop("name"), **record}
    rows = {
        "version": rebuilt.version,
        "rebuilt from": beginning_text(rebuilt.from_position),
        "position": rebuilt.position,
        "events read": rebuilt.events,
        "keys": rebuilt.keys,
    }
    show_facts(output, f"projection {rebuilt.name}", record, rows)
    if rebuilt.incomplete_to:
        upto = f"{rebuilt.incomplete_to:,}"
        note(f"events up to position {upto} may have been removed: the state is without them")
