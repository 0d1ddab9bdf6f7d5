"""Where workflow code meets its log: every command is written down, or found written down already.

There is one way for both. `command` takes what the code asks for as kind and bytes. While history lasts,
the next event must be just that; equal bytes are equal commands, and nothing else is looked at.
Only where they differ are both sides read, to say in which field, and whether it matters. Past the end of
history a command is new, and gets its seq.

The check is made at the moment the code asks, so an error can name the line, and code that has parted from
its log does nothing more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, TypeAlias

import attrs
import msgspec

from treadle.engine.definitions import WorkflowDefinition
from treadle.engine.differences import DecodeValue, Difference, Drift, describe, differences
from treadle.engine.driver import Evicted, current_line
from treadle.engine.driver.tasks import RUNNING
from treadle.engine.driver.whereabouts import UNKNOWN
from treadle.engine.marks import Mark, view_of
from treadle.engine.records import CLOSING_KINDS, COMMAND_KINDS, Patched, unreadable
from treadle.errors import CorruptStoreError, InvalidValueError, NondeterminismError, WorkflowHeldError
from treadle.events import PAYLOAD_SIZE_BYTES_MAX, EventKind, WorkflowEvent, trusted_event

Where: TypeAlias = str | Callable[[], str] | None
"""A line of the user's code, or what finds it: looking makes a frame for each coroutine of a task, which
stays as long as the task does, and mostly nobody wants to know."""
DRIFTS_MAX: Final = 1_000
"""How many drifts a replay keeps: a changed default touches every call, and the first ones tell it all."""

_PATCHED = EventKind.PATCHED
_payload_of = attrgetter("payload")
_ALWAYS_POSSIBLE = CLOSING_KINDS | {EventKind.CONTINUED, EventKind.SIGNAL_CARRIED}


@attrs.frozen(slots=True)
class ExecutionLimits:
    """What one run may grow to.

    Attributes:
        run_events_max: events of one run.
        run_size_bytes_max: payload bytes of one run.
        payload_size_bytes_max: bytes of one event's payload.
        updates_remembered_max: finished updates whose ids are kept, to answer a repeat.
        steps_max: steps of the scheduler in one activation.
    """

    run_events_max: int = 50_000
    run_size_bytes_max: int = 50 * 1024 * 1024
    payload_size_bytes_max: int = PAYLOAD_SIZE_BYTES_MAX
    updates_remembered_max: int = 1_000
    steps_max: int = 1_000_000


DEFAULT_LIMITS: Final = ExecutionLimits()


class Journal:
    """One workflow's log, as its code writes and rewrites it.

    Args:
        workflow_id: for messages.
        definition: the code; its place is told where no line of it runs.
        limits: what one run may grow to.
        decode_value: reads values of the user's with today's annotations.
        next_seq: where the log stands.

    Attributes:
        run_start_seq: the seq that names the run.
        now_ns: the workflow's time; what is written carries it.
        history: events read and not yet replayed, from `position` on.
        new: events written since they were last taken.
        drifts: what replay has let pass.
        broken: why the code may do nothing more, or None.
        is_replaying: whether what happens has happened before; silences the logger.
        marks: where the log goes on from somewhere else, not reached yet.
        settled_seq: of the newest mark that was reached: whatever stands before it was carried out before.
        branched_seq: of the newest of them that is a BRANCHED: what stands before it belongs to another log.
    """

    __slots__ = (
        "_base_seq", "_counted", "_decode_value", "_definition", "_limits", "_size_bytes", "branched_seq",
        "broken", "drifts", "end", "history", "is_replaying", "marks", "new", "now_ns", "position",
        "run_start_seq", "settled_seq", "workflow_id",
    )  # fmt: skip

    def __init__(
        self,
        workflow_id: str,
        definition: WorkflowDefinition[..., Any],
        limits: ExecutionLimits,
        decode_value: DecodeValue,
        next_seq: int,
    ) -> None:
        self.workflow_id = workflow_id
        self._definition = definition
        self._limits = limits
        self._decode_value = decode_value
        # What the log takes next, less the length of the history; without gaps the seq of its first event.
        self._base_seq = next_seq
        self.run_start_seq = next_seq
        self._size_bytes = 0
        self._counted = 0  # the place in the history up to which it counts
        self.now_ns = 0
        self.history: Sequence[WorkflowEvent] = ()
        self.position = 0
        self.end = 0
        self.new: list[WorkflowEvent] = []
        self.drifts: tuple[Drift, ...] = ()
        self.broken: BaseException | None = None
        self.is_replaying = False
        self.marks: tuple[Mark, ...] = ()
        self.settled_seq = 0
        self.branched_seq = 0

    @property
    def next_seq(self) -> int:
        """The seq the log takes next."""
        # Where it goes on from somewhere else, a history has gaps.
        position = self.position
        return self.history[position].seq if position < self.end else self._base_seq + position

    # -- where it goes on from somewhere else --

    @property
    def next_mark(self) -> int:
        """The place in the history of the next mark; beyond any place when there is none."""
        return self.marks[0].place if self.marks else sys.maxsize

    @property
    def identity(self) -> str:
        """The id that the code sees: in what a branch shares that of the log it was written to."""
        for mark in self.marks:
            if mark.is_branch and self.position < mark.place:
                return mark.origin
        return self.workflow_id

    def reached(self) -> Mark | None:
        """Go past the next mark, if the code has come so far.

        Returns:
            The mark, or None.
        """
        if self.next_mark > self.position:
            return None
        mark, *left = self.marks
        self.marks = tuple(left)
        self.settled_seq = mark.seq
        if mark.is_branch:
            self.branched_seq = mark.seq
        return mark

    @property
    def run_size_bytes(self) -> int:
        """Payload bytes of the run, up to where the code stands: code may ask, and must be told the same."""
        if self._counted < self.position:
            self._count()
        return self._size_bytes

    def _count(self) -> None:
        passed = self.history[self._counted : self.position]
        self._size_bytes += sum(map(len, map(_payload_of, passed)))
        self._counted = self.position

    # -- commands --

    def command(self, kind: EventKind, payload: bytes, where: Where = None) -> tuple[int, bytes]:
        """Write a command down, or find it in the history.

        Args:
            kind: what the code asks for.
            payload: its record.
            where: the line to blame when it is not the one that runs, or what finds it if there is need.

        Returns:
            Its seq, and the payload that counts (the recorded one).

        Raises:
            NondeterminismError: history holds something else here.
            InvalidValueError: the payload is too large.
            WorkflowHeldError: the run has grown over its limits.
        """
        position = self.position
        if position < self.end:
            event = self.history[position]
            if event.kind is kind and event.payload == payload:
                self.position = position + 1
                return event.seq, payload
            return self._compare(kind, payload, where)
        return self.append(kind, payload, where), payload

    def append(self, kind: EventKind, payload: bytes, where: Where = None) -> int:
        """Write an event at the end of the log.

        Args:
            kind: its kind.
            payload: its record.
            where: the line to blame when it is not the one that runs, or what finds it if there is need.

        Returns:
            Its seq.

        Raises:
            InvalidValueError: the payload is too large.
            WorkflowHeldError: the run has grown over its limits.
        """
        if self.broken is not None:
            raise self.broken
        limits = self._limits
        if len(payload) > limits.payload_size_bytes_max:
            raise self._too_large(kind, payload, where)
        seq = self._base_seq + self.position
        if self._counted < self.position:
            self._count()
        size_bytes = self._size_bytes + len(payload)
        if (
            seq - self.run_start_seq >= limits.run_events_max or size_bytes > limits.run_size_bytes_max
        ) and kind not in _ALWAYS_POSSIBLE:
            self.broken = self._too_long(seq, where)
            raise self.broken
        self.is_replaying = False
        self._base_seq += 1
        self._size_bytes = size_bytes
        self.new.append(trusted_event(seq, self.now_ns, kind, payload))
        return seq

    def peek(self, *, patch_id: str | None = None) -> WorkflowEvent | None:
        """Tell which recorded event the code must match next.

        Marks of deprecated patches that nobody asks for any more are passed over; that is what deprecating
        them was for.

        Args:
            patch_id: the mark that somebody does ask for.

        Returns:
            The event, or None past the end.
        """
        while self.position < self.end:
            event = self.history[self.position]
            if event.kind is not _PATCHED or not self._is_passed_over(event, patch_id):
                return event
            self.take()
        return None

    def _is_passed_over(self, event: WorkflowEvent, patch_id: str | None) -> bool:
        try:
            patch = _patch(event.payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.broken = unreadable(event, error)
            raise self.broken from error
        return patch.deprecated and patch.id != patch_id

    def take(self) -> WorkflowEvent:
        """Go past the event that `peek` shows; for commands whose content the log decides."""
        event = self.history[self.position]
        self.position += 1
        return event

    def check_finished(self, where: str) -> None:
        """Refuse to leave an activation whose recorded commands the code has not repeated.

        Args:
            where: the line to blame.

        Raises:
            NondeterminismError: a command is missing.
        """
        event = self.peek()
        if event is not None and event.kind in COMMAND_KINDS:
            raise self.diverged(
                "the code asks for less than its log says it did",
                event,
                actual="nothing more before the next input",
                where=where,
            )

    # -- history --

    def read(self, events: Sequence[WorkflowEvent]) -> None:
        """Take a page of history in.

        Args:
            events: the next ones.

        Raises:
            CorruptStoreError: they are not the next ones.
        """
        before = self.history[self.position :]
        expected = self._base_seq + self.end if self.is_replaying else events[0].seq
        if events[0].seq != expected or events[-1].seq != expected + len(events) - 1:
            raise CorruptStoreError(
                f"workflow {self.workflow_id!r}: seqs {expected} to {expected + len(events) - 1} come next,"
                f" got {events[0].seq} to {events[-1].seq}",
                workflow_id=self.workflow_id,
                seq=events[0].seq,
            )
        if not self.is_replaying:
            self.run_start_seq = expected
        self._size_bytes, self._counted = self.run_size_bytes, 0
        view = view_of(events)
        left = [mark._replace(place=mark.place - self.position) for mark in self.marks]
        self.marks = (*left, *(mark._replace(place=mark.place + len(before)) for mark in view.marks))
        self.history = [*before, *view.events]
        self.position, self.end = 0, len(self.history)
        self._base_seq = events[-1].seq + 1 - self.end
        self.is_replaying = True

    def last_input(self) -> int:
        """Tell where the newest activation in the history begins: more of it may come with the next page."""
        place = self.end - 1
        while place > self.position and self.history[place].kind in COMMAND_KINDS:
            place -= 1
        return place

    def begin_run(self, seq: int) -> None:
        """Count from a new run on.

        Args:
            seq: of its first event.
        """
        self.run_start_seq = seq
        passed = (*self.history[: self.position], *self.new)
        self._size_bytes = sum(len(event.payload) for event in passed if event.seq >= seq)
        self._counted = self.position

    def end_replay(self) -> tuple[WorkflowEvent, ...]:
        """Go on live.

        Returns:
            What was written since the history ended.
        """
        events, self.new = tuple(self.new), []
        self._size_bytes, self._counted = self.run_size_bytes, 0
        self._base_seq += self.position
        self.history, self.position, self.end = (), 0, 0
        self.is_replaying = False
        return events

    def shut(self) -> None:
        """Let nothing more be written, and nothing be said: the code is being thrown away."""
        self._base_seq = self.next_seq
        self._counted = 0
        self.history, self.position, self.end, self.new = (), 0, 0, []
        self.broken = Evicted()
        self.is_replaying = True

    # -- what does not fit --

    def _compare(self, kind: EventKind, payload: bytes, where: Where) -> tuple[int, bytes]:
        if self.broken is not None:
            raise self.broken
        if len(payload) > self._limits.payload_size_bytes_max:
            raise self._too_large(kind, payload, where)
        before = self.position
        event = self.peek(patch_id=_patch(payload).id if kind is _PATCHED else None)
        if event is None or self.position != before:
            return self.command(kind, payload, where)
        where = self._place(where)
        if event.kind not in COMMAND_KINDS:
            raise self.diverged(
                "the code asks for more than its log says it did",
                event,
                actual=describe(kind, payload),
                expected=f"nothing more before {describe(event.kind, event.payload)}",
                where=where,
            )
        if event.kind is not kind:
            raise self.diverged(
                "the code asks for something else than its log says it did",
                event,
                actual=describe(kind, payload),
                where=where,
                found=(Difference("kind", event.kind.name, kind.name, is_drift=False),),
            )
        self._compare_fields(event, payload, where)
        self.take()
        return event.seq, event.payload

    def _compare_fields(self, event: WorkflowEvent, payload: bytes, where: str) -> None:
        try:
            found = differences(event, payload, self._decode_value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.broken = unreadable(event, error)
            raise self.broken from error
        if not all(difference.is_drift for difference in found):
            raise self.diverged(
                "the code asks for the same with other values than its log says",
                event,
                actual=describe(event.kind, payload),
                where=where,
                found=found,
            )
        drifts = [
            Drift(event.seq, event.kind, one.field, one.logged, one.done, where)
            for one in found
            if (event.kind, one.field) != (_PATCHED, "deprecated")  # one step of its planned life
        ]
        self.drifts = (*self.drifts, *drifts)[:DRIFTS_MAX]

    def diverged(
        self,
        message: str,
        event: WorkflowEvent,
        *,
        actual: str,
        where: str | None,
        expected: str | None = None,
        found: tuple[Difference, ...] = (),
    ) -> NondeterminismError:
        """Make the error, and let nothing follow it: the code may catch it, but not go on.

        Args:
            message: what is wrong.
            event: what the log holds.
            actual: what the code did instead.
            where: ``file:line`` of the code, or None.
            expected: what the log holds, in other words than the event itself.
            found: the fields that differ.

        Returns:
            The error.
        """
        error = NondeterminismError(
            message,
            workflow_id=self.workflow_id,
            seq=event.seq,
            expected=expected or describe(event.kind, event.payload),
            actual=actual,
            differences=tuple((one.field, one.logged, one.done) for one in found if not one.is_drift),
            where=where,
        )
        self.broken = error
        return error

    def _place(self, where: Where) -> str:
        """The line to blame: the one given, the one that runs, or where the code begins."""
        if where is not None:
            return where if isinstance(where, str) else where()
        found = UNKNOWN if RUNNING.get() is None else current_line()
        return self._definition.code_place if found == UNKNOWN else found

    def _too_large(self, kind: EventKind, payload: bytes, where: Where) -> InvalidValueError:
        return InvalidValueError(
            f"{self._place(where)}: the payload of {kind.name} has at most"
            f" {self._limits.payload_size_bytes_max:,} bytes, got {len(payload):,};"
            " keep large data in a file or an object store and pass its name"
        )

    def _too_long(self, seq: int, where: Where) -> WorkflowHeldError:
        limits = self._limits
        return WorkflowHeldError(
            f"workflow {self.workflow_id!r}: the run that began at seq {self.run_start_seq} would go over"
            f" {limits.run_events_max:,} events or {limits.run_size_bytes_max:,} bytes with seq {seq}"
            f" ({self._place(where)}); let it continue_as_new() before it grows so long",
            workflow_id=self.workflow_id,
            reason="the run has grown over its limits",
        )


def _patch(payload: bytes) -> Patched:
    return msgspec.json.decode(payload, type=Patched)
