"""Removing all that is kept of a projection."""

from __future__ import annotations

from treadle.errors import InvalidValueError
from treadle.projections.claiming import Claim, spaces_of
from treadle.projections.hosting import Host
from treadle.projections.kept import decode_checkpoint
from treadle.projections.shelf import Shelf


async def remove(host: Host, shelf: Shelf, name: str) -> bool:
    """Remove all that is kept of a projection; retention asks for it no longer.

    The checkpoint goes first: whoever keeps the projection up finds that out at its next write.

    Args:
        host: takes what removes it.
        shelf: reads it.
        name: the projection.

    Returns:
        Whether anything was kept of it.

    Raises:
        RecordChangedError: somebody wrote it meanwhile.
        TreadleError: the store failed.
    """
    value = await shelf.find(name)
    if value is None:
        return False
    try:
        left = spaces_of(name, decode_checkpoint(name, value))
    except InvalidValueError:
        left = ()  # what cannot be read names no states
    claim = await Claim.take(host, shelf, name)
    await claim.finish(None, value, left)
    return True
