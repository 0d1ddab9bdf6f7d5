"""`treadle stress`: isolation under load, small."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import apsw
import pytest

from treadle.checkers import History, check_history
from treadle.cli.stress import acts
from treadle.cli.stress.load import Load, LogState
from treadle.cli.stress.recording import Recording, collect, part_of

SMALL = ("stress", "--workflows", "6", "--events", "24", "--seed", "3")


@pytest.mark.parametrize(
    "options",
    [
        ("--store", "memory:"),
        (),
        ("--batch", "5", "--duplicates", "1", "--cancel", "0"),
        ("--store", "memory:", "--batch", "3", "--cancel", "1", "--duplicates", "0.5"),
        ("--writers", "1", "--duplicates", "0", "--cancel", "1"),
    ],
    ids=" ".join,
)
def test_every_promise_holds_under_load(treadle, options):
    ran = treadle(*SMALL, *options, "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json["ok"] is True
    assert ran.json["events"] == 144
    assert ran.json["latency_p50_ms"] <= ran.json["latency_p99_ms"]


def test_duplicates_and_cancelled_callers_really_happen(treadle):
    told = treadle(*SMALL, "--duplicates", "1", "--cancel", "1", "-o", "json").json

    assert told["duplicates"] == 144
    assert told["cancelled"] > 0


def test_several_processes_share_one_file(treadle):
    ran = treadle(*SMALL, "--processes", "2", "--writers", "2", "--store", "shared.db", "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["ok"], ran.json["processes"], ran.json["events"]) == (True, 2, 144)
    assert treadle("replay", "--store", "shared.db", "-o", "json").json["events"] == 144


def test_writers_go_on_for_a_time_instead_of_a_number_of_events(treadle):
    """However many events that are, every promise is checked for all of them."""
    ran = treadle("stress", "--workflows", "3", "--duration", "0.1", "--store", "memory:", "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json["ok"] is True
    assert ran.json["events"] > 0
    assert "3 workflows for 0.1 s" in treadle("stress", "--workflows", "3", "--duration", "0.1").out


def test_a_writer_that_has_a_time_goes_on_without_end():
    batches = Load(1, 1, 1, 2, 0.0, 0.0, 1, 0, seconds=1.0).batches("w", 0)
    keys = [key for _, batch in islice(batches, 100) for key in batch]

    assert keys == [f"0:{number}".encode() for number in range(200)]


def test_a_number_of_events_or_a_time_ends_the_writing(treadle):
    both = treadle(*SMALL, "--duration", "1")

    assert both.code == 2
    assert "--events or --duration" in both.err
    assert treadle("stress", "--duration", "0").code == 2
    assert treadle("stress", "--duration", "601").code == 2


def test_processes_do_not_share_memory(treadle):
    assert treadle(*SMALL, "--processes", "2", "--store", "memory:").code == 2
    assert treadle(*SMALL, "--batch", "1001").code == 2


def test_a_table_tells_latency_and_verdict(treadle):
    out = treadle(*SMALL, "--store", "memory:").out

    assert "p50" in out
    assert "all promises hold" in out


def test_the_writers_of_a_load_share_its_events_exactly():
    load = Load(1, 10, 2, 3, 0.0, 0.0, 2, 0)
    keys = [key for writer in range(4) for _, batch in load.batches("w", writer) for key in batch]

    assert len(keys) == len(set(keys)) == 10
    assert Load.decoded(load.encoded()) == load


@pytest.mark.parametrize(
    "events",
    [
        [(0, 0, 1)],
        [(0, 0, 1), (0, 1, 2), (0, 1, 3)],
        [(0, 1, 1), (0, 0, 2)],
        [(0, 0, 1), (0, 1, 5)],
        [(1, 0, 1), (1, 1, 2)],
    ],
    ids=["lost", "doubled", "out of order", "elsewhere", "another's"],
)
def test_a_log_that_is_not_what_its_writers_were_told_gives_another_state(events):
    live, replayed = LogState(), LogState()
    for event in [(0, 0, 1), (0, 1, 2)]:
        live.add(*event)
    for event in events:
        replayed.add(*event)

    assert live != replayed


# -- recorded histories --

RECORDED = (*SMALL, "--processes", "2", "--writers", "2", "--history", "history.jsonl")


def test_what_all_processes_did_and_saw_is_recorded_and_checked_again_later(treadle):
    ran = treadle(*RECORDED, "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json["operations"] > 144
    assert ran.json["promises"]["linearizable"] == 0
    assert list(Path().glob("history.jsonl.part*")) == []
    later = treadle("check", "history.jsonl", "-o", "json").json
    assert (later["ok"], later["events"], later["operations"]) == (True, 144, ran.json["operations"])


def test_one_process_in_memory_is_recorded_too(treadle):
    ran = treadle(*SMALL, "--store", "memory:", "--batch", "5", "--history", "h.jsonl", "-o", "json")

    assert (ran.code, ran.json["ok"], ran.json["kills"]) == (0, True, 0)
    assert treadle("check", "h.jsonl").code == 0


@pytest.mark.slow
def test_processes_that_are_killed_again_and_again_keep_every_promise(treadle):
    ran = treadle(
        *("stress", "--workflows", "4", "--duration", "3", "--processes", "2", "--kill", "0.4"),
        *("--batch", "3", "--history", "history.jsonl", "-o", "json"),
    )

    assert (ran.code, ran.err) == (0, "")
    assert ran.json["ok"] is True
    assert ran.json["kills"] >= 2
    assert ran.json["events"] > 0
    assert treadle("check", "history.jsonl").code == 0


def drop_the_last(connection):
    connection.execute(
        "DELETE FROM events WHERE workflow = 1 AND seq = (SELECT max(seq) FROM events WHERE workflow = 1)"
    )


def swap_two(connection):
    (first, second) = connection.execute(
        "SELECT payload FROM events WHERE workflow = 1 AND seq IN (2, 3) ORDER BY seq"
    )
    for seq, (payload,) in ((2, second), (3, first)):
        connection.execute("UPDATE events SET payload = ? WHERE workflow = 1 AND seq = ?", (payload, seq))


@pytest.mark.parametrize("lie", [drop_the_last, swap_two])
def test_a_store_that_lies_is_found_at_once_and_in_the_file(treadle, monkeypatch, lie):
    """The history is held against what the store then holds: an acknowledged event that is lost or moved."""
    write = acts._write_apart

    async def write_and_lie(url, *rest):
        kills = await write(url, *rest)
        connection = apsw.Connection(url)
        lie(connection)
        connection.close()
        return kills

    monkeypatch.setattr(acts, "_write_apart", write_and_lie)
    ran = treadle(*RECORDED, "--store", "lying.db", "-o", "json")

    assert ran.code == 4
    assert ran.json["promises"]["linearizable"] > 0
    later = treadle("check", "history.jsonl")
    assert later.code == 4
    assert "acknowledged_once" in later.out


def test_a_send_without_an_answer_is_unknown_and_goes_on_in_the_next_life(tmp_path):
    """A kill cuts a line short, or comes between a send and its answer; the same send is one operation."""
    part = part_of(str(tmp_path / "h"), 0)
    first = Recording(part)
    first.begin("w0", "stress-000000", ["0.0.0", "0.0.1"])
    first.end(["0.0.0", "0.0.1"], 1)
    first.begin("w0", "stress-000000", ["0.0.2"])
    first.close()
    with part.open("ab") as file:
        file.write(b'{"type":"ended","mark":"0.0.2","se')
    (before, doubtful) = collect([part]).operations
    again = Recording(part)
    resumed = set(again.answered)
    again.begin("w0", "stress-000000", ["0.0.2"])
    again.end(["0.0.2"], 3)
    again.begin("w1", "stress-000000", ["0.1.0"])
    again.close()
    recorded = collect([part])

    assert (before.outcome, before.writes[0].seq) == ("ok", 1)
    assert (doubtful.outcome, doubtful.end, doubtful.writes[0].seq) == ("unknown", None, None)
    assert resumed == {"0.0.0"}
    assert [one.outcome for one in recorded.operations] == ["ok", "ok", "unknown"]
    assert recorded.operations[1].begin == doubtful.begin
    assert recorded.unknown == {"stress-000000"}
    assert list(recorded.acknowledged()) == [(0, 0, 0, 1), (0, 0, 1, 2), (0, 0, 2, 3)]
    for log in (["0.0.0", "0.0.1", "0.0.2"], ["0.0.0", "0.0.1", "0.0.2", "0.1.0"]):
        assert check_history(History(recorded.operations, {"stress-000000": log})) == []
    assert check_history(History(recorded.operations, {"stress-000000": ["0.0.0", "0.0.1"]})) != []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--kill", "1", "--history", "h"), "give --processes 2 or more"),
        (("--kill", "1", "--processes", "2"), "give --history FILE with --kill"),
        (("--kill", "0", "--processes", "2", "--history", "h"), "--kill"),
        (("--kill", "soon", "--processes", "2", "--history", "h"), "--kill"),
        (("--history", "there"), "there exists"),
        (("--history", "nowhere/h"), "there is no folder for nowhere/h"),
    ],
    ids=str,
)
def test_a_recording_that_cannot_be_is_told_before_anything_is_written(treadle, options, said):
    Path("there").write_text("mine")
    ran = treadle(*SMALL, *options, "--store", "kept.db")

    assert ran.code == 2
    assert said in ran.err
    assert not Path("kept.db").exists()
    assert Path("there").read_text() == "mine"
