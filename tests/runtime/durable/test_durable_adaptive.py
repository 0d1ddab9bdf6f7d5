"""Retries that learn: what attempts come to is learned from the log, and outlives the process."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import json
from random import Random

import pytest
import trio
from board import board
from faulty import FaultyStore

from treadle import Projection, Projections, RuntimeConfig, activity, open_runtime, workflow
from treadle.engine.learning import Arm
from treadle.errors import StoreUnavailableError, WorkflowFailedError
from treadle.events import EventKind
from treadle.kernel import InlineKernel
from treadle.payloads import Encryption, KeyRing
from treadle.projections import RETRIES, retries

WAITS = (1, 10)


@activity.define(
    retry=activity.AdaptiveRetry(arms=WAITS, routes=("primary", "backup"), key=lambda host: host)
)
async def fetch(host: str) -> str:
    route = activity.info().route
    board.note(host, route)
    if route == "primary":
        raise OSError("unreachable")
    return route


@activity.define(retry=activity.AdaptiveRetry(arms=(0, 1), attempts=3, non_retryable=(KeyError,)))
async def call(what: str) -> str:
    board.note("call", activity.info().attempt)
    if what == "down":
        raise OSError(what)
    if what == "declined":
        raise KeyError(what)
    if what == "busy" and activity.info().attempt == 1:
        raise activity.ApplicationError("busy", retry_after_seconds=30)
    if what == "gate" and activity.info().attempt == 1:
        await board.wait("gate")
    return what


@workflow.define
async def fetching(host: str) -> str:
    return await workflow.activity(fetch, host)


@workflow.define
async def calling(what: str) -> str:
    return await workflow.activity(call, what)


FLOWS, ACTIVITIES = [fetching, calling], [fetch, call]


@pytest.fixture
def kernel() -> InlineKernel:
    """Chance that is the same in every run."""
    kernel = InlineKernel()
    kernel._random = Random(7)
    return kernel


async def payloads(runtime, workflow_id, *kinds):
    """The payloads of a log's events of some kinds."""
    events = runtime.workflow(workflow_id).read()
    return [json.loads(event.payload) async for event in events if event.kind in kinds]


def learned(runtime, name, key=""):
    """What is known, as the runner's next choice would be told."""
    return runtime._durable._learner.of(name, key)


async def until_learned(runtime):
    await trio.testing.wait_all_tasks_blocked()
    assert 0 == runtime.statistics().retries.behind


async def test_calls_go_where_they_have_come_through(opened, autojump_clock):
    async with opened(FLOWS, ACTIVITIES) as runtime:
        for number in range(30):
            handle = await runtime.start(fetching, "eu", id=f"w-{number}")
            assert "backup" == await handle.result()
            await until_learned(runtime)
        lessons = {lesson.arm: lesson for lesson in learned(runtime, "fetch", "eu").lessons}

    assert 30 == lessons[Arm("backup")].successes
    assert lessons[Arm("primary")].failures < 10


async def test_what_was_learned_is_there_at_once_after_a_restart(opened, autojump_clock):
    async with opened(FLOWS, ACTIVITIES) as runtime:
        await (await runtime.start(fetching, "eu", id="w")).result()
        await until_learned(runtime)
        before = learned(runtime, "fetch", "eu")
    async with opened(FLOWS, ACTIVITIES) as runtime:
        assert before == learned(runtime, "fetch", "eu") is not None


async def test_each_key_learns_by_itself(opened, autojump_clock):
    async with opened(FLOWS, ACTIVITIES) as runtime:
        await (await runtime.start(fetching, "eu", id="w")).result()
        await until_learned(runtime)

        assert learned(runtime, "fetch", "us") is None
        assert learned(runtime, "call") is None


async def test_the_choice_stands_in_the_event_that_uses_it_and_its_trial_in_the_one_that_ends_it(
    opened, autojump_clock
):
    async with opened(FLOWS, ACTIVITIES) as runtime:
        for number in range(5):
            await (await runtime.start(fetching, "eu", id=f"w-{number}")).result()
        all_of_them = [
            await payloads(
                runtime,
                f"w-{number}",
                EventKind.ACTIVITY_SCHEDULED,
                EventKind.ACTIVITY_ATTEMPT_FAILED,
                EventKind.ACTIVITY_COMPLETED,
            )
            for number in range(5)
        ]

    for first, *ends in all_of_them:
        choice = first["choice"]
        for end in ends:
            assert {"activity": "fetch", "half_life_ns": 7200 * 10**9} | choice == end["trial"]
            choice = end.get("choice")


async def test_what_no_other_arm_would_have_changed_teaches_nothing(opened, autojump_clock):
    async with opened(FLOWS, ACTIVITIES) as runtime:
        with pytest.raises(WorkflowFailedError):
            await (await runtime.start(calling, "declined", id="declined")).result()
        await until_learned(runtime)

        assert learned(runtime, "call") is None


async def test_each_workflow_has_chances_of_its_own(opened, autojump_clock):
    """Those that fail together do not all come back together."""
    async with opened(FLOWS, ACTIVITIES) as runtime:
        for number in range(8):
            await runtime.start(calling, "down", id=f"w-{number}")
        await trio.sleep(10)
        failed = [
            await payloads(runtime, f"w-{number}", EventKind.ACTIVITY_ATTEMPT_FAILED) for number in range(8)
        ]

    assert 2 <= len({first["choice"].get("delay_ns", 0) for first, *_ in failed})


async def test_a_wait_that_the_failure_asks_for_is_kept_and_is_no_arms(opened, autojump_clock):
    async with opened(FLOWS, ACTIVITIES) as runtime:
        start = trio.current_time()
        await (await runtime.start(calling, "busy", id="busy")).result()
        assert 30 == round(trio.current_time() - start)
        await until_learned(runtime)

        assert [Arm()] == [lesson.arm for lesson in learned(runtime, "call").lessons]


class CutStore(FaultyStore):
    """Takes nothing any more once it is cut, as if the process had ended there."""

    is_cut = False

    async def append(self, units):
        if self.is_cut:
            raise StoreUnavailableError("cut off")
        return await super().append(units)


def over(store, kernel, **options):
    config = RuntimeConfig(close_timeout_seconds=1, poll_seconds=3600)
    return open_runtime(
        store, workflows=FLOWS, activities=ACTIVITIES, kernel=kernel, config=config, **options
    )


async def test_an_attempt_lost_with_its_process_is_made_again_as_it_was_and_teaches_nothing(
    kernel, autojump_clock
):
    store = CutStore(kernel)
    async with over(store, kernel) as runtime:
        await runtime.start(calling, "gate", id="w")
        await board.wait_for_arrival("gate")
        store.is_cut = True
    store.is_cut = False
    async with over(store, kernel) as runtime:
        assert "gate" == await runtime.workflow("w").result()
        lost, end = await payloads(
            runtime, "w", EventKind.ACTIVITY_ATTEMPT_FAILED, EventKind.ACTIVITY_COMPLETED
        )
        await until_learned(runtime)

        assert lost["lost"]
        assert not {"trial", "choice"} & set(lost)
        assert {"activity", "key", "half_life_ns"} == set(end["trial"]), "the arm of the first attempt"
        assert [1] == [lesson.successes for lesson in learned(runtime, "call").lessons]


async def test_it_learns_through_codecs(kernel, autojump_clock):
    codecs = [Encryption(KeyRing({"k": bytes(range(64))}, current="k"))]
    store = FaultyStore(kernel)
    for _ in range(2):
        async with over(store, kernel, codecs=codecs) as runtime:
            await runtime.start(fetching, "eu", id="w", id_policy="allow_when_closed")
            assert "backup" == await runtime.workflow("w").result()
            await until_learned(runtime)
            found = learned(runtime, "fetch", "eu")

    assert 2 == sum(lesson.successes for lesson in found.lessons)


async def test_it_stands_beside_projections_of_the_users_own(kernel, autojump_clock):
    mine = Projections(Projection("count", int, lambda state, _: state + 1))
    store = FaultyStore(kernel)
    async with over(store, kernel, projections=mine) as runtime:
        await (await runtime.start(fetching, "eu", id="w")).result()
        await mine.caught_up()
        await until_learned(runtime)
        statistics = runtime.statistics()

    assert "count" == statistics.projections[0].name
    assert RETRIES == statistics.retries.name


async def test_a_runtime_whose_retries_learn_nothing_keeps_nothing_up(kernel):
    async with open_runtime(FaultyStore(kernel), workflows=[calling], kernel=kernel) as runtime:
        assert runtime.statistics().retries is None


async def test_what_was_learned_is_what_the_log_teaches(opened, autojump_clock):
    """The duality holds: kept up while it ran, or folded from the log's first event on."""
    async with opened(FLOWS, ACTIVITIES) as runtime:
        for number in range(10):
            await (await runtime.start(fetching, "eu", id=f"w-{number}")).result()
        await trio.sleep(2)  # it is written each second
        projections = runtime._durable._learner.projections
        (verdict,) = await projections.verify(RETRIES)

    assert verdict.same, verdict
    assert (1, 0) == (verdict.keys, verdict.from_position)
    assert retries().name == RETRIES
