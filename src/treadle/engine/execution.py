"""One durable workflow in memory: inputs go in, events and effects come out. Pure.

An *activation* is one turn of the code: an input is written down, it wakes tasks, they run until none can go
on, every command on the way is written down behind the input, and last what the end of the turn leaves:
timers for the deadlines, or the end of the workflow. *Replay* is the same with the events given: the input
is applied, the code runs, and each command must be the one that is written down already.

So one activation is one input and the commands up to the next event that is no command. Only the newest may
be cut short (a crash between two batches, a longer code path): what it lacks is made by `finish_replay`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from treadle.engine import commands
from treadle.engine.admitting import Admitted, admit, started
from treadle.engine.applying import APPLY, begin_run, deliver
from treadle.engine.arguments import decode_arguments, decode_result
from treadle.engine.carrying import STATUS_BY_KIND, effects_of
from treadle.engine.concluding import CONTINUES_MAX, conclude, fail
from treadle.engine.definitions import WorkflowDefinition
from treadle.engine.describing import Description, describe
from treadle.engine.differences import Drift
from treadle.engine.driver import StuckError, TaskStack
from treadle.engine.effects import Activation, CancelActivity, Effect, StartActivity
from treadle.engine.failures import Failure
from treadle.engine.inputs import AttemptFailed, Input, Start, Terminate, TimersFired
from treadle.engine.journal import DEFAULT_LIMITS, ExecutionLimits, Journal
from treadle.engine.learning import NOTHING_KNOWN, Known
from treadle.engine.pending import PendingActivity, PendingChild
from treadle.engine.reading import ask
from treadle.engine.records import (
    UNSEEN_KINDS,
    RunStarted,
    SignalReceived,
    TimerFired,
    encode_record,
)
from treadle.engine.registry import Registry
from treadle.engine.replaying import replay_until
from treadle.engine.run import Run
from treadle.engine.signals import SignalQueue
from treadle.engine.status import Status
from treadle.errors import InternalError, WorkflowHeldError
from treadle.events import EventKind, WorkflowEvent
from treadle.payloads import Converter

__all__ = ["Execution", "ExecutionLimits"]


_RUNNING = Status.RUNNING
_TIMELESS = frozenset({AttemptFailed, Terminate})  # the code does not see them, so no time passes for it


def _never_plain(_values: tuple[Any, ...]) -> None:
    return None


class Execution:
    """One durable workflow in memory; begin with a `Start` or with `replay`.

    When a method raises anything but `QueryFailedError`, the code in memory is ahead of its log: it was
    thrown away already (`is_spoilt`), nothing may follow, and a new execution replays the log.

    Args:
        definition: its code.
        workflow_id: its id.
        registry: the activities it may run, by name.
        converter: values to JSON and back.
        limits: what one run may grow to.
        first_seq: the seq of the first event; above 1 when the id had an earlier run. Replay takes it from
            the log.
        known: what was learned of arms, by which first attempts are chosen that no log knows of yet.

    Attributes:
        definition: its code.
        registry: the activities it may run.
        converter: values to JSON and back.
        limits: what one run may grow to.
        known: what was learned of arms.
        journal: its log, as far as it is in memory.
        run: the state of the present run.
        status: where it stands.
        encode_plain: writes arguments that need no check.
        calls: what is the same in every call of each registered activity.
        is_spoilt: whether it was thrown away.
        is_started: whether anything has happened; before, there is no `run`.
    """

    __slots__ = (
        "__weakref__", "calls", "converter", "definition", "encode_plain", "is_spoilt", "is_started",
        "journal", "known", "limits", "registry", "run", "status",
    )  # fmt: skip

    run: Run

    def __init__(
        self,
        definition: WorkflowDefinition[..., Any],
        workflow_id: str,
        registry: Registry,
        converter: Converter,
        *,
        limits: ExecutionLimits = DEFAULT_LIMITS,
        first_seq: int = 1,
        known: Known = NOTHING_KNOWN,
    ) -> None:
        self.definition = definition
        self.registry = registry
        self.converter = converter
        self.limits = limits
        self.known = known
        self.journal = Journal(workflow_id, definition, limits, self._decode_value, first_seq)
        # Not every converter has it; see `JsonConverter.encode_plain`.
        self.encode_plain = getattr(converter, "encode_plain", _never_plain)
        self.calls = commands.calls_of(registry, converter)
        self.status = Status.RUNNING
        self.is_spoilt = False
        self.is_started = False

    def __repr__(self) -> str:
        return (
            f"<execution of {self.definition.name!r} {self.workflow_id!r}: {self.status.name},"
            f" next seq {self.next_seq}>"
        )

    # -- where it stands --

    @property
    def workflow_id(self) -> str:
        """Its id."""
        return self.journal.workflow_id

    @property
    def next_seq(self) -> int:
        """The seq the log takes next."""
        return self.journal.next_seq

    @property
    def run_start_seq(self) -> int:
        """The seq that names the present run."""
        return self.journal.run_start_seq

    @property
    def now_ns(self) -> int:
        """Its time: that of its newest input, never earlier than before."""
        return self.journal.now_ns

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """What replay has let pass, with the recorded values; the first `DRIFTS_MAX` of it."""
        return self.journal.drifts

    @property
    def activities(self) -> Mapping[int, PendingActivity]:
        """Activities that have not ended, by the seq of their ACTIVITY_SCHEDULED."""
        return self.run.activities

    @property
    def timers(self) -> Mapping[int, int]:
        """Deadlines that are armed, by the seq of their TIMER_STARTED."""
        return self.run.timers

    @property
    def next_timer_ns(self) -> int | None:
        """When its next timer fires, or None."""
        return self.run.next_timer_ns()

    @property
    def children(self) -> Mapping[int, PendingChild]:
        """Children that have not ended, by the seq of their CHILD_SCHEDULED."""
        return self.run.children

    @property
    def children_elsewhere(self) -> Mapping[int, PendingChild]:
        """Those of `children` whose end no message will tell: it is, or was, told before the newest mark."""
        settled_seq = self.journal.settled_seq
        return {seq: child for seq, child in self.run.children.items() if seq < settled_seq}

    @property
    def signals(self) -> Mapping[str, SignalQueue]:
        """Signals by name, read and unread."""
        return self.run.signals

    @property
    def wake_up_ns(self) -> int | None:
        """When it wants to be looked at: its next timer or attempt; 0 while an attempt may be running."""
        if self.status is not Status.RUNNING:
            return None
        run = self.run
        times = [] if (timer := run.next_timer_ns()) is None else [timer]
        if len(run.activities) > len(run.retrying):
            return 0  # the same number each time: unchanged facts cost the store nothing
        if run.retrying:
            times.append(min(run.retrying.values()))
        return min(times, default=None)

    def facts(self) -> tuple[int, int, int | None, str, bytes]:
        """Tell what the store keeps beside the log's head.

        Returns:
            Status, the run's first seq, wake-up time, name, and no details.
        """
        return int(self.status), self.run_start_seq, self.wake_up_ns, self.definition.name, b""

    # -- activations --

    def activate(self, given: Input, now_ns: int) -> Activation:
        """Take an input: write it down, run the code until it waits, and write its commands behind it.

        Timers that are due at the time fire first, as an activation of their own.

        Args:
            given: what has happened.
            now_ns: when, in nanoseconds since 1970; an earlier time than the last counts as that.

        Returns:
            The events for the log and what to do once they are durable.

        Raises:
            WorkflowHeldError: an exception of a type in `hold_on` has left main, an activity is not known
                here, the run has grown over its limits, or the code does not come to an end.
            InternalError: the input cannot be: an outcome no activity can have, a second start.
        """
        if self.is_spoilt or not (self.is_started or type(given) is Start):
            self._check_usable(started=type(given) is not Start)
        if self.status is not _RUNNING:
            return Activation(taken=False)
        journal = self.journal
        before_ns, run_start_seq = journal.now_ns, journal.run_start_seq
        journal.now_ns = max(before_ns, now_ns)
        try:
            taken, fired, effects = self._take(given)
        except BaseException:
            self.spoil()
            raise
        events, journal.new = tuple(journal.new), []
        if not events:
            journal.now_ns = before_ns  # time passes only with what is written down
        found = effects_of(self, events, run_start_seq)
        before = (fired, len(effects_of(self, events[:fired], run_start_seq))) if fired else (0, 0)
        return Activation(events, found + effects, taken, before)

    def _take(self, given: Input) -> tuple[bool, int, tuple[Effect, ...]]:
        """Take an input; tell whether it was, how many events timers before it have led to, and effects."""
        if type(given) is Start:
            if self.is_started:
                raise InternalError(f"{self!r} was started before")
            self._feed(started(self, given))
            return True, 0, ()
        if self.run.timers and type(given) not in _TIMELESS:
            self._fire()
            if self.status is not _RUNNING:
                return type(given) is TimersFired, 0, ()
        fired = len(self.journal.new)
        admitted = admit(self, given)
        if admitted.kind is None:
            return True, 0, admitted.effects
        self._feed(admitted)
        return True, fired, admitted.effects

    def _fire(self) -> None:
        due = self.run.due(self.journal.now_ns)
        if due:
            self._feed(Admitted(EventKind.TIMER_FIRED, TimerFired(tuple(seq for _, seq in due))))

    def _feed(self, admitted: Admitted) -> None:
        kind = admitted.kind
        assert kind is not None  # noqa: S101  # asked by the callers
        self.journal.append(kind, encode_record(admitted.record))
        APPLY[kind](self, self.journal.new[-1])
        if kind not in UNSEEN_KINDS:
            self.settle()

    def settle(self) -> None:
        """Run the code until it waits; when it continues as new, the code of the new run as well.

        Raises:
            NondeterminismError: the log has something else than the code asks for.
            WorkflowHeldError: the code does not come to an end, or something it did holds it.
        """
        for _ in range(CONTINUES_MAX):
            if self.status is not _RUNNING:
                return
            self.run.scheduler.now_ns = self.journal.now_ns
            self.run_tasks()
            if not conclude(self):
                return
        reason = f"it continues as new {CONTINUES_MAX} times without waiting for anything"
        raise self.hold(f"workflow {self.workflow_id!r} is held, because {reason}", reason=reason)

    def run_tasks(self) -> None:
        """Run tasks until none can go on.

        Raises:
            NondeterminismError: the log has something else than the code asks for.
            WorkflowHeldError: the code does not come to an end, or something it did holds it.
        """
        try:
            self.run.scheduler.run()
        except (StuckError, InternalError) as error:
            raise self.why(error) from error.__cause__
        if self.journal.broken is not None:
            raise self.journal.broken

    def why(self, error: StuckError | InternalError) -> BaseException:
        """Tell why the scheduler has stopped: often it only sees what a broken journal has led to.

        Args:
            error: what it has raised.

        Returns:
            What to raise instead.
        """
        if isinstance(error, StuckError):
            return self.hold(f"workflow {self.workflow_id!r} is held: {error}", reason=str(error))
        return error if self.journal.broken is None else self.journal.broken

    def hold(self, message: str, *, reason: str) -> WorkflowHeldError:
        """Make the error that holds the workflow; whatever the code still does comes to nothing.

        Args:
            message: what was expected, what came, what to do.
            reason: the same in short.

        Returns:
            The error.
        """
        error = WorkflowHeldError(message, workflow_id=self.workflow_id, reason=reason)
        self.journal.broken = error
        return error

    def close(self, kind: EventKind, payload: bytes) -> None:
        """Write down how the workflow has ended.

        Args:
            kind: how.
            payload: its record.
        """
        self.journal.command(kind, payload)
        self.status = STATUS_BY_KIND[kind]

    def refuse_start(self, failure: Failure) -> None:
        """Fail a run whose arguments the code cannot take; none of it has run.

        Args:
            failure: why.
        """
        fail(self, failure, unread=0)

    def continue_with(self, record: RunStarted, signals: Sequence[SignalReceived]) -> None:
        """Write the end of one run and the beginning of the next.

        Args:
            record: of the CONTINUED.
            signals: that nobody has read.
        """
        journal = self.journal
        seq, payload = journal.command(EventKind.CONTINUED, encode_record(record))
        for signal in signals:
            journal.command(EventKind.SIGNAL_CARRIED, encode_record(signal))
        journal.begin_run(seq)
        begin_run(self, msgspec.json.decode(payload, type=RunStarted), seq)
        for signal in signals:
            deliver(self.run, signal)

    # -- what tasks ask for; see `commands` --

    def cancel_activity(self, pending: PendingActivity) -> bool:
        """Ask an activity to end; see `commands.cancel_activity`."""
        return commands.cancel_activity(self, pending)

    # -- replay --

    def replay(self, events: Sequence[WorkflowEvent]) -> None:
        """Put the workflow where its log says it was, page by page; end with `finish_replay`.

        Args:
            events: the next events; the first page begins with a WORKFLOW_STARTED or a CONTINUED.

        Raises:
            NondeterminismError: the code does something else than the log says.
            WorkflowHeldError: something the code does holds it.
            CorruptStoreError: the log cannot be one that the engine wrote.
        """
        self._check_usable(started=False)
        if not events:
            return
        try:
            self.journal.read(events)
            replay_until(self, self.journal.last_input())
        except BaseException:
            self.spoil()
            raise

    def finish_replay(self) -> Activation | None:
        """End the replay: the log holds nothing more.

        Returns:
            What the newest activation lacks in the log, to be appended before anything else happens, with
            the effects of all of that activation: none of them was carried out before it was whole. None
            when it is whole.

        Raises:
            NondeterminismError: the code does something else than the log says.
            WorkflowHeldError: something the code does holds it.
            CorruptStoreError: the log cannot be one that the engine wrote.
        """
        self._check_usable(started=False)
        journal, run_start_seq = self.journal, self.journal.run_start_seq
        newest = journal.history[journal.position :]
        try:
            if newest:
                replay_until(self, journal.end)
        except BaseException:
            self.spoil()
            raise
        self.run.pass_marks()
        lacking = journal.end_replay()
        if not lacking:
            return None
        return Activation(lacking, effects_of(self, (*newest, *lacking), run_start_seq))

    def unfinished(self) -> tuple[StartActivity | CancelActivity, ...]:
        """Tell what must be carried out (again) after a replay, the newest activation's included.

        Returns:
            A `StartActivity` for each activity that has not ended, a `CancelActivity` when it was asked to.
        """
        return tuple(
            CancelActivity(pending.seq) if pending.is_cancelling else StartActivity(pending.seq)
            for pending in self.run.activities.values()
        )

    # -- looking --

    def query(self, name: str, args_json: bytes = b"[]") -> bytes:
        """Ask the code, changing nothing. Possible also when the workflow has ended.

        Args:
            name: what to ask.
            args_json: the arguments, a JSON array.

        Returns:
            The answer, one JSON document.

        Raises:
            QueryFailedError: there is no such query, the arguments do not fit, its function has raised, or
                it has tried to command, wait or change.
        """
        self._check_usable()
        return ask(self, name, args_json)

    def describe(self) -> Description:
        """Tell in words where it stands and what it waits for.

        Returns:
            The words, and the facts they are made of.
        """
        return describe(self)

    def stack(self) -> tuple[TaskStack, ...]:
        """Tell where every task stands.

        Returns:
            Main and the running updates, each with the tasks below it.
        """
        return self.run.scheduler.stack()

    # -- leaving memory --

    def evict(self) -> None:
        """Take the code out of memory: its clean-up runs and nothing comes of it. Nothing may follow."""
        self.is_spoilt = True
        self.journal.shut()
        if self.is_started:
            self.run.scheduler.evict()

    def spoil(self) -> None:
        """Throw the code away, because it is ahead of its log or was changed by somebody looking."""
        self.evict()

    def _check_usable(self, *, started: bool = True) -> None:
        if started and not self.is_started:
            raise InternalError(f"{self!r} was not started; give it a Start, or replay its log")
        if self.is_spoilt:
            raise InternalError(
                f"{self!r} was thrown away; make a new execution and replay the log before going on"
            )

    def _decode_value(self, kind: EventKind, record: Any, field: str, payload: bytes) -> Any:
        """Read a user's value with today's annotations; for the comparison of what replay finds different."""
        definition: Any = None
        if kind is EventKind.ACTIVITY_SCHEDULED:
            definition = self.registry.activities.get(record.name)
        elif kind is EventKind.CHILD_SCHEDULED:
            definition = self.registry.workflows.get(record.name)
        elif kind in {EventKind.CONTINUED, EventKind.WORKFLOW_COMPLETED}:
            definition = self.definition
        if definition is None:
            return self.converter.decode(payload)
        read = decode_arguments if field == "args" else decode_result
        return read(definition, payload, self.converter)
