"""Whether what is kept of a projection fits its fold, and the store it lies in."""

from __future__ import annotations

from typing import Any

from treadle.errors import ProjectionAheadError, ProjectionVersionError
from treadle.projections.kept import Checkpoint, command_to_rebuild
from treadle.projections.projection import Projection


def check_fits(projection: Projection[Any], checkpoint: Checkpoint, newest: int) -> None:
    """Refuse to go on from what another fold has left, or from another history.

    Args:
        projection: the fold.
        checkpoint: what is kept.
        newest: the store's newest position.

    Raises:
        ProjectionVersionError: another version of the fold has made it, or one with keys where this has none.
        ProjectionAheadError: it has read further than the store reaches.
    """
    name, rebuild = projection.name, command_to_rebuild(projection.name)
    if checkpoint.version != projection.version:
        raise ProjectionVersionError(
            f"projection {name!r} was kept by version {checkpoint.version} of its fold, and this is version"
            f" {projection.version}; nothing was changed: rebuild it with {rebuild}, or give the other"
            " version",
            projection=name,
            recorded_version=checkpoint.version,
            version=projection.version,
        )
    if checkpoint.keyed != (projection.key is not None):
        raise ProjectionVersionError(
            f"projection {name!r} was kept {'with' if checkpoint.keyed else 'without'} keys, and this fold of"
            f" the same version {'has none' if checkpoint.keyed else 'has them'}; nothing was changed: raise"
            f" its version, and rebuild it with {rebuild}",
            projection=name,
            recorded_version=checkpoint.version,
            version=projection.version,
        )
    if checkpoint.position > newest:
        raise ProjectionAheadError(
            f"projection {name!r} has read up to position {checkpoint.position}, and the store ends at"
            f" {newest}: was a backup restored, or events lost? Nothing was changed: rebuild it with"
            f" {rebuild}",
            projection=name,
            position=checkpoint.position,
            store_position=newest,
        )
