"""Baselines of projections: a copy of all states, to rebuild from once events were removed."""

from __future__ import annotations

import msgspec

from treadle.errors import RecordChangedError
from treadle.log import PROJECTIONS
from treadle.projections.folding import PLAIN
from treadle.projections.kept import Checkpoint, Host, KeyedState, Shelf, baseline_space_of, space_of
from treadle.projections.removing import RECORDS_MAX, clear, commit_all
from treadle.stores import Record, Unit


def is_wanted(checkpoint: Checkpoint, horizon: int) -> bool:
    """Tell whether a copy of what is kept would be a better place to begin than there is.

    Args:
        checkpoint: what is kept.
        horizon: up to where events may have been removed.

    Returns:
        Whether events behind the baseline may be gone, and the states reach over all that are.
    """
    return checkpoint.baseline < horizon <= checkpoint.position


async def take_baseline(
    host: Host, shelf: Shelf, name: str, checkpoint: Checkpoint, value: bytes
) -> tuple[Checkpoint, bytes]:
    """Copy the states that are kept, and name the copy in the checkpoint.

    The states change only together with the checkpoint; so one that is still the same at the end was it all
    the time.

    Args:
        host: writes.
        shelf: reads.
        name: the projection.
        checkpoint: what is kept.
        value: its record.

    Returns:
        The checkpoint as it is now, and its record.

    Raises:
        RecordChangedError: somebody has written meanwhile; what is kept is theirs.
        TreadleError: it could not be written.
    """
    space = baseline_space_of(name, checkpoint.position)
    await clear(host, shelf, space)
    await _copy(host, shelf, name, checkpoint, space)
    then = msgspec.structs.replace(checkpoint, baseline=checkpoint.position)
    record = Record(PROJECTIONS, name.encode(), msgspec.json.encode(then))
    (error,) = await host.commit([Unit(records=(record,), expected=(record._replace(value=value),))])
    if error is not None:
        if isinstance(error, RecordChangedError):
            await clear(host, shelf, space)
        raise error
    if checkpoint.baseline:
        await clear(host, shelf, baseline_space_of(name, checkpoint.baseline))
    assert record.value is not None  # noqa: S101  # just made
    return then, record.value


async def _copy(host: Host, shelf: Shelf, name: str, checkpoint: Checkpoint, space: str) -> None:
    if not checkpoint.keyed:
        kept = msgspec.json.encode(KeyedState(checkpoint.position, "", checkpoint.state))
        await commit_all(host, [Record(space, PLAIN.encode(), kept)])
        return
    after: bytes | None = None
    from_space = space_of(name, checkpoint.generation)
    while page := await shelf.store.records(from_space, after=after, limit=RECORDS_MAX):
        await commit_all(host, [record._replace(namespace=space) for record in page])
        after = page[-1].key
