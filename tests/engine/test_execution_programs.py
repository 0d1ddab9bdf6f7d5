"""Any program under any inputs: replayed from scratch after each, and completed wherever its log is cut."""

import random

import hypothesis.strategies as st
import pytest
from driven import SECOND, START_NS, Driven
from hypothesis import given, settings

from treadle import activity, workflow
from treadle.engine import ActivityDone, Completed, EndedByCancel, Failed, Failure, Status, TimersFired
from treadle.engine.inputs import AttemptFailed
from treadle.errors import ActivityError, ChildWorkflowError

STEPS_MAX = 25


@activity.define
async def work(value: int) -> int: ...


@activity.define(on_cancel="abandon")
async def leave(value: int) -> int: ...


@workflow.define
async def other(value: int) -> int: ...


@workflow.define
async def interpreter(program: list, lives: int = 2) -> list:
    """Carry a generated program out."""
    trace = []
    workflow.set_query("trace", lambda: trace)

    async def update(value: int) -> int:
        trace.append(["update", value])
        return await workflow.activity(work, value)

    workflow.set_update("work", update)
    await _run(program, trace, program, lives)
    return trace


async def _run(ops, trace, program, lives):
    for op, *rest in ops:
        trace.append([op, workflow.time_ns()])
        await OPS[op](rest, trace, program, lives)


async def _act(rest, trace, *_):
    trace.append(await workflow.activity(work, rest[0]))


async def _leave(rest, trace, *_):
    trace.append(await workflow.activity(leave, rest[0]))


async def _sleep(rest, *_):
    await workflow.sleep(rest[0])


async def _limit(rest, trace, *more):
    with workflow.move_on_after(rest[0]) as scope:
        await _run(rest[1], trace, *more)
    trace.append(scope.cancelled_caught)


async def _nursery(rest, trace, *more):
    async with workflow.open_nursery() as nursery:
        for ops in rest[0]:
            nursery.start_soon(_run, ops, trace, *more)


async def _cancelled_nursery(rest, trace, *more):
    async with workflow.open_nursery() as nursery:
        for ops in rest[0]:
            nursery.start_soon(_run, ops, trace, *more)
        await workflow.checkpoint()
        nursery.cancel_scope.cancel()


async def _signal(_rest, trace, *_):
    trace.append(await workflow.signals("x").receive())


async def _try(rest, trace, *more):
    try:
        await _run(rest[0], trace, *more)
    except (ActivityError, ChildWorkflowError, ValueError) as error:
        trace.append(type(error).__name__)


async def _clean(rest, trace, *more):
    try:
        await _run(rest[0], trace, *more)
    finally:
        with workflow.CancelScope(shield=True):
            await _run(rest[1], trace, *more)


async def _fail(*_):
    raise ValueError("as generated")


async def _draw(_rest, trace, *_):
    trace.append([workflow.random().random(), str(workflow.uuid4()), workflow.patched("p")])
    trace.append(workflow.side_effect(lambda: 7))


async def _child(rest, trace, *_):
    trace.append(await workflow.child(other, rest[0]))


async def _start(rest, *_):
    handle = workflow.start_child(other, 1, parent_close=rest[0])
    workflow.signal_external("someone", "x", handle.id)


async def _again(_rest, _trace, program, lives):
    if lives:
        await workflow.continue_as_new(program, lives - 1)


OPS = {
    "act": _act, "leave": _leave, "sleep": _sleep, "limit": _limit, "nursery": _nursery,
    "cancelled_nursery": _cancelled_nursery, "signal": _signal, "try": _try, "clean": _clean, "fail": _fail,
    "draw": _draw, "child": _child, "start": _start, "again": _again,
}  # fmt: skip

_numbers = st.integers(0, 3)
_times = st.sampled_from((0, 1, 1, 2, 3.5))
_leaves = st.one_of(
    st.tuples(st.just("act"), _numbers),
    st.tuples(st.just("act"), _numbers),
    st.tuples(st.just("leave"), _numbers),
    st.tuples(st.just("sleep"), _times),
    st.tuples(st.sampled_from(("signal", "fail", "draw", "again"))),
    st.tuples(st.just("child"), _numbers),
    st.tuples(st.just("start"), st.sampled_from(("request_cancel", "terminate", "abandon"))),
)


def _blocks(ops):
    several = st.lists(ops, min_size=1, max_size=3)
    return st.one_of(
        st.tuples(st.just("limit"), _times, several),
        st.tuples(
            st.sampled_from(("nursery", "cancelled_nursery")), st.lists(several, min_size=1, max_size=3)
        ),
        st.tuples(st.just("try"), several),
        st.tuples(st.just("clean"), several, several),
    )


programs = st.lists(st.recursive(_leaves, _blocks, max_leaves=12), min_size=1, max_size=4)


def choices(w, draw):
    """What could happen next."""
    execution = w.execution
    after_ns = w.now_ns + draw.choice((0, 0, SECOND // 2, SECOND, 2 * SECOND))
    found = [(TimersFired(after_ns), after_ns)]
    for seq, pending in execution.activities.items():
        outcomes = [Completed(b"%d" % draw.randrange(9)), Failed(Failure("Declined", "no"))]
        if pending.is_cancelling:
            outcomes.append(EndedByCancel())
        found.append((ActivityDone(seq, draw.choice(outcomes)), after_ns))
        attempt = pending.attempts_failed + 1
        found.append((AttemptFailed(seq, attempt, Failure("Lost", "no"), after_ns + SECOND), after_ns))
    return found


def one_step(w, draw):
    kind = draw.randrange(10)
    if kind < 7:
        given, w.now_ns = draw.choice(choices(w, draw))
        w.give(given)
    elif kind == 7:
        w.signal("x", draw.randrange(9))
    elif w.execution.children and kind == 8:
        seq = draw.choice(list(w.execution.children))
        if draw.random() < 0.5:
            w.child_done(draw.randrange(9), seq=seq)
        else:
            w.child_failed(draw.choice(("failed", "cancelled")), seq=seq)
    elif draw.random() < 0.3:
        w.update(f"u{draw.randrange(3)}", "work", 5)
    elif draw.random() < 0.2:
        w.cancel("generated")


def lived(program, seed):
    draw = random.Random(seed)
    w = Driven(interpreter, program, activities=[work, leave], workflows=[other])
    for _ in range(STEPS_MAX):
        if w.status is not Status.RUNNING:
            break
        if draw.random() < 0.1:
            w.reload()
        one_step(w, draw)
    assert w.now_ns >= START_NS
    return w


@settings(max_examples=30, deadline=None)  # and 1,500 below
@given(programs, st.integers(0, 2**32))
def test_any_life_is_replayed_to_the_same(program, seed):
    """After each input two replays (at once, event by event) stand where the live workflow stands."""
    w = lived(program, seed)
    w.check_cuts()
    w.evict()


@settings(max_examples=40, deadline=None)
@given(programs, st.integers(0, 2**32))
def test_the_same_life_is_the_same_log(program, seed):
    assert lived(program, seed).log == lived(program, seed).log


@pytest.mark.slow
@settings(max_examples=1_000, deadline=None)
@given(programs, st.integers(0, 2**32))
def test_thousands_of_lives(program, seed):
    lived(program, seed).check_cuts()
