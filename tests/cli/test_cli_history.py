"""Histories of durable workflows: shown, listed, counted by patch, and held against changed code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from treadle import open_runtime
from treadle.cli.durable.modules import load_code

pytestmark = pytest.mark.usefixtures("shop")


# -- show and list -------------------------------------------------------------------------------------


def test_show_prints_the_events_in_words(treadle):
    treadle("run", "shop:echo", "--id", "e", '{"id": "A", "cents": 5}')
    lines = treadle("workflow", "show", "e").out.splitlines()

    assert lines[0] == "e"
    assert lines[1].split() == ["status", "completed"]
    words = [line.split(maxsplit=3)[2:] for line in lines[lines.index("") + 2 :]]
    assert words == [
        ["WORKFLOW_STARTED", 'echo({"cents":5,"id":"A"})'],
        ["ACTIVITY_SCHEDULED", 'reserve("A")'],
        ["ACTIVITY_COMPLETED", 'of 2: "r-A"'],
        ["WORKFLOW_COMPLETED", '{"cents":5,"id":"A"}'],
    ]


def test_show_gives_decoded_payloads_as_json(treadle):
    treadle("run", "shop:nap", "--id", "n", "0")
    told = treadle("workflow", "show", "n", "-o", "json", "--from", "2").json

    assert (told["status"], told["events"]) == ("completed", 2)
    (event,) = told["history"]
    assert (event["seq"], event["kind"], event["what"]) == (2, "WORKFLOW_COMPLETED", '"awake"')
    assert event["payload"] == {"result": "awake"}


def test_show_tells_failures_and_retries_in_words(treadle):
    treadle("run", "shop:declined", "--id", "d", "A")
    out = treadle("workflow", "show", "d").out

    assert "of 2, attempt 1: CardDeclined: no money for A" in out


def test_list_tells_and_chooses_by_status(treadle, running):
    running("order", "A", 5)
    treadle("run", "shop:nap", "--id", "n", "0")
    treadle("log", "append", "plain", "custom", "x")
    rows = treadle("workflow", "list", "-o", "json").json

    assert [(row["workflow_id"], row["status"], row["name"]) for row in rows] == [
        ("n", "completed", "nap"),
        ("order-1", "running", "order"),
        ("plain", None, None),
    ]
    assert [
        row.split()[-1] for row in treadle("workflow", "list", "--status", "running").out.splitlines()
    ] == [
        "workflow",
        "order-1",
    ]
    assert treadle("workflow", "list", "--status", "held", "-o", "jsonl").out == ""


def test_list_goes_on_page_by_page_within_a_status(treadle):
    for n in range(3):
        treadle("run", "shop:nap", "--id", f"n{n}", "0")
    page = treadle("workflow", "list", "--status", "completed", "--limit", "2")

    assert "--after=n1 goes on" in page.err
    rest = treadle("workflow", "list", "--status", "completed", "--after", "n1", "-o", "jsonl").lines
    assert [row["workflow_id"] for row in rest] == ["n2"]


# -- encoded payloads ----------------------------------------------------------------------------------


@pytest.fixture
def keys() -> str:
    """A module with the codecs of an encrypted store."""
    Path("keys.py").write_text(
        "from treadle.payloads import Compression, Encryption, KeyRing\n"
        "CODECS = [Compression(), Encryption(KeyRing({'k': bytes(range(64))}, current='k'))]\n"
        "NONE = 7\n"
    )
    return "keys:CODECS"


def test_encrypted_workflows_are_run_and_looked_at_with_their_codecs(treadle, keys):
    ran = treadle("run", "shop:echo", "--id", "e", '{"id": "secret", "cents": 5}', "--codecs", keys)
    treadle("log", "export", "e", "-f", "e.jsonl")

    assert ran.json == {"cents": 5, "id": "secret"}
    assert "secret" not in Path("e.jsonl").read_text()
    assert treadle("workflow", "result", "e", "--codecs", keys).json == ran.json
    assert 'reserve("secret")' in treadle("workflow", "show", "e", "--codecs", keys).out
    assert 'echo({"cents":5,"id":"secret"})' in treadle("workflow", "describe", "e", "--codecs", keys).out
    assert treadle("replay", "e.jsonl", "shop:echo", "--codecs", keys).code == 0


@pytest.mark.parametrize(
    ("codecs", "code", "says"),
    [
        (None, 2, "encoded with codec"),
        ("keys", 2, "MODULE:NAME"),
        ("keys:LOST", 3, "holds nothing named 'LOST'"),
        ("keys:NONE", 2, "is a list of codecs, got 7"),
    ],
)
def test_without_the_right_codecs_it_says_what_is_missing(treadle, keys, codecs, code, says):
    treadle("run", "shop:nap", "--id", "n", "0", "--codecs", keys)
    ran = treadle("workflow", "show", "n", *(() if codecs is None else ("--codecs", codecs)))

    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err


# -- patches -------------------------------------------------------------------------------------------


def test_patches_counts_which_open_workflows_still_need_each(treadle, running, shop):
    new = shop.read_text()
    old = new.replace('"new" if workflow.patched("tax") else "old"', '"old"')
    assert old != new
    _write(shop, old)
    running("versioned", "A", id="before")
    _write(shop, new)
    running("versioned", "B", id="after")
    running("order", "A", 5, id="other")

    (row,) = treadle("workflow", "patches", "-o", "json").json
    assert row == {
        "patch": "tax",
        "name": "versioned",
        "patched": 1,
        "deprecated": 0,
        "without": 1,
        "advice": "keep patched() and the old way",
    }
    each = treadle("workflow", "patches", "tax", "-o", "jsonl").lines
    assert {(line["workflow_id"], line["took"]) for line in each} == {
        ("before", "without"),
        ("after", "with"),
    }


def test_patches_says_when_the_old_way_may_go(treadle, running):
    running("versioned", "B")
    table = treadle("workflow", "patches").out.splitlines()

    assert table[0].split() == ["patch", "workflow", "with", "deprecated", "without", "so"]
    assert table[1].split(maxsplit=5)[-1] == "deprecate_patch() is enough"


# -- replay FILE MODULE --------------------------------------------------------------------------------


@pytest.fixture
def history(treadle, shop) -> str:
    """An exported history of a completed order."""
    assert shop.exists()
    treadle("run", "shop:nap", "--id", "n", "0")
    treadle("workflow", "start", "order", "A", "5", "--id", "o", "--signal", "decision", "--value", "yes")
    treadle("run", "shop:order", "--id", "o")
    assert treadle("log", "export", "o", "-f", "o.jsonl").code == 0
    return "o.jsonl"


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    sys.modules.pop("shop", None)


def test_a_history_that_its_code_would_write_again_holds(treadle, history):
    ran = treadle("replay", history, "shop:order", "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "ok": True,
        "workflows": 1,
        "events": ran.json["events"],
        "skipped": 0,
        "divergences": [],
        "drifts": [],
    }
    assert "the code does what its histories say" in treadle("replay", history, "shop").out


CHANGES = {
    "an activity renamed": (
        "@activity.define\nasync def reserve",
        '@activity.define(name="r")\nasync def reserve',
    ),
    "an argument changed": ("activity(reserve, order_id)", 'activity(reserve, order_id + "x")'),
    "a timer's length changed": ("move_on_after(3600)", "move_on_after(60)"),
    "an order swapped": (
        "    reserved = await workflow.activity(reserve, order_id)\n",
        "    await workflow.sleep(1)\n    reserved = await workflow.activity(reserve, order_id)\n",
    ),
    "a step left out": (
        "        paid = await workflow.activity(charge, order_id, cents)\n",
        '        paid = "c-5"\n',
    ),
    "an extra step": (
        "        return {",
        "        await workflow.activity(reserve, order_id)\n        return {",
    ),
    "a result changed": ('"paid": paid,', '"paid": paid + "!",'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_code_with_one_line_changed_is_shown_with_both_sides_and_its_line(treadle, history, shop, change):
    old, new = change
    text = shop.read_text()
    assert old in text
    _write(shop, text.replace(old, new, 1))
    ran = treadle("replay", history, "shop:order", "-o", "json")

    assert ran.code == 4
    (found,) = ran.json["divergences"]
    assert found["workflow_id"] == "o"
    assert found["log"] != found["code"]
    assert f"shop.py:{found['where'].rpartition(':')[2]}" in ran.err
    assert "the log has:" in ran.err
    assert "the code did:" in ran.err


def test_a_drift_is_told_and_counts_only_when_strict(treadle, history, shop):
    text = shop.read_text().replace(
        "@activity.define\nasync def reserve", "@activity.define(start_to_close_seconds=9)\nasync def reserve"
    )
    _write(shop, text)
    ran = treadle("replay", history, "shop:order", "-o", "json")

    assert (ran.code, ran.json["ok"]) == (0, True)
    (drift,) = ran.json["drifts"]
    assert (drift["field"], drift["kind"]) == ("options", "ACTIVITY_SCHEDULED")
    assert "drift: workflow 'o', seq 2" in ran.err
    assert treadle("replay", history, "shop:order", "--strict").code == 4


def _swap(lines: list[str]) -> None:
    lines[3], lines[4] = lines[4], lines[3]


def _drop(lines: list[str]) -> None:
    del lines[3]


def _change(lines: list[str]) -> None:
    (place,) = [n for n, line in enumerate(lines) if "ACTIVITY_COMPLETED" in line and "r-A" in line]
    lines[place] = lines[place].replace("r-A", "r-B")


@pytest.mark.parametrize("harm", [_swap, _drop, _change])
def test_a_history_file_that_was_changed_is_refused(treadle, history, harm):
    lines = Path(history).read_text().splitlines(keepends=True)
    harm(lines)
    Path(history).write_text("".join(lines))
    ran = treadle("replay", history, "shop:order")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"treadle: {history}:")


def test_a_history_of_an_unfinished_workflow_may_be_compressed(treadle, running):
    treadle("log", "export", running("order", "A", 5), "-f", "o.jsonl.gz")

    assert treadle("replay", "o.jsonl.gz", "shop:order", "-o", "json").json["workflows"] == 1


def test_an_extra_step_at_the_end_of_an_unfinished_history_is_shown(treadle, running, shop):
    """A runner would take it for what a crash has cut off; who checks code wants to know of it."""
    treadle("log", "export", running("order", "A", 5), "-f", "o.jsonl")
    assert treadle("replay", "o.jsonl", "shop:order").code == 0

    wait = '        decision = await workflow.signals("decision").receive()\n'
    text = shop.read_text()
    assert wait in text
    _write(shop, text.replace(wait, f"        with workflow.move_on_after(60):\n    {wait}", 1))
    ran = treadle("replay", "o.jsonl", "shop:order", "-o", "json")

    assert ran.code == 4
    (found,) = ran.json["divergences"]
    assert found["log"].startswith("nothing more")
    assert found["code"].startswith("TIMER_STARTED")
    assert "shop.py:" in found["where"]


def test_an_id_that_was_used_again_is_replayed_with_the_code_of_each_time(treadle):
    async def main() -> None:
        code = load_code("shop")
        async with open_runtime(
            "treadle.db", workflows=code.workflows, activities=code.activities
        ) as runtime:
            await (await runtime.start("nap", 0, id="twice")).result()
            again = await runtime.start(
                "echo", {"id": "A", "cents": 5}, id="twice", id_policy="allow_when_closed"
            )
            await again.result()

    trio.run(main)
    treadle("log", "export", "twice", "-f", "twice.jsonl")
    for target in ("shop", "shop:nap", "shop:echo"):
        ran = treadle("replay", "twice.jsonl", target, "-o", "json")

        assert (ran.code, ran.json["workflows"]) == (0, 1), ran.err
    assert treadle("replay", "twice.jsonl", "shop:order").code == 3


@pytest.mark.usefixtures("history")
def test_histories_of_other_code_and_plain_logs_are_left_out_and_counted(treadle):
    treadle("log", "append", "plain", "custom", "x")
    treadle("log", "export", "-f", "all.jsonl")
    named = treadle("replay", "all.jsonl", "shop:order", "-o", "json")

    assert (named.json["workflows"], named.json["skipped"]) == (1, 2)
    assert "2 logs of other code, or plain, left out" in named.err
    assert treadle("replay", "all.jsonl", "shop", "-o", "json").json["workflows"] == 2


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("o.jsonl", "shop:nap"), 3, "holds no history of 'nap'"),
        (("missing.jsonl", "shop:order"), 3, "missing.jsonl"),
        (("o.jsonl", "nowhere:order"), 3, "no module 'nowhere'"),
        (("o", "--strict"), 2, "belong to `treadle replay FILE MODULE`"),
        (("o", "n"), 0, ""),
    ],
)
@pytest.mark.usefixtures("history")
def test_what_cannot_be_replayed_is_told(treadle, words, code, says):
    ran = treadle("replay", *words)

    assert ran.code == code
    assert says in ran.err
