"""The scheduler: what the host tells it, what it tells the host."""

import gc
import weakref
from contextvars import Context, ContextVar

import pytest
from driving import drive, parked, run_to_the_end

from treadle.engine.driver import (
    Cancelled,
    CancelScope,
    MisuseError,
    Raised,
    Returned,
    Scheduler,
    StuckError,
    checkpoint,
    current_scheduler,
    current_task,
    current_time,
    move_on_after,
    open_nursery,
    park,
    sleep,
    sleep_forever,
    wait_until,
)
from treadle.errors import InternalError, UsageError

SECOND = 10**9


def yes():
    return True


class Desk:
    """A host's primitive: tasks wait here until the test resumes them."""

    def __init__(self, *, abort=yes):
        self.waiting = []
        self.abort = abort

    async def wait(self):
        self.waiting.append(current_task())
        return await park(self.abort, "the desk")


# -- park and resume --


def test_a_parked_task_gets_what_it_is_resumed_with():
    desk = Desk()
    scheduler = parked(desk.wait)
    scheduler.resume(desk.waiting[0], 42)
    scheduler.run()

    assert Returned(42) == scheduler.main_outcome


def test_an_error_comes_out_where_the_task_waits():
    desk = Desk()

    async def main():
        try:
            {}["missing"]
        except KeyError:
            await desk.wait()

    scheduler = parked(main)
    error = ValueError("late")
    scheduler.resume_error(desk.waiting[0], error)
    scheduler.run()

    assert Raised(error) == scheduler.main_outcome
    assert isinstance(error.__context__, KeyError)


def test_a_task_is_resumed_once():
    desk = Desk()
    scheduler = parked(desk.wait)
    scheduler.resume(desk.waiting[0])

    with pytest.raises(MisuseError, match="not parked"):
        scheduler.resume(desk.waiting[0])


def test_a_parked_task_does_not_keep_what_it_was_given():
    desk = Desk()

    class Thing:
        pass

    async def main():
        await desk.wait()
        await desk.wait()

    scheduler = parked(main)
    thing = Thing()
    ghost = weakref.ref(thing)
    scheduler.resume(desk.waiting[0], thing)
    del thing
    scheduler.run()

    assert ghost() is None
    scheduler.evict()


def test_an_abort_that_says_true_ends_the_wait():
    aborts = []
    desk = Desk(abort=lambda: aborts.append(1) or True)

    async def main():
        with CancelScope() as scope:
            scopes.append(scope)
            await desk.wait()
        return scope.cancelled_caught

    scopes = []
    scheduler = parked(main)
    scopes[0].cancel()
    scheduler.run()

    assert Returned(True) == scheduler.main_outcome
    assert [1] == aborts


def test_an_abort_that_says_false_is_asked_once_and_the_wait_goes_on():
    aborts = []
    desk = Desk(abort=lambda: aborts.append(1))

    async def main():
        with CancelScope() as scope:
            value = await desk.wait()
        return value, scope.cancelled_caught

    scheduler = parked(main)
    scheduler.main_scope.cancel()
    scheduler.run()
    scheduler.main_scope.shield = True
    scheduler.main_scope.shield = False
    assert scheduler.main_outcome is None

    scheduler.resume(desk.waiting[0], "done")
    scheduler.run()

    assert Returned(("done", False)) == scheduler.main_outcome
    assert [1] == aborts


def test_a_wait_inside_a_cancelled_scope_is_aborted_at_once():
    aborts = []
    desk = Desk(abort=lambda: aborts.append(1) or True)

    async def main():
        with CancelScope() as scope:
            scope.cancel()
            await desk.wait()

    drive(main)

    assert [1] == aborts


# -- rounds --


def test_tasks_run_first_come_first_served():
    order = []

    async def child(name):
        order.append(name)
        await checkpoint()
        order.append(name)

    async def main():
        async with open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(child, name)

    drive(main)

    assert list("abcabc") == order


def test_endless_steps_are_stopped_and_the_line_is_named():
    async def main():
        while True:
            await checkpoint()

    scheduler = Scheduler(steps_max=100)
    scheduler.start_main(main)
    line = main.__code__.co_firstlineno + 2

    with pytest.raises(StuckError, match=rf"{__file__}:{line}"):
        scheduler.run()
    with pytest.raises(MisuseError, match="stopped it in the middle"):
        scheduler.run()
    scheduler.evict()
    assert scheduler.main_outcome is None


def test_steps_are_counted_between_two_waits_only():
    async def main():
        for _ in range(50):
            await sleep(1)

    drive(main, steps_max=20)


def test_a_stopped_program_is_not_the_workflows_error():
    async def main():
        raise KeyboardInterrupt

    scheduler = Scheduler()
    scheduler.start_main(main)

    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    assert scheduler.main_outcome is None
    with pytest.raises(MisuseError):
        scheduler.run()
    scheduler.evict()


def test_a_workflow_cannot_run_its_own_scheduler():
    async def main():
        with pytest.raises(MisuseError):
            current_scheduler().run()
        with pytest.raises(MisuseError):
            current_scheduler().evict()

    drive(main)


# -- time --


def test_all_due_scopes_are_marked_before_any_task_runs_and_the_outer_one_catches():
    async def main():
        with move_on_after(5) as outer:
            with move_on_after(5) as inner:
                await sleep_forever()
            await checkpoint()
            return "went on"
        return outer.cancelled_caught, inner.cancelled_caught

    assert (True, False) == drive(main)


def test_of_two_due_scopes_the_earlier_is_marked_first():
    async def main():
        with CancelScope(deadline=3) as outer, CancelScope(deadline=2) as inner:
            try:
                await sleep_forever()
            except Cancelled as cancelled:
                texts.append(str(cancelled))
                raise
        return outer.cancel_called, inner.cancel_called, inner.cancelled_caught

    texts = []
    scheduler = parked(main)
    scheduler.now_ns = 10 * SECOND
    scheduler.fire(10 * SECOND)
    scheduler.run()

    assert Returned((True, True, False)) == scheduler.main_outcome
    assert ["the deadline has passed"] == texts


def test_what_is_not_yet_due_stays_armed():
    scheduler = parked(sleep, 2)
    scheduler.fire(2 * SECOND - 1)

    assert [2 * SECOND] == list(scheduler.deadlines.values())
    scheduler.fire(2 * SECOND)
    assert [] == list(scheduler.deadlines)
    scheduler.evict()


def test_deadlines_are_those_of_entered_uncancelled_scopes_in_order_of_arming():
    async def main():
        CancelScope(deadline=1)  # never entered
        with (
            CancelScope(deadline=9) as moved,
            CancelScope(deadline=8),
            CancelScope(),
            move_on_after(7) as gone,
        ):
            gone.cancel()
            with move_on_after(6):
                pass  # left
            moved.deadline = 5
            with CancelScope(shield=True):
                await sleep_forever()

    scheduler = parked(main)

    assert [8 * SECOND, 5 * SECOND] == list(scheduler.deadlines.values())
    scheduler.evict()


def test_changes_of_deadlines_are_noted_for_a_host_that_asks():
    async def main():
        with move_on_after(4) as kept, move_on_after(5):
            scopes.append(kept)
            with move_on_after(6):
                pass
            await sleep_forever()

    scopes = []
    scheduler = Scheduler()
    scheduler.deadline_changes = {}
    scheduler.start_main(main)
    scheduler.run()
    noted = [(before, scheduler.deadlines.get(scope)) for scope, before in scheduler.deadline_changes.items()]
    assert [(None, 4 * SECOND), (None, 5 * SECOND), (None, None)] == noted

    scheduler.deadline_changes.clear()
    scopes[0].deadline = 9
    scopes[0].deadline = 3
    assert {scopes[0]: 4 * SECOND} == scheduler.deadline_changes
    scheduler.evict()


def test_time_counts_from_the_start_and_keeps_nanoseconds():
    start_ns = 1_760_000_000_123_456_789

    async def main():
        before = current_time()
        await sleep(0.1)
        with CancelScope(deadline=current_time() + 0.2):
            seen.append(current_scheduler().deadlines[current_task()._scope])
            await sleep_forever()
        return before, current_time()

    seen = []
    scheduler = Scheduler()
    scheduler.now_ns = start_ns
    scheduler.start_main(main)
    run_to_the_end(scheduler)

    assert Returned((0.0, 0.3)) == scheduler.main_outcome
    assert [start_ns + 300_000_000] == seen


def test_a_deadline_in_the_far_future_is_none():
    scheduler = parked(sleep, 1e300)

    assert {} == scheduler.deadlines
    scheduler.evict()


# -- main --


def test_an_error_leaves_main_with_the_users_frames_only():
    async def main():
        raise ValueError

    scheduler = parked(main)

    assert "main" == scheduler.main_outcome.exception.__traceback__.tb_frame.f_code.co_name


def test_a_cancel_request_unwinds_main():
    scheduler = parked(sleep_forever)
    scheduler.main_scope.cancel("closing time")
    scheduler.run()

    assert "closing time" == str(scheduler.main_outcome.exception)
    assert isinstance(scheduler.main_outcome.exception, Cancelled)


def test_a_cancelled_main_that_returns_has_returned():
    async def main():
        try:
            await sleep_forever()
        finally:
            return "tidied"  # noqa: B012

    scheduler = parked(main)
    scheduler.main_scope.cancel()
    scheduler.run()

    assert Returned("tidied") == scheduler.main_outcome


def test_a_cancelled_nursery_leaves_main_as_cancelled():
    async def main():
        async with open_nursery() as nursery:
            nursery.start_soon(sleep_forever)
            nursery.start_soon(sleep_forever)

    scheduler = parked(main)
    scheduler.main_scope.cancel()
    scheduler.run()

    assert Cancelled is type(scheduler.main_outcome.exception)


def test_an_error_during_the_unwinding_is_what_main_ends_with():
    async def child():
        try:
            await sleep_forever()
        finally:
            raise ValueError

    async def main():
        async with open_nursery() as nursery:
            nursery.start_soon(sleep_forever)
            nursery.start_soon(child)

    scheduler = parked(main)
    scheduler.main_scope.cancel()
    scheduler.run()

    error = scheduler.main_outcome.exception
    assert [ValueError] == [type(part) for part in error.exceptions]


def test_main_is_started_once():
    scheduler = parked(sleep_forever)

    with pytest.raises(UsageError, match="runs one workflow"):
        scheduler.start_main(sleep_forever)
    scheduler.evict()


# -- system tasks --


def test_a_system_task_outlives_main_and_is_cancelled_with_it():
    async def main():
        return 1

    scheduler = Scheduler()
    scheduler.start_main(main)
    task = scheduler.spawn_system(sleep_forever)
    scheduler.run()
    assert Returned(1) == scheduler.main_outcome
    assert (task,) == scheduler.system_tasks

    scheduler.main_scope.cancel()
    scheduler.run()
    assert () == scheduler.system_tasks


def test_a_system_task_that_lets_an_error_out_is_our_fault():
    async def handler():
        raise ValueError("unhandled")

    scheduler = parked(sleep_forever)
    scheduler.spawn_system(handler)

    with pytest.raises(InternalError, match="handler"):
        scheduler.run()
    scheduler.evict()


# -- wait_until --


def test_predicates_are_tried_in_order_when_nobody_is_ready_and_one_wakes_at_a_time():
    order = []
    state = {"token": 0}

    async def waiter(name):
        await wait_until(lambda: state["token"] > 0)
        state["token"] -= 1
        order.append(name)
        await checkpoint()
        order.append(name + " again")
        state["token"] += 1

    async def main():
        async with open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(waiter, name)
            await checkpoint()
            state["token"] = 1
            order.append("given")
            await checkpoint()
            order.append("nobody woke while somebody was ready")

    drive(main)

    assert [
        "given", "nobody woke while somebody was ready", "a", "a again", "b", "b again", "c", "c again",
    ] == order  # fmt: skip


def test_a_predicate_sees_what_the_host_changed():
    state = []
    scheduler = parked(wait_until, lambda: state)
    scheduler.run()
    assert scheduler.main_outcome is None

    state.append(1)
    scheduler.run()
    assert Returned(None) == scheduler.main_outcome


def test_a_predicate_that_fails_fails_its_task():
    async def main():
        with pytest.raises(ZeroDivisionError):
            await wait_until(lambda: 1 / 0)

    drive(main)


def test_a_cancelled_predicate_is_not_tried_again():
    tried = []

    async def main():
        with move_on_after(1):
            await wait_until(lambda: tried.append(1))
        tried.clear()
        await sleep(1)

    drive(main)

    assert [] == tried


def test_a_predicate_that_wakes_somebody_for_ever_is_stopped():
    async def main():
        async with open_nursery() as nursery:
            nursery.start_soon(spinner)
            await wait_until(lambda: turns.append(1))

    async def spinner():
        while True:
            turns.clear()
            await wait_until(lambda: turns)

    turns = [1]
    scheduler = Scheduler(steps_max=50)
    scheduler.start_main(main)

    with pytest.raises(StuckError):
        scheduler.run()
    scheduler.evict()


def test_a_predicate_runs_in_its_tasks_context():
    variable = ContextVar("variable")

    async def main():
        variable.set(5)
        await wait_until(lambda: variable.get() == 5 and current_time() == 0)

    drive(main)


# -- contexts --


def test_each_task_has_a_context_and_children_copy_their_starters():
    variable = ContextVar("variable", default="outside")
    seen = []

    async def child(name):
        seen.append((name, variable.get()))
        variable.set(name)
        await checkpoint()
        seen.append((name, variable.get()))

    async def main():
        seen.append(("main", variable.get()))
        variable.set("main")
        async with open_nursery() as nursery:
            nursery.start_soon(child, "a")
            nursery.start_soon(child, "b")
        seen.append(("main", variable.get()))

    variable.set("the host's")
    drive(main)

    assert [
        ("main", "outside"), ("a", "main"), ("b", "main"), ("a", "a"), ("b", "b"), ("main", "main"),
    ] == seen  # fmt: skip
    assert "the host's" == variable.get()


def test_a_host_may_hand_in_a_context():
    variable = ContextVar("variable", default="outside")
    context = Context()
    context.run(variable.set, "given")

    async def main():
        value = variable.get()
        variable.set("changed")
        return value

    assert "given" == drive(main, context=context)
    assert "given" == context.run(variable.get)


# -- what is left behind --


def test_an_ended_workflow_leaves_nothing_for_the_garbage_collector():
    class Thing:
        pass

    async def child(thing):
        try:
            await checkpoint()
            raise ValueError(thing)
        finally:
            await checkpoint()

    async def main():
        try:
            async with open_nursery() as nursery:
                with move_on_after(3):
                    nursery.start_soon(child, things[0])
                    await sleep_forever()
        except* ValueError:
            pass

    things = [Thing()]
    ghost = weakref.ref(things[0])
    gc.collect()
    gc.disable()
    try:
        scheduler = Scheduler()
        task = weakref.ref(scheduler.start_main(main))
        run_to_the_end(scheduler)
        scheduler_ghost = weakref.ref(scheduler)
        things.clear()
        scheduler.evict()
        assert Returned(None) == scheduler.main_outcome
        del scheduler
        left = [ghost(), task(), scheduler_ghost()]
    finally:
        gc.enable()

    assert [None, None, None] == left
