"""`treadle stress`: isolation under load, small."""

from __future__ import annotations

from itertools import islice

import pytest

from treadle.cli.stress.load import Load, LogState

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
