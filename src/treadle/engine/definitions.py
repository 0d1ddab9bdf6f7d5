"""Workflows and activities as values: a function, its name, and how it is run.

`activity.define` and `workflow.define` make them. A definition is still called like its function, so that
tests and other code can use it without a runtime.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final, Generic, Literal, ParamSpec, TypeAlias, TypeVar, overload

import attrs

from treadle.engine.arguments import (
    Shape,
    check_annotations,
    check_arguments,
    decode_arguments,
    decode_result,
    encode_arguments,
    encode_result,
)
from treadle.engine.functions import (
    WorkflowCodeWarning,
    check_function,
    check_is_async,
    checked_name,
    warn_of_trio,
)
from treadle.engine.learning.policy import AdaptivePolicy
from treadle.engine.registry import Registry
from treadle.engine.retry import Retry, nanoseconds
from treadle.errors import DefinitionError

__all__ = [
    "ActivityDefinition",
    "ActivityOptions",
    "OnCancel",
    "Registry",
    "Retry",
    "RetryPolicy",
    "WorkflowCodeWarning",
    "WorkflowDefinition",
    "check_annotations",
    "check_arguments",
    "decode_arguments",
    "decode_result",
    "define_activity",
    "define_workflow",
    "encode_arguments",
    "encode_result",
]

P = ParamSpec("P")
R = TypeVar("R")

RetryPolicy: TypeAlias = Retry | AdaptivePolicy
"""When a failed attempt is followed by another: by a fixed rule, or by one that learns."""
OnCancel: TypeAlias = Literal["wait", "abandon"]
"""What a cancelled scope does about an activity inside it: wait until the attempt has ended, or leave it."""

HOLD_ON_DEFAULT: Final = (NameError, AttributeError, ImportError)
"""What a slip in the code raises: mended code goes on where a failed workflow would have been lost."""


@attrs.frozen(kw_only=True)
class ActivityOptions:
    """How an activity is run; times are nanoseconds, None is no limit.

    Args:
        retry: when a failed attempt is followed by another.
        start_to_close_ns: the longest an attempt may take.
        schedule_to_close_ns: the longest all attempts and the waits between may take.
        heartbeat_ns: the longest an attempt may be silent.
        on_cancel: what a cancelled scope does about it.
    """

    retry: RetryPolicy = attrs.field(factory=Retry)
    start_to_close_ns: int | None = None
    schedule_to_close_ns: int | None = None
    heartbeat_ns: int | None = None
    on_cancel: OnCancel = "wait"


class _Definition(Generic[P, R]):
    """What workflows and activities have in common."""

    what: ClassVar[str]
    # From functools.update_wrapper.
    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R], name: str) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.shape = Shape(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself; nothing is recorded."""
        return self.function(*args, **kwargs)

    @property
    def code_place(self) -> str:
        """``file:line`` of the function."""
        code = inspect.unwrap(self.function).__code__
        return f"{code.co_filename}:{code.co_firstlineno}"


class ActivityDefinition(_Definition[P, R]):
    """A function that may touch the world, its name, and how it is run. Made by `activity.define`.

    Attributes:
        function: the function.
        name: the name that logs know it by.
        is_async: whether it is `async def`; a plain one runs in a thread.
        options: how it is run.
        concurrency: how many attempts of it run at once in one runtime; None for no limit of its own.
        origin: the function it was defined with; another one than `function` when a model stands for it.
    """

    what = "activity"

    def __init__(
        self, function: Callable[P, R], name: str, options: ActivityOptions, concurrency: int | None
    ) -> None:
        super().__init__(function, name)
        self.origin: Callable[..., Any] = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.options = options
        self.concurrency = concurrency

    def __repr__(self) -> str:
        return f"<activity {self.name!r} at {self.code_place}>"

    def with_options(
        self,
        *,
        retry: RetryPolicy | None = None,
        start_to_close_seconds: float | None = None,
        schedule_to_close_seconds: float | None = None,
        heartbeat_seconds: float | None = None,
        on_cancel: OnCancel | None = None,
    ) -> ActivityDefinition[P, R]:
        """Make the same activity with other options, for one call: ``activity(charge.with_options(...), 4)``.

        Args:
            retry: as in `activity.define`; None leaves it as it is, here and below.
            start_to_close_seconds: likewise.
            schedule_to_close_seconds: likewise.
            heartbeat_seconds: likewise.
            on_cancel: likewise.

        Returns:
            A definition of the same function under the same name.

        Raises:
            InvalidValueError: a value lies outside what its word allows.
        """
        options = _options(
            retry or self.options.retry,
            start_to_close_seconds,
            schedule_to_close_seconds,
            heartbeat_seconds,
            on_cancel or self.options.on_cancel,
            self.options,
        )
        other = ActivityDefinition(self.function, self.name, options, self.concurrency)
        other.shape, other.origin = self.shape, self.origin
        return other

    def carried_out_by(self, function: Callable[P, Any]) -> ActivityDefinition[P, Any]:
        """Make the same activity with another function behind it; for worlds, in which a model stands there.

        Args:
            function: takes the same arguments; `async def` or plain.

        Returns:
            A definition for a runtime; workflows go on calling the one they know.
        """
        other = ActivityDefinition(function, self.name, self.options, self.concurrency)
        other.shape, other.origin = self.shape, self.origin
        return other


class WorkflowDefinition(_Definition[P, R]):
    """An `async def` that is driven by its log, and its name. Made by `workflow.define`.

    Attributes:
        function: the function.
        name: the name that logs know it by.
        hold_on: exception types that hold the workflow, where others fail it.
    """

    what = "workflow"

    def __init__(self, function: Callable[P, R], name: str, hold_on: tuple[type[BaseException], ...]) -> None:
        super().__init__(function, name)
        self.hold_on = hold_on

    def __repr__(self) -> str:
        return f"<workflow {self.name!r} at {self.code_place}>"

    def holds(self, exception: BaseException) -> bool:
        """Tell whether an exception that has left the function holds the workflow instead of failing it.

        Args:
            exception: the exception; a group holds when one of its members does.

        Returns:
            True when it holds.
        """
        if isinstance(exception, BaseExceptionGroup):
            return any(self.holds(member) for member in exception.exceptions)
        return isinstance(exception, self.hold_on)


@overload
def define_activity(function: Callable[P, R], /) -> ActivityDefinition[P, R]: ...
@overload
def define_activity(
    *,
    name: str | None = None,
    retry: RetryPolicy | None = None,
    start_to_close_seconds: float | None = None,
    schedule_to_close_seconds: float | None = None,
    heartbeat_seconds: float | None = None,
    on_cancel: OnCancel = "wait",
    concurrency: int | None = None,
) -> Callable[[Callable[P, R]], ActivityDefinition[P, R]]: ...
def define_activity(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry: RetryPolicy | None = None,
    start_to_close_seconds: float | None = None,
    schedule_to_close_seconds: float | None = None,
    heartbeat_seconds: float | None = None,
    on_cancel: OnCancel = "wait",
    concurrency: int | None = None,
) -> Any:
    """Make a function an activity: code that may touch the world, run at least once, its result recorded.

    Stands above an `async def` of ordinary Trio code, or a plain `def` (run in a thread), at the top of a
    module; with or without parentheses.

    Args:
        function: the function; given by Python when the decorator has no parentheses.
        name: the name that logs know it by; the function's own unless given. Rename the function, keep this.
        retry: when a failed attempt is followed by another; ``Retry()`` unless given.
        start_to_close_seconds: the longest an attempt may take. None for no limit: an attempt lives in the
            runner's process, whose end the next runner notices by itself.
        schedule_to_close_seconds: the longest all attempts and the waits between may take.
        heartbeat_seconds: the longest an attempt may go without calling `activity.heartbeat`.
        on_cancel: what a cancelled scope does about a running attempt: ``"wait"`` until it has ended, as
            Trio does with threads, or ``"abandon"`` it.
        concurrency: how many attempts of it run at once in one runtime.

    Returns:
        The definition, called like the function.

    Raises:
        DefinitionError: the function cannot be an activity.
        InvalidValueError: a value lies outside what its word allows.
    """
    options = _options(
        retry or Retry(), start_to_close_seconds, schedule_to_close_seconds, heartbeat_seconds, on_cancel
    )
    if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
        raise DefinitionError(f"concurrency is an int from 1, or None for no limit, got {concurrency!r}")

    def define(function: Callable[P, R]) -> ActivityDefinition[P, R]:
        _check_is_new(function, "activity")
        check_function(function, "activity")
        return ActivityDefinition(function, checked_name(name, function, "activity"), options, concurrency)

    return define if function is None else define(function)


@overload
def define_workflow(
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> WorkflowDefinition[P, Coroutine[Any, Any, R]]: ...
@overload
def define_workflow(
    *, name: str | None = None, hold_on: tuple[type[BaseException], ...] = HOLD_ON_DEFAULT
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], WorkflowDefinition[P, Coroutine[Any, Any, R]]]: ...
def define_workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    hold_on: tuple[type[BaseException], ...] = HOLD_ON_DEFAULT,
) -> Any:
    """Make an `async def` a durable workflow: driven by its log, it goes on where it was after a crash.

    Stands above an `async def` at the top of a module; with or without parentheses.

    Args:
        function: the function; given by Python when the decorator has no parentheses.
        name: the name that logs know it by; the function's own unless given. Rename the function, keep this.
        hold_on: exception types that hold the workflow until its code is mended, where others fail it.

    Returns:
        The definition, called like the function inside workflow code.

    Raises:
        DefinitionError: the function cannot be a workflow, or `hold_on` is no tuple of exception types.
    """
    held = _checked_hold_on(hold_on)

    def define(function: Callable[P, R]) -> WorkflowDefinition[P, R]:
        _check_is_new(function, "workflow")
        check_function(function, "workflow")
        check_is_async(function)
        warn_of_trio(function)  # type: ignore[arg-type]
        return WorkflowDefinition(function, checked_name(name, function, "workflow"), held)

    return define if function is None else define(function)


def _check_is_new(function: Any, what: str) -> None:
    if isinstance(function, _Definition):
        raise DefinitionError(f"{function!r} is defined already; one decorator is enough")
    if isinstance(function, str):
        raise DefinitionError(f"the name goes by its keyword: write @{what}.define(name={function!r})")


def _checked_hold_on(hold_on: Any) -> tuple[type[BaseException], ...]:
    kinds = (hold_on,) if isinstance(hold_on, type) else hold_on
    if not isinstance(kinds, tuple) or not all(
        isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds
    ):
        raise DefinitionError(
            f"hold_on is a tuple of Exception types, got {hold_on!r}; write hold_on=(NameError, KeyError)"
        )
    return kinds


def _options(
    retry: RetryPolicy,
    start_to_close_seconds: float | None,
    schedule_to_close_seconds: float | None,
    heartbeat_seconds: float | None,
    on_cancel: OnCancel,
    before: ActivityOptions | None = None,
) -> ActivityOptions:
    if not isinstance(retry, RetryPolicy):
        raise DefinitionError(
            f"retry is a Retry or an AdaptiveRetry, got {retry!r}; write retry=activity.Retry(attempts=3)"
        )
    if on_cancel not in {"wait", "abandon"}:
        raise DefinitionError(f"on_cancel is 'wait' or 'abandon', got {on_cancel!r}")
    old = before or ActivityOptions(retry=retry)
    return ActivityOptions(
        retry=retry,
        start_to_close_ns=_limit(start_to_close_seconds, "start_to_close_seconds", old.start_to_close_ns),
        schedule_to_close_ns=_limit(
            schedule_to_close_seconds, "schedule_to_close_seconds", old.schedule_to_close_ns
        ),
        heartbeat_ns=_limit(heartbeat_seconds, "heartbeat_seconds", old.heartbeat_ns),
        on_cancel=on_cancel,
    )


def _limit(seconds: float | None, what: str, old: int | None) -> int | None:
    return old if seconds is None else nanoseconds(seconds, what)
