"""Generated programs: whatever they do, crashes and evictions change nothing, and what they did replays."""

from __future__ import annotations

import os

import generated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treadle.testing import (
    CancelAt,
    QueryAt,
    SignalAt,
    TerminateAt,
    UpdateAt,
    crash_everywhere,
    evict_everywhere,
    hangs,
    raises,
    replay,
    returns,
    run_workflow,
)

SECONDS = st.integers(0, 6)
SIMPLE = st.one_of(
    st.tuples(st.sampled_from(["work", "errand"]), st.integers(0, 3), st.integers(0, 9), st.integers(0, 3)),
    st.tuples(st.just("sleep"), SECONDS),
    st.tuples(st.just("signal"), st.sampled_from("ab")),
    st.tuples(st.just("raise")),
    st.tuples(st.just("draw")),
)


def nested(steps):
    program = st.lists(steps, max_size=3)
    return st.one_of(
        st.tuples(st.sampled_from(["limit", "fail after"]), SECONDS, program),
        st.tuples(st.sampled_from(["shield", "child", "left child", "again"]), program),
        st.tuples(st.just("finally"), program, program),
        st.lists(program, min_size=1, max_size=3).map(lambda programs: ("together", *programs)),
        st.lists(program, min_size=1, max_size=3).map(lambda programs: ("race", *programs)),
    )


STEP = st.recursive(SIMPLE, nested, max_leaves=6)
PROGRAM = st.lists(STEP, min_size=1, max_size=4)
MESSAGES = st.lists(
    st.one_of(
        st.builds(SignalAt, SECONDS, st.sampled_from("ab"), st.sampled_from(["good", "bad"])),
        st.builds(CancelAt, SECONDS),
        st.builds(TerminateAt, SECONDS),
        st.builds(QueryAt, SECONDS, st.just("steps")),
        st.builds(lambda at, what: UpdateAt(at, "add", [what], id=f"{at}"), SECONDS, SIMPLE),
    ),
    max_size=5,
)


def play(number, seconds, failures):
    """The fourth number hangs; a failure fails every attempt of a call."""
    if number == 3:
        return hangs()
    return (
        raises(OSError("gone"), after_seconds=seconds) if failures == 3 else returns(1, after_seconds=seconds)
    )


def rehearse(program, messages, **options):
    scripts = {"work": play, "errand": play}
    return run_workflow(
        generated.carry_out, program, activities=scripts, messages=messages, until_seconds=300, **options
    )


@settings(
    max_examples=int(os.environ.get("GENERATED", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(PROGRAM, MESSAGES)
def test_nothing_comes_out_otherwise(program, messages):
    """Paranoid, crashed behind every append and every event, evicted at every wait, replayed at the end."""
    rehearsal = rehearse(program, messages, paranoid=True, guard=False)

    crash_everywhere(rehearsal)
    crash_everywhere(rehearsal, batch_events_max=1, every=2)
    evict_everywhere(rehearsal)
    replay(rehearsal, generated.carry_out, allow_cut=True)
