"""Signals, queries, updates, and messages to other workflows, from workflow code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, Generic, Self, TypeVar, overload

import msgspec

from treadle.engine.api.host import reader, writer, writing_task
from treadle.engine.arguments import Shape
from treadle.engine.commands import send_cancel, send_signal
from treadle.engine.driver import WouldBlock, checkpoint_if_cancelled, current_line, park
from treadle.engine.driver.tasks import Task, turn
from treadle.engine.pending import SentSignal
from treadle.engine.run import Handler
from treadle.engine.signals import SignalQueue
from treadle.errors import UsageError
from treadle.payloads import Converter

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

SHAPES_MAX: Final = 4_096
"""Signatures of handlers that are remembered; a program has some hundreds."""
_shapes: Final[dict[object, Shape]] = {}


# -- signals -------------------------------------------------------------------------------------------


class Signals(Generic[T]):
    """The signals of one name, in the order in which they came. Made by `signals`; any number may read.

    A signal is kept until somebody reads it. One value is given as itself, several as a tuple, none as None.
    """

    __slots__ = ("_annotation", "_converter", "_queue")

    def __init__(self, queue: SignalQueue, annotation: Any, converter: Converter) -> None:
        self._queue = queue
        self._annotation = annotation
        self._converter = converter

    def __repr__(self) -> str:
        return f"<signals {self._queue.name!r}, {len(self._queue.unread)} unread>"

    def __len__(self) -> int:
        return len(self._queue.unread)

    def __bool__(self) -> bool:
        return True

    async def receive(self) -> T:
        """Wait for the next signal.

        Returns:
            Its value.

        Raises:
            Cancelled: a scope around was cancelled; nothing was lost.
            InvalidValueError: its value is not what the annotation says; the signal is gone.
            UsageError: called outside workflow code.
        """
        task = writing_task("signals")
        queue = self._queue
        await checkpoint_if_cancelled()
        if queue.unread:
            args = queue.unread.pop(0)
            await turn()
        else:
            queue.waiting[task] = None
            args = await park(_Leaving(queue, task).abort, queue)
        return self._value(args)

    def receive_nowait(self) -> T:
        """Read a signal that has come already.

        Returns:
            Its value.

        Raises:
            WouldBlock: there is none.
            InvalidValueError: its value is not what the annotation says; the signal is gone.
            UsageError: called outside workflow code.
        """
        writer("signals")
        if not self._queue.unread:
            raise WouldBlock(f"no signal {self._queue.name!r} is unread")
        return self._value(self._queue.unread.pop(0))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return await self.receive()

    def _value(self, args: bytes) -> T:
        parts = msgspec.json.decode(args, type=list[msgspec.Raw])
        if len(parts) == 1:
            value = self._converter.decode(bytes(parts[0]), self._annotation)
        elif not parts:
            value = None
        else:
            annotation = tuple if self._annotation is Any else self._annotation
            value = self._converter.decode(args, annotation)
        return value  # type: ignore[no-any-return]


class _Leaving:
    """One task's wait for a signal, to be undone when it is cancelled."""

    __slots__ = ("_queue", "_task")

    def __init__(self, queue: SignalQueue, task: Task) -> None:
        self._queue = queue
        self._task = task

    def abort(self) -> bool:
        del self._queue.waiting[self._task]
        return True


@overload
def signals(name: str) -> Signals[Any]: ...
@overload
def signals(name: str, annotation: type[T]) -> Signals[T]: ...
@overload
def signals(name: str, annotation: Any) -> Signals[Any]: ...
def signals(name: str, annotation: Any = Any) -> Signals[Any]:
    """Read the signals of one name: ``decision = await workflow.signals("decision").receive()``.

    Args:
        name: which.
        annotation: the type of a signal's value; of all its values, as a tuple's, when it has several.

    Returns:
        Something to receive from; also with ``async for``, which never ends by itself.

    Raises:
        UsageError: called outside workflow code, or the name is no str.
    """
    if not isinstance(name, str) or not name:  # type: ignore[redundant-expr]  # users without a type checker
        raise UsageError(f"{current_line()}: a signal's name is a str, got {name!r}")
    execution = reader("signals")
    queue = execution.run.signals.get(name)
    if queue is None:
        queue = execution.run.signals[name] = SignalQueue(name)
    return Signals(queue, annotation, execution.converter)


def signal_external(workflow_id: str | int, name: str, /, *args: Any) -> SentSignal:
    """Send another workflow a signal. It is delivered once, also over crashes on either side.

    Args:
        workflow_id: to whom.
        name: which signal.
        *args: its values.

    Returns:
        What can tell later that nobody took it: its `failure`, None as long as nothing is known.

    Raises:
        InvalidValueError: the id is none, or a value has no JSON form.
        UsageError: called outside workflow code.
    """
    return send_signal(writer("signal_external"), workflow_id, name, args)


def cancel_external(workflow_id: str | int, reason: str = "") -> SentSignal:
    """Ask another workflow to end.

    Args:
        workflow_id: which.
        reason: in words.

    Returns:
        What can tell later that nobody took it.

    Raises:
        InvalidValueError: the id is none.
        UsageError: called outside workflow code.
    """
    return send_cancel(writer("cancel_external"), workflow_id, reason)


# -- queries and updates -------------------------------------------------------------------------------


def set_query(name: str, function: Callable[..., Any]) -> None:
    """Answer queries of this name with a function. Do it before the first wait, so that every query finds it.

    Args:
        name: which.
        function: a plain function that looks and changes nothing; its result is the answer.

    Raises:
        UsageError: it is async, the name is taken, or this is called outside workflow code.
    """
    _check_handler(name, function, "query")
    if inspect.iscoroutinefunction(function):
        raise UsageError(
            f"{current_line()}: a query is a plain function, got the async {_named(function)};"
            " a query cannot wait"
        )
    known = writer("set_query").run.queries
    _check_is_new(name, known, "query")
    known[name] = Handler("query", name, function, _shape_of(function))


def set_update(name: str, handler: Callable[..., Any], validator: Callable[..., Any] | None = None) -> None:
    """Carry out updates of this name with a function. Do it before the first wait.

    Args:
        name: which.
        handler: a plain or async function; what it returns, or raises, is the sender's answer.
        validator: a plain function of the same arguments that raises to refuse; a refused update leaves no
            trace. It looks and changes nothing, and does not run on replay.

    Raises:
        UsageError: the validator is async, the name is taken, or this is called outside workflow code.
    """
    _check_handler(name, handler, "update")
    if validator is not None:
        _check_handler(name, validator, "validator of update")
        if inspect.iscoroutinefunction(validator):
            raise UsageError(
                f"{current_line()}: a validator is a plain function, got the async {_named(validator)}"
            )
    known = writer("set_update").run.updates
    _check_is_new(name, known, "update")
    known[name] = Handler("update", name, handler, _shape_of(handler), validator)


def query(name: str) -> Callable[[F], F]:
    """Answer queries with the function below: ``@workflow.query("total")``, inside the workflow's function.

    Args:
        name: which.

    Returns:
        The decorator; the function stays itself.

    Raises:
        UsageError: as `set_query`.
    """

    def decorate(function: F) -> F:
        set_query(name, function)
        return function

    return decorate


def update(name: str, *, validator: Callable[..., Any] | None = None) -> Callable[[F], F]:
    """Carry out updates with the function below: ``@workflow.update("add")``, inside the workflow's function.

    Args:
        name: which.
        validator: as in `set_update`.

    Returns:
        The decorator; the function stays itself.

    Raises:
        UsageError: as `set_update`.
    """

    def decorate(function: F) -> F:
        set_update(name, function, validator)
        return function

    return decorate


def _check_handler(name: object, function: object, what: str) -> None:
    if not isinstance(name, str) or not name:
        raise UsageError(f"{current_line()}: the name of a {what} is a str, got {name!r}")
    if not callable(function):
        raise UsageError(f"{current_line()}: {what} {name!r} is a function, got {_named(function)}")


def _check_is_new(name: str, known: dict[str, Handler], what: str) -> None:
    if name in known:
        raise UsageError(
            f"{current_line()}: {what} {name!r} has a function already, {_named(known[name].function)};"
            " give it another name"
        )


def _named(function: object) -> str:
    """Show a function without its address: texts that code sees must be the same in every replay."""
    return str(getattr(function, "__qualname__", None) or f"an instance of {type(function).__name__}")


def _shape_of(function: Callable[..., Any]) -> Shape:
    """Take a signature apart, once for each piece of code: workflows make their handlers anew each time."""
    code = getattr(function, "__code__", None)
    if code is None or inspect.ismethod(function):
        return Shape(function)
    found = _shapes.get(code)
    if found is None:
        if len(_shapes) >= SHAPES_MAX:
            _shapes.clear()
        found = _shapes[code] = Shape(function)
    return found
