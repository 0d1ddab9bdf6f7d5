"""The guard: clocks, chance and the world inside workflow code fail on the spot, naming the line."""

from __future__ import annotations

import gc
import inspect
import random
import sys
import time
import uuid

import nondeterministic
import pytest

from treadle.testing import (
    EntropyError,
    QueryAt,
    SignalAt,
    Status,
    forbid_entropy,
    replay,
    returns,
    run_workflow,
)


def line_of(definition, text):
    lines, first = inspect.getsourcelines(definition.function)
    return next(first + number for number, line in enumerate(lines) if text in line)


@pytest.mark.parametrize(
    ("definition", "text", "call"),
    [
        (nondeterministic.asks_the_clock, "time.time()", "time.time()"),
        (nondeterministic.asks_an_imported_clock, "imported_time", "time.time()"),
        (nondeterministic.asks_the_date, "datetime.now", "datetime.now()"),
        (nondeterministic.draws, "random.random", "random.random()"),
        (nondeterministic.chooses, "random.choice", "random.getrandbits()"),
        (nondeterministic.draws_an_id, "uuid4", "uuid.uuid4()"),
        (nondeterministic.starts_a_thread, "thread.start", "threading.Thread.start()"),
        (nondeterministic.reads_a_file, "read_text", "open()"),
        (nondeterministic.swallows, "uuid4", "uuid.uuid4()"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_a_replay_cannot_repeat_fails_with_its_line(definition, text, call):
    """Also when the function was imported by name, and when the code swallows the error."""
    with pytest.raises(EntropyError) as caught:
        run_workflow(definition, activities={nondeterministic.step: "done"})

    assert call == caught.value.call
    assert f"{nondeterministic.__file__}:{line_of(definition, text)}" == caught.value.where
    assert caught.value.where in str(caught.value)


def test_query_is_guarded_too():
    with pytest.raises(EntropyError, match=r"time\.time"):
        run_workflow(
            nondeterministic.asks_the_clock_in_a_query, messages=[QueryAt(1, "age"), SignalAt(2, "end", 1)]
        )


def test_what_comes_from_the_log_is_allowed():
    """Also a side effect, seeded chance and what the logger does by itself."""
    assert 5 == len(run_workflow(nondeterministic.behaves).result)


def test_finalisers_may_do_as_they_like():
    """The collector and `__del__` run on top of whatever code they find."""

    def watch(_phase, _info):
        nondeterministic.drawn["collected at"] = time.time()

    gc.callbacks.append(watch)
    try:
        assert "went on" == run_workflow(nondeterministic.is_interrupted).result
    finally:
        gc.callbacks.remove(watch)
    assert {"gone at", "collected at"} <= nondeterministic.drawn.keys()


def test_activities_may_do_as_they_like():
    def scripted(_name: str) -> str:
        return f"{time.time()} {random.random()} {uuid.uuid4()}"

    assert (
        Status.COMPLETED
        is run_workflow(nondeterministic.orders_it_sorted, activities={"step": scripted}).status
    )


def test_guard_can_be_left_out():
    rehearsal = run_workflow(
        nondeterministic.asks_the_clock, activities={nondeterministic.step: "done"}, guard=False
    )

    assert "done" == rehearsal.result


def test_guard_stands_round_whatever_runs_workflow_code():
    rehearsal = run_workflow(
        nondeterministic.draws, activities={nondeterministic.step: returns("done")}, guard=False
    )

    with pytest.raises(EntropyError, match=r"random\.random"), forbid_entropy():
        replay(rehearsal, nondeterministic.draws)


def test_guard_leaves_everybody_else_alone():
    with forbid_entropy() as guard:
        assert time.time()
        assert uuid.uuid4()
        assert random.random() < 1

    assert [] == guard.violations


def test_guard_gives_the_hook_back():
    def hook(_frame, _event, _arg):
        pass

    sys.setprofile(hook)
    try:
        with forbid_entropy():
            pass
        assert hook is sys.getprofile()
    finally:
        sys.setprofile(None)
