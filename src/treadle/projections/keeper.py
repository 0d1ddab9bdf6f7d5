"""One projection kept up: its states in memory, where it stands, and what of that is written.

opened                       the fold raised, or a state cannot be kept
(nothing kept) ─────────→ following ───────────────────────────────────────────────→ stopped
│  ↑  retried: everything read afresh                       │
│  └────────────────────────────────────────────────────────┘
its guard was broken    ↓
standby ──→ following: nobody has moved it for a while, read afresh
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, Literal

import attrs
import msgspec

from treadle.errors import (
    InvalidValueError,
    ProjectionStoppedError,
    TreadleError,
)
from treadle.log import PROJECTIONS
from treadle.projections.fitting import check_fits
from treadle.projections.folding import FoldError, Folding, without_baselines
from treadle.projections.hosting import Host
from treadle.projections.kept import (
    GENERATION_MAX,
    Checkpoint,
    Failure,
    decode_checkpoint,
    space_of,
)
from treadle.projections.projection import Projection
from treadle.projections.shelf import Shelf
from treadle.stores import PAGE_EVENTS, FeedEvent, Record, Unit

Status = Literal["closed", "following", "stopped", "standby"]
ERROR_LENGTH_MAX: Final = 500
"""How much of an exception's words a checkpoint keeps."""
_logger: Final = logging.getLogger("treadle.projections")


@attrs.frozen(slots=True)
class ProjectionStatistics:
    """How one projection stands.

    Attributes:
        name: the projection.
        version: of its fold.
        status: ``"following"``; ``"stopped"``: its fold has raised, or its state cannot be kept;
            ``"standby"``: another process keeps it up; ``"closed"``: no runtime does, here.
        position: everything up to here is in the state.
        behind: how many positions the store was further when it was last looked at.
        written_position: as far as it is written down.
        keys: how many keys have a state; 1 for a projection without keys.
        failure: why it has stopped, in words; None when it has not.
        failed_position: of the event its fold could not take; None when it was no event.
        failed_workflow_id: whose event that is.
    """

    name: str
    version: int
    status: Status
    position: int
    behind: int
    written_position: int
    keys: int
    failure: str | None = None
    failed_position: int | None = None
    failed_workflow_id: str | None = None


@attrs.define(slots=True, eq=False)
class Keeper:
    """Keeps one projection up.

    Attributes:
        projection: the fold.
        status: see the module's table.
        position: everything up to here is in the states.
        unwritten: how many events have been read since the last write.
        unwritten_since: when the first of them was, on the run's clock; None when there is none.
        failure: why it has stopped.
        cause: the exception that stopped it.
        rebuilding: this set is about to put other states in the place of these.
        afresh: everything has to be read again before it goes on.
        look_again_at: when one that stands by looks again.
        newest_then: the store's newest position when it last did.
        generation: of the states of one of which nothing is kept.
    """

    projection: Projection[Any]
    status: Status = "closed"
    position: int = 0
    unwritten: int = 0
    unwritten_since: float | None = None
    failure: Failure | None = None
    cause: BaseException | None = None
    rebuilding: bool = False
    afresh: bool = False
    look_again_at: float = 0.0
    newest_then: int = 0
    generation: int = 1
    folding: Folding[Any] | None = None
    checkpoint: Checkpoint | None = None
    stored: bytes | None = None
    writer: str = ""
    checkpoint_next: Checkpoint | None = None

    @property
    def name(self) -> str:
        """The projection's name."""
        return self.projection.name

    # -- reading it afresh --

    async def open(self, host: Host, shelf: Shelf) -> None:
        """Read what is kept, and begin there.

        Args:
            host: tells the store, and draws.
            shelf: reads.

        Raises:
            ProjectionVersionError: another version of the fold has made it.
            ProjectionAheadError: it has read further than the store reaches.
            InvalidValueError: it cannot be read.
        """
        loaded = await shelf.load(self.projection)
        # Asked second: what is kept then was certainly written before.
        newest = await host.store.position()
        folding = Folding.fresh(self.projection)
        self.checkpoint = self.stored = None
        if loaded is not None:
            check_fits(self.projection, loaded.checkpoint, newest)
            for key, kept in loaded.kept.items():
                folding.states[key] = shelf.read(self.projection, kept.state)
            self.checkpoint, self.stored = loaded.checkpoint, loaded.value
        else:
            await self._begin_anew(host, shelf)
        self.writer = f"{int(host.kernel.random() * 2**48):012x}"
        self.folding, self.position = folding, self.checkpoint.position if self.checkpoint else 0
        self.unwritten, self.unwritten_since = 0, None
        self.failure = self.cause = None
        self.status, self.afresh = "following", False

    async def _begin_anew(self, host: Host, shelf: Shelf) -> None:
        if await shelf.store.records(space_of(self.name, self.generation), limit=1):
            # Of one that was being deleted when its process ended: nobody may find them under the new states.
            self.generation = 1 + int(host.kernel.random() * GENERATION_MAX)
        horizon = await shelf.horizon()
        if horizon:
            _logger.warning(
                "projection %r begins now, and retention has removed events up to position %d: its state is"
                " made of those that are left",
                self.name,
                horizon,
            )

    def forget(self, status: Status) -> None:
        """Keep nothing of it in memory.

        Args:
            status: what it is from now on.
        """
        self.status, self.folding = status, None
        self.unwritten, self.unwritten_since = 0, None

    # -- folding --

    async def take(self, page: Sequence[FeedEvent], end: int, now: float, host: Host, shelf: Shelf) -> None:
        """Fold a page of the feed in; stop before the event that the fold cannot take.

        Args:
            page: what follows its position, without baselines.
            end: the position that is reached by it.
            now: the run's clock.
            host: tells the time; reads the feed again when the fold has raised.
            shelf: reads what is kept when the fold has raised.
        """
        assert self.folding is not None  # noqa: S101  # one that follows has it
        try:
            self.folding.fold(page)
        except FoldError as error:
            await self._stop_before(error, host, shelf)
            return
        self.position = end
        if page:
            self.unwritten += len(page)
            self.unwritten_since = now if self.unwritten_since is None else self.unwritten_since

    async def _stop_before(self, error: FoldError, host: Host, shelf: Shelf) -> None:
        """Go back to what is kept, and up to the event before: the fold may have half changed a state."""
        event = error.event
        self._note(Failure(event.position, event.workflow_id, _words(error.__cause__)), error.__cause__)
        failure, cause = self.failure, self.cause
        self.forget("stopped")
        self.position = self.checkpoint.position if self.checkpoint else 0
        try:
            await self.open(host, shelf)
            await self._go_on_to(event.position - 1, host)
        except (FoldError, TreadleError) as again:
            # A fold that is not pure takes no more what it has taken once. What is kept is all there is.
            _logger.warning("projection %r cannot be folded up to where it stopped: %r", self.name, again)
            self.forget("stopped")
        finally:
            # Cancelled in between, too, it is none that follows: it is not where it was.
            self.status, self.failure, self.cause = "stopped", failure, cause

    async def _go_on_to(self, last: int, host: Host) -> None:
        assert self.folding is not None  # noqa: S101  # just opened
        while self.position < last:
            page = await host.store.feed(self.position, limit=PAGE_EVENTS)
            events = [event for event in page if event.position <= last]
            self.folding.fold(without_baselines(events))
            self.unwritten += len(events)
            self.position = events[-1].position if len(events) == len(page) == PAGE_EVENTS else last

    def _note(self, failure: Failure, cause: BaseException | None) -> None:
        self.failure, self.cause = failure, cause
        _logger.warning(
            "projection %r stops at %s: %s; it is tried again by retry(), and when it is opened again",
            self.name,
            failure.place,
            failure.error,
            exc_info=cause,
        )

    # -- writing --

    @property
    def is_new(self) -> bool:
        """Whether it is kept up, and nothing of it is written yet."""
        return self.folding is not None and self.checkpoint is None and not self.afresh

    def due_at(self, every_events: int, every_seconds: float) -> float | None:
        """Tell when it has to be written.

        Args:
            every_events: after how many events at the latest.
            every_seconds: after what time at the latest.

        Returns:
            When, on the run's clock; 0 for at once, None for not at all.
        """
        if self.folding is None or self.afresh:
            return None
        if self.checkpoint is None or self.failure != self.checkpoint.failure:
            return 0.0
        if self.unwritten >= every_events:
            return 0.0
        return None if self.unwritten_since is None else self.unwritten_since + every_seconds

    def unit(self, shelf: Shelf, wall_time_ns: int) -> Unit | None:
        """Make what writes the states down, and how far they go.

        Args:
            shelf: makes the records.
            wall_time_ns: now.

        Returns:
            The unit; when a state cannot be kept, the projection has stopped, and the unit says that alone.
        """
        folding, projection = self.folding, self.projection
        assert folding is not None  # noqa: S101  # asked of one that has states
        generation = self.checkpoint.generation if self.checkpoint else self.generation
        keyed = projection.key is not None
        checkpoint = Checkpoint(
            position=self.position,
            version=projection.version,
            keyed=keyed,
            generation=generation,
            writer=self.writer,
            keys=len(folding.states) if keyed else 0,
            written_ns=wall_time_ns,
            failure=self.failure,
            baseline=self.checkpoint.baseline if self.checkpoint else 0,
        )
        try:
            space = space_of(projection.name, generation)
            states = shelf.state_records(folding, space, folding.touched) if keyed else []
            checkpoint, value = shelf.with_state(folding, checkpoint)
        except Exception as error:  # noqa: BLE001  # the user's own encode may raise anything
            last = max(folding.touched.values(), default=None, key=lambda event: event.position)
            at = (last.position, last.workflow_id) if last else (self.position, "")
            return self._unit_of_failure(Failure(*at, _words(error)), error)
        return self._guarded(checkpoint, value, states)

    def _unit_of_failure(self, failure: Failure, cause: Exception) -> Unit | None:
        """Stop where it was written last, because its state cannot be; only that is written down."""
        self._note(failure, cause)
        self.forget("stopped")
        self.position = self.checkpoint.position if self.checkpoint else 0
        if self.checkpoint is None:
            return None
        checkpoint = msgspec.structs.replace(self.checkpoint, failure=failure, writer=self.writer)
        return self._guarded(checkpoint, msgspec.json.encode(checkpoint), [])

    def _guarded(self, checkpoint: Checkpoint, value: bytes, states: list[Record]) -> Unit:
        record = Record(PROJECTIONS, self.name.encode(), value)
        self.checkpoint_next = checkpoint
        return Unit(records=(record, *states), expected=(record._replace(value=self.stored),))

    def written(self, unit: Unit, error: TreadleError | None) -> None:
        """Take note of what became of a unit; of one that was overtaken, see `overtaken`.

        Args:
            unit: from `unit`; its first record is the checkpoint's.
            error: why it was not written, or may not be; None when it is.
        """
        if error is None:
            if self.folding is not None:
                self.folding.settle()
            self.checkpoint, self.stored = self.checkpoint_next, unit.records[0].value
            self.unwritten, self.unwritten_since = 0, None
        else:
            # Perhaps it is there, perhaps not: only the store can tell.
            self.afresh = self.afresh or error.written == "unknown"
            # Passing, as a rule, and tried again soon: `written_position` tells whoever looks.
            _logger.info("projection %r could not be written, it is tried again: %s", self.name, error)

    def overtaken(self, look_again_at: float) -> None:
        """Stand by because somebody else has written, unless that was a rebuild of this set's own.

        Args:
            look_again_at: when to look whether they still do.
        """
        if self.rebuilding:
            self.afresh = True
        elif not self.afresh:
            self.stand_by(look_again_at)

    def has_reached(self, position: int) -> bool:
        """Tell whether waiting for a position has come to its end.

        Args:
            position: what somebody waits for.

        Returns:
            Whether it is reached, or will not be.
        """
        return not self.afresh and (self.status != "following" or self.position >= position)

    def stand_by(self, look_again_at: float) -> None:
        """Leave it to whoever else has written.

        Args:
            look_again_at: when to look whether they still do.
        """
        _logger.warning(
            "projection %r: another process keeps this projection up; this one stands by", self.name
        )
        self.forget("standby")
        self.look_again_at = look_again_at

    def saw(self, stored: bytes | None) -> None:
        """Note, while it stands by, what another process has written.

        Args:
            stored: the checkpoint's record.
        """
        self.stored = stored
        self.position = position_of(self.name, stored) if stored is not None else 0

    def refuse(self, error: Exception) -> None:
        """Stop because what is kept cannot be read.

        Args:
            error: why.
        """
        self.forget("stopped")
        self.afresh = False
        self._note(Failure(self.position, "", _words(error)), error)

    # -- telling --

    def check_kept_up(self) -> Folding[Any]:
        """Give the states of one that is kept up here.

        Returns:
            Them; of one that has stopped, where it stopped.

        Raises:
            ProjectionStoppedError: they are not in memory.
        """
        if self.folding is not None:
            return self.folding
        raise self.stopped_error()

    def stopped_error(self) -> ProjectionStoppedError:
        """Word why it is not kept up here.

        Returns:
            The error.
        """
        if self.status == "standby":
            why = "another process keeps it up; read what that has written with stored()"
        elif self.failure is not None:
            why = (
                f"it has stopped at {self.failure.place}: {self.failure.error}; mend its fold and call"
                " retry(), or open the runtime again"
            )
        else:
            why = "no runtime keeps it up; hand the projections to open_runtime(projections=...)"
        error = ProjectionStoppedError(
            f"projection {self.name!r} is not kept up here: {why}",
            projection=self.name,
            position=self.position,
        )
        error.__cause__ = self.cause
        return error

    def statistics(self, newest: int) -> ProjectionStatistics:
        """Tell how it stands.

        Args:
            newest: the store's newest position, as far as it is known.

        Returns:
            A frozen snapshot.
        """
        failure = self.failure
        at_event = failure if failure and failure.workflow_id else None
        keys = 1
        if self.projection.key is not None:
            written = self.checkpoint.keys if self.checkpoint else 0
            keys = len(self.folding.states) if self.folding else written
        return ProjectionStatistics(
            name=self.name,
            version=self.projection.version,
            status=self.status,
            position=self.position,
            behind=max(0, newest - self.position),
            written_position=self.checkpoint.position if self.checkpoint else 0,
            keys=keys,
            failure=failure.error if failure else None,
            failed_position=at_event.position if at_event else None,
            failed_workflow_id=at_event.workflow_id if at_event else None,
        )


def _words(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"[:ERROR_LENGTH_MAX]


def position_of(name: str, value: bytes) -> int:
    """Read how far a checkpoint goes.

    Args:
        name: the projection.
        value: of its record.

    Returns:
        The position; 0 when it cannot be read.
    """
    try:
        return decode_checkpoint(name, value).position
    except (InvalidValueError, msgspec.MsgspecError):
        return 0
