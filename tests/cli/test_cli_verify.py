"""`treadle log verify` finds what was changed, and only then says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from treadle import workflow
from treadle.cli.audit import Audit
from treadle.errors import CorruptStoreError
from treadle.events import workflow_id
from treadle.kernel import TrioKernel
from treadle.runtime import open_runtime
from treadle.stores import Restated, Unit, open_store
from treadle.stores.memory import MemoryStore


def flip(path: Path, needle: bytes) -> None:
    """Change one bit of a payload in the closed file, as a failing disk does."""
    content = bytearray(path.read_bytes())
    assert content.count(needle) == 1
    content[content.index(needle)] ^= 1
    path.write_bytes(content)


@pytest.mark.usefixtures("store")
def test_a_sound_store_verifies_and_gives_a_watermark(treadle):
    ran = treadle("log", "verify", "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["ok"], ran.json["workflows"], ran.json["events"]) == (True, 2, 8)
    assert f"{ran.json['position']}:{ran.json['digest']}" in treadle("log", "verify").out


def test_a_flipped_bit_in_a_payload_ends_with_4_and_names_workflow_and_seq(treadle, store):
    flip(store, b"payload 2 of order-1")
    ran = treadle("log", "verify")

    assert ran.code == 4
    assert "workflow order-1 seq 3" in ran.out
    assert "DAMAGED in 1 place\n" in ran.out
    damage = treadle("log", "verify", "-o", "json").json["damage"]
    assert [(found["workflow_id"], found["seq"]) for found in damage] == [("order-1", 3)]


def test_only_the_logs_named_are_looked_at(treadle, store):
    flip(store, b"payload 0 of order-2")

    assert treadle("log", "verify", "order-1").code == 0
    assert treadle("log", "verify", "order-2").code == 4
    assert treadle("log", "verify", "order-3").code == 3


def test_a_file_too_damaged_to_open_ends_with_4(treadle, store):
    store.write_bytes(store.read_bytes()[:-8192])
    ran = treadle("log", "verify")

    assert ran.code == 4
    assert "cut short" in ran.err


@pytest.mark.usefixtures("store")
def test_an_earlier_watermark_still_holds_after_more_was_written(treadle):
    told = treadle("log", "verify", "-o", "json").json
    mark = f"{told['position']}:{told['digest']}"
    treadle("log", "append", "order-2", "custom", "more")
    treadle("log", "append", "order-9", "custom", "new")

    assert treadle("log", "verify", "--expect", mark).code == 0


def test_a_watermark_shows_that_a_store_was_rolled_back_or_rewritten(treadle, store):
    earlier = store.read_bytes()
    treadle("log", "append", "order-2", "custom", "more", "--timestamp", "9")
    told = treadle("log", "verify", "-o", "json").json
    mark = f"{told['position']}:{told['digest']}"
    store.write_bytes(earlier)

    gone = treadle("log", "verify", "--expect", mark)
    assert gone.code == 4
    assert "events are gone" in gone.out
    treadle("log", "append", "order-2", "custom", "something else", "--timestamp", "9")
    rewritten = treadle("log", "verify", "--expect", mark)
    assert rewritten.code == 4
    assert "expected digest" in rewritten.out


@pytest.mark.parametrize("mark", ["", "5", "x:y", "1:" + "g" * 32])
@pytest.mark.usefixtures("store")
def test_what_is_no_watermark_is_refused(treadle, mark):
    assert treadle("log", "verify", "--expect", mark).code == 2
    assert treadle("log", "verify", "order-1", "--clear").code == 2


def test_a_poisoned_store_stays_shut_until_a_clean_verify_clears_it(treadle, store):
    marker = Path(f"{store}-poisoned")
    marker.write_text('{"reason": "fsync failed", "acknowledged_position": 8}')

    assert treadle("workflow", "count").code == 69
    looked = treadle("log", "verify", "-o", "json")
    assert looked.code == 0
    assert looked.json["poisoned"] is True
    assert marker.exists()
    assert treadle("log", "verify", "--clear").code == 0
    assert not marker.exists()
    assert treadle("workflow", "count").out == "2\n"


def test_a_damaged_store_is_not_cleared(treadle, store):
    marker = Path(f"{store}-poisoned")
    marker.write_text('{"reason": "fsync failed"}')
    flip(store, b"payload 2 of order-1")

    assert treadle("log", "verify", "--clear").code == 4
    assert marker.exists()


@workflow.define
async def waits() -> None:
    with workflow.move_on_after(3600):
        await workflow.signals("go").receive()
    await workflow.signals("go").receive()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": 2}, "COMPLETED"),
        ({"run_start_seq": 2}, "starts at seq 1"),
        ({"wake_up_ns": None}, "never"),
        ({"name": "other"}, "'other'"),
    ],
)
def test_head_facts_that_the_log_does_not_say_end_with_4_and_name_the_workflow(treadle, change, words):
    """Their row is as it was written, checksum and all: only the log can tell that it is wrong."""

    async def main() -> None:
        async with open_runtime("treadle.db", workflows=[waits]) as runtime:
            await runtime.start(waits, id="order-7")
            await runtime.start(waits, id="order-8")
        async with open_store("treadle.db") as store:
            (head,) = await store.heads([workflow_id("order-7")])
            restated = Restated(head.workflow_id, head.next_seq, head.digest, head.facts._replace(**change))
            await store.append([Unit(restated=(restated,))])

    trio.run(main)
    ran = treadle("log", "verify")

    assert ran.code == 4
    assert "workflow order-7 seq 2" in ran.out
    assert words in ran.out
    assert treadle("log", "verify", "order-8").code == 0


def test_one_unreadable_head_does_not_hide_the_other_logs():
    """Heads are asked for by the page; a page that fails is asked for log by log."""

    class Torn(MemoryStore):
        async def heads(self, workflow_ids):
            if "order-2" in workflow_ids:
                raise CorruptStoreError("torn", workflow_id="order-2")
            return await super().heads(workflow_ids)

    async def main() -> Audit:
        store = Torn(TrioKernel())
        async with open_runtime(store) as runtime:
            for name in ("order-1", "order-3"):
                await runtime.workflow(name).append("custom")
        audit = Audit(store)
        await audit.check_logs([workflow_id(name) for name in ("order-1", "order-2", "order-3")])
        return audit

    audit = trio.run(main)

    assert audit.workflows == 2
    assert [found.workflow_id for found in audit.damage] == ["order-2"]


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("file", [None, "all.jsonl", "all.jsonl.gz", "all.xes"])
def test_an_export_never_gives_damage_a_sound_chain(treadle, tmp_path, store, file, place):
    """A file's chain is computed anew, so what had changed before would look as written from then on."""
    flip(store, f"payload {place} of order-2".encode())
    ran = treadle("log", "export", *(("-f", file) if file else ()))

    assert ran.code == 4
    assert f"workflow 'order-2', seq {place + 1}: expected digest" in ran.err
    assert "restore a backup" in ran.err
    assert f"payload {place} of order-2"[1:] not in ran.out
    assert not list(tmp_path.glob("all*"))
    assert treadle("log", "export", "order-1").code == 0
