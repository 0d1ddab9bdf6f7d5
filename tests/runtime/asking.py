"""Calls made in the background of a test, and what became of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import attrs
import trio

from treadle import Appended, EventKind


@attrs.define(eq=False)
class Call:
    """One call in a task of its own.

    Attributes:
        result: what it returned, or None.
        error: what it raised, or None.
        done: it has ended.
        ended: set when it has.
        scope: cancels it.
    """

    result: Appended | None = None
    error: BaseException | None = None
    done: bool = False
    ended: trio.Event = attrs.Factory(trio.Event)
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)

    async def run(self, function: Callable[..., Awaitable[Appended]], *args, **options) -> None:
        with self.scope:
            try:
                self.result = await function(*args, **options)
            except Exception as error:  # noqa: BLE001  # told to the test
                self.error = error
        self.done = True
        self.ended.set()

    @property
    def cancelled(self) -> bool:
        return self.done and self.result is None and self.error is None


def start(nursery: trio.Nursery, function: Callable[..., Awaitable[Appended]], *args, **options) -> Call:
    """Call something in the background."""
    call = Call()

    async def run() -> None:
        await call.run(function, *args, **options)

    nursery.start_soon(run)
    return call


async def start_in_order(nursery: trio.Nursery, *calls: tuple) -> list[Call]:
    """Call several things, each begun once the one before waits."""
    begun = []
    for function, *args in calls:
        options = args.pop() if args and isinstance(args[-1], dict) else {}
        begun.append(start(nursery, function, *args, **options))
        await trio.testing.wait_all_tasks_blocked()
    return begun


async def all_ended(calls: Iterable[Call], *, within_seconds: float = 5) -> None:
    """Wait until every call has ended; a call that never ends is a failure."""
    with trio.fail_after(within_seconds):
        for call in calls:
            await call.ended.wait()


def custom(payload: bytes, **options) -> tuple:
    """Word the arguments of an append."""
    return EventKind.CUSTOM, payload, options
