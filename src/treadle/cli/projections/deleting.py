"""`treadle projection delete`: forget a projection, so that retention asks for it no longer."""

from __future__ import annotations

from typing import Final

import trio

from treadle.cli.durable.connecting import existing_store
from treadle.cli.notes import note
from treadle.cli.options import DEFAULT_STORE, StoreOption
from treadle.cli.projections.finding import not_kept, shelf_of
from treadle.cli.projections.showing import NameArgument
from treadle.payloads import CodecChain
from treadle.projections.removing import remove
from treadle.runtime import open_runtime

EXAMPLES: Final = """Examples:

  treadle projection delete totals
"""


def delete(name: NameArgument, /, *, store: StoreOption = DEFAULT_STORE) -> None:
    """Remove all that is kept of a projection; retention asks for it no longer.

    Nothing behind a projection's position is ever removed, so one that nobody keeps up any more holds all
    newer events. A process that keeps it up stands by at its next write; stop it first, or it begins anew.

    Args:
        name: the projection.
        store: the store, which must exist.

    Raises:
        NotFoundError: nothing is kept of this projection.
        RecordChangedError: a process has written it meanwhile: it is kept up still.
        StoreError: the store could not be opened or written.
    """
    trio.run(_delete, store, name)


async def _delete(url: str, name: str) -> None:
    async with existing_store(url) as store, open_runtime(store) as runtime:
        shelf = shelf_of(store, CodecChain())
        if not await remove(runtime.host(), shelf, name):
            raise await not_kept(shelf, name)
    note(f"projection {name!r} is kept no longer")
