"""What workflow code may know: time, chance, itself. All comes from the log, so replay sees it again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, NoReturn, TypeVar
from uuid import UUID

import attrs

from treadle.engine.api.host import execution_of, reader, writer, writing_task
from treadle.engine.arguments import encode_arguments
from treadle.engine.commands import draw_side_effect, is_patched
from treadle.engine.driver import CancelScope, Task, checkpoint_if_cancelled, current_line, sleep_forever
from treadle.engine.inputs import ParentLink
from treadle.errors import InternalError, UsageError

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


# -- time ----------------------------------------------------------------------------------------------


def time_ns() -> int:
    """Tell the workflow's time: that of its newest input. It stands still while code runs.

    Returns:
        Nanoseconds since 1970, UTC; never less than before.

    Raises:
        UsageError: called outside workflow code.
    """
    return reader("time_ns").journal.now_ns


def now() -> datetime:
    """Tell the workflow's time: that of its newest input. It stands still while code runs.

    Returns:
        The time in UTC, to the microsecond.

    Raises:
        UsageError: called outside workflow code.
    """
    return _EPOCH + timedelta(microseconds=reader("now").journal.now_ns // 1_000)


# -- chance --------------------------------------------------------------------------------------------


def random() -> Random:
    """Give the run's own random numbers: seeded from the log, so a replay draws the same.

    Returns:
        The generator, the same one at each call; ``workflow.random().random()``, ``.choice(...)``.

    Raises:
        UsageError: called outside workflow code, or by a query: drawing moves the generator on.
    """
    return writer("random").run.random()


def uuid4() -> UUID:
    """Draw a UUID; a replay draws the same.

    Returns:
        A random-looking UUID, different for each call, run and workflow.

    Raises:
        UsageError: called outside workflow code, or by a query.
    """
    return writer("uuid4").run.uuid4()


def side_effect(function: Callable[[], T], annotation: Any = Any) -> T:
    """Call a plain function once and keep its value in the log; a replay does not call it again.

    For what is quick and cannot fail: reading a setting, the host's name. Anything else is an activity. If
    the process dies before the value is durable, the function is called again; nobody saw the first value.

    Args:
        function: takes nothing, returns a JSON value.
        annotation: the type of the value; plain JSON values without one.

    Returns:
        The value, as it is read from the log.

    Raises:
        RecordedError: the function has raised, or its value has no JSON form; that is recorded as well.
        UsageError: called outside workflow code, or the function is async.
    """
    found: T = draw_side_effect(writer("side_effect"), function, annotation)
    return found


# -- versions ------------------------------------------------------------------------------------------


def patched(patch_id: str) -> bool:
    """Tell new runs from those that older code began: ``if workflow.patched("tax"): ... else: ...``.

    Args:
        patch_id: a name for the change.

    Returns:
        True for runs that reach this line for the first time, and for replays of those; False where the
        log shows that the run has passed here without it. One run has one answer.

    Raises:
        UsageError: called outside workflow code, or by a query.
    """
    return is_patched(writer("patched"), _checked(patch_id), deprecated=False)


def deprecate_patch(patch_id: str) -> None:
    """Stand where `patched` stood, when no run without the patch is left; later this line can go as well.

    Args:
        patch_id: the change.

    Raises:
        UsageError: called outside workflow code, or by a query.
    """
    is_patched(writer("deprecate_patch"), _checked(patch_id), deprecated=True)


def _checked(patch_id: Any) -> str:
    if not isinstance(patch_id, str) or not patch_id:
        raise UsageError(f"{current_line()}: a patch is named by a str, got {patch_id!r}")
    return patch_id


# -- the workflow itself -------------------------------------------------------------------------------


@attrs.frozen(slots=True)
class WorkflowInfo:
    """What a workflow knows of itself.

    Attributes:
        workflow_id: its id.
        name: under which its code is registered.
        run: the seq that names this run.
        started_at: when this run began.
        parent: whose child it is, or None.
        events: how many events this run has.
        size_bytes: how many bytes of payload they are.
        continue_as_new_suggested: whether the run is half as large as it may become.
        cancel_requested: whether somebody wants it to end.
        is_replaying: whether what happens has happened before; for tools, not for decisions.
    """

    workflow_id: str
    name: str
    run: int
    started_at: datetime
    parent: ParentLink | None
    events: int
    size_bytes: int
    continue_as_new_suggested: bool
    cancel_requested: bool
    is_replaying: bool


def info() -> WorkflowInfo:
    """Tell what a workflow knows of itself.

    Returns:
        The facts at this moment.

    Raises:
        UsageError: called outside workflow code.
    """
    execution = reader("info")
    journal, run, limits = execution.journal, execution.run, execution.limits
    run.pass_marks()  # a branch of a child is nobody's child
    events = journal.next_seq - journal.run_start_seq
    return WorkflowInfo(
        workflow_id=journal.identity,
        name=execution.definition.name,
        run=journal.run_start_seq,
        started_at=_EPOCH + timedelta(microseconds=run.started_ns // 1_000),
        parent=run.parent,
        events=events,
        size_bytes=journal.run_size_bytes,
        continue_as_new_suggested=(
            events * 2 >= limits.run_events_max or journal.run_size_bytes * 2 >= limits.run_size_bytes_max
        ),
        cancel_requested=run.cancel is not None,
        is_replaying=journal.is_replaying,
    )


async def continue_as_new(*args: Any, **kwargs: Any) -> NoReturn:
    """End this run and begin the next with new arguments, under the same id and in the same log.

    The workflow unwinds as if it were cancelled; its activities and children end first (abandoned children
    excepted), and so do accepted updates. Signals that nobody has read are carried over.

    Args:
        *args: of the next run.
        **kwargs: likewise.

    Raises:
        Cancelled: always, in this task and all others; let it pass.
        InvalidValueError: the arguments do not fit the workflow's signature.
        UsageError: called outside workflow code, or by an update's handler.
    """
    task = writing_task("continue_as_new")
    execution = execution_of(task)
    await checkpoint_if_cancelled()
    if _is_shielded(task):
        raise UsageError(
            f"{current_line()}: continue_as_new() unwinds the workflow and cannot be called in a shielded"
            " scope, nor by an update's handler, whose end the next run waits for; tell the workflow's own"
            " code to"
        )
    execution.run.continuing = encode_arguments(execution.definition, args, kwargs, execution.converter)
    task.scheduler.main_scope.cancel("continue as new")
    await sleep_forever()
    raise InternalError("a cancelled workflow slept for ever")


def _is_shielded(task: Task) -> bool:
    scope: CancelScope | None = task._scope
    while scope is not None and not scope._is_shielded:
        scope = scope._parent
    return scope is not None


# -- the logger ----------------------------------------------------------------------------------------


class WorkflowLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that says what happens once: it is silent while a replay does it again.

    Records carry ``workflow_id``, and the id stands before the message.
    """

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # the standard library's name
        """Tell whether a record would be written.

        Args:
            level: its level.

        Returns:
            False while replaying; what the logger behind says, otherwise.
        """
        return not _is_silent() and super().isEnabledFor(level)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Write a record, unless replaying.

        Args:
            level: its level.
            msg: its message.
            *args: of the message.
            **kwargs: as in `logging`.
        """
        if not _is_silent():
            super().log(level, msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the workflow's id into a record.

        Args:
            msg: its message.
            kwargs: as in `logging`.

        Returns:
            Both, with the id.
        """
        workflow_id = reader("logger").journal.workflow_id
        extra: Mapping[str, Any] = kwargs.get("extra") or {}
        return f"[{workflow_id}] {msg}", {**kwargs, "extra": {**extra, "workflow_id": workflow_id}}


def _is_silent() -> bool:
    journal = reader("logger").journal
    return journal.is_replaying or journal.broken is not None


logger: Final = WorkflowLogger(logging.getLogger("treadle.workflow"), {})
"""The logger of workflow code; silent on replay."""
