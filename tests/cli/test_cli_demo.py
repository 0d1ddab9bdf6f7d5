"""`treadle demo`: the main job, small."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
import trio

from treadle.cli.demo import acts
from treadle.cli.demo.acts import Story, check, look, replay, send_again
from treadle.cli.demo.orders import Plan, owner
from treadle.cli.processes import module_process
from treadle.events import EventKind
from treadle.runtime import open_runtime

SMALL = ("demo", "--workflows", "40", "--events", "10", "--seed", "1")


def test_the_demo_kills_recovers_and_checks(treadle):
    ran = treadle(*SMALL, "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    told = ran.json
    assert told["ok"] is True
    assert set(told["promises"].values()) == {0}
    assert (told["workflows"], told["events"], told["seed"]) == (40, 400, 1)
    assert 200 <= told["acknowledged_before_kill"] <= told["found_after_kill"] <= 400
    assert told["repeated"] >= 1
    # Each writer that had begun repeats its last acknowledged event.
    assert 1 <= told["sent_again"] - (400 - told["acknowledged_before_kill"]) <= 40


def test_the_demo_prints_a_table_with_its_verdict_and_keeps_a_store_it_was_given(treadle):
    ran = treadle(*SMALL, "--store", "kept.db")

    assert ran.code == 0
    assert "killed with SIGKILL" in ran.out
    assert "all promises hold" in ran.out
    assert treadle("log", "verify", "--store", "kept.db").code == 0
    assert treadle("replay", "--store", "kept.db", "-o", "json").json["final_kinds"] == {
        "WORKFLOW_COMPLETED": 40
    }


@pytest.mark.usefixtures("orders")
def test_the_demo_touches_no_store_that_exists(treadle, tmp_path):
    before = (tmp_path / "treadle.db").read_bytes()
    ran = treadle(*SMALL, "--store", "treadle.db")

    assert ran.code == 2
    assert "exists" in ran.err
    assert before == (tmp_path / "treadle.db").read_bytes()


def test_the_demo_needs_a_file(treadle):
    assert treadle(*SMALL, "--store", "memory:").code == 2


def test_a_writing_process_that_fails_by_itself_is_told(treadle, monkeypatch):
    def elsewhere(module: str, _url: str, *numbers: str) -> AbstractAsyncContextManager[trio.Process]:
        return module_process(module, "no/folder/q.db", *numbers)

    monkeypatch.setattr(acts, "module_process", elsewhere)
    ran = treadle(*SMALL)

    assert ran.code == 1
    assert "ended by itself" in ran.err


def test_a_place_where_no_store_can_be_is_told_before_anything_is_written(treadle, tmp_path):
    (tmp_path / "file").write_text("")
    ran = treadle(*SMALL, "--store", "file/below.db")

    assert ran.code == 69
    assert "make it first" in ran.err


def test_an_order_is_the_same_wherever_it_is_told():
    plan = Plan(3, 20, 7)
    events = list(plan.order(2))

    assert events == list(Plan(3, 20, 7).order(2))
    assert events != list(Plan(3, 20, 8).order(2))
    assert [event.seq for event in events] == list(range(1, 21))
    assert {owner(event) for event in events} == {"order-000002"}
    assert events[0].kind is EventKind.WORKFLOW_STARTED
    assert events[-1].kind is EventKind.WORKFLOW_COMPLETED
    assert plan.number(plan.name(2)) == 2


@pytest.mark.parametrize("breach", ["lost", "foreign", "none"])
def test_the_demo_would_see_a_broken_promise(breach):
    """An acknowledged event that is not there, or one of another order, makes the verdict."""

    async def main() -> Story:
        plan = Plan(3, 6, 1)
        story = Story(plan)
        story.acknowledged = [3, 3, 3]
        async with open_runtime("memory:") as runtime:
            for number in range(3):
                source = list(plan.order(1 if breach == "foreign" and number == 2 else number))
                kept = source[: 2 if breach == "lost" and number == 0 else 3]
                await runtime.workflow(plan.name(number)).extend(kept)
            await look(runtime, story)
            if breach == "none":
                live = await send_again(runtime, story)
                await replay(runtime, story, live)
                await check(runtime, story)
        return story

    story = trio.run(main)

    broken = {promise for promise, count in story.verdict.by_promise().items() if count}
    expected = {
        "lost": {"acknowledged_once"},
        "foreign": {"acknowledged_once", "isolation"},
        "none": set(),
    }
    assert broken == expected[breach]


@pytest.mark.slow
def test_the_demo_of_the_default_size_as_a_user_runs_it(in_process):
    """1,000 orders of 20 events; a few seconds."""
    ran = in_process("demo", "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json["events"] == 20_000
