"""`treadle workflow branch|what-if|reset`, where nobody runs the store; see also `test_cli_messages.py`."""

from __future__ import annotations

import pytest


@pytest.mark.usefixtures("store")
def test_a_plain_log_is_branched_and_both_go_on(treadle):
    ran = treadle("workflow", "branch", "order-1", "--at", "2", "--to", "order-1-b", "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "workflow_id": "order-1-b", "parent": "order-1", "at": 2, "next_seq": 4, "mode": None, "status": None,
    }  # fmt: skip
    assert treadle("log", "append", "order-1-b", "custom", "own").code == 0
    seqs = [line["seq"] for line in treadle("log", "read", "order-1-b", "-o", "jsonl").lines]
    assert seqs == [1, 2, 3, 4]
    assert treadle("log", "verify").code == 0
    table = treadle("workflow", "branch", "order-1", "--at", "2", "--to", "c").out
    assert "treadle log append c" in table


def test_a_what_if_branch_is_played_by_answers_and_shown(treadle, running):
    running("order", "A", 5)
    scheduled = _seq_of(treadle, "order-1", "ACTIVITY_SCHEDULED")
    ran = treadle("workflow", "branch", "order-1", "--at", str(scheduled), "--to", "b", "-o", "json")

    assert (ran.code, ran.json["mode"], ran.json["status"]) == (0, "what_if", "held")
    stopped = treadle("workflow", "what-if", "b", "shop", "-o", "json")
    assert (stopped.code, stopped.json["stopped_at"], stopped.json["events"]) == (1, scheduled, 0)
    played = treadle("workflow", "what-if", "b", "shop", "--answer", f"{scheduled}=r-other")
    assert played.code == 0
    assert "completed" in played.out
    shown = treadle("workflow", "show", "b", "-o", "json").json["history"]
    words = {event["kind"]: event["what"] for event in shown}
    assert words["BRANCHED"] == f"of order-1 at seq {scheduled}"
    assert words["ACTIVITY_COMPLETED"] == f'of {scheduled}: "r-other"'
    assert "b" not in treadle("workflow", "list").out.split()
    assert "b" in treadle("workflow", "list", "--hidden").out.split()
    assert treadle("log", "verify").code == 0


def test_a_real_branch_waits_for_somebody_who_names_it(treadle, running):
    running("order", "A", 5)
    ran = treadle("workflow", "branch", "order-1", "--at", "2", "--to", "b", "--mode", "real")

    assert ran.code == 0
    assert "treadle workflow resume b" in ran.out
    assert "b" in treadle("workflow", "list", "--status", "held").out.split()
    assert "b" not in treadle("workflow", "resume").out.split()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("branch", "order-1", "--at", "0", "--to", "b"), 2, "count 1, 2, 3"),
        (("branch", "order-1", "--at", "99", "--to", "b"), 5, "no event 99"),
        (("branch", "order-1", "--at", "2", "--to", "order-2"), 5, "in use"),
        (("branch", "order-1", "--at", "2", "--to", "order-1"), 2, "branch of itself"),
        (("branch", "order-9", "--at", "2", "--to", "b"), 3, "no workflow 'order-9'"),
        (("what-if", "order-1", "shop"), 2, "plain log"),
        (("what-if", "order-1", "shop", "--answer", "x"), 2, "SEQ=JSON"),
        (("what-if", "order-1", "shop", "--answer", "x=1"), 2, "SEQ=JSON"),
        (("reset", "order-1", "--at", "1"), 2, "plain log"),
        (("reset", "order-9", "--at", "1"), 3, "no workflow 'order-9'"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(treadle, store, shop, arguments, code, words):
    before = store.read_bytes()
    assert shop.exists()
    ran = treadle("workflow", *arguments)

    assert (ran.code, words in ran.err) == (code, True), ran.err
    assert treadle("workflow", "list").out.count("order") == 2
    assert len(store.read_bytes()) == len(before)


def test_a_reset_needs_somebody_who_runs_the_store(treadle, running):
    running("order", "A", 5)
    ran = treadle("workflow", "reset", "order-1", "--at", "1")

    assert ran.code == 69
    assert "treadle workflow serve" in ran.err


def _seq_of(treadle, name, kind):
    history = treadle("workflow", "show", name, "-o", "json").json["history"]
    return next(event["seq"] for event in history if event["kind"] == kind)
