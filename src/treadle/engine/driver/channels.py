"""Memory channels, as Trio has them: two ends over one plain state.

The state holds the buffer and who waits; the ends are thin. An aborted wait undoes exactly what it
registered.
"""

from __future__ import annotations

import math
from collections import deque
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from attrs import frozen

from treadle.engine.driver.errors import BrokenResourceError, ClosedResourceError, EndOfChannel, WouldBlock
from treadle.engine.driver.tasks import Task, checkpoint, checkpoint_if_cancelled, current_task, park, turn
from treadle.errors import InvalidValueError

T = TypeVar("T")


@frozen
class MemoryChannelStatistics:
    """How a channel stands.

    Attributes:
        current_buffer_used: how many values wait in the buffer.
        max_buffer_size: how many it holds.
        open_send_channels: how many sending ends are open.
        open_receive_channels: how many receiving ends are open.
        tasks_waiting_send: how many tasks wait to send.
        tasks_waiting_receive: how many tasks wait to receive.
    """

    current_buffer_used: int
    max_buffer_size: float
    open_send_channels: int
    open_receive_channels: int
    tasks_waiting_send: int
    tasks_waiting_receive: int


class _State:
    """What both ends share: the values, and who waits at which end (dicts for their order)."""

    __slots__ = ("receivers", "receivers_open", "senders", "senders_open", "size", "values")

    def __init__(self, size: float) -> None:
        self.size = size
        self.values: deque[Any] = deque()
        self.senders_open = 0
        self.receivers_open = 0
        self.senders: dict[Task, tuple[MemorySendChannel[Any], Any]] = {}
        self.receivers: dict[Task, MemoryReceiveChannel[Any]] = {}

    def statistics(self) -> MemoryChannelStatistics:
        return MemoryChannelStatistics(
            len(self.values), self.size, self.senders_open, self.receivers_open,
            len(self.senders), len(self.receivers),
        )  # fmt: skip


class _End:
    """What sending and receiving ends have in common."""

    __slots__ = ("_is_closed", "_state")

    def __init__(self, state: _State) -> None:
        self._state = state
        self._is_closed = False

    def _require_open(self) -> None:
        if self._is_closed:
            raise ClosedResourceError("this end of the channel was closed; nothing more can be done with it")

    def close(self) -> None:
        """Close this end; a second call changes nothing."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close this end, and pass a checkpoint.

        Raises:
            Cancelled: a scope around is cancelled; the end is closed all the same.
        """
        self.close()
        await checkpoint()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def statistics(self) -> MemoryChannelStatistics:
        """Tell how the channel stands.

        Returns:
            Buffer, ends, waiters.
        """
        return self._state.statistics()


class MemorySendChannel(_End, Generic[T]):
    """The sending end of a channel; made by `open_memory_channel`."""

    __slots__ = ()

    def __init__(self, state: _State) -> None:
        super().__init__(state)
        state.senders_open += 1

    def __repr__(self) -> str:
        return f"<treadle sending end, {len(self._state.values)} of {self._state.size} used>"

    def _put(self, value: T) -> bool:
        self._require_open()
        state = self._state
        if not state.receivers_open:
            raise BrokenResourceError("no receiver is left; stop sending")
        if state.receivers:
            task = next(iter(state.receivers))
            del state.receivers[task]
            task.scheduler.resume(task, value)
        elif len(state.values) < state.size:
            state.values.append(value)
        else:
            return False
        return True

    def send_nowait(self, value: T) -> None:
        """Send a value without waiting.

        Args:
            value: anything.

        Raises:
            WouldBlock: the buffer is full and nobody waits to receive.
            ClosedResourceError: this end is closed.
            BrokenResourceError: no receiving end is left.
        """
        if not self._put(value):
            raise WouldBlock("the channel's buffer is full")

    async def send(self, value: T) -> None:
        """Send a value, waiting for room.

        Args:
            value: anything.

        Raises:
            ClosedResourceError: this end is closed, or was closed while it waited.
            BrokenResourceError: no receiving end is left.
            Cancelled: a scope around was cancelled; the value was not sent.
        """
        await checkpoint_if_cancelled()
        if self._put(value):
            await turn()
            return
        task = current_task()
        senders = self._state.senders
        senders[task] = (self, value)

        def forget() -> bool:
            del senders[task]
            return True

        await park(forget, "room in a channel")

    def clone(self) -> MemorySendChannel[T]:
        """Make another sending end; the channel ends when all are closed.

        Returns:
            The other end.

        Raises:
            ClosedResourceError: this end is closed.
        """
        self._require_open()
        return MemorySendChannel(self._state)

    def close(self) -> None:
        """Close this end: who waits in it gets `ClosedResourceError`; a second call changes nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        state = self._state
        for task in [task for task, (end, _) in state.senders.items() if end is self]:
            del state.senders[task]
            task.scheduler.resume_error(task, ClosedResourceError("this end was closed while it was sending"))
        state.senders_open -= 1
        if state.senders_open == 0:
            receivers, state.receivers = state.receivers, {}
            for task in receivers:
                task.scheduler.resume_error(task, _end_of_channel())


class MemoryReceiveChannel(_End, Generic[T]):
    """The receiving end of a channel; made by `open_memory_channel`. ``async for`` reads to its end."""

    __slots__ = ()

    def __init__(self, state: _State) -> None:
        super().__init__(state)
        state.receivers_open += 1

    def __repr__(self) -> str:
        return f"<treadle receiving end, {len(self._state.values)} of {self._state.size} used>"

    def _has_value(self) -> bool:
        """Tell whether `_get` will find a value, having let in the sender who waits longest."""
        self._require_open()
        state = self._state
        if state.senders:
            task = next(iter(state.senders))
            _, value = state.senders.pop(task)
            task.scheduler.resume(task, None)
            state.values.append(value)
        if state.values:
            return True
        if not state.senders_open:
            raise _end_of_channel()
        return False

    def receive_nowait(self) -> T:
        """Take a value without waiting.

        Returns:
            The value sent first.

        Raises:
            WouldBlock: there is none.
            EndOfChannel: there will be none.
            ClosedResourceError: this end is closed.
        """
        if not self._has_value():
            raise WouldBlock("the channel is empty")
        value: T = self._state.values.popleft()
        return value

    async def receive(self) -> T:
        """Take a value, waiting for one.

        Returns:
            The value sent first.

        Raises:
            EndOfChannel: there will be none.
            ClosedResourceError: this end is closed, or was closed while it waited.
            Cancelled: a scope around was cancelled; no value was taken.
        """
        await checkpoint_if_cancelled()
        value: T
        if self._has_value():
            value = self._state.values.popleft()
            await turn()
            return value
        task = current_task()
        receivers = self._state.receivers
        receivers[task] = self

        def forget() -> bool:
            del receivers[task]
            return True

        value = await park(forget, "a value of a channel")
        return value

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except EndOfChannel:
            raise StopAsyncIteration from None

    def clone(self) -> MemoryReceiveChannel[T]:
        """Make another receiving end; each value goes to one of them.

        Returns:
            The other end.

        Raises:
            ClosedResourceError: this end is closed.
        """
        self._require_open()
        return MemoryReceiveChannel(self._state)

    def close(self) -> None:
        """Close this end: who waits in it gets `ClosedResourceError`; a second call changes nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        state = self._state
        for task in [task for task, end in state.receivers.items() if end is self]:
            del state.receivers[task]
            task.scheduler.resume_error(
                task, ClosedResourceError("this end was closed while it was receiving")
            )
        state.receivers_open -= 1
        if state.receivers_open == 0:
            senders, state.senders = state.senders, {}
            for task in senders:
                task.scheduler.resume_error(task, BrokenResourceError("no receiver is left; stop sending"))
            state.values.clear()


def _end_of_channel() -> EndOfChannel:
    return EndOfChannel("every sender is closed and nothing is left in the buffer")


class open_memory_channel(tuple[MemorySendChannel[T], MemoryReceiveChannel[T]]):  # noqa: N801, SLOT001 -- see below
    """Open a channel between the tasks of a workflow.

    To be called like a function; a class only so that, as with Trio's, the type of what it carries can be
    said: ``open_memory_channel[int](0)``. What comes back is a plain pair.

    Args:
        max_buffer_size: how many values it holds before senders wait: an int of 0 or more, or infinity.

    Returns:
        The sending and the receiving end.

    Raises:
        InvalidValueError: the size is something else.
    """

    def __new__(  # type: ignore[misc]  # noqa: D102 -- the class tells
        cls, max_buffer_size: float
    ) -> tuple[MemorySendChannel[T], MemoryReceiveChannel[T]]:
        if (not isinstance(max_buffer_size, int) and max_buffer_size != math.inf) or max_buffer_size < 0:
            raise InvalidValueError(
                f"max_buffer_size must be an int of 0 or more, or math.inf; got {max_buffer_size!r}"
            )
        state = _State(max_buffer_size)
        return MemorySendChannel(state), MemoryReceiveChannel(state)

    def __init__(self, max_buffer_size: float) -> None: ...
