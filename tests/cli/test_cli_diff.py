"""`treadle workflow diff`: two logs side by side."""

from __future__ import annotations

import pytest
import trio
from test_cli_verify_branches import family  # noqa: F401  # a fixture

from treadle import workflow
from treadle.runtime import open_runtime


@workflow.define
async def sleeps(seconds: float) -> None:
    await workflow.sleep(seconds)


@pytest.mark.usefixtures("family")
def test_two_branches_stand_side_by_side_from_where_they_part(treadle):
    ran = treadle("workflow", "diff", "parent", "branch-b")
    lines = ran.out.splitlines()

    assert ran.code == 0
    assert lines[0] == "parent and branch-b hold the same up to seq 30 and part there"
    assert lines[1].split() == ["seq", "parent", "branch-b"]
    assert lines[2].split(None, 1)[0] == "31"
    assert "CUSTOM event 30 of parent" in lines[2]
    assert "  |  BRANCHED" in lines[2]
    assert lines[4].endswith("  <")
    assert len(lines) == 2 + 10


@pytest.mark.usefixtures("family")
def test_as_json_it_is_one_object_and_as_lines_a_row_each(treadle):
    told = treadle("workflow", "diff", "branch-a", "branch-b", "-o", "json", "--limit", "2").json
    rows = treadle("workflow", "diff", "branch-a", "branch-b", "-o", "jsonl").lines

    assert (told["same"], told["differs_at"], told["equal_to_seq"]) == (False, 31, 30)
    assert told["rows"] == rows[:2]
    assert rows[0]["left"]["text"] == "event 30 of parent"
    assert rows[-1]["right"] is None


@pytest.mark.usefixtures("store")
def test_equal_logs_and_logs_that_never_were_equal_say_so(treadle):
    same = treadle("workflow", "diff", "order-1", "order-1")
    other = treadle("workflow", "diff", "order-1", "order-2", "--ignore-times", "--limit", "1")

    assert "order-1 and order-1 hold the same, up to seq" in same.out
    assert other.code == 0


def test_payloads_of_durable_workflows_are_in_words(treadle):
    async def main():
        async with open_runtime("treadle.db", workflows=[sleeps]) as runtime:
            for name, seconds in (("one", 1e6), ("two", 2e6)):
                await runtime.start(sleeps, seconds, id=name)
                while await runtime.workflow(name).next_seq() < 3:
                    await trio.lowlevel.checkpoint()

    trio.run(main)
    ran = treadle("workflow", "diff", "one", "two", "--ignore-times")

    assert "TIMER_STARTED" in ran.out
    assert "{" not in ran.out.replace("{}", "")
    rows = treadle("workflow", "diff", "one", "two", "-o", "jsonl").lines
    assert rows[0]["left"]["what"]
    assert isinstance(rows[0]["left"]["payload"], dict)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("order-1", "none"), 3), (("order-1",), 2), (("order-1", "order-2", "--limit", "0"), 2)],
)
@pytest.mark.usefixtures("store")
def test_what_cannot_be_compared_is_told(treadle, arguments, code):
    ran = treadle("workflow", "diff", *arguments)

    assert (ran.code, ran.out) == (code, "")
