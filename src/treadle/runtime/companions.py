"""Companions: what a runtime keeps going beside its actors, without knowing what it is.

Projections follow the store's feed, and live on the runtime's own floor: neither room may know the other. So
a runtime offers a `Host` to whatever fits `Companion`, and starts, stops and counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import attrs
import trio

from treadle.engine.learning import Known
from treadle.errors import InvalidValueError, TreadleError
from treadle.kernel import Kernel
from treadle.payloads import CodecChain, Converter
from treadle.runtime.following import Changes, Interest
from treadle.runtime.supervisor import Supervisor
from treadle.stores import Store, Unit


class Host:
    """What a companion may use of the runtime that keeps it going.

    Args:
        store: to be read; what is written goes through `commit`.
        kernel: through which everything waits.
        converter: values to JSON and back.
        codecs: what payloads go through.
        supervisor: takes units to the committer.
        changes: tells of commits.

    Attributes:
        closing: whether the runtime is about to take nothing more: write what must be written, and return.
    """

    def __init__(
        self,
        store: Store,
        kernel: Kernel,
        converter: Converter,
        codecs: CodecChain,
        supervisor: Supervisor,
        changes: Changes,
    ) -> None:
        self.store = store
        self.kernel = kernel
        self.converter = converter
        self.codecs = codecs
        self.closing = False
        self._supervisor = supervisor
        self._changes = changes
        self._interest: Interest | None = None

    async def commit(self, units: Sequence[Unit]) -> list[TreadleError | None]:
        """Write units through the runtime's committer, in one transaction when there is room in it.

        Cancelled, they may be written or not.

        Args:
            units: each taken or refused by itself.

        Returns:
            For each unit None, or why it was not written, or may not be.

        Raises:
            RuntimeClosedError: the runtime has closed; nothing was written.
        """
        return await self._supervisor.commit_units(units)

    async def wait_changed(self, seconds: float | None = None) -> None:
        """Wait until something may have been committed since the last wait, in this process or another.

        A commit between two waits ends the second one at once, so whoever reads the feed between them
        misses none. It ends, too, when `nudge` is called or the runtime begins to close.

        Args:
            seconds: how long at most, on the run's clock; None for no limit.

        Raises:
            TreadleError: nothing more will be heard: the store is poisoned or the runtime closed.
        """
        if self._interest is None:
            self._interest = self._changes.enter(None)
        if self.closing:
            return
        with trio.move_on_after(float("inf") if seconds is None else seconds):
            await self._changes.wait(self._interest)

    def nudge(self) -> None:
        """End a wait for changes, now or the next one."""
        if self._interest is not None:
            self._interest.hint()

    def listen(self) -> None:
        """Begin to hear of commits; called before the companion first reads.

        Raises:
            TreadleError: nothing will be heard: the store is poisoned or the runtime closed.
        """
        if self._interest is None:
            self._interest = self._changes.enter(None)

    def leave(self) -> None:
        """Hear of commits no longer."""
        if self._interest is not None:
            self._changes.leave(self._interest)
            self._interest = None


@runtime_checkable
class Companion(Protocol):
    """What a runtime keeps going beside its actors."""

    async def open(self, host: Host, /) -> None:
        """Look whether it can begin; called before the runtime is given to anybody.

        Args:
            host: what it may use, until `run` has returned.

        Raises:
            TreadleError: it cannot; the runtime is not opened.
        """

    async def run(self, host: Host, /) -> None:
        """Do the work, until ``host.closing``; then write what is to be written, and return.

        Args:
            host: as in `open`.
        """

    def statistics(self) -> Any:
        """Tell what it is doing; a frozen value."""


class Learner(Companion, Known, Protocol):
    """A companion that learns from attempts, and is asked what it knows when the next one is chosen."""


@attrs.define(slots=True, eq=False)
class _Running:
    companion: Companion
    host: Host
    ended: bool = False


class Companions:
    """The companions of one runtime.

    Args:
        make_host: makes a host for each.
        kernel: through which they are waited for.
        companions: what the runtime was given.

    Raises:
        InvalidValueError: something is no companion.
    """

    def __init__(self, make_host: Any, kernel: Kernel, companions: Sequence[Companion]) -> None:
        for given in companions:
            check_companion(given)
        self._kernel = kernel
        self._running = [_Running(companion, make_host()) for companion in companions]
        self._closer: trio.lowlevel.Task | None = None
        self._spawned = False

    async def open(self) -> None:
        """Let each look whether it can begin.

        Raises:
            TreadleError: one cannot.
        """
        for one in self._running:
            await one.companion.open(one.host)

    def start(self, nursery: trio.Nursery) -> None:
        """Start them.

        Args:
            nursery: their parent.
        """
        self._spawned = True
        for one in self._running:
            self._kernel.spawn(nursery, self._run, one)

    async def _run(self, one: _Running) -> None:
        try:
            one.host.listen()
            await one.companion.run(one.host)
        finally:
            one.host.leave()
            one.ended = True
            if self._closer is not None and self._all_ended():
                task, self._closer = self._closer, None
                self._kernel.wake(task)

    def _all_ended(self) -> bool:
        return all(one.ended for one in self._running)

    @trio.lowlevel.enable_ki_protection
    async def close(self) -> None:
        """Let each write what it has to, and wait until all have returned."""
        for one in self._running:
            one.host.closing = True
            one.host.nudge()
        while self._spawned and not self._all_ended():
            self._closer = trio.lowlevel.current_task()
            await self._kernel.park(partial(setattr, self, "_closer", None))

    def statistics(self) -> tuple[Any, ...]:
        """Tell what they are doing.

        Returns:
            What each tells, in their order.
        """
        return tuple(one.companion.statistics() for one in self._running)


def check_companion(given: object) -> None:
    """Refuse what a runtime cannot keep going.

    Args:
        given: what its caller has given.

    Raises:
        InvalidValueError: it is no companion.
    """
    if isinstance(given, type) or not isinstance(given, Companion):
        raise InvalidValueError(
            f"a runtime keeps companions going, which can open, run and tell statistics; got {given!r:.60};"
            " make one: treadle.projections.Projections(Projection(...))"
        )
