"""What an activity does in a rehearsal, as a value: it returns, raises or hangs, after some virtual time.

Whatever stands in ``activities={charge: ...}`` becomes a `Script` here: a plain value is returned, an
exception is raised, a function is called with the arguments, and `attempts` gives each attempt its own
step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import attrs

from treadle.errors import UsageError

NESTING_MAX: Final = 8
"""How many steps a function may lead to one after the other before it is taken for an endless game."""


@attrs.frozen(eq=False)
class Step:
    """One attempt. Made by `returns`, `raises`, `calls` and `hangs`.

    Attributes:
        function: called with the activity's arguments; what it returns or raises is the outcome. None hangs.
        seconds: how long the attempt takes.
    """

    function: Callable[..., Any] | None
    seconds: float = 0

    def __attrs_post_init__(self) -> None:
        check_seconds(self.seconds, "after_seconds")


@attrs.frozen(eq=False)
class Script:
    """All attempts of an activity. Made by `attempts`.

    Attributes:
        steps: one for each attempt; the last one serves all that follow.
        cleanup_seconds: how long an attempt takes to unwind when it is cancelled.
        ignores_cancel: whether a cancelled attempt goes on to its own end instead.
    """

    steps: tuple[Step, ...]
    cleanup_seconds: float = 0
    ignores_cancel: bool = False

    def step(self, number: int) -> Step:
        """Tell what an attempt does.

        Args:
            number: which, counted from 1.

        Returns:
            Its step.
        """
        return self.steps[min(number, len(self.steps)) - 1]


@attrs.frozen(eq=False)
class Played:
    """What a step has come to.

    Attributes:
        seconds: when it ends, counted from its beginning; None for never.
        value: what it returns.
        error: what it raises instead, or None.
    """

    seconds: float | None
    value: Any = None
    error: Exception | None = None


def returns(value: Any = None, *, after_seconds: float = 0) -> Step:
    """Script an attempt that returns.

    Args:
        value: its result.
        after_seconds: how long it takes.

    Returns:
        The step.

    Raises:
        UsageError: the time is no time.
    """
    return Step(lambda *_args, **_kwargs: value, after_seconds)


def raises(error: Any, *, after_seconds: float = 0) -> Step:
    """Script an attempt that raises.

    Args:
        error: an exception, or its type; an `activity.ApplicationError` can forbid or delay a further
            attempt.
        after_seconds: how long it takes.

    Returns:
        The step.

    Raises:
        UsageError: the time is no time, or `error` is no exception.
    """
    if not _is_exception(error):
        raise UsageError(f"raises() takes an exception, got {error!r}; write raises(OSError('gone'))")

    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise error

    return Step(fail, after_seconds)


def calls(function: Any, *, after_seconds: float = 0) -> Step:
    """Script an attempt that calls a function.

    Args:
        function: a plain one; called with the activity's arguments. It may return another step, which
            then says what happens and how long it takes.
        after_seconds: how long it takes.

    Returns:
        The step.

    Raises:
        UsageError: the time is no time, or the function is async.
    """
    if not callable(function) or inspect.iscoroutinefunction(inspect.unwrap(function)):
        raise UsageError(
            f"a scripted activity is a plain function, got {function!r}; nothing waits in a rehearsal: return"
            " what the activity would, and how long it takes with returns(value, after_seconds=...)"
        )
    return Step(function, after_seconds)


def hangs() -> Step:
    """Script an attempt that never ends by itself: a limit of time or a cancellation ends it.

    Returns:
        The step.
    """
    return Step(None)


def attempts(*steps: Any, cleanup_seconds: float = 0, ignores_cancel: bool = False) -> Script:
    """Script an activity attempt by attempt: ``attempts(raises(OSError()), returns("r-1"))``.

    Args:
        *steps: one for each attempt; the last one serves all that follow. Values, exceptions and functions
            stand for `returns`, `raises` and `calls`.
        cleanup_seconds: how long an attempt takes to unwind when it is cancelled.
        ignores_cancel: whether a cancelled attempt goes on to its own end instead.

    Returns:
        The script.

    Raises:
        UsageError: there is no step, or a time is no time.
    """
    if not steps:
        raise UsageError("attempts() takes at least one step, got none; write attempts(returns('r-1'))")
    check_seconds(cleanup_seconds, "cleanup_seconds")
    return Script(tuple(map(_step_of, steps)), cleanup_seconds, ignores_cancel)


def script_of(given: Any) -> Script:
    """Make a script of what stands in ``activities={...}``.

    Args:
        given: a value, an exception, a function, a step or a script.

    Returns:
        The script.

    Raises:
        UsageError: it is an async function.
    """
    return given if isinstance(given, Script) else Script((_step_of(given),))


def play(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Played:
    """Let a step happen.

    Args:
        step: the step.
        args: the activity's arguments.
        kwargs: likewise.

    Returns:
        What it has come to.

    Raises:
        UsageError: functions lead to functions without end.
    """
    for _ in range(NESTING_MAX):
        if step.function is None:
            return Played(None)
        try:
            value = step.function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # whatever a scripted activity raises is its outcome
            return Played(step.seconds, error=error)
        if not isinstance(value, Step):
            return Played(step.seconds, value)
        step = value
    raise UsageError(
        f"a scripted function returns a value or a step, got step after step {NESTING_MAX} times;"
        " return returns(...) or raises(...) in the end"
    )


def check_seconds(seconds: Any, what: str) -> None:
    """Refuse what is no time.

    Args:
        seconds: the caller's number.
        what: its name.

    Raises:
        UsageError: it is negative, not finite or no number.
    """
    if type(seconds) not in {int, float} or not 0 <= seconds < float("inf"):
        raise UsageError(f"{what} is a number of seconds from 0 on, got {seconds!r}")


def _step_of(given: Any) -> Step:
    if isinstance(given, Step):
        return given
    if isinstance(given, Script):
        raise UsageError("attempts() takes steps, got the attempts of another activity; write its steps out")
    if _is_exception(given):
        return raises(given)
    return calls(given) if callable(given) else returns(given)


def _is_exception(given: Any) -> bool:
    return isinstance(given, Exception) or (isinstance(given, type) and issubclass(given, Exception))
