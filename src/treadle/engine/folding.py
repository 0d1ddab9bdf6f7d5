"""Head facts told once more, by the log alone: what a store keeps beside a head, held against its events.

No code of the user's runs here, so this is less than a replay and cheaper. Each event says by itself what it
begins or ends: runs, activities, timers. Encoded payloads hide names and times; kinds and seqs still tell the
status and the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from treadle.engine.carrying import STATUS_BY_KIND
from treadle.engine.marks import BRANCHED, RESET, read_reset
from treadle.engine.records import (
    ActivityAttemptFailed,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    Answered,
    RunStarted,
    TimerFired,
    TimerStarted,
    decode_record,
    options_of,
)
from treadle.engine.status import Status
from treadle.events import EventKind, WorkflowEvent
from treadle.payloads import is_encoded

Facts: TypeAlias = tuple[int, int, int | None, str, bytes]
"""Status, the run's first seq, wake-up time, name, details: as `Execution.facts` tells them."""

_STARTS: Final = frozenset({EventKind.WORKFLOW_STARTED, EventKind.CONTINUED})
_LOOK_AT_ONCE: Final = 0
"""The wake-up time of a workflow with an attempt that may be running, or whose turn is not wholly written."""


class HeadFold:
    """What the events of one durable workflow say of its head facts.

    Attributes:
        status: where it stands; None before its first run.
        run_start_seq: the newest run.
        name: its workflow's name; None when that is encoded.
    """

    def __init__(self) -> None:
        self.status: Status | None = None
        self.run_start_seq = 0
        self.name: str | None = None
        self._runs: dict[int, str | None] = {}
        self._closings: dict[int, Status] = {}
        self._passed: list[WorkflowEvent] = []
        self._is_marked = False
        self._is_hidden = False
        self._timers: dict[int, int] = {}
        self._activities: dict[int, WorkflowEvent] = {}
        self._cancelling: set[int] = set()
        self._retrying: dict[int, int] = {}

    def add(self, event: WorkflowEvent) -> None:
        """Take the next event.

        Args:
            event: as it is stored.

        Raises:
            CorruptStoreError: the engine cannot have written it.
        """
        kind = event.kind
        if kind is BRANCHED:
            self._is_marked = True
        elif kind is RESET:
            self._go_back(event)
        else:
            self._add(event)

    def _add(self, event: WorkflowEvent) -> None:
        kind = event.kind
        if kind in _STARTS:
            self._begin(event)
        elif kind in STATUS_BY_KIND:
            self.status = self._closings[event.seq] = STATUS_BY_KIND[kind]
        elif is_encoded(event.payload):
            self._is_hidden = True
        elif kind in _FOLD:
            self._passed.append(event)
            _FOLD[kind](self, event)

    def _begin(self, event: WorkflowEvent) -> None:
        self._enter(event.seq, None if is_encoded(event.payload) else decode_record(event, RunStarted).name)

    def _enter(self, run_start_seq: int, name: str | None) -> None:
        self.status, self.run_start_seq = Status.RUNNING, run_start_seq
        self._runs[run_start_seq] = name
        self._passed = []
        self._forget_begun()
        self._is_hidden = name is None
        self.name = name

    def _forget_begun(self) -> None:
        for begun in (self._timers, self._activities, self._cancelling, self._retrying):
            begun.clear()

    def _go_back(self, event: WorkflowEvent) -> None:
        """Go on from an earlier event.

        Only the events of one run are kept, which has limits: behind a reset to an earlier run nobody knows
        here what had been begun in it, and the wake-up time is not judged before the next run.
        """
        reset = read_reset(event)
        self._is_marked = True
        passed = [one for one in self._passed if one.seq <= reset.at]
        is_same_run = reset.run == self.run_start_seq
        is_hidden = self._is_hidden
        self._enter(reset.run, self._runs.get(reset.run))
        self._is_hidden = is_hidden or not is_same_run
        if is_same_run:
            for one in passed:
                self._add(one)
        self.status = self._closings.get(reset.at, Status.RUNNING)

    def _start_timer(self, event: WorkflowEvent) -> None:
        self._timers[event.seq] = decode_record(event, TimerStarted).deadline_ns

    def _cancel_timer(self, event: WorkflowEvent) -> None:
        self._timers.pop(decode_record(event, Answered).seq, None)

    def _fire_timers(self, event: WorkflowEvent) -> None:
        for seq in decode_record(event, TimerFired).timers:
            self._timers.pop(seq, None)

    def _schedule(self, event: WorkflowEvent) -> None:
        self._activities[event.seq] = event

    def _fail_attempt(self, event: WorkflowEvent) -> None:
        failed = decode_record(event, ActivityAttemptFailed)
        if failed.seq in self._activities and failed.seq not in self._cancelling:
            self._retrying[failed.seq] = failed.next_due_ns

    def _request_cancel(self, event: WorkflowEvent) -> None:
        seq = decode_record(event, Answered).seq
        scheduled = self._activities.get(seq)
        if scheduled is None:
            return
        if options_of(decode_record(scheduled, ActivityScheduled)).on_cancel == "abandon":
            self._end_activity(seq)
        else:
            self._cancelling.add(seq)
            self._retrying.pop(seq, None)

    def _answer(self, event: WorkflowEvent) -> None:
        self._end_activity(decode_record(event, _ANSWERS[event.kind]).seq)

    def _end_activity(self, seq: int) -> None:
        self._activities.pop(seq, None)
        self._cancelling.discard(seq)
        self._retrying.pop(seq, None)

    @property
    def wake_up_ns(self) -> int | None:
        """When it wants to be looked at; without meaning when payloads are encoded."""
        if self.status is not Status.RUNNING:
            return None
        if len(self._activities) > len(self._retrying):
            return _LOOK_AT_ONCE
        return min((*self._timers.values(), *self._retrying.values()), default=None)

    def problem(self, kept: Facts) -> str | None:
        """Hold what a store keeps against the log.

        A workflow that its runner holds is RUNNING by its log. One whose turn was cut off by a crash, between
        two units, says that it is to be looked at once, and may still name the run before.

        Args:
            kept: the head facts, as they were when the last event given was the last one.

        Returns:
            What was expected and what is there, or None when that is what the log says.
        """
        if self.status is None:
            return "head facts are kept for a log that no durable workflow has written"
        status, run_start_seq, wake_up_ns, name, _ = kept
        is_running, is_held = status == Status.RUNNING, status == Status.HELD
        is_cut = is_running and wake_up_ns == _LOOK_AT_ONCE
        # Whoever branches or resets in the middle of things need not know the run, if an earlier one will do.
        may_be_earlier = is_cut or (is_held and self._is_marked)
        fitting = status == self.status or (is_held and self.status is Status.RUNNING)
        if not fitting:
            return f"the log says it is {self.status.name}, the head facts say {_status_name(status)}"
        if run_start_seq != self.run_start_seq and not (may_be_earlier and run_start_seq in self._runs):
            return (
                f"the log's newest run starts at seq {self.run_start_seq}, the head facts say {run_start_seq}"
            )
        if self.name is not None and name != self.name:
            return f"the log is of workflow {self.name!r}, the head facts say {name!r}"
        expected = self.wake_up_ns if is_running else None
        may_be = is_cut or (self._is_hidden and is_running)
        if wake_up_ns != expected and not may_be:
            return f"the log wants to be looked at {_time(expected)}, the head facts say {_time(wake_up_ns)}"
        return None


_ANSWERS: Final[dict[EventKind, type[ActivityCompleted | ActivityFailed | Answered]]] = {
    EventKind.ACTIVITY_COMPLETED: ActivityCompleted,
    EventKind.ACTIVITY_FAILED: ActivityFailed,
    EventKind.ACTIVITY_CANCELLED: Answered,
}
_FOLD: Final[dict[EventKind, Callable[[HeadFold, WorkflowEvent], None]]] = {
    EventKind.TIMER_STARTED: HeadFold._start_timer,
    EventKind.TIMER_CANCELLED: HeadFold._cancel_timer,
    EventKind.TIMER_FIRED: HeadFold._fire_timers,
    EventKind.ACTIVITY_SCHEDULED: HeadFold._schedule,
    EventKind.ACTIVITY_ATTEMPT_FAILED: HeadFold._fail_attempt,
    EventKind.ACTIVITY_CANCEL_REQUESTED: HeadFold._request_cancel,
    **dict.fromkeys(_ANSWERS, HeadFold._answer),
}
"""What each event that moves the wake-up time does to it."""


def _status_name(status: int) -> str:
    return Status(status).name if status in Status.__members__.values() else repr(status)


def _time(wake_up_ns: int | None) -> str:
    if wake_up_ns is None:
        return "never"
    return "at once" if wake_up_ns == _LOOK_AT_ONCE else f"at {wake_up_ns}"
