"""Attempts at activities: tasks of the runtime, which no workflow's actor owns.

An attempt is known by (workflow id, seq of its ACTIVITY_SCHEDULED), so that a workflow that is evicted or
replayed neither cancels nor repeats it. What it has come to is handed on as a message; what follows (an
event, another attempt) is decided elsewhere.

The machine: an attempt *waits* until it is due (retries only), *queues* until there is a slot, *runs*, and
has *ended*. A cancel request while it runs makes it *stopping*: its task is cancelled and unwinds at its own
pace, as a task of Trio's does, and it has ended when it has; a limit of time does the same by the deadline of
its scope. A runtime that closes cancels all tasks and tells nobody: those attempts are made again at the
next opening.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from enum import IntEnum
from functools import partial
from math import inf
from typing import Any, Final

import attrs
import msgspec
import trio

from treadle.engine import (
    ActivityDefinition,
    ActivityOutcome,
    Completed,
    EndedByCancel,
    Failed,
    message_id,
)
from treadle.engine.arguments import decode_arguments, encode_result
from treadle.engine.definitions import ActivityOptions
from treadle.engine.failures import failure_of, timeout_failure
from treadle.engine.retrying import PLAINLY_MADE, Made
from treadle.errors import InternalError, TimeoutKind, TreadleError
from treadle.events import WorkflowId
from treadle.kernel import Kernel, cancelled_in_thread
from treadle.payloads import Converter
from treadle.runtime.durable.activity_context import ActivityInfo, current_attempt
from treadle.runtime.durable.crew import Crew, Hand
from treadle.runtime.durable.slots import Slots
from treadle.runtime.durable.stage import open_on
from treadle.runtime.durable.timetable import Timetable

_NANOSECONDS: Final = 1_000_000_000


class AttemptState(IntEnum):
    """Where an attempt stands."""

    WAITING = 1
    QUEUED = 2
    RUNNING = 3
    STOPPING = 4
    ENDED = 5


class AttemptStep(IntEnum):
    """What can happen to an attempt."""

    DUE = 1
    SLOT = 2
    STOP = 3
    END = 4


ATTEMPT: Final = {
    AttemptState.WAITING: {
        AttemptStep.DUE: AttemptState.QUEUED,
        AttemptStep.STOP: AttemptState.ENDED,
    },
    AttemptState.QUEUED: {
        AttemptStep.SLOT: AttemptState.RUNNING,
        AttemptStep.STOP: AttemptState.ENDED,
    },
    AttemptState.RUNNING: {
        AttemptStep.STOP: AttemptState.STOPPING,
        AttemptStep.END: AttemptState.ENDED,
    },
    AttemptState.STOPPING: {
        # Asked again, or a limit that passes while it unwinds: it is stopping already.
        AttemptStep.STOP: AttemptState.STOPPING,
        AttemptStep.END: AttemptState.ENDED,
    },
}
"""State, what happens, next state; what is not in the table cannot happen."""


@attrs.define(slots=True, eq=False)
class Attempt:
    """One attempt at one activity.

    Attributes:
        workflow_id: the workflow that has scheduled it.
        run: the seq that names the workflow's run.
        seq: the seq of its ACTIVITY_SCHEDULED.
        number: which attempt it is, counted from 1.
        lost: how many of those before it were lost with their process; the retry policy does not count them.
        definition: the function, and how many of it may run at once.
        args_json: its arguments.
        options: its limits, as they were recorded.
        scheduled_ns: when the activity was scheduled.
        due_ns: when this attempt may begin.
        details: what a heartbeat has told last, of this attempt or an earlier one; a JSON array, or None.
        details_known: whether `details` is what the store holds; otherwise it must be looked up first.
        state: where it stands.
        outcome: what it has come to.
        cancelled: whether it was asked to end.
        unheard: whether nobody wants to hear of its end.
        has_beaten: whether it has told details, so that there is a record to remove.
        made: what it is made with, for a policy that learns.
    """

    workflow_id: WorkflowId
    run: int
    seq: int
    number: int
    definition: ActivityDefinition[..., Any]
    args_json: bytes
    options: ActivityOptions
    scheduled_ns: int
    due_ns: int
    details: bytes | None = None
    details_known: bool = True
    state: AttemptState = AttemptState.WAITING
    outcome: ActivityOutcome | None = None
    cancelled: bool = False
    unheard: bool = False
    has_beaten: bool = False
    lost: int = 0
    made: Made = PLAINLY_MADE
    _scope: trio.CancelScope | None = None
    _limit: TimeoutKind | None = None
    _close_deadline: float = inf
    _close_limit: TimeoutKind | None = None
    _thread: int = 0
    _is_in_thread: bool = False
    _attempts: Attempts | None = None

    @property
    def key(self) -> tuple[WorkflowId, int]:
        """What it is known by."""
        return self.workflow_id, self.seq

    @property
    def record_key(self) -> bytes:
        """The name of its heartbeat's record, and of its activity to the outer world."""
        return message_id(self.workflow_id, self.run, self.seq)

    def step(self, what: AttemptStep) -> None:
        """Go one arrow of the table.

        Args:
            what: what happens.

        Raises:
            InternalError: the table has no such arrow.
        """
        try:
            self.state = ATTEMPT[self.state][what]
        except KeyError:
            raise InternalError(
                f"an attempt that is {self.state.name} has no way by {what.name}; please report it"
            ) from None

    # -- what activity code asks for --

    def info(self) -> ActivityInfo:
        """Tell about it; see `treadle.activity.info`."""
        attempts = self._bound()
        details = () if self.details is None else tuple(attempts.converter.decode(self.details))
        return ActivityInfo(
            self.definition.name,
            self.workflow_id,
            self.run,
            self.seq,
            self.number,
            self.record_key.decode(),
            details,
            self.scheduled_ns,
            self.made.route,
        )

    def beat(self, details: tuple[Any, ...]) -> None:
        """Note a sign of life; see `treadle.activity.heartbeat`."""
        attempts = self._bound()
        # Here, where a value without a JSON form is its caller's error, and before it changes again.
        encoded = attempts.converter.encode(list(details)) if details else None
        if threading.get_ident() == self._thread:
            self._beat(encoded)
        else:
            attempts.kernel.call_from_thread(self._beat, encoded)
            if self.cancelled:
                raise cancelled_in_thread()

    def _beat(self, details: bytes | None) -> None:
        if self.state is not AttemptState.RUNNING:
            return
        if (limit_ns := self.options.heartbeat_ns) is not None and self._scope is not None:
            self._arm(self._scope, limit_ns)
        if details is not None:
            self.details, self.has_beaten = details, True
            self._bound().beaten(self)

    def _bound(self) -> Attempts:
        assert self._attempts is not None  # noqa: S101  # the pair of start(): who runs was started
        return self._attempts

    # -- its limits of time --

    def begin(self, scope: trio.CancelScope, wall_time_ns: Callable[[], int]) -> None:
        """Set the limits of time that hold from now on.

        Args:
            scope: round the user's function.
            wall_time_ns: the wall clock.
        """
        options, self._scope = self.options, scope
        if (
            options.start_to_close_ns is None
            and options.schedule_to_close_ns is None
            and options.heartbeat_ns is None
        ):
            return  # setting a scope's deadline costs as much as entering it
        now = trio.current_time()
        if options.start_to_close_ns is not None:
            self._close_deadline = now + options.start_to_close_ns / _NANOSECONDS
            self._close_limit = "start_to_close"
        if options.schedule_to_close_ns is not None:
            left_ns = self.scheduled_ns + options.schedule_to_close_ns - wall_time_ns()
            if now + left_ns / _NANOSECONDS < self._close_deadline:
                self._close_deadline = now + left_ns / _NANOSECONDS
                self._close_limit = "schedule_to_close"
        scope.deadline, self._limit = self._close_deadline, self._close_limit
        if options.heartbeat_ns is not None:
            self._arm(scope, options.heartbeat_ns)

    def _arm(self, scope: trio.CancelScope, heartbeat_ns: int) -> None:
        beat = trio.current_time() + heartbeat_ns / _NANOSECONDS
        early = beat < self._close_deadline
        scope.deadline = beat if early else self._close_deadline
        self._limit = "heartbeat" if early else self._close_limit

    def end(self, scope: trio.CancelScope, outcome: ActivityOutcome | None) -> None:
        """Note what it has come to.

        Args:
            scope: the one round the user's function, left.
            outcome: what the function has done; None when the scope ended it.
        """
        if not self.cancelled and scope.cancel_called and not isinstance(outcome, Completed):
            # Whatever it raised on the way out, the limit is why it ended.
            outcome = self.too_late(self._limit or "start_to_close")
        elif outcome is None:
            outcome = EndedByCancel()
        self.outcome = outcome
        self._scope = None

    def too_late(self, limit: TimeoutKind) -> Failed:
        """Word the outcome for a limit of time that has passed.

        Args:
            limit: which.

        Returns:
            The failure.
        """
        options = self.options
        limit_ns = {
            "start_to_close": options.start_to_close_ns,
            "schedule_to_close": options.schedule_to_close_ns,
            "heartbeat": options.heartbeat_ns,
        }[limit]
        return Failed(timeout_failure(limit, (limit_ns or 0) / _NANOSECONDS))

    def interrupt(self) -> None:
        """Cancel the user's function.

        One in a thread hears of it at its next heartbeat, and as long as somebody waits for its end it is
        waited for: a cancelled scope there would give the thread up, which would go on behind everybody's
        back.
        """
        nobody_waits = self.unheard or self.options.on_cancel == "abandon"
        if self._scope is not None and (nobody_waits or not self._is_in_thread):
            self._scope.cancel()

    def run_in_thread(self, function: Callable[[], Any]) -> Any:
        """Run the user's plain function; called in its thread.

        Args:
            function: with its arguments.

        Returns:
            What it returns.

        Raises:
            trio.Cancelled: it was cancelled while it waited for a thread; it does not begin.
        """
        self._is_in_thread = threading.get_ident() != self._thread
        if self._is_in_thread and self.cancelled:
            raise cancelled_in_thread()
        return function()

    def heard_in_thread(self) -> None:
        """Note that the function has let out the cancellation that its heartbeat has told it."""
        if self.cancelled and self._scope is not None:
            self._scope.cancel()


class Attempts:
    """All attempts of a runner, by (workflow id, seq).

    Args:
        kernel: starts tasks, runs plain functions, tells the time.
        converter: reads arguments, writes results.
        running_max: how many run at once.
        timetable: wakes those that wait until they are due; `time_came` must be called for them.
        ended: told of every attempt that has ended; not of those that closing has cancelled.
        look_up: fetches what an earlier attempt's heartbeat has told.
        beaten: told of every attempt that has told details.
    """

    def __init__(
        self,
        kernel: Kernel,
        converter: Converter,
        *,
        running_max: int,
        timetable: Timetable[Any],
        ended: Callable[[Attempt], object],
        look_up: Callable[[Attempt], Awaitable[bytes | None]],
        beaten: Callable[[Attempt], object],
    ) -> None:
        self.kernel = kernel
        self.converter = converter
        self.beaten = beaten
        self.known: dict[tuple[WorkflowId, int], Attempt] = {}
        self.by_workflow: dict[WorkflowId, int] = {}
        self.started = 0
        self.running = 0
        self.slots: Slots[Attempt] = Slots(running_max, lambda attempt: attempt.state is AttemptState.QUEUED)
        self._timetable = timetable
        self._ended = ended
        self._look_up = look_up
        self._crew: Crew[Attempt] = Crew(kernel, self._see_through)
        self._closing = False

    @trio.lowlevel.enable_ki_protection
    def start(self, attempt: Attempt) -> bool:
        """Take an attempt on: it runs when it is due and there is a slot.

        Args:
            attempt: new.

        Returns:
            False when one at this activity is known already, or the runner is closing.
        """
        if attempt.key in self.known or self._closing:
            return False
        self.known[attempt.key] = attempt
        self.by_workflow[attempt.workflow_id] = self.by_workflow.get(attempt.workflow_id, 0) + 1
        attempt._attempts = self
        if attempt.due_ns > self.kernel.wall_time_ns():
            self._timetable.set(attempt, attempt.due_ns)
        else:
            self._queue(attempt)
        return True

    def time_came(self, attempt: Attempt) -> None:
        """Go on with an attempt whose time in the timetable has come.

        Args:
            attempt: waiting until it is due, or queued until `schedule_to_close` has passed.
        """
        if attempt.state is AttemptState.WAITING:
            self._queue(attempt)
        elif attempt.state is AttemptState.QUEUED:
            attempt.step(AttemptStep.STOP)
            attempt.outcome = attempt.too_late("schedule_to_close")
            self._finish(attempt)

    def cancel(self, workflow_id: WorkflowId, seq: int) -> bool:
        """Stop an attempt; it ends by `ended` when it has.

        Args:
            workflow_id: the workflow that has scheduled it.
            seq: the seq of its ACTIVITY_SCHEDULED.

        Returns:
            False when none is known: nobody will tell of its end.
        """
        attempt = self.known.get((workflow_id, seq))
        if attempt is None:
            return False
        attempt.cancelled = True
        attempt.step(AttemptStep.STOP)
        if attempt.state is AttemptState.ENDED:
            self._timetable.clear(attempt)
            attempt.outcome = EndedByCancel()
            self._finish(attempt)
        else:
            attempt.interrupt()
        return True

    def cancel_all(self, workflow_id: WorkflowId) -> None:
        """Stop all attempts of a workflow that has ended; nobody hears of their end.

        Args:
            workflow_id: the workflow.
        """
        if workflow_id in self.by_workflow:
            for attempt in [attempt for key, attempt in self.known.items() if key[0] == workflow_id]:
                attempt.unheard = True
                self.cancel(workflow_id, attempt.seq)

    def _queue(self, attempt: Attempt) -> None:
        attempt.step(AttemptStep.DUE)
        if attempt.options.schedule_to_close_ns is not None:
            self._timetable.set(attempt, attempt.scheduled_ns + attempt.options.schedule_to_close_ns)
        definition = attempt.definition
        if self.slots.take(definition.name, definition.concurrency, attempt):
            self._spawn(attempt)

    def _spawn(self, attempt: Attempt) -> None:
        attempt.step(AttemptStep.SLOT)
        if attempt.options.schedule_to_close_ns is not None:
            self._timetable.clear(attempt)
        self.started += 1
        self._crew.give(attempt)

    # -- an attempt's task --

    async def _see_through(self, hand: Hand[Attempt]) -> None:
        """See attempts through, one after another, as long as nothing clings to the task or its scope."""
        attempt, has_ended = hand.job, False
        scope = trio.CancelScope()
        outcome: ActivityOutcome | None = None
        try:
            with scope:
                open_before = open_on(hand.task)
                while True:
                    outcome = Completed(await self._call(attempt, scope))
                    if self._closing or scope.cancel_called or scope.deadline != inf:
                        break
                    if open_before is None or open_before != open_on(hand.task):
                        break  # leaving the scope will tell
                    has_ended = True
                    self._conclude(attempt, scope, outcome)
                    if self._crew.is_full:
                        return
                    attempt = await self._crew.next_job(hand)
                    outcome, has_ended = None, False
        except _MisfitError as error:
            failure = failure_of(error.misfit, self.converter)
            outcome = Failed(msgspec.structs.replace(failure, non_retryable=True))
        except BaseException as error:
            if has_ended:
                raise  # no attempt is under way: it is not a user's function that has raised it
            if (foreign := _not_its_own(error)) is not None:
                raise foreign from None
            names = attempt.options.retry.non_retryable_names
            outcome = Failed(failure_of(error, self.converter, non_retryable=names))
        if self._closing or (type(outcome) is not Completed and trio.current_effective_deadline() == -inf):
            # Cancelled from outside, whatever it made of it: it will be run again.
            return
        self._conclude(attempt, scope, outcome)

    def _conclude(self, attempt: Attempt, scope: trio.CancelScope, outcome: ActivityOutcome | None) -> None:
        attempt.end(scope, outcome)
        attempt.step(AttemptStep.END)
        self._give_slot_back(attempt)
        self._finish(attempt)

    async def _call(self, attempt: Attempt, scope: trio.CancelScope) -> bytes:
        attempt._thread = threading.get_ident()
        current_attempt.set(attempt)
        self.running += 1
        try:
            if not attempt.details_known:
                attempt.details = await self._look_up(attempt)
            attempt.begin(scope, self.kernel.wall_time_ns)
            if attempt.cancelled:
                # Asked for between its slot and its first step: whoever asked may have been answered by now,
                # and what is abandoned must not touch the world any more, not even up to a checkpoint.
                scope.cancel()
                await self.kernel.checkpoint_if_cancelled()
            return await self._result(attempt)
        finally:
            self.running -= 1

    async def _result(self, attempt: Attempt) -> bytes:
        definition, converter = attempt.definition, self.converter
        try:
            args, kwargs = decode_arguments(definition, attempt.args_json, converter)
        except TreadleError as error:
            raise _MisfitError(error) from error
        if definition.is_async:
            value = await definition.function(*args, **kwargs)
        else:
            try:
                function = partial(definition.function, *args, **kwargs)
                value = await self.kernel.run_abandonable(attempt.run_in_thread, function)
            except trio.Cancelled:
                attempt.heard_in_thread()
                raise
        try:
            return encode_result(definition, value, converter)
        except TreadleError as error:
            raise _MisfitError(error) from error

    @trio.lowlevel.enable_ki_protection
    def _give_slot_back(self, attempt: Attempt) -> None:
        for following in self.slots.give_back(attempt.definition.name):
            self._spawn(following)

    def forget(self, attempt: Attempt) -> None:
        """Give an attempt up whose time has not come; its workflow leaves memory and will ask for it again.

        Args:
            attempt: WAITING.
        """
        self._timetable.clear(attempt)
        self._drop(attempt)

    def _finish(self, attempt: Attempt) -> None:
        self._drop(attempt)
        self._ended(attempt)

    def _drop(self, attempt: Attempt) -> None:
        del self.known[attempt.key]
        left = self.by_workflow[attempt.workflow_id] - 1
        if left:
            self.by_workflow[attempt.workflow_id] = left
        else:
            del self.by_workflow[attempt.workflow_id]

    # -- life and end --

    def open(self, nursery: trio.Nursery) -> None:
        """Begin.

        Args:
            nursery: the parent of all attempts.
        """
        self._crew.open(nursery)

    def stop(self) -> None:
        """Take nothing on any more, and let nothing that ends be heard."""
        self._closing = True


def _not_its_own(error: BaseException) -> BaseException | None:
    """Tell what of an error only passes through a user's function: a cancellation, Ctrl-C, its being dropped.

    All the rest is the function's doing, `SystemExit` too: one activity does not end all the others.
    """
    passing = (trio.Cancelled, KeyboardInterrupt, GeneratorExit)
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(passing)
    return error if isinstance(error, passing) else None


class _MisfitError(Exception):
    """Arguments or a result that do not fit: trying again would change nothing."""

    def __init__(self, misfit: TreadleError) -> None:
        super().__init__()
        self.misfit = misfit
