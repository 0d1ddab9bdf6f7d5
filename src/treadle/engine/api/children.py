"""Child workflows, from workflow code."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Generic, ParamSpec, TypeVar

from treadle.engine.api.host import execution_of, writer, writing_task
from treadle.engine.arguments import decode_result
from treadle.engine.commands import ParentClose, cancel_child, send_signal
from treadle.engine.commands import start_child as command_child
from treadle.engine.definitions import WorkflowDefinition
from treadle.engine.driver import checkpoint, park
from treadle.engine.driver.tasks import Task
from treadle.engine.failures import child_workflow_error
from treadle.engine.pending import PendingChild, SentSignal
from treadle.engine.records import ChildCompleted, ChildFailed
from treadle.errors import InternalError

P = ParamSpec("P")
R = TypeVar("R")


class ChildHandle(Generic[R]):
    """A child that was started; it lives on its own until somebody waits for it or the parent closes.

    Attributes:
        id: its workflow id.
    """

    __slots__ = ("_child",)

    def __init__(self, child: PendingChild) -> None:
        self._child = child

    def __repr__(self) -> str:
        return f"<handle of {self._child!r}>"

    @property
    def id(self) -> str:
        """Its workflow id."""
        return self._child.id

    async def result(self) -> R:
        """Wait for its end. Cancelling this wait does nothing to the child.

        Returns:
            What it has returned.

        Raises:
            ChildWorkflowError: it has failed, or was cancelled, terminated or not started.
            Cancelled: a scope around was cancelled.
            UsageError: called outside workflow code.
        """
        task = writing_task("result")
        child = self._child
        if child.outcome is not None or task._scope._is_cancelled:
            await checkpoint()
        if child.outcome is None:
            child.waiting[task] = None
            await park(_Leaving(child, task).abort, child)
        return _result_of(task, child)  # type: ignore[no-any-return]

    def signal(self, name: str, *args: Any) -> SentSignal:
        """Send it a signal.

        Args:
            name: which one.
            *args: its values.

        Returns:
            What can tell later that nobody took it.

        Raises:
            InvalidValueError: a value has no JSON form.
            UsageError: called outside workflow code.
        """
        return send_signal(writer("signal"), self._child.id, name, args)

    def cancel(self) -> None:
        """Ask it to end; `result` tells when it has, and how. A second call changes nothing.

        Raises:
            UsageError: called outside workflow code.
        """
        cancel_child(writer("cancel"), self._child)


class _Leaving:
    """One task's wait for a child, to be undone when it is cancelled."""

    __slots__ = ("_child", "_task")

    def __init__(self, child: PendingChild, task: Task) -> None:
        self._child = child
        self._task = task

    def abort(self) -> bool:
        del self._child.waiting[self._task]
        return True


def start_child(
    definition: WorkflowDefinition[P, Coroutine[Any, Any, R]],
    /,
    *args: Any,
    id: str | int | None = None,  # noqa: A002  # the word users know
    parent_close: ParentClose = "request_cancel",
    **kwargs: Any,
) -> ChildHandle[R]:
    """Start a child workflow and go on.

    Args:
        definition: what `workflow.define` has made.
        *args: its arguments.
        id: its workflow id; by default this workflow's with a slash and a number.
        parent_close: what becomes of it when this workflow closes first: ``"request_cancel"``,
            ``"terminate"`` or ``"abandon"``.
        **kwargs: more arguments.

    Returns:
        A handle. That the id is in use shows in `result`, as `ChildWorkflowError`.

    Raises:
        InvalidValueError: the arguments do not fit, or the id is none.
        UsageError: called outside workflow code, or with something that is no workflow.
    """
    return ChildHandle(
        command_child(writer("start_child"), definition, args, kwargs, child_id=id, parent_close=parent_close)
    )


async def child(
    definition: WorkflowDefinition[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run a child workflow and wait for its result.

    When the scope round this call is cancelled, the child is asked to end and the call waits until it has.

    Args:
        definition: what `workflow.define` has made.
        *args: its arguments.
        **kwargs: likewise.

    Returns:
        What it has returned.

    Raises:
        ChildWorkflowError: it has failed, or was terminated or not started.
        InvalidValueError: the arguments do not fit.
        Cancelled: a scope around was cancelled.
        UsageError: called outside workflow code, or with something that is no workflow.
    """
    task = writing_task("child")
    if task._scope._is_cancelled:
        await checkpoint()
    execution = execution_of(task)
    started = command_child(execution, definition, args, kwargs, child_id=None, parent_close="request_cancel")
    started.waiting[task] = None

    def abort() -> bool:
        cancel_child(execution, started)
        return False

    ended = await park(abort, started)
    if type(ended) is ChildFailed and ended.status == "cancelled":
        await checkpoint()  # raises when the cancellation came from here
    return _result_of(task, started)  # type: ignore[no-any-return]


def _result_of(task: Task, child: PendingChild) -> Any:
    ended = child.outcome
    if isinstance(ended, ChildCompleted):
        return decode_result(child.definition, bytes(ended.result), execution_of(task).converter)
    if isinstance(ended, ChildFailed):
        raise child_workflow_error(ended.failure, workflow_id=child.id, status=ended.status)
    raise InternalError(f"{child!r} woke its parent without having ended")
