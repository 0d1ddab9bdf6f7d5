"""The scheduler: runs the tasks of one workflow, in turn, until nobody can go on.

It works in rounds. A round takes the tasks that are ready, in the order in which they became so, and lets
each run to its next wait; who becomes ready meanwhile waits for the next round. That is Trio's loop with
its coin taken out, and what it does is one of the things Trio might have done.

No clock and no chance: the host sets `now_ns`, says which deadlines are over (`fire`), resumes parked
tasks with what happened outside, and calls `run`. The same calls in the same order do the same again.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from functools import partial
from inspect import isawaitable
from typing import Any

from treadle.engine.driver.descent import DEADLINE_PASSED, depth_of
from treadle.engine.driver.errors import Cancelled, ForeignAwaitError, MisuseError, StuckError
from treadle.engine.driver.eviction import close_generator, innermost_first, unwind
from treadle.engine.driver.nurseries import Family
from treadle.engine.driver.outcomes import Raised, Returned
from treadle.engine.driver.scopes import CancelScope, make_root_scope
from treadle.engine.driver.stacks import TaskStack, stack_of
from treadle.engine.driver.starting import coroutine_of
from treadle.engine.driver.tasks import RUNNING, TURN, Task, deliver, line_of_task, misuse
from treadle.engine.driver.whereabouts import DRIVING
from treadle.errors import InternalError, UsageError

_IDLE, _RUNNING, _EVICTED = range(3)
_STATES = ("is idle", "is running, or an error stopped it in the middle", "was evicted")
_LEFT_OPEN = "the task that entered it ended without leaving it"


class Scheduler:
    """Runs the tasks of one workflow; in one thread at a time.

    Args:
        steps_max: how many steps one `run` may take before the code counts as stuck.
        context: the context variables that main and the system tasks start with; by default none.

    Attributes:
        now_ns: the workflow's time; the host sets it before it fires, resumes or runs.
        origin_ns: the time at which main started; `current_time` counts from there.
        main_scope: the scope round main and the system tasks; cancelling it is the cancel request.
        main_outcome: how main ended, or None while it has not.
        evicting: whether the workflow leaves memory: nothing that its code asks for counts any more.
        deadline_changes: None; a host that sets it to an empty dict finds there each scope whose deadline
            was armed or disarmed since it last cleared it, with what was armed before (None for nothing).
    """

    __slots__ = (
        "__weakref__", "_context", "_deadlines", "_is_hooked", "_overdue", "_predicates", "_ready",
        "_spare", "_state", "_steps_max", "children", "deadline_changes", "evicting", "main_outcome",
        "main_scope", "main_task", "now_ns", "origin_ns",
    )  # fmt: skip

    def __init__(self, *, steps_max: int = 1_000_000, context: Context | None = None) -> None:
        self.now_ns = 0
        self.origin_ns = 0
        self.main_scope = make_root_scope(self)
        self.main_task: Task | None = None
        self.main_outcome: Returned | Raised | None = None
        self.evicting = False
        self.deadline_changes: dict[CancelScope, int | None] | None = None
        self.children: dict[Task, None] = {}  # main and the system tasks
        self._context = context
        self._steps_max = steps_max
        self._ready: list[Task] = []
        self._spare: list[Task] = []  # the list of the round before, to be used again
        self._overdue: list[CancelScope] = []
        self._deadlines: dict[CancelScope, int] = {}
        self._predicates: dict[Task, Callable[[], object]] | None = None
        self._is_hooked = False
        self._state = _IDLE

    @property
    def cancel_scope(self) -> CancelScope:
        """The scope in which main and the system tasks stand."""
        return self.main_scope

    @property
    def deadlines(self) -> Mapping[CancelScope, int]:
        """Scopes that will be cancelled at a time, in the order in which they were armed."""
        return self._deadlines

    @property
    def system_tasks(self) -> tuple[Task, ...]:
        """System tasks that have not ended, in order of birth."""
        return tuple(task for task in self.children if task is not self.main_task)

    # -- starting --

    def start_main(self, function: Callable[..., Awaitable[object]], *args: object) -> Task:
        """Make the workflow's first task.

        Args:
            function: the workflow's async function.
            *args: handed to it.

        Returns:
            The task; it runs with the next `run`.

        Raises:
            UsageError: main was started before, or the function is not async.
        """
        if self.main_task is not None:
            raise UsageError("start_main() was called before; a scheduler runs one workflow")
        self.origin_ns = self.now_ns
        self.main_task = self._spawn(function, args, self, None)
        return self.main_task

    def spawn_system(self, function: Callable[..., Awaitable[object]], *args: object) -> Task:
        """Make a task beside main: cancelled with it, but its end changes nothing for main.

        Args:
            function: an async function that handles its own errors.
            *args: handed to it.

        Returns:
            The task; it runs with the next `run`.

        Raises:
            UsageError: the function is not async.
        """
        return self._spawn(function, args, self, None)

    def _spawn(
        self,
        function: Callable[..., Awaitable[object]],
        args: tuple[object, ...],
        family: Family,
        name: str | None,
    ) -> Task:
        plain = function.func if isinstance(function, partial) else function
        task = Task(self, name or getattr(plain, "__qualname__", None) or repr(plain), family)
        if self.evicting:
            return task  # the code's last words; nobody will hear them
        inside = RUNNING.get() is not None
        context = copy_context() if inside else Context() if self._context is None else self._context.copy()
        task._begin(context, context.run(coroutine_of, task, function, args))
        family.children[task] = None
        self._ready.append(task)
        return task

    # -- running --

    def run(self) -> None:
        """Let tasks run until none is ready; then try the predicates of `wait_until`, and so on.

        Raises:
            StuckError: the code takes step after step without waiting for anything from outside.
            InternalError: a system task let an error out.
            MisuseError: called by the workflow's own code, or after `evict`.
        """
        if self._is_hooked:
            self._run()
            return
        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, close_generator)  # by position: by name takes three times as long
        try:
            self._run()
        finally:
            sys.set_asyncgen_hooks(*before)

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Keep this thread's async generators away from whoever runs around us.

        `run` does so by itself; a host that calls it many times in a row does it once round them all.
        """
        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, close_generator)
        self._is_hooked = True
        try:
            yield
        finally:
            self._is_hooked = False
            sys.set_asyncgen_hooks(*before)

    def _run(self) -> None:  # noqa: C901 -- the hot loop: every call taken out of it is one more per step
        if self._state != _IDLE:
            raise misuse(f"run() needs an idle scheduler; this one {_STATES[self._state]}")
        self._state = _RUNNING
        steps_left = self._steps_max
        while self._ready or self._overdue or (self._predicates and self._wake_one()):
            if self._overdue:
                self._cancel_overdue()
            batch, self._ready = self._ready, self._spare
            steps_left -= len(batch)
            if steps_left < 0:
                raise self._stuck(batch[0])
            for task in batch:
                value = task._value
                task._value = None  # a parked task must not keep what it was given
                try:
                    message = task._resume(value)
                except StopIteration as stop:
                    value, error = stop.value, None
                except KeyboardInterrupt:
                    raise  # the program is stopped, not this workflow; the host throws us away
                except BaseException as caught:  # noqa: BLE001 -- whatever it is, it ends this task
                    value, error = None, caught.with_traceback(_below(caught))
                else:
                    if message is not task:
                        self._go_on(task, message)
                    elif task._scope._is_cancelled:
                        deliver(task)
                    continue
                self._end(task, value, error)
                value = error = None
            batch.clear()
            self._spare = batch
        # After an error out of this loop it stays "running", and only eviction is left.
        self._state = _IDLE

    def _cancel_overdue(self) -> None:
        overdue, self._overdue = self._overdue, []
        for scope in overdue:
            if scope._is_overdue():
                scope._cancel(DEADLINE_PASSED)

    def _stuck(self, task: Task) -> StuckError:
        return StuckError(
            f"workflow code took {self._steps_max} steps in a row without waiting for anything from outside; "
            f"next would be {task!r} at {line_of_task(task)}; wait for an activity, a signal or a timer"
        )

    def _go_on(self, task: Task, message: object) -> None:
        """The task did not park: it lets the others run first, or another library's wait came out of it."""
        self._ready.append(task)
        if message is TURN:
            return
        coro, resume = task._coro, task._resume
        kind = f"{type(message).__module__}.{type(message).__qualname__}"
        error = ForeignAwaitError(
            f"{line_of_task(task)}: workflow code awaited {kind}, which is not treadle's and would be gone "
            "at the next replay; await what treadle.workflow offers, and put other waits into an activity"
        )

        def throw(_: object) -> object:
            task._resume = resume
            return task._context.run(coro.throw, error)

        task._resume = throw

    def _wake_one(self) -> bool:
        """Try the predicates in order of registration; tell whether a task is ready now."""
        predicates = self._predicates
        assert predicates is not None  # noqa: S101 -- the caller looked
        for task, predicate in tuple(predicates.items()):
            if task not in predicates:
                continue  # a predicate before cancelled it
            try:
                is_true = task._context.run(_answer, predicate)
            except KeyboardInterrupt:
                raise  # as in `_run`
            except BaseException as error:  # noqa: BLE001 -- it belongs to the task that waits
                predicates.pop(task, None)
                self.resume_error(task, error)
                return True
            if is_true:
                del predicates[task]
                self.resume(task, None)
                return True
        return bool(self._ready)

    def _end(self, task: Task, value: object, error: BaseException | None) -> None:
        family = task._family
        if task._nurseries is not None or task._scope is not family.cancel_scope:
            error = self._left_open(task, error)
        if task._locks is not None:
            for lot in task._locks:
                lot.break_up()
        task._finish()
        family._child_ended(task, value, error)

    def _left_open(self, task: Task, error: BaseException | None) -> MisuseError:
        """The task ended inside a scope or nursery of its own: cancel what is left, and tell."""
        nurseries = task._nurseries or []
        where = nurseries[-1].cancel_scope._entered_at() if nurseries else ""
        while task._scope is not task._family.cancel_scope:
            scope = task._scope
            where = scope._entered_at()
            task._scope = scope._parent or task._family.cancel_scope
            scope._cancel(_LEFT_OPEN)
            scope._forget()
        for nursery in nurseries:
            nursery._is_closed = True
        told = MisuseError(
            f"{where}: {task!r} ended with the scope or nursery entered here still open; leave it first "
            "(use `with` and `async with`, and do not yield inside one in a generator)"
        )
        told.__context__ = error
        return told

    def _child_ended(self, task: Task, value: object, error: BaseException | None, /) -> None:
        self.children.pop(task, None)
        if task is self.main_task:
            self.main_outcome = Returned(value) if error is None else Raised(self._unwound(error))
        elif error is not None and self.main_scope._without_cancelled(error) is not None:
            raise InternalError(f"{task!r}, a system task, let {error!r} out") from error

    def _unwound(self, error: BaseException) -> BaseException:
        """What is left of main's error when the scope round main has caught its own cancellation."""
        if not self.main_scope._is_cancelled:
            return error
        rest = self.main_scope._without_cancelled(error)
        if rest is not None:
            return rest
        return error if isinstance(error, Cancelled) else Cancelled(self.main_scope._reason or "cancelled")

    # -- what the host tells --

    def resume(self, task: Task, value: object = None) -> None:
        """Let a parked task go on.

        Args:
            task: a task that waits in `park`.
            value: what `park` returns.

        Raises:
            MisuseError: the task is not parked.
        """
        if task._waiting_for is None:
            if self.evicting:
                return
            raise misuse(f"{task!r} is not parked; resume a task once for each park")
        task._waiting_for = task._abort = None
        task._value = value
        self._ready.append(task)

    def resume_error(self, task: Task, error: BaseException) -> None:
        """Let a parked task go on with an error.

        Args:
            task: a task that waits in `park`.
            error: what `park` raises.

        Raises:
            MisuseError: the task is not parked.
        """
        self.resume(task, None)
        task._error = error

    def fire(self, until_ns: int) -> None:
        """Cancel every scope whose deadline is over, all of them before any task runs.

        Earliest first, of equal ones the outermost first; so that of two scopes that end together the outer
        one catches, as in Trio.

        Args:
            until_ns: the time; a deadline at it is over.
        """
        due = [(at, depth_of(it), it) for it, at in self._deadlines.items() if at <= until_ns]
        due.sort(key=_by_time_and_depth)
        for _, _, scope in due:
            scope._cancel(DEADLINE_PASSED)

    def _arm(self, scope: CancelScope, deadline_ns: int) -> None:
        if self.deadline_changes is not None:
            self.deadline_changes.setdefault(scope, None)
        self._deadlines[scope] = deadline_ns

    def _disarm(self, scope: CancelScope) -> None:
        before = self._deadlines.pop(scope, None)
        if before is not None and self.deadline_changes is not None:
            self.deadline_changes.setdefault(scope, before)

    # -- leaving memory --

    def evict(self) -> None:
        """Take the workflow out of memory: unwind every task, innermost first, with nothing coming of it.

        The code's `finally` blocks run; what they ask for is ignored, and what they wait for raises again.
        Nothing is written to the workflow's log: replay brings it back as it was. Do this before the last
        reference goes, or Python closes the coroutines in an order of its own.

        Raises:
            MisuseError: called by the workflow's own code.
        """
        if self.evicting:
            return
        if (running := RUNNING.get()) is not None and running.scheduler is self:
            raise misuse("evict() was called by the workflow's own code")
        self.evicting = True
        self._state = _EVICTED
        with self.hooked():
            for task in innermost_first(self.children):
                unwind(partial(task._context.run, task._coro.throw), task._coro)
                task._finish()
        self.children.clear()
        self._deadlines.clear()
        self._ready.clear()
        self._overdue.clear()
        self._predicates = None
        self.main_task = None
        self.main_scope._forget()  # it leads back to us, as the task does

    # -- looking --

    def stack(self) -> tuple[TaskStack, ...]:
        """Tell where every task stands.

        Returns:
            Main and the system tasks that live, each with its children.
        """
        return tuple(stack_of(task) for task in self.children)


def _answer(predicate: Callable[[], object]) -> object:
    found = predicate()
    if found and isawaitable(found):
        if isinstance(found, Coroutine):
            found.close()  # or it would complain that nobody has awaited it
        raise misuse(
            "wait_until() takes a plain function, got one that returned something to await, which would "
            "always count as true; look at variables, and wait for them to change"
        )
    return found


def _below(error: BaseException) -> Any:
    """The traceback without the scheduler's own frame."""
    return None if error.__traceback__ is None else error.__traceback__.tb_next


def _by_time_and_depth(row: tuple[int, int, CancelScope]) -> tuple[int, int]:
    return row[0], row[1]


DRIVING.add(Scheduler._run.__code__)
