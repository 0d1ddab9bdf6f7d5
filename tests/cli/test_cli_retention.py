"""Keeping logs and files short from the command line: prune, compact, vacuum, delete, snapshot, baseline."""
# ruff: noqa: ARG001  # the store is asked for, in the default place

from __future__ import annotations

import json

import pytest
import trio

from treadle.runtime import open_runtime
from treadle.stores import open_store

FOLDS = """
from treadle import Fold

TOTAL = Fold("total", 1, int, lambda total, event: total + len(event.payload))
SEQS = Fold("seqs", 1, list, lambda seqs, event: [*seqs, event.seq])

FAILS = Fold("fails", 1, int, lambda _, event: 1 // (event.seq - 2))

def function(state, event):
    return state
"""


@pytest.fixture
def folds(tmp_path, monkeypatch):
    """A module of folds in the current folder."""
    import sys  # noqa: PLC0415

    (tmp_path / "folds_here.py").write_text(FOLDS)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "folds_here"
    sys.modules.pop("folds_here", None)


def test_a_baseline_lets_what_came_before_be_pruned(treadle, folds, store):
    written = treadle("workflow", "baseline", "order-1", "--fold", "folds_here:TOTAL", "--fold",
                      "folds_here:SEQS", "-o", "json")  # fmt: skip
    assert written.json == [{"workflow_id": "order-1", "seq": 5}]

    dry = treadle("store", "prune", "--dry-run", "-o", "json")
    assert dry.json == [
        {
            "workflow_id": "order-1",
            "doing": "cut",
            "first_kept_seq": 5,
            "events": 4,
            "reason": "before its last baseline",
        }
    ]
    assert "would cut 1" in dry.err
    assert treadle("workflow", "show", "order-1", "-o", "json").json["events"] == 6

    pruned = treadle("store", "prune", "-o", "json")
    assert pruned.json == dry.json
    assert "cut 1, deleted 0, kept 0 that somebody needs; 4 events gone" in pruned.err
    shown = treadle("workflow", "show", "order-1", "-o", "json").json
    assert (shown["events"], shown["first_kept_seq"]) == (2, 5)
    assert treadle("log", "verify").code == 0
    assert treadle("log", "read", "order-1").code == 3
    assert treadle("replay", "-o", "json").code == 0
    assert treadle("workflow", "snapshot", "order-1", "--fold", "folds_here:TOTAL", "-o", "json").json == [
        {"workflow_id": "order-1", "seq": 6}
    ]


@pytest.mark.parametrize("command", ["snapshot", "baseline"])
def test_a_fold_that_fails_is_named_with_the_event_it_failed_at(treadle, folds, store, command):
    ran = treadle("workflow", command, "order-1", "--fold", "folds_here:FAILS")

    assert ran.code == 1
    assert "the fold has failed while replaying workflow 'order-1', seq 2" in ran.err
    assert "ZeroDivisionError" in ran.err
    assert "should not happen" not in ran.err
    assert treadle("workflow", "show", "order-1", "-o", "json").json["events"] == 4


def test_closed_logs_are_pruned_only_when_asked(treadle, orders):
    """order-1 was completed in 1970; the others are open."""
    assert treadle("store", "prune", "-o", "json").json == []
    listed = treadle("store", "prune", "--keep-closed-days", "30", "--prefix", "parcel-", "-o", "json")
    assert listed.json == []
    assert treadle("store", "prune", "--keep-closed", "1", "-o", "json").json == []
    ran = treadle("store", "prune", "--keep-closed", "0")
    assert ran.out.splitlines()[1].split() == [
        "delete",
        "3",
        "order-1",
        *["not", "among", "the", "last", "0", "closed"],
    ]
    assert treadle("workflow", "count").out == "2\n"
    assert treadle("log", "append", "order-1", "custom", "-o", "json").json["seq"] == 4
    assert treadle("log", "verify").code == 0


def test_what_somebody_needs_is_kept_and_told(treadle, folds, store):
    treadle("workflow", "baseline", "order-1", "--fold", "folds_here:TOTAL")

    async def branch():
        async with open_runtime(store) as runtime:
            await runtime.workflow("order-1").branch(at=3, to="what-if")

    trio.run(branch)
    ran = treadle("store", "prune")
    assert treadle("store", "prune", "--dry-run").out == ran.out
    assert ran.code == 0
    assert "keep" in ran.out
    assert "'what-if'" in ran.out
    assert "kept 1 that somebody needs" in ran.err


def test_pruning_and_compacting_give_the_file_back(treadle, tmp_path):
    """Interleaved logs leave holes in every page; compacting closes them."""
    path = tmp_path / "treadle.db"

    async def fill():
        async with open_runtime(path) as runtime, trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(log, runtime, f"log-{number}")

    async def log(runtime, name):
        handle = runtime.workflow(name)
        for _ in range(30):
            await handle.append("custom", b"x" * 200)
        if int(name[4:]) % 6:
            await handle.append("workflow_completed")

    trio.run(fill)
    before = path.stat().st_size
    treadle("store", "prune", "--keep-closed-days", "0")
    pruned = path.stat().st_size
    kept = treadle("log", "read", "log-6", "-o", "jsonl").out
    ran = treadle("store", "prune", "--compact")
    compacted = path.stat().st_size

    assert ran.code == 0
    assert compacted < pruned <= before
    assert compacted < before / 3
    assert treadle("log", "read", "log-6", "-o", "jsonl").out == kept
    assert treadle("log", "verify").code == 0

    vacuumed = treadle("store", "vacuum", "-o", "json")
    assert vacuumed.json == {"bytes_before": compacted, "bytes_after": path.stat().st_size}
    assert path.stat().st_size <= compacted
    assert treadle("log", "read", "log-6", "-o", "jsonl").out == kept
    assert treadle("log", "verify").code == 0


def test_vacuum_waits_for_nobody_and_disturbs_nobody(treadle, store):
    async def main():
        async with open_store(store):
            return await trio.to_thread.run_sync(treadle, "store", "vacuum")

    ran = trio.run(main)
    assert ran.code == 69
    assert "has the store open" in ran.err
    assert treadle("store", "vacuum").code == 0
    assert treadle("log", "verify").code == 0


def test_deleted_logs_are_gone_and_keep_their_place(treadle, store):
    ran = treadle("workflow", "delete", "order-1", "order-2", "-o", "jsonl")
    assert [(row["workflow_id"], row["events"]) for row in ran.lines] == [("order-1", 4), ("order-2", 4)]
    assert treadle("workflow", "list", "-o", "json").json == []
    assert treadle("log", "append", "order-1", "custom", "-o", "json").json["seq"] == 5
    assert treadle("workflow", "delete", "order-2").code == 3
    assert treadle("workflow", "delete", "nobody").code == 3
    assert treadle("log", "verify").code == 0


def test_a_workflow_that_runs_is_not_deleted(treadle, running):
    running("order", "A-7", 4200)
    ran = treadle("workflow", "delete", "order-1")
    assert ran.code == 5
    assert "terminate it first" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("store", "prune", "--dry-run", "--compact"), 2, "leave one of them out"),
        (("store", "prune", "--keep-closed-days", "-1"), 2, ">= 0"),
        (("store", "prune", "--keep-closed", "1.5"), 2, "whole number"),
        (("store", "prune", "--store", "none.db"), 69, "no such store"),
        (("store", "vacuum", "--store", "none.db"), 69, "no such store"),
        (("store", "vacuum", "--store", "memory:"), 2, "no store in a file"),
        (("workflow", "snapshot", "order-1", "--fold", "folds_here"), 2, "MODULE:NAME"),
        (("workflow", "snapshot", "order-1", "--fold", "folds_here:NONE"), 3, "holds nothing named"),
        (("workflow", "snapshot", "order-1", "--fold", "folds_here:function"), 2, "treadle.Fold"),
        (("workflow", "snapshot", "ordr-1", "--fold", "folds_here:TOTAL"), 3, "did you mean"),
        (("workflow", "baseline", "order-1"), 2, "--fold"),
    ],
)
def test_what_cannot_be_right_is_told_and_changes_nothing(treadle, folds, store, arguments, code, says):
    before = store.read_bytes()
    ran = treadle(*arguments)

    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert treadle("log", "verify").code == 0
    assert store.read_bytes() == before


@pytest.mark.parametrize("command", ["prune", "vacuum"])
def test_help_teaches(treadle, command):
    told = treadle("store", command, "--help").out
    assert f"treadle store {command}" in told
    assert "Examples" in told


def test_progress_is_for_those_who_watch(treadle, store):
    """Rows are data; the summary goes elsewhere."""
    ran = treadle("store", "prune", "-o", "json")
    assert json.loads(ran.out) == []
    assert "looked at 2 logs" in ran.err
