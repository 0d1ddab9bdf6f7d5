"""The timetable: wall time decides, monotonic time waits."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from treadle.kernel import InlineKernel
from treadle.runtime.durable.timetable import WALL_CLOCK_SECONDS_MAX, Timetable

SECOND = 1_000_000_000


class WrongClock(InlineKernel):
    """A wall clock that can be set."""

    wall_clock_jumps = True

    def __init__(self) -> None:
        super().__init__()
        self.offset_ns = 0

    def wall_time_ns(self) -> int:
        return super().wall_time_ns() + self.offset_ns


@pytest.fixture
def clock() -> WrongClock:
    return WrongClock()


@pytest.fixture
async def table(clock):
    """A running timetable that notes who was woken when, in seconds since the test began."""
    woken: list[tuple[str, float]] = []
    start = trio.current_time()
    table: Timetable[str] = Timetable(
        clock, lambda key: woken.append((key, round(trio.current_time() - start, 3)))
    )
    table.woken = woken
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.run)
        await wait_all_tasks_blocked()
        yield table
        nursery.cancel_scope.cancel()


def in_seconds(clock, seconds: float) -> int:
    return clock.wall_time_ns() + round(seconds * SECOND)


async def test_keys_are_woken_in_the_order_of_their_times(table, clock, autojump_clock):
    for key, seconds in (("c", 3), ("a", 1), ("b", 2), ("past", -5)):
        table.set(key, in_seconds(clock, seconds))
    await trio.sleep(10)

    assert [("past", 0), ("a", 1), ("b", 2), ("c", 3)] == table.woken
    assert 0 == len(table)


async def test_a_key_is_woken_once_at_its_last_time(table, clock, autojump_clock):
    table.set("a", in_seconds(clock, 1))
    table.set("a", in_seconds(clock, 5))
    table.set("b", in_seconds(clock, 5))
    table.set("b", in_seconds(clock, 2))
    table.set("c", in_seconds(clock, 3))
    table.clear("c")
    table.clear("never set")
    await trio.sleep(10)

    assert [("b", 2), ("a", 5)] == table.woken


async def test_an_earlier_key_wakes_the_one_who_waits(table, clock, autojump_clock):
    table.set("late", in_seconds(clock, 50))
    await trio.sleep(1)
    table.set("soon", in_seconds(clock, 1))
    await trio.sleep(2)

    assert [("soon", 2)] == table.woken


async def test_a_clock_set_forward_wakes_within_a_minute(table, clock, autojump_clock):
    table.set("a", in_seconds(clock, 24 * 3600))
    await trio.sleep(1)
    clock.offset_ns += 24 * 3600 * SECOND
    await trio.sleep(2 * WALL_CLOCK_SECONDS_MAX)

    ((key, seconds),) = table.woken
    assert "a" == key
    assert seconds <= WALL_CLOCK_SECONDS_MAX + 1


async def test_a_clock_set_back_does_not_wake_too_early_nor_twice(table, clock, autojump_clock):
    table.set("a", in_seconds(clock, 10))
    clock.offset_ns -= 100 * SECOND
    await trio.sleep(500)

    assert [("a", 110)] == table.woken


async def test_ten_thousand_cleared_keys_leave_nothing(table, clock, autojump_clock):
    for number in range(10_000):
        table.set(f"k{number}", in_seconds(clock, 1000 + number))
        table.clear(f"k{number}")

    assert 0 == len(table)
    assert len(table._heap) <= 2_000


async def test_a_key_may_be_set_again_when_it_is_woken(clock, autojump_clock):
    times = []

    def again(key: str) -> None:
        times.append(round(trio.current_time()))
        if len(times) < 4:
            table.set(key, in_seconds(clock, 7))

    table: Timetable[str] = Timetable(clock, again)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.run)
        table.set("a", in_seconds(clock, 7))
        await trio.sleep(100)
        nursery.cancel_scope.cancel()

    assert [7, 14, 21, 28] == times
