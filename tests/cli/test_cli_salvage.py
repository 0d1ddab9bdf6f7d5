"""`treadle log salvage`: what is saved, what is named as lost, and how the command ends."""

from __future__ import annotations

import apsw
import pytest
import trio
from test_cli_verify import flip
from test_cli_verify_branches import family  # noqa: F401  # a fixture

from treadle import workflow
from treadle.runtime import open_runtime


@workflow.define
async def two_signals() -> None:
    await workflow.signals("go").receive()
    await workflow.signals("go").receive()


@pytest.mark.usefixtures("store")
def test_a_sound_store_is_saved_whole_and_replays_to_the_same_digest(treadle):
    ran = treadle("log", "salvage", "treadle.db", "new.db", "-o", "json")

    assert (ran.code, ran.json["whole"], ran.json["events_lost"]) == (0, True, 0)
    assert treadle("replay", "-o", "json").json == treadle("replay", "--store", "new.db", "-o", "json").json


def test_what_is_lost_is_named_by_workflow_and_seq(treadle, store):
    flip(store, b"payload 2 of order-1")
    ran = treadle("log", "salvage", "treadle.db", "new.db")

    assert ran.code == 4
    assert "lost: workflow order-1 seq 3 (1 event)\n" in ran.out
    assert "kept as order-1@" in ran.out
    assert "SOMETHING IS LOST" in ran.out
    assert treadle("log", "verify", "--store", "new.db").code == 0


def test_damage_in_what_branches_share_leaves_a_store_that_verifies(treadle, family):  # noqa: F811
    flip(family, b"event 19 of parent")
    saved = treadle("log", "salvage", "treadle.db", "new.db", "-o", "json").json

    assert [(lost["workflow_id"], lost["first_seq"]) for lost in saved["lost"]] == [("parent", 20)]
    assert treadle("log", "verify", "--store", "new.db").code == 0
    listed = treadle("workflow", "list", "--store", "new.db", "-o", "json").json
    assert {row["workflow_id"] for row in listed} > {
        "branch-a",
        "branch-b",
        "branch-c",
        "grandchild",
        "parent",
    }


@pytest.mark.parametrize("lost", ["none", "facts", "end"])
def test_a_durable_workflow_goes_on_unless_its_end_is_lost(treadle, tmp_path, lost):
    async def begin():
        async with open_runtime("treadle.db", workflows=[two_signals]) as runtime:
            handle = await runtime.start(two_signals, id="w")
            await handle.signal("go", "needle in the log")
            while await handle.next_seq() < 3:
                await trio.lowlevel.checkpoint()

    trio.run(begin)
    store = tmp_path / "treadle.db"
    if lost == "end":
        content = store.read_bytes()
        store.write_bytes(content.replace(b"needle in the log", b"Needle in the log"))
    elif lost == "facts":
        connection = apsw.Connection(str(store))
        connection.execute("UPDATE heads SET checksum = zeroblob(8)")
        connection.close()
    saved = treadle("log", "salvage", "treadle.db", "new.db", "-o", "json").json
    assert saved["counts"]["facts_lost"] == (["w"] if lost == "end" else [])

    async def go_on():
        async with open_runtime("new.db", workflows=[two_signals]) as runtime:
            handle = runtime.workflow("w")
            await handle.signal("go", "second")
            await handle.result()

    if lost != "end":
        trio.run(go_on)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("treadle.db", "treadle.db"), 2, "overwrites nothing"),
        (("treadle.db", "there.txt"), 2, "overwrites nothing"),
        (("none.db", "new.db"), 69, "there is no such store"),
        (("there.txt", "new.db"), 4, "nothing of a treadle store"),
        (("memory:", "new.db"), 2, "lies in no file"),
        (("treadle.db",), 2, "NEW-FILE"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_cannot_be_done_is_told_and_makes_nothing(treadle, tmp_path, arguments, code, says):
    (tmp_path / "there.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ran = treadle("log", "salvage", *arguments)

    assert ran.code == code
    assert says.lower() in ran.err.lower().replace("_", "-")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
