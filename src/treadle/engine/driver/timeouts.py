"""Time limits and sleeping; a workflow's deadlines survive the process."""

from __future__ import annotations

from types import TracebackType
from typing import Literal

from treadle.engine.driver.descent import CANCELLED_ALREADY_NS, effective_deadline_ns
from treadle.engine.driver.errors import TooSlowError
from treadle.engine.driver.instants import to_delay_ns, to_seconds
from treadle.engine.driver.scopes import CancelScope, make_scope
from treadle.engine.driver.tasks import checkpoint, current_scheduler, current_task, park, succeed
from treadle.errors import InternalError


def current_time() -> float:
    """Tell the workflow's time.

    Returns:
        Seconds since the workflow started; it stands still while the code runs.

    Raises:
        UsageError: called outside workflow code.
    """
    scheduler = current_scheduler()
    return to_seconds(scheduler.now_ns - scheduler.origin_ns)


def current_effective_deadline() -> float:
    """Tell when this code will be cancelled, in seconds of `current_time`.

    Returns:
        The time; infinity for never, minus infinity when it is cancelled already.

    Raises:
        UsageError: called outside workflow code.
    """
    task = current_task()
    deadline_ns = effective_deadline_ns(task._scope)
    if deadline_ns == CANCELLED_ALREADY_NS:
        return float("-inf")
    return to_seconds(None if deadline_ns is None else deadline_ns - task.scheduler.origin_ns)


def move_on_at(deadline: float, *, shield: bool = False) -> CancelScope:
    """Make a scope that cancels itself at a time, to be used in a `with`.

    Args:
        deadline: seconds of `current_time`.
        shield: whether cancellations from outside stop here.

    Returns:
        The scope.

    Raises:
        InvalidValueError: the deadline is NaN.
    """
    return CancelScope(deadline=deadline, shield=shield)


def move_on_after(seconds: float, *, shield: bool = False) -> CancelScope:
    """Make a scope that cancels itself some time after it is entered, to be used in a `with`.

    Args:
        seconds: how long after.
        shield: whether cancellations from outside stop here.

    Returns:
        The scope.

    Raises:
        InvalidValueError: the time is negative or NaN.
    """
    return make_scope(None, to_delay_ns(seconds, "seconds"), shield=shield)


class FailScope(CancelScope):
    """A scope that, when it has cut its block short, says so with `TooSlowError`."""

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:  # so that who returns from the block need not return behind it
        swallowed = CancelScope.__exit__(self, kind, error, traceback)
        if swallowed and self._is_caught:
            raise TooSlowError("the time was over before the block was")
        return False


def fail_at(deadline: float, *, shield: bool = False) -> FailScope:
    """Make a scope that fails at a time, to be used in a `with`.

    Args:
        deadline: seconds of `current_time`.
        shield: whether cancellations from outside stop here.

    Returns:
        The scope; leaving it raises `TooSlowError` when it was cut short.

    Raises:
        InvalidValueError: the deadline is NaN.
    """
    return FailScope(deadline=deadline, shield=shield)


def fail_after(seconds: float, *, shield: bool = False) -> FailScope:
    """Make a scope that fails some time after it is entered, to be used in a `with`.

    Args:
        seconds: how long after.
        shield: whether cancellations from outside stop here.

    Returns:
        The scope; leaving it raises `TooSlowError` when it was cut short.

    Raises:
        InvalidValueError: the time is negative or NaN.
    """
    scope = FailScope.__new__(FailScope)
    scope._set_up(None, to_delay_ns(seconds, "seconds"), shield=shield)
    return scope


async def sleep_forever() -> None:
    """Wait until cancelled.

    Raises:
        Cancelled: always, in the end.
    """
    await park(succeed, "being cancelled")
    raise InternalError("somebody resumed a task that sleeps for ever")


async def sleep_until(deadline: float) -> None:
    """Wait until a time; a checkpoint when it has passed.

    Args:
        deadline: seconds of `current_time`.

    Raises:
        Cancelled: a scope around was cancelled meanwhile.
        InvalidValueError: the deadline is NaN.
    """
    with CancelScope(deadline=deadline):
        await park(succeed, "sleep")


async def sleep(seconds: float) -> None:
    """Wait for a while; a checkpoint when it is 0.

    Args:
        seconds: how long.

    Raises:
        Cancelled: a scope around was cancelled meanwhile.
        InvalidValueError: the time is negative or NaN.
    """
    delay_ns = to_delay_ns(seconds, "seconds")
    if delay_ns == 0:
        await checkpoint()
        return
    with make_scope(None, delay_ns):
        await park(succeed, "sleep")
