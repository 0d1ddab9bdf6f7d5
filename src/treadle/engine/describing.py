"""Where a workflow stands, in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import attrs

from treadle.engine.driver import TaskStack
from treadle.engine.failures import describe as failure_text
from treadle.engine.pending import PendingActivity
from treadle.engine.status import Status

if TYPE_CHECKING:
    from treadle.engine.execution import Execution

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen(slots=True)
class Description:
    """Where a workflow stands.

    Attributes:
        workflow_id: its id.
        name: its workflow's name.
        status: where it stands.
        run_start_seq: the seq that names its run.
        next_seq: the seq its log takes next.
        waiting_for: sentences about what it waits for, one each.
        signals_unread: by name how many signals nobody has read.
        queries: names of the queries it answers.
        updates: names of the updates it takes.
    """

    workflow_id: str
    name: str
    status: Status
    run_start_seq: int
    next_seq: int
    waiting_for: tuple[str, ...]
    signals_unread: dict[str, int]
    queries: tuple[str, ...]
    updates: tuple[str, ...]


def describe(execution: Execution) -> Description:
    """Tell where a workflow stands.

    Args:
        execution: the workflow.

    Returns:
        Facts and words.
    """
    run = execution.run
    running = execution.status is Status.RUNNING
    return Description(
        workflow_id=execution.workflow_id,
        name=execution.definition.name,
        status=execution.status,
        run_start_seq=execution.run_start_seq,
        next_seq=execution.next_seq,
        waiting_for=tuple(_waits(execution)) if running else (),
        signals_unread={name: len(queue.unread) for name, queue in run.signals.items() if queue.unread},
        queries=tuple(sorted(run.queries)),
        updates=tuple(sorted(run.updates)),
    )


def _waits(execution: Execution) -> Iterator[str]:
    run = execution.run
    for activity in run.activities.values():
        yield _activity(activity)
    for seq, deadline_ns in sorted(run.timers.items(), key=lambda item: (item[1], item[0])):
        yield f"the timer of seq {seq}, at {_time(deadline_ns)}"
    for child in run.children.values():
        yield f"{child!r}{', which was asked to end' if child.state > 1 else ''}"
    for update in run.updates_pending.values():
        yield f"the handler of {update!r}"
    yield from _others(run.scheduler.stack())


def _activity(activity: PendingActivity) -> str:
    text = repr(activity)
    attempts = activity.attempts
    if activity.is_cancelling:
        text += ", which was asked to end"
    elif attempts is not None:
        text += f", attempt {attempts.failed + 1} at {_time(attempts.next_due_ns)}"
    if attempts is not None:
        text += f", after {failure_text(attempts.failure)}"
    return text


def _others(stacks: tuple[TaskStack, ...]) -> Iterator[str]:
    """What no machine knows of: signals and predicates that tasks wait for."""
    for stack in stacks:
        text = stack.waiting_for
        if text.startswith(("signal ", "wait_until(")):
            yield f"{text}, at {stack.frames[-1].file}:{stack.frames[-1].line}" if stack.frames else text
        yield from _others(stack.children)


def _time(instant_ns: int) -> str:
    return (_EPOCH + timedelta(microseconds=instant_ns // 1_000)).isoformat()
