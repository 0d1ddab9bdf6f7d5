"""Attempting: what the runner does about attempts at activities, before and after each.

Which attempt is next stands in the log, so it is read from the execution; what one has come to is offered to
its workflow like everything else that happens. What heartbeats tell is a record that is overwritten, written
so rarely that a beat each second costs a store nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import trio

from treadle.engine import ActivityDone
from treadle.engine.definitions import ActivityOptions
from treadle.engine.records import OptionsRecord, options_of
from treadle.engine.retrying import Ended, what_follows
from treadle.runtime.durable.attempts import Attempt, Attempts
from treadle.runtime.durable.instance import Instance, Offer
from treadle.runtime.durable.wire import HEARTBEATS, BeatNote, decode_wire
from treadle.stores import Record, Unit

if TYPE_CHECKING:  # attempting is the runner's
    from treadle.runtime.durable.runner import Runner


class Attempting:
    """Starts attempts, hears of their end, and writes what they tell.

    Args:
        runner: whose workflows have asked for them; its timetable is there.

    Attributes:
        attempts: all there are.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._options: dict[OptionsRecord | None, ActivityOptions] = {}
        self._beaten: dict[Attempt, None] = {}
        self._beat_task: trio.lowlevel.Task | None = None
        self.attempts = Attempts(
            runner.kernel,
            runner.converter,
            running_max=runner.config.activities_max,
            timetable=runner.timetable,
            ended=self._ended,
            look_up=self._look_up,
            beaten=self._has_beaten,
        )

    def start(self, instance: Instance, seq: int) -> None:
        """Take on the next attempt at an activity, unless there is one or it has ended.

        Args:
            instance: LIVE.
            seq: the seq of its ACTIVITY_SCHEDULED.
        """
        execution = instance.execution
        pending = execution.activities.get(seq) if execution is not None else None
        if execution is None or pending is None or pending.is_cancelling:
            return
        if (instance.workflow_id, seq) in self.attempts.known:
            return
        record = pending.record
        options = self._options.get(record.options)
        if options is None:
            options = self._options[record.options] = options_of(record)
        definition = self._runner.registry.activities.get(record.name)
        if definition is None:
            # The engine holds a workflow whose code asks for an activity that is not known here; this one was
            # asked for by code that is gone by now.
            return
        failed = pending.attempts_failed
        self.attempts.start(
            Attempt(
                instance.workflow_id,
                execution.run_start_seq,
                seq,
                failed + 1,
                definition,
                bytes(record.args),
                options,
                pending.scheduled_ns,
                # A first attempt is due when it was asked for, whatever the clock says: workflow time never
                # goes back, so that after a clock was set back it lies ahead of the wall's.
                pending.next_due_ns or 0,
                details_known=not failed and not instance.recovering,
                lost=pending.attempts_lost,
                made=pending.made(execution.run.seed),
            )
        )

    def _ended(self, attempt: Attempt) -> None:
        if self._runner.stopping:
            return
        if attempt.unheard:
            if attempt.has_beaten:
                self._beaten.pop(attempt, None)
                self._write((self._beat_record(attempt, None),))
            instance = self._runner.instances.get(attempt.workflow_id)
            if instance is not None:
                # After a reset the same activity may be wanted again, and only now there is none at it.
                self.start(instance, attempt.seq)
            return
        now_ns = self._runner.kernel.wall_time_ns()
        outcome = attempt.outcome
        assert outcome is not None  # noqa: S101  # the pair of Attempt.end()
        given = what_follows(_ended(attempt), outcome, self._runner.known, now_ns)
        records: tuple[Record, ...] = ()
        if attempt.has_beaten:
            self._beaten.pop(attempt, None)
            done = type(given) is ActivityDone
            records = (self._beat_record(attempt, None if done else attempt.details),)
        self._runner.offer(self._runner.instance(attempt.workflow_id), Offer(given, records=records))

    def _beat_record(self, attempt: Attempt, details: bytes | None) -> Record:
        key = attempt.record_key
        if details is None:
            return Record(HEARTBEATS, key, None)
        note = BeatNote(msgspec.Raw(details), attempt.number)
        return self._runner.envelopes.record(HEARTBEATS, key, attempt.workflow_id, note)

    async def _look_up(self, attempt: Attempt) -> bytes | None:
        found = await self._runner.store.record(HEARTBEATS, attempt.record_key)
        if found is None:
            return None
        attempt.has_beaten = True
        note = decode_wire(self._runner.envelopes.open(attempt.workflow_id, found), BeatNote)
        return bytes(note.details)

    def _has_beaten(self, attempt: Attempt) -> None:
        self._beaten[attempt] = None
        if self._beat_task is not None:
            task, self._beat_task = self._beat_task, None
            self._runner.kernel.wake(task)

    @trio.lowlevel.enable_ki_protection
    async def write_beats(self) -> None:
        """Write what running attempts tell, at most so often; runs until cancelled."""
        while True:
            while not self._beaten:
                self._beat_task = trio.lowlevel.current_task()
                await self._runner.kernel.park(self._forget_beat_task)
            beaten, self._beaten = self._beaten, {}
            self._write(tuple(self._beat_record(attempt, attempt.details) for attempt in beaten))
            await self._runner.kernel.sleep(self._runner.config.heartbeat_seconds)

    def _forget_beat_task(self) -> None:
        self._beat_task = None

    def _write(self, records: tuple[Record, ...]) -> None:
        flights = self._runner.flights
        flights.send_alone(Unit(records=records, epoch=flights.epoch), lambda _: None)


def _ended(attempt: Attempt) -> Ended:
    return Ended(
        attempt.definition.name,
        attempt.seq,
        attempt.number,
        attempt.lost,
        attempt.options,
        attempt.scheduled_ns,
        attempt.made,
        attempt.cancelled,
    )
