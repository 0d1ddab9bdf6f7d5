"""Trio's bounded memory channel over a world's waits: the same answers, the same order, no coin."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import attrs
import outcome
import trio
from trio.lowlevel import Task, current_task

if TYPE_CHECKING:
    from treadle.sim.world_kernel import WorldKernel


@attrs.define(slots=True, eq=False)
class _State:
    """What both halves share; waiting tasks in the order in which they came."""

    kernel: WorldKernel
    size: float
    values: deque[Any] = attrs.Factory(deque)
    senders: dict[Task, Any] = attrs.Factory(dict)
    receivers: dict[Task, None] = attrs.Factory(dict)
    closed: bool = False


@attrs.frozen(slots=True, eq=False)
class WorldSendChannel:
    """The sending half; see `treadle.kernel.SendChannel`."""

    _state: _State

    def send_nowait(self, value: Any, /) -> None:
        """Put a value without waiting.

        Args:
            value: the value.

        Raises:
            trio.BrokenResourceError: the receiving half is closed.
            trio.WouldBlock: there is no room.
        """
        state = self._state
        if state.closed:
            raise trio.BrokenResourceError
        if state.receivers:
            task = next(iter(state.receivers))
            del state.receivers[task]
            state.kernel.wake_with(task, outcome.Value(value))
        elif len(state.values) < state.size:
            state.values.append(value)
        else:
            raise trio.WouldBlock

    async def send(self, value: Any, /) -> None:
        """Put a value, waiting for room.

        Args:
            value: the value.

        Raises:
            trio.BrokenResourceError: the receiving half is closed, or was while this call waited.
        """
        state = self._state
        await state.kernel.checkpoint_if_cancelled()
        try:
            self.send_nowait(value)
        except trio.WouldBlock:
            task = current_task()
            state.senders[task] = value
            await state.kernel.park_for_result(lambda: state.senders.pop(task))
        else:
            await state.kernel.shielded_turn()


@attrs.frozen(slots=True, eq=False)
class WorldReceiveChannel:
    """The receiving half; see `treadle.kernel.ReceiveChannel`."""

    _state: _State

    def receive_nowait(self) -> Any:
        """Take a value without waiting.

        Returns:
            The oldest value.

        Raises:
            trio.ClosedResourceError: this half is closed.
            trio.WouldBlock: there is none.
        """
        state = self._state
        if state.closed:
            raise trio.ClosedResourceError
        if state.senders:
            task = next(iter(state.senders))
            state.values.append(state.senders.pop(task))
            state.kernel.wake(task)
        if not state.values:
            raise trio.WouldBlock
        return state.values.popleft()

    async def receive(self) -> Any:
        """Take a value, waiting for one.

        Returns:
            The oldest value.

        Raises:
            trio.ClosedResourceError: this half is closed, or was while this call waited.
        """
        state = self._state
        await state.kernel.checkpoint_if_cancelled()
        try:
            value = self.receive_nowait()
        except trio.WouldBlock:
            task = current_task()
            state.receivers[task] = None
            return await state.kernel.park_for_result(lambda: state.receivers.pop(task))
        await state.kernel.shielded_turn()
        return value

    def close(self) -> None:
        """Close: who waits here gets an error, and what was not taken is gone."""
        state = self._state
        if state.closed:
            return
        state.closed = True
        for task in state.receivers:
            state.kernel.wake_with(task, outcome.Error(trio.ClosedResourceError()))
        for task in state.senders:
            state.kernel.wake_with(task, outcome.Error(trio.BrokenResourceError()))
        state.receivers.clear()
        state.senders.clear()
        state.values.clear()


def open_world_channel(kernel: WorldKernel, size: float) -> tuple[WorldSendChannel, WorldReceiveChannel]:
    """Open a channel; `WorldKernel.open_memory_channel` calls it.

    Args:
        kernel: whose waits it uses.
        size: how many values it holds before senders wait.

    Returns:
        The sending and the receiving half.
    """
    state = _State(kernel, size)
    return WorldSendChannel(state), WorldReceiveChannel(state)
