"""Retries that choose, in a log: what was chosen counts, whoever replays it and whatever is known by then."""

import pytest
from driven import CONVERTER, SEED, START_NS, Driven, record_of

from treadle import activity, workflow
from treadle.engine import AttemptFailed, Execution, Failure, Registry, Start
from treadle.engine.learning import Arm, Choice, Experience, Lesson
from treadle.engine.learning.decay import ONE
from treadle.errors import NondeterminismError, WorkflowHeldError


class Sure:
    """Knows that only one route comes through."""

    def __init__(self, route):
        arm = Arm(route)
        self.experience = Experience("call", "eu", 1, (Lesson(arm, 10**6 * ONE, 0, 10**19, 10**6),))

    def of(self, activity, key):
        assert ("call", "eu") == (activity, key)
        return self.experience


@activity.define(retry=activity.AdaptiveRetry(arms=(1, 10), routes=("a", "b"), key=lambda host, *_: host))
async def call(host: str, number: int = 0) -> str: ...


@activity.define(name="call")
async def plain_call(host: str, number: int = 0) -> str: ...


@workflow.define(name="calling")
async def calling() -> str:
    return await workflow.activity(call, "eu")


@workflow.define(name="calling")
async def calling_plainly() -> str:
    return await workflow.activity(plain_call, "eu")


@workflow.define(name="calling")
async def calling_otherwise() -> str:
    return await workflow.activity(call, "us")


@workflow.define
async def calling_once_more() -> str:
    workflow.random().random()
    first = await workflow.activity(call, "eu")
    return first + await workflow.activity(call, "eu", 1)


@workflow.define
async def calling_often() -> None:
    async with workflow.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(workflow.activity, call, "eu")


@activity.define(retry=activity.AdaptiveRetry(arms=1, key=lambda host: host["name"]))
async def misnamed(host: str) -> str: ...


@workflow.define
async def calling_misnamed() -> str:
    return await workflow.activity(misnamed, "eu")


def execution_of(definition, called, known):
    registry = Registry([definition], [called], CONVERTER)
    return Execution(definition, "w", registry, CONVERTER, known=known)


def begun(definition, known, called=call):
    execution = execution_of(definition, called, known)
    events = execution.activate(Start(b"[]", SEED), START_NS).events
    return execution, events


@pytest.mark.parametrize("route", ["a", "b"])
def test_the_first_attempts_choice_is_made_by_what_is_known_and_written_before_the_arguments(route):
    execution, events = begun(calling, Sure(route))

    assert Choice("eu", route) == record_of(events[1]).choice
    assert events[1].payload.endswith(b'"choice":{"key":"eu","route":"%s"},"args":["eu"]}' % route.encode())
    execution.evict()


def test_replayed_by_somebody_who_knows_better_it_is_the_same_choice():
    before, events = begun(calling, Sure("a"))
    again = execution_of(calling, call, Sure("b"))
    again.replay(events)
    assert again.finish_replay() is None

    (pending,) = again.activities.values()
    assert Choice("eu", "a") == pending.choice
    assert again.drifts == ()
    for execution in (before, again):
        execution.evict()


def test_the_chance_of_a_choice_is_the_runs_and_no_others():
    """Cut anywhere and made again, an activation chooses the same; the code's own numbers move nothing."""
    w = Driven(calling_once_more, activities=[call])
    w.done("x")
    w.done("y")

    w.check_cuts()


def test_each_call_has_chances_of_its_own():
    w = Driven(calling_often, activities=[call])

    assert {"a", "b"} == {pending.choice.route for pending in w.execution.activities.values()}


def test_code_that_learns_no_longer_or_only_now_drifts_and_what_is_written_counts():
    adaptive, events = begun(calling, Sure("a"))
    plainly = execution_of(calling_plainly, plain_call, Sure("b"))
    plainly.replay(events)
    plainly.finish_replay()

    assert {"options", "choice"} == {drift.field for drift in plainly.drifts}
    (pending,) = plainly.activities.values()
    assert (1, 10) == pending.options.retry.arms

    plain, events = begun(calling_plainly, Sure("a"), plain_call)
    learning = execution_of(calling, call, Sure("b"))
    learning.replay(events)
    learning.finish_replay()

    assert {"options"} == {drift.field for drift in learning.drifts}
    (pending,) = learning.activities.values()
    assert pending.choice is None
    for execution in (adaptive, plainly, plain, learning):
        execution.evict()


def test_other_arguments_diverge_as_ever():
    before, events = begun(calling, Sure("a"))
    again = execution_of(calling_otherwise, call, Sure("a"))
    again.replay(events)
    with pytest.raises(NondeterminismError, match='argument 1: "eu" -> "us"'):
        again.finish_replay()
    before.evict()


def test_a_key_that_cannot_be_told_holds_the_workflow_until_it_is_mended():
    execution = execution_of(calling_misnamed, misnamed, Sure("a"))
    with pytest.raises(WorkflowHeldError, match=r"test_execution_adaptive.*AdaptiveRetry\.key.*TypeError"):
        execution.activate(Start(b"[]", SEED), START_NS)


def test_failures_are_counted_by_route_and_lost_attempts_are_not():
    w = Driven(calling, activities=[call])
    seq = w.open()
    first = w.execution.activities[seq].choice.route
    for attempt, (lost, choice) in enumerate(
        [(False, Choice("eu", "b")), (True, None), (False, Choice("eu", "a", 1, 10))], start=1
    ):
        w.give(AttemptFailed(seq, attempt, Failure("E", ""), START_NS, lost, choice))
    pending = w.execution.activities[seq]

    assert {first: 1} | {"b": 1 + (first == "b")} == pending.failed_on
    assert Choice("eu", "a", 1, 10) == pending.choice
