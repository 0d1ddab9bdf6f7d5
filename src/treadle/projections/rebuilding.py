"""Rebuilding a projection: from the first event, or from the baseline kept at the retention horizon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from treadle.errors import InvalidValueError, RecordChangedError, TreadleError
from treadle.log import PROJECTIONS
from treadle.projections.folding import FoldError, Folding, without_baselines
from treadle.projections.kept import (
    Checkpoint,
    Host,
    KeyedState,
    Shelf,
    baseline_space_of,
    decode_checkpoint,
    space_of,
)
from treadle.projections.projection import Projection
from treadle.projections.removing import clear, commit_all
from treadle.stores import PAGE_EVENTS, FeedEvent, Record, Unit

Progress = Callable[[int, int], object]
"""Told after each page: the position reached, and the one that is aimed at."""
TRIES_MAX: Final = 5
"""How often a rebuild begins anew because retention has removed events meanwhile, or somebody else wrote."""
GENERATION_MAX: Final = 2**31
"""Where the number of a generation is drawn from when the one before cannot be read."""


@attrs.frozen(slots=True)
class Rebuilt:
    """What a rebuild has come to.

    Attributes:
        name: the projection.
        version: of its fold.
        from_position: where it began: 0 for the log's first event, otherwise that of the baseline.
        position: everything up to here is in the state.
        events: how many it has read.
        keys: how many keys have a state; 1 for a projection without keys.
        incomplete_to: up to where events were missing and were passed over, as was asked; 0 for none.
    """

    name: str
    version: int
    from_position: int
    position: int
    events: int
    keys: int
    incomplete_to: int = 0


@attrs.define(slots=True, eq=False)
class Beginning:
    """Where a rebuild may begin.

    Attributes:
        folding: the states there.
        position: everything up to here is in them.
        kept: the baseline's states, as they are kept.
    """

    folding: Folding[Any]
    position: int
    kept: dict[str, KeyedState] = attrs.Factory(dict)


async def begin(
    shelf: Shelf, projection: Projection[Any], checkpoint: Checkpoint | None, horizon: int
) -> Beginning | None:
    """Find where the states of a projection can be made again.

    Args:
        shelf: reads.
        projection: the fold.
        checkpoint: what is kept of it.
        horizon: up to where events may have been removed.

    Returns:
        The log's beginning when nothing was removed of it, or the baseline that is kept; None when neither
        will do.

    Raises:
        InvalidValueError: the baseline cannot be read.
    """
    if horizon == 0:
        return Beginning(Folding.fresh(projection), 0)
    if checkpoint is None or checkpoint.baseline < horizon or checkpoint.version != projection.version:
        return None
    beginning = Beginning(Folding.fresh(projection), checkpoint.baseline)
    space = baseline_space_of(projection.name, checkpoint.baseline)
    beginning.kept = await shelf.states(projection.name, space)
    for key, kept in beginning.kept.items():
        beginning.folding.states[key] = shelf.read(projection, kept.state)
    return beginning


async def refold(
    shelf: Shelf, beginning: Beginning, until: int | None, progress: Progress | None
) -> tuple[int, int]:
    """Fold the feed from a beginning on.

    Args:
        shelf: whose store is read.
        beginning: its states are moved on.
        until: the last position; None for the store's newest when the end is reached.
        progress: told after each page.

    Returns:
        The position that was reached, and how many events were read.

    Raises:
        FoldError: the fold has raised.
        StoreError: the store could not be read.
    """
    position, events = beginning.position, 0
    newest = await shelf.store.position() if until is None else until
    while position < newest:
        page = await shelf.store.feed(position, limit=PAGE_EVENTS)
        part = page if until is None else [event for event in page if event.position <= until]
        beginning.folding.fold(without_baselines(part))
        events += len(part)
        at_end = len(part) < PAGE_EVENTS
        position = max(newest, part[-1].position if part else 0) if at_end else part[-1].position
        if progress is not None:
            progress(position, max(newest, position))
        if at_end and until is None:
            newest = await shelf.store.position()
    return position, events


async def rebuild(
    host: Host, shelf: Shelf, projection: Projection[Any], progress: Progress | None, *, from_kept: bool
) -> Rebuilt:
    """Make the states of a projection anew, and put them in the place of what is kept.

    All at once or not at all: killed on the way, it has left what was there.

    Args:
        host: writes.
        shelf: reads.
        projection: the fold.
        progress: told after each page.
        from_kept: pass over events that retention has removed, when there is no baseline to begin at.

    Returns:
        What it has come to.

    Raises:
        InvalidValueError: the fold has raised, its state cannot be kept, or events it needs are gone.
        StoreError: the store failed.
    """
    for _ in range(TRIES_MAX):
        old = await _read_old(shelf, projection)
        horizon = await shelf.horizon()
        beginning = await begin(shelf, projection, old, horizon)
        if beginning is None:
            if not from_kept:
                raise _gone(projection, old, horizon)
            beginning = Beginning(Folding.fresh(projection), 0)
        start, passed = beginning.position, horizon if beginning.position < horizon else 0
        try:
            position, events = await refold(shelf, beginning, None, progress)
        except FoldError as error:
            raise fold_error(projection, error) from error.__cause__
        if await shelf.horizon() > max(start, passed):
            continue  # what was read may have been removed before it was
        if await _put(host, shelf, beginning, position, None if passed else old):
            folding = beginning.folding
            keys = len(folding.states)
            return Rebuilt(projection.name, projection.version, start, position, events, keys, passed)
    raise InvalidValueError(
        f"projection {projection.name!r}: during each of {TRIES_MAX} rebuilds events were removed, or"
        " somebody else rebuilt it; nothing was changed: try again when retention rests"
    )


async def _read_old(shelf: Shelf, projection: Projection[Any]) -> Checkpoint | None:
    value = await shelf.find(projection.name)
    try:
        return None if value is None else decode_checkpoint(projection.name, value)
    except InvalidValueError:
        return None  # it is about to be replaced


async def _put(host: Host, shelf: Shelf, beginning: Beginning, position: int, old: Checkpoint | None) -> bool:
    """Write the states beside those that are there, then the checkpoint that names them; tell if it did."""
    folding, name = beginning.folding, beginning.folding.projection.name
    keyed = folding.projection.key is not None
    generation = old.generation + 1 if old else 1 + int(host.kernel.random() * GENERATION_MAX)
    space = space_of(name, generation)
    await clear(host, shelf, space)
    if keyed:
        touched: dict[str, FeedEvent | KeyedState] = {**beginning.kept, **folding.touched}
        await commit_all(host, shelf.state_records(folding, space, touched))
    checkpoint = Checkpoint(
        position=position,
        version=folding.projection.version,
        keyed=keyed,
        generation=generation,
        writer=f"{int(host.kernel.random() * 2**48):012x}",
        keys=len(folding.states) if keyed else 0,
        written_ns=host.kernel.wall_time_ns(),
        baseline=beginning.position,
    )
    record = Record(PROJECTIONS, name.encode(), shelf.with_state(folding, checkpoint)[1])
    for _ in range(TRIES_MAX):
        # Whoever keeps it up goes on writing meanwhile; only another rebuild is in the way.
        value = await shelf.find(name)
        there = await _read_old(shelf, folding.projection)
        if old is not None and (there is None or there.generation != old.generation):
            break
        (error,) = await host.commit([Unit(records=(record,), expected=(record._replace(value=value),))])
        if error is None:
            await _clear_old(host, shelf, name, there, beginning.position)
            return True
        if not isinstance(error, RecordChangedError):
            raise error
    await clear(host, shelf, space)
    return False


async def _clear_old(host: Host, shelf: Shelf, name: str, old: Checkpoint | None, baseline: int) -> None:
    if old is not None:
        await clear(host, shelf, space_of(name, old.generation))
        if old.baseline not in {0, baseline}:
            await clear(host, shelf, baseline_space_of(name, old.baseline))


def fold_error(projection: Projection[Any], error: FoldError) -> TreadleError:
    """Word what a fold has raised while it was folded again.

    Args:
        projection: the fold.
        error: what it raised, and at which event.

    Returns:
        The error.
    """
    event, cause = error.event, error.__cause__
    return InvalidValueError(
        f"projection {projection.name!r}: its fold has raised at position {event.position} (workflow"
        f" {event.workflow_id!r}, seq {event.event.seq}): {type(cause).__name__}: {cause}; nothing was"
        " changed: mend the fold, and try again"
    )


def _gone(projection: Projection[Any], old: Checkpoint | None, horizon: int) -> InvalidValueError:
    if old is None or not old.baseline:
        why = "no baseline of this projection is kept"
    elif old.version != projection.version:
        why = f"the baseline that is kept is of version {old.version} of its fold"
    else:
        why = f"the baseline that is kept, at position {old.baseline}, lies before that"
    return InvalidValueError(
        f"projection {projection.name!r} cannot be rebuilt from its beginning: retention has removed events"
        f" up to position {horizon}, and {why}; nothing was changed: rebuild it from what is left, if that is"
        " enough (from_kept=True, --from-kept)"
    )
