"""Cancel scopes, as Trio has them: level-triggered, with deadlines and shields.

Scopes point upwards only: to the scope around them and to the task that entered them; a task points to the
innermost scope it stands in. What lies below a scope is found when it is needed, which is when a
cancellation goes down: further in on the stack of the task that entered it, and, below the scope of a
nursery, in the nursery's children. So entering and leaving, the frequent things, touch two pointers.

Each scope remembers whether it is *effectively* cancelled: called itself, or not shielded inside one that
is. Whatever may change that (a call, a deadline, a shield, another parent) calls `recalculate` of
`descent`, which goes down as far as something changes and wakes the tasks it finds.
"""

from __future__ import annotations

import sys
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Self

from treadle.engine.driver.descent import DEADLINE_PASSED, recalculate
from treadle.engine.driver.errors import Cancelled
from treadle.engine.driver.instants import to_delay_ns, to_ns, to_seconds
from treadle.engine.driver.raising import raise_keeping_context
from treadle.engine.driver.tasks import (
    RUNNING,
    Task,
    current_scheduler,
    current_task,
    misuse,
    outside,
)
from treadle.engine.driver.whereabouts import line_in
from treadle.errors import InvalidValueError

if TYPE_CHECKING:
    from treadle.engine.driver.nurseries import Family
    from treadle.engine.driver.scheduler import Scheduler

_FRESH, _ENTERED, _EXITED, _ABANDONED = range(4)

_NOT_ENTERED = "this CancelScope's block ends here, but it is not entered (any more)"
_OTHER_TASK = (
    "this CancelScope was entered by {!r} and its block ends in {!r}; enter and leave a scope in one task "
    "(a generator must not yield inside one)"
)
_STILL_OPEN = (
    "this CancelScope ends while one entered inside it is still open; scopes and nurseries must nest (a "
    "generator must not yield inside one)"
)


class CancelScope:
    """A stretch of code that can be cancelled as one: ``with CancelScope() as scope: ...``.

    Deadlines are absolute, in seconds of `current_time`; a workflow's deadline survives the process. A
    scope can be entered once.

    Args:
        deadline: when the scope cancels itself; infinity for never.
        relative_deadline: or how many seconds after it is entered.
        shield: whether cancellations from outside stop here.

    Raises:
        InvalidValueError: a deadline is NaN, the relative one negative, or both are given.
    """

    __slots__ = (
        "__weakref__", "_deadline_ns", "_entered_in", "_entered_with", "_family", "_is_called",
        "_is_cancelled", "_is_caught", "_is_shielded", "_parent", "_reason", "_relative_ns",
        "_scheduler", "_state", "_task",
    )  # fmt: skip

    def __init__(
        self, *, deadline: float = float("inf"), relative_deadline: float = float("inf"), shield: bool = False
    ) -> None:
        relative_ns = to_delay_ns(relative_deadline, "relative_deadline")
        if deadline == float("inf"):
            deadline_ns = None
        elif relative_ns is None:
            deadline_ns = _absolute_ns(deadline)
        else:
            raise InvalidValueError("a scope takes either a deadline or a relative deadline, got both")
        self._set_up(deadline_ns, relative_ns, shield=shield)

    def _set_up(self, deadline_ns: int | None, relative_ns: int | None, *, shield: bool) -> None:
        self._deadline_ns = deadline_ns
        self._relative_ns = relative_ns
        self._is_shielded = shield
        self._state = _FRESH
        self._is_called = False
        self._is_cancelled = False  # effectively
        self._is_caught = False
        self._reason: str | None = None
        self._parent: CancelScope | None = None
        self._task: Task | None = None
        self._scheduler: Scheduler | None = None
        self._family: Family | None = None  # the nursery whose scope this is
        # The code and the instruction that entered it: naming the line takes long, and is rarely needed.
        self._entered_in: CodeType | None = None
        self._entered_with = 0

    def __repr__(self) -> str:
        state = ("not entered", "entered", "exited", "abandoned")[self._state]
        return f"<treadle cancel scope, {state}{', cancelled' if self._is_called else ''}>"

    # -- entering and leaving --

    def __enter__(self) -> Self:
        task = RUNNING.get()
        if task is None:
            raise outside("entering a CancelScope")
        if self._state != _FRESH:
            raise misuse("a CancelScope can be entered once, this one was before; make a new one")
        scheduler = task.scheduler
        frame = sys._getframe(1)
        self._entered_in, self._entered_with = frame.f_code, frame.f_lasti
        if self._relative_ns is not None:
            self._deadline_ns = scheduler.now_ns + self._relative_ns
            self._relative_ns = None
        parent = task._scope
        self._state = _ENTERED
        self._scheduler = scheduler
        self._task = task
        self._parent = parent
        task._scope = self
        deadline_ns = self._deadline_ns
        if deadline_ns is not None and not self._is_called:
            if deadline_ns <= scheduler.now_ns:
                self._is_called = True
                self._reason = DEADLINE_PASSED
            else:
                scheduler._arm(self, deadline_ns)
        if self._is_called:
            self._is_cancelled = True
        elif parent._is_cancelled and not self._is_shielded:
            self._is_cancelled = True
            self._reason = parent._reason
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if (
            error is None
            and (task := self._task) is not None
            and task._scope is self
            and task is RUNNING.get()
        ):
            task._scope = self._parent  # type: ignore[assignment]  # the common way out, made short
            self._forget()
            return False
        remaining = self._close(error)
        if remaining is None or remaining is error:
            return remaining is None
        try:
            raise_keeping_context(remaining)
        finally:
            del remaining, error  # the traceback leads back to this frame

    def _close(self, error: BaseException | None) -> BaseException | None:
        """Leave the scope; gives the error that goes on outwards, if any."""
        task = current_task()
        if task.scheduler.evicting:
            return error
        if task is self._task and task._scope is self and self._parent is not None:
            task._scope = self._parent
        elif self._state == _ENTERED and task is self._task:
            error = self._told(error, _STILL_OPEN)
            self._abandon_inner(task)
        elif self._state != _ABANDONED:  # else an outer scope ended first, and told
            return self._told(
                error, _NOT_ENTERED if self._task is None else _OTHER_TASK.format(self._task, task)
            )
        if error is not None and self._is_cancelled and not self._is_cancelled_from_outside():
            error = self._without_cancelled(error)
        self._forget()
        return error

    def _told(self, error: BaseException | None, problem: str) -> BaseException:
        told = misuse(problem)
        told.__context__ = error
        return told

    def _abandon_inner(self, task: Task) -> None:
        """Take the scopes inside off the task's stack: cancelled for good, out of reach of any outer one."""
        while task._scope is not self:
            inner = task._scope
            assert inner._parent is not None  # noqa: S101 -- self lies further out on this stack
            inner._cancel("a scope around it ended first")
            task._scope = inner._parent
            inner._state = _ABANDONED
            inner._parent = inner._task = None
        assert self._parent is not None  # noqa: S101 -- the root scope is nobody's block
        task._scope = self._parent

    def _is_cancelled_from_outside(self) -> bool:
        return self._parent is not None and self._parent._is_cancelled and not self._is_shielded

    def _without_cancelled(self, error: BaseException) -> BaseException | None:
        if isinstance(error, Cancelled):
            self._is_caught = True
            return None
        if isinstance(error, BaseExceptionGroup):
            matched, rest = error.split(Cancelled)
            if matched is not None:
                self._is_caught = True
            return rest
        return error

    def _entered_at(self) -> str:
        return line_in(self._entered_in, self._entered_with)

    def _forget(self) -> None:
        self._state = _EXITED
        if self._deadline_ns is not None and self._scheduler is not None:
            self._scheduler._disarm(self)
        self._parent = self._task = self._scheduler = self._family = None

    # -- cancelling --

    def cancel(self, reason: str | None = None) -> None:
        """Cancel everything inside, now and from now on; a second call changes nothing.

        Args:
            reason: goes into the text of `Cancelled`.
        """
        self._cancel(reason)

    def _cancel(self, reason: str | None) -> None:
        if self._is_called:
            return
        self._is_called = True
        if self._reason is None:
            self._reason = reason
        if self._state == _ENTERED:
            if self._scheduler is not None:
                self._scheduler._disarm(self)
            recalculate(self)

    def _is_overdue(self) -> bool:
        if self._deadline_ns is None or self._state >= _EXITED:
            return False
        scheduler = self._scheduler if self._scheduler is not None else current_scheduler()
        return self._deadline_ns <= scheduler.now_ns

    @property
    def cancel_called(self) -> bool:
        """Whether somebody cancelled this scope or its deadline has passed."""
        if not self._is_called and self._is_overdue():
            self._cancel(DEADLINE_PASSED)
        return self._is_called

    @property
    def cancelled_caught(self) -> bool:
        """Whether this scope caught a `Cancelled`, that is, whether its block was cut short."""
        return self._is_caught

    # -- deadline and shield --

    @property
    def deadline(self) -> float:
        """When the scope cancels itself, in seconds of `current_time`; may be changed at any time.

        Raises:
            MisuseError: the deadline is relative, and the scope not yet entered.
            InvalidValueError: the new one is NaN.
        """
        self._refuse_relative()
        if self._deadline_ns is None:
            return float("inf")
        return to_seconds(self._deadline_ns - self._clock().origin_ns)

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        self._refuse_relative()
        self._change_deadline(_absolute_ns(deadline, self._scheduler))

    @property
    def relative_deadline(self) -> float:
        """How many seconds are left; setting it counts from now, or from entering when that is to come.

        Raises:
            MisuseError: the scope has an absolute deadline and is not yet entered.
            InvalidValueError: the new one is NaN or negative.
        """
        if self._state == _FRESH:
            self._refuse_absolute()
            return to_seconds(self._relative_ns)
        return to_seconds(None if self._deadline_ns is None else self._deadline_ns - self._clock().now_ns)

    @relative_deadline.setter
    def relative_deadline(self, seconds: float) -> None:
        delay_ns = to_delay_ns(seconds, "relative_deadline")
        if self._state == _FRESH:
            self._refuse_absolute()
            self._relative_ns = delay_ns
        else:
            self._change_deadline(None if delay_ns is None else self._clock().now_ns + delay_ns)

    def _clock(self) -> Scheduler:
        return self._scheduler if self._scheduler is not None else current_scheduler()

    def _refuse_relative(self) -> None:
        if self._relative_ns is not None:
            raise misuse("this scope's deadline is relative and becomes a time when the scope is entered")

    def _refuse_absolute(self) -> None:
        if self._deadline_ns is not None:
            raise misuse("this scope's deadline is absolute; it has no relative one before it is entered")

    def _change_deadline(self, deadline_ns: int | None) -> None:
        self._deadline_ns = deadline_ns
        scheduler = self._scheduler
        if self._state != _ENTERED or self._is_called or scheduler is None:
            return
        scheduler._disarm(self)
        if deadline_ns is None:
            return
        if deadline_ns <= scheduler.now_ns:
            # As in Trio: what is overdue is cancelled before the next round, not in the middle of this one.
            scheduler._overdue.append(self)
        else:
            scheduler._arm(self, deadline_ns)

    @property
    def shield(self) -> bool:
        """Whether cancellations from outside stop here; may be changed at any time."""
        return self._is_shielded

    @shield.setter
    def shield(self, shield: bool) -> None:
        self._is_shielded = shield
        if self._state == _ENTERED:
            recalculate(self)


def _absolute_ns(deadline: float, scheduler: Scheduler | None = None) -> int | None:
    seconds_ns = to_ns(deadline, "deadline")
    if seconds_ns is None:
        return None
    return (scheduler or current_scheduler()).origin_ns + seconds_ns


def make_root_scope(scheduler: Scheduler) -> CancelScope:
    """Make the scope in which a whole workflow stands.

    Args:
        scheduler: the workflow's.

    Returns:
        The scope, entered.
    """
    scope = make_scope(None)
    scope._state = _ENTERED
    scope._scheduler = scheduler
    scope._family = scheduler
    return scope


def make_scope(
    deadline_ns: int | None, relative_ns: int | None = None, *, shield: bool = False
) -> CancelScope:
    """Make a scope from integer times.

    Args:
        deadline_ns: when it cancels itself, or None.
        relative_ns: or how long after it is entered.
        shield: whether cancellations from outside stop here.

    Returns:
        The scope, not entered.
    """
    scope = CancelScope.__new__(CancelScope)
    scope._set_up(deadline_ns, relative_ns, shield=shield)
    return scope
