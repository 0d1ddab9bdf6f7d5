"""What lies below a scope, and what lies around it: walks over scopes that point upwards only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from treadle.engine.driver.instants import FOREVER_NS
from treadle.engine.driver.tasks import Task, deliver

if TYPE_CHECKING:
    from treadle.engine.driver.scopes import CancelScope

DEADLINE_PASSED: Final = "the deadline has passed"
CANCELLED_ALREADY_NS: Final = -FOREVER_NS
"""The effective deadline of what is cancelled: longer ago than any other."""


def recalculate(top: CancelScope) -> None:
    """Carry a change of one scope to everything below it, waking the tasks that it cancels.

    Args:
        top: an entered scope whose own state, shield or parent has changed.
    """
    pending = [top]
    while pending:
        scope = pending.pop()
        if not scope._is_called and scope._is_overdue():
            scope._is_called = True
            scope._clock()._disarm(scope)
            scope._reason = scope._reason or DEADLINE_PASSED
        from_outside = scope._is_cancelled_from_outside()
        is_cancelled = scope._is_called or from_outside
        if is_cancelled == scope._is_cancelled:
            continue
        if from_outside and scope._reason is None and scope._parent is not None:
            scope._reason = scope._parent._reason
        scope._is_cancelled = is_cancelled
        for task, inner in _right_below(scope):
            if inner is not None:
                pending.append(inner)
            elif is_cancelled:
                deliver(task)


def _right_below(scope: CancelScope) -> Iterator[tuple[Task, CancelScope | None]]:
    """Every task that stands in the scope, with the next scope further in on its way, or None."""
    if scope._task is not None:
        yield scope._task, next_inner(scope._task, scope)
    if scope._family is not None:
        for child in tuple(scope._family.children):
            yield child, next_inner(child, scope)


def next_inner(task: Task, outer: CancelScope) -> CancelScope | None:
    """Find, on a task's stack of scopes, the one right inside `outer`.

    Args:
        task: a task that stands in `outer`.
        outer: the scope.

    Returns:
        The scope inside, or None when the task stands in `outer` itself.
    """
    inner = None
    scope: CancelScope | None = task._scope
    while scope is not outer and scope is not None:
        inner = scope
        scope = scope._parent
    return inner


def depth_of(scope: CancelScope) -> int:
    """Count the scopes around a scope.

    Args:
        scope: an entered scope.

    Returns:
        0 for the workflow's outermost.
    """
    depth = 0
    while scope._parent is not None:
        scope = scope._parent
        depth += 1
    return depth


def effective_deadline_ns(scope: CancelScope) -> int | None:
    """Tell when code inside a scope will be cancelled, all scopes around it considered.

    Args:
        scope: an entered scope.

    Returns:
        The time, None for never; `CANCELLED_ALREADY_NS` when it is cancelled.
    """
    if scope._is_cancelled:
        return CANCELLED_ALREADY_NS
    earliest: int | None = None
    current: CancelScope | None = scope
    while current is not None:
        if current._deadline_ns is not None and (earliest is None or current._deadline_ns < earliest):
            earliest = current._deadline_ns
        current = None if current._is_shielded else current._parent
    return earliest
