"""Removing what is kept of projections: states of an older generation, baselines, and all of one."""

from __future__ import annotations

from typing import Final, Protocol

from treadle.errors import TreadleError
from treadle.log import PROJECTIONS
from treadle.projections.kept import Shelf, baseline_space_of, decode_checkpoint, space_of
from treadle.stores import Record, Unit

RECORDS_MAX: Final = 1_000
"""How many records one unit writes or removes: other appends wait no longer for it than for each other."""


class Commits(Protocol):
    """What takes units to the store."""

    async def commit(self, units: list[Unit], /) -> list[TreadleError | None]:
        """Write units, each taken or refused by itself."""


async def commit_all(host: Commits, records: list[Record]) -> None:
    """Write records that nobody else writes, in units of bounded size.

    Args:
        host: takes them.
        records: what is to be set or removed.

    Raises:
        TreadleError: they could not be written; some may be.
    """
    for start in range(0, len(records), RECORDS_MAX):
        (error,) = await host.commit([Unit(records=tuple(records[start : start + RECORDS_MAX]))])
        if error is not None:
            raise error


async def clear(host: Commits, shelf: Shelf, space: str) -> None:
    """Remove all records of a namespace.

    Args:
        host: takes what removes them.
        shelf: reads them.
        space: the namespace.

    Raises:
        TreadleError: the store failed.
    """
    while page := await shelf.store.records(space, limit=RECORDS_MAX):
        await commit_all(host, [record._replace(value=None) for record in page])


async def remove(host: Commits, shelf: Shelf, name: str) -> bool:
    """Remove all that is kept of a projection; retention asks for it no longer.

    The checkpoint goes first: whoever keeps the projection up finds that out at its next write.

    Args:
        host: takes what removes it.
        shelf: reads it.
        name: the projection.

    Returns:
        Whether anything was kept of it.

    Raises:
        TreadleError: the store failed, or somebody wrote it meanwhile.
    """
    value = await shelf.find(name)
    if value is None:
        return False
    record = Record(PROJECTIONS, name.encode(), None)
    (error,) = await host.commit([Unit(records=(record,), expected=(record._replace(value=value),))])
    if error is not None:
        raise error
    try:
        checkpoint = decode_checkpoint(name, value)
    except TreadleError:
        return True  # what cannot be read names no states
    await clear(host, shelf, space_of(name, checkpoint.generation))
    if checkpoint.baseline:
        await clear(host, shelf, baseline_space_of(name, checkpoint.baseline))
    return True
