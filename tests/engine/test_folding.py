"""Head facts told by the events alone: each wrong one is named; the rest is in `Driven.check_replay`."""

from __future__ import annotations

import pytest
from driven import START_NS, Driven, folded

from treadle import activity, workflow
from treadle.engine import HeadFold, Status
from treadle.events import EventKind, WorkflowEvent
from treadle.payloads import CodecChain, CodecContext, Encryption, KeyRing

RUNNING, HELD = int(Status.RUNNING), int(Status.HELD)


@activity.define
async def step() -> int:
    raise NotImplementedError


@workflow.define
async def works() -> int:
    return await workflow.activity(step)


@workflow.define
async def goes_on(number: int) -> int:
    await workflow.signals("go").receive()
    if number < 2:
        await workflow.continue_as_new(number + 1)
    with workflow.move_on_after(60):
        await workflow.signals("stop").receive()
    return number


@pytest.fixture
def waiting():
    """In its third run, waiting for a timer."""
    w = Driven(goes_on, 0)
    for _ in range(3):
        w.signal("go")
    return w


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": int(Status.COMPLETED)}, "is RUNNING, the head facts say COMPLETED"),
        ({"status": 77}, "is RUNNING, the head facts say 77"),
        ({"status": HELD}, "never, the head facts say at"),
        ({"run": 1}, "starts at seq 5, the head facts say 1"),
        ({"run": 2, "wake": 0}, "starts at seq 5, the head facts say 2"),
        ({"wake": None}, "the head facts say never"),
        ({"wake": START_NS}, f"the head facts say at {START_NS}"),
        ({"name": "other"}, "is of workflow 'goes_on', the head facts say 'other'"),
    ],
)
def test_what_the_log_does_not_say_is_a_problem(waiting, change, words):
    status, run, wake, name, details = waiting.execution.facts()
    kept = {"status": status, "run": run, "wake": wake, "name": name, **change}
    found = folded(waiting.log).problem((*kept.values(), details))

    assert words in found


def test_held_and_cut_off_by_a_crash_are_no_problem(waiting):
    fold = folded(waiting.log)
    run = waiting.execution.run_start_seq

    assert fold.problem((HELD, run, None, "goes_on", b"")) is None
    for known_run in (run, 1):
        assert fold.problem((RUNNING, known_run, 0, "goes_on", b"")) is None


def test_an_end_is_an_end():
    w = Driven(works, activities=[step])
    w.done(b"1")
    fold = folded(w.log)

    assert fold.problem((RUNNING, 1, 0, "works", b"")) is not None
    assert fold.problem((HELD, 1, None, "works", b"")) is not None
    assert fold.problem((int(Status.COMPLETED), 1, 0, "works", b"")) is not None


def test_of_encoded_payloads_status_and_run_are_known(waiting):
    """Neither deadlines nor the name can be read without the key, and nothing is guessed about them."""
    encode = CodecChain([Encryption(KeyRing({"k": bytes(range(64))}, current="k"))]).encode
    hidden = [
        WorkflowEvent(one.seq, one.timestamp, one.kind, encode(one.payload, CodecContext("w", one.seq)))
        for one in waiting.log
    ]
    fold, facts = folded(hidden), waiting.execution.facts()

    assert fold.problem(facts) is None
    assert fold.problem((RUNNING, 5, 123, "other", b"")) is None
    assert fold.problem((RUNNING, 1, 123, "goes_on", b"")) is not None
    assert fold.problem((int(Status.FAILED), 5, None, "goes_on", b"")) is not None


def test_a_plain_log_has_no_head_facts():
    fold = HeadFold()
    fold.add(WorkflowEvent(1, 0, EventKind.CUSTOM, b"x"))

    assert "no durable workflow" in fold.problem((RUNNING, 1, None, "works", b""))
