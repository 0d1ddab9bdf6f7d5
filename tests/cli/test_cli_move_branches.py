"""Branches, cut logs and deleted ones through a file and back: digests and keys are kept, nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from test_cli_verify_branches import cut, deleted, family  # noqa: F401  # a fixture

from treadle.runtime import open_runtime
from treadle.stores import Cut, Unit, open_store


def moved(treadle, *names):
    assert treadle("log", "export", *names, "-f", "all.jsonl").code == 0
    return treadle("log", "import", "all.jsonl", "--store", "other.db", "-o", "json")


def same_in_both(treadle, *names):
    assert treadle("log", "verify", "--store", "other.db").code == 0
    here, there = (
        treadle("replay", *names, "-o", "json", "--store", url) for url in ("treadle.db", "other.db")
    )
    return here.code == 0 and here.json == there.json


@pytest.mark.usefixtures("family")
def test_branches_come_back_as_whole_logs_with_their_digests_and_a_second_import_writes_nothing(treadle):
    assert moved(treadle).json["workflows_written"] == 5
    assert same_in_both(treadle)

    again = treadle("log", "import", "all.jsonl", "--store", "other.db", "-o", "json").json
    assert (again["events_written"], again["workflows_already_there"]) == (0, 5)
    assert treadle("log", "import", "all.jsonl").code == 0


@pytest.mark.usefixtures("family")
def test_a_branch_of_an_imported_branch_moves_on(treadle):
    moved(treadle, "branch-b")

    async def main():
        async with open_runtime("other.db") as runtime:
            await runtime.workflow("branch-b").branch(at=20, to="second")

    trio.run(main)
    treadle("log", "export", "--store", "other.db", "-f", "second.jsonl")
    treadle("log", "import", "second.jsonl", "--store", "third.db")
    assert treadle("log", "verify", "--store", "third.db").code == 0
    assert treadle("workflow", "count", "--store", "third.db").out == "2\n"


@pytest.mark.usefixtures("store")
def test_a_log_that_has_lost_its_beginning_begins_in_the_middle_and_keeps_its_keys(treadle):
    async def main():
        async with open_runtime("treadle.db") as runtime:
            await runtime.workflow("order-1").append("custom", b"keyed", key=b"k", timestamp=9)

    trio.run(main)
    cut("order-1", 3)
    assert moved(treadle, "order-1").json["workflows_written"] == 1
    assert same_in_both(treadle, "order-1")

    async def keyed():
        async with open_store("other.db") as store:
            (head,) = await store.heads(["order-1"])
            return head.first_kept_seq, (await store.find_key("order-1", b"k")).payload

    assert trio.run(keyed) == (3, b"keyed")
    treadle("log", "append", "order-1", "custom", "grown", "--timestamp", "11")
    grown = treadle("log", "export", "order-1", "-f", "grown.jsonl")
    assert grown.code == 0
    more = treadle("log", "import", "grown.jsonl", "--store", "other.db", "-o", "json").json
    assert (more["events_written"], more["workflows_written"]) == (1, 1)
    assert same_in_both(treadle, "order-1")


@pytest.mark.usefixtures("store")
def test_what_retention_has_removed_since_is_there_already(treadle):
    """The digest before the first kept event vouches for those that are gone."""
    treadle("log", "export", "order-1", "-f", "whole.jsonl")
    treadle("log", "append", "order-1", "custom", "more", "--timestamp", "3")
    treadle("log", "export", "order-1", "-f", "longer.jsonl")
    treadle("log", "import", "whole.jsonl", "--store", "other.db")
    cut("order-1", 3)

    again = treadle("log", "import", "whole.jsonl", "-o", "json").json
    assert (again["events_written"], again["workflows_already_there"]) == (0, 1)

    async def cut_other():
        async with open_store("other.db") as store:
            (head,) = await store.heads(["order-1"])
            await store.append([Unit(cuts=(Cut("order-1", head.next_seq, head.digest, 2),))])

    trio.run(cut_other)
    more = treadle("log", "import", "longer.jsonl", "--store", "other.db", "-o", "json").json
    assert more["events_written"] == 1


@pytest.mark.usefixtures("family")
def test_of_a_deleted_log_nothing_is_written_and_its_file_does_not_bring_it_back(treadle):
    treadle("log", "export", "branch-c", "-f", "before.jsonl")
    deleted("branch-c")

    assert treadle("log", "export", "branch-c", "-f", "after.jsonl").code == 3
    assert "was deleted" in treadle("log", "export", "branch-c").err
    treadle("log", "export", "-f", "rest.jsonl")
    assert (
        treadle("log", "import", "rest.jsonl", "--store", "other.db", "-o", "json").json["workflows_written"]
        == 4
    )
    refused = treadle("log", "import", "before.jsonl")
    assert refused.code == 3
    assert "lies below the first kept seq 13" in refused.err


def edited(name, **values):
    file = Path(name)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0] |= values
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.usefixtures("family")
def test_a_whole_log_that_was_renamed_is_refused_and_so_is_another_logs_branch(treadle):
    for name in ("parent", "branch-b"):
        treadle("log", "export", name, "-f", f"{name}.jsonl")
    edited("parent.jsonl", workflow_id="somebody-else")
    renamed = treadle("log", "import", "parent.jsonl", "--store", "other.db")
    edited("branch-b.jsonl", before="00" * 16)
    broken = treadle("log", "import", "branch-b.jsonl", "--store", "other.db")

    assert (renamed.code, broken.code) == (1, 1)
    assert "was the log renamed?" in renamed.err
    assert "a line was changed" in broken.err


@pytest.mark.usefixtures("store")
def test_a_file_that_goes_on_from_another_history_is_refused_wherever_it_begins(treadle):
    cut("order-1", 2)
    treadle("log", "export", "order-1", "-f", "cut.jsonl")
    for timestamp, store in enumerate(("a.db", "b.db")):
        treadle("log", "append", "order-1", "custom", "x", "--timestamp", str(timestamp), "--store", store)
    ran = treadle("log", "import", "cut.jsonl", "--store", "a.db")

    assert ran.code == 1
    assert "of a history that is not the one stored here" in ran.err
