"""What cannot be right is refused inside the workflow's code, and the line is named."""

import asyncio
import contextlib
import sys
from functools import partial

import pytest
import trio
from driving import drive, parked

from treadle.engine.driver import (
    CancelScope,
    Condition,
    Event,
    ForeignAwaitError,
    Lock,
    MisuseError,
    Nursery,
    Raised,
    Returned,
    Scheduler,
    checkpoint,
    checkpoint_if_cancelled,
    current_effective_deadline,
    current_scheduler,
    current_task,
    current_time,
    fail_after,
    move_on_after,
    move_on_at,
    open_memory_channel,
    open_nursery,
    park,
    sleep,
    sleep_forever,
    wait_until,
)
from treadle.errors import InvalidValueError, UsageError


def line():
    """The caller's line, as errors name it."""
    return f"{__file__}:{sys._getframe(1).f_lineno}"


# -- outside --


@pytest.mark.parametrize(
    "call",
    [
        lambda: current_task(),  # noqa: PLW0108 -- its line is looked for
        lambda: current_scheduler(),  # noqa: PLW0108 -- its line is looked for
        lambda: current_time(),  # noqa: PLW0108 -- its line is looked for
        lambda: current_effective_deadline(),  # noqa: PLW0108 -- its line is looked for
        lambda: open_nursery(),  # noqa: PLW0108 -- its line is looked for
        lambda: move_on_after(1).__enter__(),
        lambda: move_on_at(1),
        lambda: checkpoint().send(None),
        lambda: checkpoint_if_cancelled().send(None),
        lambda: sleep(1).send(None),
        lambda: sleep_forever().send(None),
        lambda: wait_until(bool).send(None),
        lambda: Event().wait().send(None),
        lambda: Lock().acquire().send(None),
        lambda: open_memory_channel(1)[1].receive().send(None),
        lambda: park(bool, "x").send(None),
    ],
)
def test_outside_workflow_code_a_function_says_so_and_names_the_line(call):
    with pytest.raises(UsageError, match=f"{__file__}:{call.__code__.co_firstlineno} ") as caught:
        call()
    assert "outside" in str(caught.value)


async def _never():
    return False


@pytest.mark.parametrize("predicate", [_never, Event().wait])
def test_a_predicate_that_would_have_to_be_awaited_is_refused(predicate):
    """What it returns is never false: the wait would be over at once."""

    async def main():
        await wait_until(predicate)

    with pytest.raises(MisuseError, match=f"{__file__}:.*wait_until\\(\\) takes a plain function"):
        drive(main)


# -- foreign awaits --


class Foreign:
    def __await__(self):
        lines.append(line())
        yield "something else"


lines = []


def test_a_foreign_await_raises_where_it_stands():
    async def main():
        await Foreign()

    lines.clear()
    with pytest.raises(ForeignAwaitError, match=r"builtins\.str") as caught:
        drive(main)
    path, _, number = lines[0].rpartition(":")
    assert f"{path}:{int(number) + 1}:" in str(caught.value)


@pytest.mark.parametrize(
    "wait",
    [
        partial(trio.sleep, 1),
        trio.lowlevel.checkpoint,
        lambda: trio.Event().wait(),
        lambda: trio.to_thread.run_sync(int),
    ],
)
def test_a_wait_of_trio_raises_and_trio_lives_on(wait):
    async def main():
        try:
            await wait()
        finally:
            await sleep(0)

    async def host():
        with pytest.raises(ForeignAwaitError, match=rf"{__file__}:{main.__code__.co_firstlineno + 2}: "):
            drive(main)
        await trio.lowlevel.checkpoint()

    trio.run(host)


def test_a_future_of_asyncio_raises():
    async def main():
        await asyncio.get_running_loop().create_future()

    async def host():
        with pytest.raises(
            ForeignAwaitError, match=rf"{__file__}:{main.__code__.co_firstlineno + 1}: .*Future"
        ):
            drive(main)

    asyncio.run(host())


def test_code_may_go_on_after_a_foreign_await():
    async def main():
        for _ in range(3):
            with contextlib.suppress(ForeignAwaitError):
                await Foreign()
        await sleep(1)
        return current_time()

    assert 1.0 == drive(main)


# -- tasks --


@pytest.mark.parametrize("function", [len, lambda _: 7])
def test_a_task_needs_an_async_function(function):
    async def main():
        async with open_nursery() as nursery:
            lines.append(line())
            nursery.start_soon(function, "x")

    lines = []
    with pytest.raises(ExceptionGroup) as caught:
        drive(main)
    path, _, number = lines[0].rpartition(":")
    assert f"{path}:{int(number) + 1}: a task needs an async function" in str(caught.value.exceptions[0])


def test_a_task_may_be_any_awaitable():
    class Sleeper:
        def __await__(self):
            return sleep(1).__await__()

    async def main():
        async with open_nursery() as nursery:
            nursery.start_soon(Sleeper)
        return current_time()

    assert 1.0 == drive(main)


# -- nurseries --


def test_a_closed_nursery_takes_no_tasks():
    async def main():
        async with open_nursery() as nursery:
            pass
        with pytest.raises(RuntimeError, match=f"{__file__}.*block has ended"):
            nursery.start_soon(checkpoint)
        with pytest.raises(MisuseError, match="block has ended"):
            await nursery.start(checkpoint)

    drive(main)


def test_started_is_said_once():
    async def child(task_status):
        task_status.started()
        with pytest.raises(MisuseError, match="call it once"):
            task_status.started()

    async def main():
        async with open_nursery() as nursery:
            await nursery.start(child)

    drive(main)


def test_a_task_that_never_says_started_is_told():
    async def child(task_status):
        pass

    async def main():
        async with open_nursery() as nursery:
            with pytest.raises(MisuseError, match="ended without calling"):
                await nursery.start(child)

    drive(main)


def test_a_nursery_left_open_is_told_with_its_line():
    async def child():
        cut.append("waiting")
        try:
            await sleep_forever()
        finally:
            cut.append("cancelled")

    async def main():
        lines.append(line())
        nursery = await open_nursery().__aenter__()
        nursery.start_soon(child)
        await checkpoint()

    cut, lines = [], []
    scheduler = parked(main)

    path, _, number = lines[0].rpartition(":")
    error = scheduler.main_outcome.exception
    assert isinstance(error, MisuseError)
    assert str(error).startswith(f"{path}:{int(number) + 1}: ")
    assert ["waiting", "cancelled"] == cut
    scheduler.evict()


def test_a_scope_left_open_is_told_with_its_line():
    async def main():
        lines.append(line())
        fail_after(5).__enter__()
        raise KeyError

    lines = []
    scheduler = parked(main)

    path, _, number = lines[0].rpartition(":")
    error = scheduler.main_outcome.exception
    assert isinstance(error, MisuseError)
    assert str(error).startswith(f"{path}:{int(number) + 1}: ")
    assert isinstance(error.__context__, KeyError)
    assert {} == scheduler.deadlines


# -- scopes --


def test_scopes_left_out_of_order_are_told_and_the_inner_one_is_cancelled():
    async def main():
        outer, inner = CancelScope(), CancelScope()
        outer.__enter__()
        inner.__enter__()
        lines.append(line())
        try:
            outer.__exit__(None, None, None)
        except MisuseError as error:
            seen.append(str(error))
        assert current_task()._scope is current_scheduler().main_scope
        assert inner.cancel_called
        await checkpoint()
        inner.__exit__(None, None, None)
        await checkpoint()

    lines, seen = [], []
    drive(main)

    path, _, number = lines[0].rpartition(":")
    assert seen[0].startswith(f"{path}:{int(number) + 2}: ")
    assert "still open" in seen[0]


def test_children_of_an_abandoned_nursery_are_cancelled():
    async def child():
        try:
            await sleep_forever()
        finally:
            ended.append(1)

    async def main():
        outer = CancelScope()
        outer.__enter__()
        nursery = open_nursery()
        await nursery.__aenter__()
        nursery.start_soon(child)
        await checkpoint()
        with pytest.raises(MisuseError, match="still open"):
            outer.__exit__(None, None, None)
        assert await nursery.__aexit__(None, None, None)
        await checkpoint()

    ended = []
    drive(main)

    assert [1] == ended


def test_a_scope_left_in_another_task_is_told_and_stays():
    scopes = []

    async def owner():
        with CancelScope() as scope:
            scopes.append(scope)
            await sleep(5)
            assert current_task()._scope is scope

    async def other():
        await checkpoint()
        with pytest.raises(MisuseError, match=f"{__file__}.*entered by .*owner.*other"):
            scopes[0].__exit__(None, None, None)

    async def main():
        async with open_nursery() as nursery:
            nursery.start_soon(owner)
            nursery.start_soon(other)

    drive(main)


def test_a_generator_that_yields_inside_a_scope_is_told():
    async def numbers():
        with move_on_after(5):
            yield 1
            yield 2

    async def main():
        stream = numbers()
        try:
            with CancelScope():
                await anext(stream)
        finally:
            await stream.aclose()

    with pytest.raises(MisuseError, match="still open"):
        drive(main)


def test_a_scope_is_entered_once():
    async def main():
        scope = CancelScope()
        with scope:
            pass
        with pytest.raises(MisuseError, match="make a new one"), scope:
            pass
        with pytest.raises(MisuseError, match="not entered"):
            scope.__exit__(None, None, None)

    drive(main)


@pytest.mark.parametrize(
    "make",
    [
        lambda: move_on_after(-1),
        lambda: fail_after(float("nan")),
        lambda: CancelScope(relative_deadline=-1),
        lambda: CancelScope(deadline=1, relative_deadline=1),
        lambda: open_memory_channel(-1),
        lambda: open_memory_channel(0.5),
    ],
)
def test_values_that_cannot_be_are_refused(make):
    async def main():
        with pytest.raises(InvalidValueError):
            make()
        with pytest.raises(ValueError, match="NaN"):
            move_on_at(float("nan"))
        with pytest.raises(ValueError, match="negative"):
            await sleep(-1)
        await checkpoint()

    drive(main)


def test_a_deadline_is_absolute_or_relative_until_the_scope_is_entered():
    async def main():
        relative, absolute = CancelScope(relative_deadline=5), CancelScope(deadline=7)
        with pytest.raises(MisuseError, match="relative"):
            relative.deadline  # noqa: B018
        with pytest.raises(MisuseError, match="absolute"):
            absolute.relative_deadline  # noqa: B018
        await sleep(1)
        with relative, absolute:
            return (
                relative.deadline,
                relative.relative_deadline,
                absolute.deadline,
                absolute.relative_deadline,
            )

    assert (6.0, 5.0, 7.0, 6.0) == drive(main)


# -- locks --


def test_locks_say_who_may_not():
    async def main():
        lock, condition, event = Lock(), Condition(), Event()
        async with lock:
            with pytest.raises(MisuseError, match="already"):
                await lock.acquire()
        with pytest.raises(MisuseError, match="does not hold"):
            lock.release()
        with pytest.raises(MisuseError, match="hold the lock to wait"):
            await condition.wait()
        with pytest.raises(MisuseError, match="hold the lock to notify"):
            condition.notify()
        with pytest.raises(MisuseError, match="is_set"):
            bool(event)

    drive(main)


# -- the host's --


def test_evicted_schedulers_do_not_run():
    scheduler = parked(sleep_forever)
    scheduler.evict()
    scheduler.evict()

    with pytest.raises(MisuseError, match="was evicted"):
        scheduler.run()


def test_outcomes_are_values():
    error = ValueError()

    assert Returned(1) == Returned(1)
    assert Raised(error) == Raised(error)
    assert isinstance(Scheduler().main_scope, CancelScope)
    assert not hasattr(Nursery, "__dict__") or "__slots__" in vars(Nursery)
