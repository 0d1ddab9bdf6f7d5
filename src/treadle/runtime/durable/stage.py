"""The stage: the one expendable task in which all workflow code runs.

Workflow code is driven by hand and never awaits Trio. But Trio's functions that do not await (opening a
nursery, entering a cancel scope) would act on the task that happens to drive it. So that task is one that
can be thrown away: turns are taken inside a guard scope, and when workflow code has left something open,
that workflow is held, this task ends with whatever clings to it, and another takes its place. All other
workflows go on where they were.

One task is enough for all of them, because turns are synchronous; it also makes them cheap: no task is
started and none is woken for a single turn while others wait for theirs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, TypeVarTuple

import trio

from treadle.kernel import Kernel

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BURIAL_SECONDS: Final = 0.02
"""How often code that hangs on tasks of Trio's is looked at, until they have ended."""
BURIAL_LOOKS_MAX: Final = 50
"""How often at most: tasks that do not end when cancelled are left to themselves, and it with them."""
TURNS_MAX: Final = 64
"""How many turns are taken before others may run: what they append should be on its way to the disk."""


class ForeignScopeError(Exception):
    """Workflow code has left a scope or nursery of Trio's open on the stage's task.

    Attributes:
        nurseries: those that were left open. Code that waits in one must not be thrown away before the tasks
            in it have ended: the last of them would wake a task that is gone.
    """

    def __init__(self, nurseries: tuple[trio.Nursery, ...] = ()) -> None:
        super().__init__("workflow code waits inside a nursery or cancel scope of Trio's own")
        self.nurseries = nurseries


class StrayError(Exception):
    """Workflow code has let out what is no `Exception`, such as the `SystemExit` of a class it decodes.

    Args:
        error: what.

    Attributes:
        error: what.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.error = error


class Stage:
    """Takes turns.

    Args:
        kernel: starts the task, parks and wakes it.
        has_room: whether what a turn decides can be written.
        wait_room: waits until it can.
        closing: called when the stage ends for good, still in a task that may run workflow code.

    Attributes:
        tasks_discarded: how often workflow code has spoilt the task it ran in.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        has_room: Callable[[], bool],
        wait_room: Callable[[], Awaitable[None]],
        closing: Callable[[], object],
    ) -> None:
        self.tasks_discarded = 0
        self._kernel = kernel
        self._has_room = has_room
        self._wait_room = wait_room
        self._closing = closing
        self._turns: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._task: trio.lowlevel.Task | None = None
        self._spoilt = False

    def post(self, turn: Callable[..., object], *args: Any) -> None:
        """Have a turn taken.

        Args:
            turn: synchronous; calls workflow code through `guard` alone.
            *args: handed to it.
        """
        self._turns.append((turn, args))
        if self._task is not None:
            task, self._task = self._task, None
            self._kernel.wake(task)

    def guard(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call into workflow code; only inside a turn.

        Args:
            function: synchronous.
            *args: handed to it.

        Returns:
            What it returns.

        Raises:
            ForeignScopeError: the code has left something of Trio's open.
            StrayError: the function has raised what is no `Exception` and would end the whole runtime.
            Exception: whatever the function raises.
        """
        task = trio.lowlevel.current_task()
        open_before = open_on(task)
        if open_before is None:
            return self._guard_alone(function, *args)
        try:
            return function(*args)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise StrayError(error) from error
        finally:
            if open_on(task) != open_before:
                self._spoilt = True
                raise ForeignScopeError(tuple(task.child_nurseries[open_before[1] :]))

    def _guard_alone(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Guard with public names alone, at the price of a scope for each call."""
        result: list[T] = []
        error: Exception | None = None
        task = trio.lowlevel.current_task()
        nurseries = len(task.child_nurseries)
        try:
            with trio.CancelScope():  # noqa: ASYNC100  # its end tells what was left open inside
                try:
                    result.append(function(*args))
                except KeyboardInterrupt:
                    raise
                except BaseException as raised:  # noqa: BLE001  # told apart from what the scope's end raises
                    error = raised if isinstance(raised, Exception) else StrayError(raised)
        except RuntimeError:
            self._spoilt = True
            raise ForeignScopeError(tuple(task.child_nurseries[nurseries:])) from error
        if error is not None:
            raise error
        return result[0]

    async def run(self) -> None:
        """Be the parent of one expendable task after another, until cancelled."""
        while True:
            self._spoilt = False
            try:
                async with trio.open_nursery() as nursery:
                    self._kernel.spawn(nursery, self._take_turns)
            except Exception:
                # What workflow code has left on the task may make its end an error; ours is anything else.
                if not self._spoilt:
                    raise
            self.tasks_discarded += 1

    async def _take_turns(self) -> None:
        try:
            while not self._spoilt:
                await self._wait()
                self._take_some()
        finally:
            if not self._spoilt:
                self._closing()

    async def _wait(self) -> None:
        if not self._turns:
            self._task = trio.lowlevel.current_task()
            await self._kernel.park(self._forget_task)
        elif self._has_room():
            await self._kernel.turn()
        await self._wait_room()

    def _forget_task(self) -> None:
        self._task = None

    def _take_some(self) -> None:
        # One guard scope for all of them: it is the dearest part of a turn. Which turn has spoilt the task is
        # found without it, and where that cannot be told, each has its own.
        turns, has_room = self._turns, self._has_room
        try:
            with trio.CancelScope():  # noqa: ASYNC100  # its end tells what was left open inside
                for _ in range(TURNS_MAX):
                    if not turns or self._spoilt or not has_room():
                        return
                    turn, args = turns.popleft()
                    turn(*args)
        except RuntimeError:
            if not self._spoilt:
                raise


def open_on(task: trio.lowlevel.Task) -> tuple[object, int] | None:
    """Tell what is open on a task.

    Args:
        task: any.

    Returns:
        Its innermost scope, and how many nurseries. The scope is no public name of Trio's: None where it has
        another one.
    """
    status = getattr(task, "_cancel_status", None)
    return None if status is None else (status, len(task.child_nurseries))
