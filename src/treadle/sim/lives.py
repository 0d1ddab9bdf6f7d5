"""Lives: what processes are in a world, and how they die, stop and come back.

A life is one opening of a runtime: its tasks, and the calls that clients have under way in it. Everything
that belongs to a life carries it in a context variable, so its tasks need not know.

*To sever* a life is what `kill -9` is to a process: from that instant nothing it does has an effect. Every
wait of its tasks, the present one and any later one, ends with `SeveredError`; functions that were to run
do not run; whoever it would wake sleeps on. What is left of it unwinds, shielded or not, and comes to
nothing. A life that is *paused* (SIGSTOP, a laptop's lid, a long garbage collection) is never chosen until
it is resumed, and then goes on as if nothing had happened, which is how stale writers are made.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar, TypeVarTuple

import attrs
import outcome
import trio
from trio.lowlevel import RaiseCancelT, Task

from treadle.sim.world_kernel import WorldKernel

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SeveredError(BaseException):
    """The life this belongs to is over; not an Exception, so that nothing in it handles it."""


@attrs.define(slots=True, eq=False)
class Life:
    """One process of a world.

    Attributes:
        name: for the history.
        severed: whether it is over; nothing it does has an effect.
        paused: whether its tasks stand still.
        waiting: its tasks that wait, in the order in which they began to, and what ends each wait.
        withheld: tickets of those that may go on when it is resumed.
    """

    name: str
    severed: bool = False
    paused: bool = False
    waiting: dict[Task, Callable[[RaiseCancelT], object]] = attrs.Factory(dict)
    withheld: list[int] = attrs.Factory(list)


_current: ContextVar[Life | None] = ContextVar("treadle life", default=None)


@contextmanager
def inside(life: Life) -> Iterator[None]:
    """Let what is called belong to a life; also the tasks that are started in it.

    Args:
        life: which.

    Yields:
        Nothing.
    """
    token = _current.set(life)
    try:
        yield
    finally:
        _current.reset(token)


class LifeKernel(WorldKernel):
    """A world's kernel that knows lives.

    Args:
        seed: decides every choice.
        epoch_ns: the event time at which the virtual clock reads 0.
        clock_jumps: whether wall time will be moved, so that whoever waits for an event time looks again.
    """

    def __init__(
        self, seed: int = 0, *, epoch_ns: int = 1_700_000_000_000_000_000, clock_jumps: bool = False
    ) -> None:
        super().__init__(seed, epoch_ns=epoch_ns)
        self.wall_clock_jumps = clock_jumps
        self._jumped_ns = 0
        self._lives: dict[Task, Life] = {}

    # -- what befalls a life --

    def sever(self, life: Life) -> None:
        """End a life, as `kill -9` does.

        Args:
            life: which; a second call does nothing.
        """
        if life.severed:
            return
        life.severed = True
        self.resume(life)
        for task, undo in list(life.waiting.items()):
            if self._tickets[task] not in self._ready:
                # As a cancellation does it, so that nothing that was to wake the task still knows it.
                undo(_raise_severed)
                if self._tickets[task] not in self._ready:
                    self._make_ready(task, outcome.Value(None))

    def pause(self, life: Life) -> None:
        """Let a life stand still.

        Args:
            life: which.
        """
        if life.severed or life.paused:
            return
        life.paused = True
        for task in life.waiting:
            ticket = self._tickets[task]
            if ticket in self._ready:
                self._queue.remove(ticket)
                life.withheld.append(ticket)

    def resume(self, life: Life) -> None:
        """Let a paused life go on.

        Args:
            life: which.
        """
        life.paused = False
        withheld, life.withheld = life.withheld, []
        for ticket in withheld:
            insort(self._queue, ticket)

    def jump(self, nanoseconds: int) -> None:
        """Move the wall clock; the monotonic one, by which everything waits, goes on.

        Args:
            nanoseconds: how far; below 0 it goes back.
        """
        self._jumped_ns += nanoseconds

    def wall_time_ns(self) -> int:
        """Tell event time by the virtual wall clock.

        Returns:
            Nanoseconds since the Unix epoch.
        """
        return super().wall_time_ns() + self._jumped_ns

    # -- the kernel --

    async def park_for_result(self, undo: Callable[[], object]) -> Any:
        """Wait; see `WorldKernel.park_for_result`.

        Args:
            undo: takes back what was registered.

        Returns:
            What `wake_with` was given.

        Raises:
            SeveredError: the caller's life is over.
        """
        if _is_over():
            undo()  # or somebody would wake a task that does not wait
            raise SeveredError
        return await super().park_for_result(undo)

    async def turn(self) -> None:
        """Let others run; see `WorldKernel.turn`.

        Raises:
            SeveredError: the caller's life is over.
        """
        ensure_alive()
        await super().turn()

    async def shielded_turn(self) -> None:
        """Let others run; see `WorldKernel.shielded_turn`.

        Raises:
            SeveredError: the caller's life is over.
        """
        ensure_alive()
        await super().shielded_turn()

    async def checkpoint_if_cancelled(self) -> None:
        """Raise if the task is cancelled; see `WorldKernel.checkpoint_if_cancelled`.

        Raises:
            SeveredError: the caller's life is over: what it was about to do has no effect.
        """
        ensure_alive()
        await super().checkpoint_if_cancelled()

    def wake_with(self, task: Task, result: outcome.Outcome[Any]) -> None:
        """Make a parked task ready, unless its life or the caller's is over.

        Args:
            task: the task that is in `park_for_result`.
            result: what its wait returns or raises.
        """
        caller, life = _current.get(), self._lives.get(task)
        dying = isinstance(result, outcome.Error) and isinstance(result.error, SeveredError)
        if dying or ((caller is None or not caller.severed) and (life is None or not life.severed)):
            super().wake_with(task, result)

    async def _wait(self, task: Task, cancelled: Callable[[RaiseCancelT], object]) -> Any:
        life = _current.get()
        if life is None:
            return await super()._wait(task, cancelled)
        life.waiting[task], self._lives[task] = cancelled, life
        if life.paused and (ticket := self._tickets[task]) in self._ready:
            self._queue.remove(ticket)
            life.withheld.append(ticket)
        try:
            return await super()._wait(task, cancelled)
        finally:
            del life.waiting[task], self._lives[task]
            ensure_alive()

    def _make_ready(self, task: Task, result: outcome.Outcome[Any]) -> None:
        super()._make_ready(task, result)
        life = self._lives.get(task)
        if life is not None and life.paused:
            ticket = self._tickets[task]
            self._queue.remove(ticket)
            life.withheld.append(ticket)


def _raise_severed() -> NoReturn:
    raise SeveredError


def _is_over() -> bool:
    life = _current.get()
    return life is not None and life.severed


def ensure_alive() -> None:
    """Let a dead life do nothing; for whatever lies outside it and can be reached without a wait.

    Raises:
        SeveredError: the caller's life is over.
    """
    if _is_over():
        raise SeveredError


async def survive(life: Life, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T | None:
    """Run a life to its end, and throw its remains away when it was severed.

    Args:
        life: which.
        function: what it does.
        *args: handed to it.

    Returns:
        What the function returns; None when the life was severed.

    Raises:
        BaseException: what the function raises, of a life that was not.
    """
    with inside(life):
        try:
            return await function(*args)
        except BaseException as error:
            if not life.severed:
                raise
            # Whatever a dying life raises, it raises in a state no living one is in; only an order to stop
            # that came from outside must pass.
            if isinstance(error, BaseExceptionGroup):
                outside = error.subgroup(trio.Cancelled)
                if outside is not None:
                    raise outside from None
            elif isinstance(error, trio.Cancelled):
                raise
            return None
