"""`treadle demo`: the main job, small."""

from __future__ import annotations

import json
import re
from contextlib import AbstractAsyncContextManager

import pytest
import trio

from treadle.cli.demo import acts, command
from treadle.cli.demo.acts import Story, check, look, replay, send_again
from treadle.cli.demo.durable_orders import result_used_once
from treadle.cli.demo.orders import Plan, owner
from treadle.cli.processes import module_process, run_child
from treadle.events import EventKind, WorkflowEvent
from treadle.runtime import open_runtime

SMALL = ("demo", "--workflows", "40", "--events", "10", "--durable-orders", "12", "--seed", "1")


def test_the_demo_kills_recovers_and_checks_and_keeps_a_store_it_was_given(treadle):
    ran = treadle(*SMALL, "--store", "kept.db", "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    told = ran.json
    assert told["ok"] is True
    assert set(told["promises"].values()) == {0}
    assert (told["workflows"], told["events"], told["seed"]) == (40, 400, 1)
    assert 200 <= told["acknowledged_before_kill"] <= told["found_after_kill"] <= 400
    assert told["repeated"] >= 1
    # Each writer that had begun repeats its last acknowledged event.
    assert 1 <= told["sent_again"] - (400 - told["acknowledged_before_kill"]) <= 40
    assert told["store"] == "kept.db"
    assert treadle("log", "verify", "--store", "kept.db").code == 0
    assert treadle("replay", "--store", "kept.db", "-o", "json").json["final_kinds"] == {
        "WORKFLOW_COMPLETED": 52
    }
    durable = told["durable"]
    assert [durable[name] for name in ("orders", "signals", "finished", "results_used")] == [12, 12, 12, 48]
    assert len(durable["killed_after"]) == 2
    assert durable["attempts_made"] >= 48
    shown = treadle("workflow", "show", "durable-order-000003", "--store", "kept.db", "-o", "json").json
    assert shown["status"] == "completed"
    assert (shown["kinds"]["ACTIVITY_COMPLETED"], shown["kinds"]["SIGNAL_RECEIVED"]) == (4, 1)


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
    def another(_module: str, *_arguments: str) -> AbstractAsyncContextManager[trio.Process]:
        return module_process("antigravity.nothing")

    monkeypatch.setattr(acts, "module_process", another)
    ran = treadle(*SMALL)

    assert ran.code == 1
    assert "ended by itself with code 1; its error stands above" in ran.err


def test_a_writing_process_tells_its_error_in_one_line(capsys):
    async def work() -> None:
        async with open_runtime("no/folder/q.db"):
            pass

    assert run_child(work) == 1
    assert re.fullmatch("treadle: writing process: StoreUnavailableError: .*\n", capsys.readouterr().err)


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
def test_the_demo_would_see_a_broken_promise(breach, capsys):
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
    command.show(story, "table", None)
    table = capsys.readouterr().out
    assert "killed with SIGKILL" in table
    assert ("all promises hold" in table) == (breach == "none")
    assert table.count("BROKEN") == len(broken)


def _durable_log(*results: tuple[int, str], used: list[str]) -> list[WorkflowEvent]:
    """The log of an order as `result_used_once` sees it: what was scheduled, its results, what was used."""
    payloads = [(EventKind.ACTIVITY_SCHEDULED, b"{}")] * 4
    payloads += [
        (EventKind.ACTIVITY_COMPLETED, json.dumps({"seq": seq, "result": result}).encode())
        for seq, result in results
    ]
    payloads.append((EventKind.WORKFLOW_COMPLETED, json.dumps({"result": used}).encode()))
    return [WorkflowEvent(seq, 0, *content) for seq, content in enumerate(payloads, 1)]


FOUR = ((1, "a"), (2, "b"), (3, "c"), (4, "d"))


@pytest.mark.parametrize(
    ("results", "used", "says"),
    [
        (FOUR, ["d", "c", "b", "a"], ""),
        ((*FOUR, (2, "x")), ["a", "x", "c", "d"], "a second result of the activity of seq 2"),
        (FOUR[:3], ["a", "b", "c"], "an activity without a result"),
        (FOUR, ["a", "a", "c", "d"], "recorded ['a', 'b', 'c', 'd'], used ['a', 'a', 'c', 'd']"),
    ],
)
def test_the_demo_would_see_a_result_that_is_not_used_once(results, used, says):
    found = result_used_once("order", _durable_log(*results, used=used))

    assert [violation.message for violation in found[:1]] == ([says] if says else [])


def test_the_demo_would_see_an_order_that_has_not_ended():
    found = result_used_once("order", _durable_log(*FOUR, used=[])[:-1])

    assert [violation.message for violation in found] == ["expected the end, found ACTIVITY_COMPLETED"]


@pytest.mark.slow
def test_the_demo_of_the_default_size_as_a_user_runs_it(in_process):
    """1,000 orders of 20 events; a few seconds."""
    ran = in_process("demo", "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json["events"] == 20_000
