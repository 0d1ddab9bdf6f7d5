"""Files become logs and logs become files: whole, once, and back again."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from treadle.cli.importer import EVENTS_IN_FLIGHT_MAX, Importer, Tally, Window
from treadle.events import WorkflowEvent, workflow_id
from treadle.formats import ImportedLog
from treadle.runtime import open_runtime
from treadle.testing import InlineKernel

XES = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1.0"><string key="origin" value="test"/>
{traces}
</log>
"""
TRACE = """<trace><string key="concept:name" value="{name}"/>
<event><string key="concept:name" value="a"/><date key="time:timestamp" value="2026-01-31T12:00:00Z"/></event>
<event><string key="concept:name" value="b"/><date key="time:timestamp" value="{date}"/></event>
</trace>"""


def xes(*names: str, bad: str = "") -> bytes:
    traces = [
        TRACE.format(name=name, date="never" if name == bad else "2026-01-31T13:00:00Z") for name in names
    ]
    return XES.format(traces="\n".join(traces)).encode()


def history(events: int) -> bytes:
    return json.dumps(
        {
            "events": [
                {"eventId": n, "eventTime": "2026-01-31T12:00:00Z", "eventType": "EVENT_TYPE_TIMER_STARTED"}
                for n in range(1, events + 1)
            ]
        }
    ).encode()


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    file = tmp_path / "cases.xes.gz"
    file.write_bytes(gzip.compress(xes("one", "two", "three")))
    return file


def test_an_import_writes_every_log_and_a_second_one_writes_nothing_and_says_so(treadle, cases):
    first = treadle("log", "import", str(cases), "-o", "json")
    second = treadle("log", "import", str(cases), "-o", "json")

    assert (first.code, first.err) == (0, "")
    assert first.json == {
        "files": 1,
        "workflows_written": 3,
        "workflows_already_there": 0,
        "events_written": 9,
        "events_already_there": 0,
    }
    assert second.json == {
        "files": 1,
        "workflows_written": 0,
        "workflows_already_there": 3,
        "events_written": 0,
        "events_already_there": 9,
    }
    assert "already there" in second.err


def test_a_bad_trace_stops_the_import_with_its_line_and_what_is_written(treadle, tmp_path):
    file = tmp_path / "cases.xes"
    file.write_bytes(xes("one", "two", "three", bad="two"))
    stopped = treadle("log", "import", str(file))

    assert (stopped.code, stopped.out) == (1, "")
    assert "cases.xes:9" in stopped.err
    assert "two" in stopped.err
    assert "in the store, whole: 1 workflow (3 events) before it" in stopped.err
    assert treadle("workflow", "count").out == "1\n"

    file.write_bytes(xes("one", "two", "three"))
    mended = treadle("log", "import", str(file), "-o", "json").json
    assert (mended["workflows_written"], mended["workflows_already_there"]) == (2, 1)


def test_check_reads_the_whole_file_before_anything_is_written(treadle, tmp_path):
    (tmp_path / "cases.xes").write_bytes(xes("one", "two", bad="two"))

    assert treadle("log", "import", "cases.xes", "--check").code == 1
    assert not (tmp_path / "treadle.db").exists()


def test_a_history_is_named_by_its_file_or_by_id(treadle, tmp_path):
    (tmp_path / "h.json.gz").write_bytes(gzip.compress(history(3)))
    treadle("log", "import", "h.json.gz")
    treadle("log", "import", "h.json.gz", "--id", "mine")

    assert [row["workflow_id"] for row in treadle("workflow", "list", "-o", "json").json] == ["h", "mine"]


def test_a_history_that_has_grown_is_continued(treadle, tmp_path):
    (tmp_path / "h.json").write_bytes(history(3))
    treadle("log", "import", "h.json")
    (tmp_path / "h.json").write_bytes(history(5))
    grown = treadle("log", "import", "h.json", "-o", "json").json

    assert (grown["events_written"], grown["events_already_there"]) == (2, 3)


def test_a_log_that_differs_from_what_is_stored_is_a_conflict(treadle, tmp_path):
    treadle("log", "append", "h", "custom", "something else")
    (tmp_path / "h.json").write_bytes(history(2))

    assert treadle("log", "import", "h.json").code == 5
    assert treadle("workflow", "show", "h", "-o", "json").json["events"] == 1


def test_a_conflict_names_the_file_and_the_line_among_many(treadle, tmp_path):
    (tmp_path / "good.xes").write_bytes(xes("one", "two"))
    (tmp_path / "other.xes").write_bytes(xes("three", "two").replace(b"13:00", b"14:00"))
    ran = treadle("log", "import", "good.xes", "other.xes")

    assert ran.code == 5
    assert ran.err.startswith("treadle: other.xes:7: workflow 'two': another event stands at seq 3")
    assert "import the file into another store" in ran.err


def test_a_check_that_fails_says_that_nothing_was_written(treadle, tmp_path):
    (tmp_path / "good.xes").write_bytes(xes("one", "two"))
    (tmp_path / "bad.xes").write_bytes(xes("three", "four", bad="four"))
    ran = treadle("log", "import", "good.xes", "bad.xes", "--check")

    assert ran.code == 1
    assert "bad.xes" in ran.err
    assert ran.err.endswith("\nnothing was written\n")
    assert not (tmp_path / "treadle.db").exists()


def test_stdin_is_read_when_it_names_its_logs(treadle):
    assert treadle("log", "import", "-", stdin=gzip.compress(xes("one"))).code == 0
    assert treadle("log", "import", "-", "--id", "h", stdin=history(2)).code == 0
    assert treadle("workflow", "count").out == "2\n"


@pytest.mark.parametrize(
    ("arguments", "content", "code", "says"),
    [
        (("nofile.xes",), b"", 3, "nofile.xes: No such file"),
        (("folder",), b"", 2, "folder: Is a directory"),
        (("f",), b"", 1, "this one is empty"),
        (("f",), b"some text", 1, "name its format"),
        (("f",), gzip.compress(b"<log></log>" * 100, mtime=0)[:-9], 1, "ends early"),
        (("f",), b"<log><trace></log>", 1, "f:1"),
        (("f",), b'<!DOCTYPE l [<!ENTITY a "b">]><log>&a;</log>', 1, "f:1"),
        (("f", "--format", "yaml"), b"", 2, "--format"),
        (("f", "--id", "x"), b"<log></log>", 2, "leave the id out"),
        (("f", "f", "--id", "x"), history(1), 2, "--id names one log"),
        (("-",), history(1), 2, "give --id"),
        (("-", "--check"), history(1), 2, "stdin can be read once"),
        (("f.json",), b'{"events": [{"eventId": 2}]}', 1, "f.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_file_that_cannot_be_taken_gets_a_sentence_and_writes_nothing(
    treadle, tmp_path, arguments, content, code, says
):
    (tmp_path / "folder").mkdir()
    for name in ("f", "f.json"):
        (tmp_path / name).write_bytes(content)
    ran = treadle("log", "import", *arguments, stdin=content)

    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "treadle.db").exists() or treadle("workflow", "count").out == "0\n"


@pytest.mark.parametrize("form", ["jsonl", "xes"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_what_was_exported_can_be_imported_and_replays_to_the_same_digest(treadle, cases, form, ending):
    treadle("log", "import", str(cases))
    treadle("log", "append", "later", "custom", "not from XES", "--timestamp", "7")
    file = f"out.{form}{ending}"
    assert treadle("log", "export", "-f", file).code == 0
    # A log of another origin is carried, but as XES: only those that came from XES come back the same.
    chosen = ("one", "two", "three") if form == "xes" else ("one", "two", "three", "later")
    treadle("log", "import", file, "--store", "other.db")

    expected = treadle("replay", *chosen, "-o", "json").json
    assert expected == treadle("replay", *chosen, "-o", "json", "--store", "other.db").json


@pytest.mark.usefixtures("orders")
def test_an_export_goes_to_stdout_and_chooses_by_name_or_prefix(treadle):
    def names(*arguments: str) -> list[str]:
        lines = treadle("log", "export", *arguments).lines
        return [line["workflow_id"] for line in lines if line["line"] == "log"]

    assert names() == ["order-1", "order-2", "parcel-9"]
    assert names("--prefix", "order-") == ["order-1", "order-2"]
    assert names("parcel-9", "order-2") == ["parcel-9", "order-2"]
    assert treadle("log", "export", "x", "--prefix", "o").code == 2
    assert treadle("log", "export", "nobody").code == 3


@pytest.mark.usefixtures("orders")
def test_an_export_to_a_file_prints_a_summary_and_to_stdout_only_the_logs(treadle):
    summary = {"file": "two.jsonl", "format": "jsonl", "workflows": 2, "events": 5}
    ran = treadle("log", "export", "--prefix", "order-", "-f", "two.jsonl", "-o", "json")
    table = treadle("log", "export", "-f", "all.xes.gz", "--format", "xes")

    assert (ran.json, ran.err) == (summary, "")
    assert re.search(r"events +7\n", table.out)
    assert treadle("log", "export", "order-2").err == "1 workflow written\n"
    refused = treadle("log", "export", "-o", "json")
    assert (refused.code, refused.out) == (2, "")
    assert "give --file" in refused.err


@pytest.mark.usefixtures("orders")
def test_an_export_replaces_a_file_only_when_forced_and_leaves_no_draft(treadle, tmp_path):
    (tmp_path / "out.jsonl").write_text("precious")

    refused = treadle("log", "export", "-f", "out.jsonl")
    assert refused.code == 2
    assert "--force" in refused.err
    assert (tmp_path / "out.jsonl").read_text() == "precious"
    assert treadle("log", "export", "-f", "no/folder/out.jsonl").code == 2
    assert treadle("log", "export", "-f", "out.jsonl", "--force").code == 0
    assert '"line":"log"' in (tmp_path / "out.jsonl").read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out.jsonl"]


def test_an_export_that_fails_leaves_nothing_behind(treadle, cases, tmp_path):
    other = tmp_path / "more.xes"
    other.write_bytes(xes("four").replace(b'value="test"', b'value="elsewhere"'))
    treadle("log", "import", str(cases), str(other))
    ran = treadle("log", "export", "-f", "all.xes")

    assert ran.code == 1
    assert "one header" in ran.err
    assert not list(tmp_path.glob("all.xes*"))


async def test_the_window_lets_no_more_events_in_than_its_bound_and_a_longer_log_alone():
    window = Window(10)
    await window.enter(25)
    order: list[str] = []

    async def later() -> None:
        await window.enter(1)
        order.append("in")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(later)
        await trio.testing.wait_all_tasks_blocked()
        order.append("left")
        window.leave(25)

    assert order == ["left", "in"]


async def test_what_was_read_is_written_while_more_is_read():
    """An import that is killed, or whose reader waits for a slow pipe, keeps what it has read."""
    tally = Tally()
    written: list[int] = []

    def logs() -> Iterator[ImportedLog]:
        for number in range(24):
            written.append(tally.workflows_written)
            events = tuple(WorkflowEvent(seq, seq, "custom") for seq in range(1, 601))
            yield ImportedLog(workflow_id(f"w{number}"), events)

    async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
        await Importer(runtime, tally).take(logs(), "logs")

    assert tally.workflows_written == 24
    assert 24 * 600 < EVENTS_IN_FLIGHT_MAX  # so nothing had to be waited for
    assert written[-1] >= 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"Dear diary"),
        ("empty.xes", b""),
        ("bomb.xes", b'<!DOCTYPE lolz [<!ENTITY lol "lol">]><log/>'),
        ("unnamed.xes", b"<log><string key='a' value='b'/><trace/></log>"),
        ("cut.xes.gz", gzip.compress(xes("one"), mtime=0)[:40]),
        ("gap.json", b'{"events": [{"eventId": 2, "eventType": "TimerFired", "timestamp": 1}]}'),
        ("shape.jsonl", b'{"line":"log"}'),
    ],
)
@pytest.mark.parametrize("stdin", [False, True])
def test_a_file_that_is_wrong_from_its_start_makes_no_store(treadle, tmp_path, name, content, stdin):
    (tmp_path / name).write_bytes(content)
    ran = treadle("log", "import", "-" if stdin else name, stdin=content if stdin else b"")

    assert (ran.code, ran.out) in {(1, ""), (2, "")}
    assert ran.err.endswith("\nnothing was written\n")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_is_wrong_from_its_start_says_what_those_before_it_left(treadle, tmp_path, cases):
    (tmp_path / "bad.xes").write_bytes(b"<log><trace/></log>")
    ran = treadle("log", "import", str(cases), "bad.xes")

    assert ran.code == 1
    assert (
        "in the store, whole: 3 workflows (9 events) before it; mend it and run the import again" in ran.err
    )


def test_a_copy_of_a_durable_workflow_is_a_repeat_and_another_history_is_none(treadle, running):
    """An export can be imported again, also over what it was made of, whoever else may append there."""
    running("order", "order-7", 4200)
    exported = treadle("log", "export").out
    again = treadle("log", "import", "-", stdin=exported.encode())
    copied = treadle("log", "import", "-", "--store", "copy.db", "-o", "json", stdin=exported.encode())

    assert (again.code, again.err) == (0, "nothing was written: all of it is already there\n")
    assert copied.json["events_written"] == len(exported.splitlines()) - 1
    treadle("log", "append", "order-1", "custom", "x", "--store", "copy.db")
    longer = treadle("log", "export", "--store", "copy.db").out
    refused = treadle("log", "import", "-", stdin=longer.encode())

    assert refused.code == 2
    assert "only its runner appends to its log" in refused.err


def test_json_lines_carry_idempotency_keys(treadle) -> None:
    """Who re-sends by key into a copy is answered with the event that is there, as in the original."""
    treadle("log", "append", "a", "custom", "x", "--key", "k1")
    treadle("log", "append", "a", "custom", "y")
    treadle("log", "export", "-f", "all.jsonl")
    treadle("log", "import", "all.jsonl", "--store", "copy.db")

    again = treadle("log", "append", "a", "custom", "x", "--key", "k1", "--store", "copy.db")
    events = treadle("log", "read", "a", "--store", "copy.db", "-o", "jsonl").lines

    assert again.code == 0, again.err
    assert len(events) == 2


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-poisoned"])
@pytest.mark.usefixtures("orders")
def test_an_export_never_takes_the_place_of_its_own_store(treadle, tmp_path, suffix):
    before = (tmp_path / "treadle.db").read_bytes()
    (tmp_path / "link").symlink_to(f"treadle.db{suffix}")
    for file in (f"treadle.db{suffix}", str(tmp_path / f"treadle.db{suffix}"), "link"):
        ran = treadle(
            "log", "export", "-f", file, "--force", "--format", "jsonl", "--store", "sqlite:treadle.db"
        )
        assert ran.code == 2
        assert "belongs to the store" in ran.err

    assert (tmp_path / "treadle.db").read_bytes() == before
    assert not (tmp_path / "treadle.db-poisoned").exists()


@pytest.mark.usefixtures("orders")
def test_force_replaces_no_other_database(treadle, tmp_path):
    treadle("log", "append", "a", "custom", "x", "--store", "other.jsonl")
    before = (tmp_path / "other.jsonl").read_bytes()
    ran = treadle("log", "export", "-f", "other.jsonl", "--force")

    assert ran.code == 2
    assert "SQLite database" in ran.err
    assert (tmp_path / "other.jsonl").read_bytes() == before


@pytest.mark.parametrize("file", ["x.csv", "x", "x.json", "x.gz"])
@pytest.mark.usefixtures("orders")
def test_a_name_that_tells_no_format_needs_one(treadle, tmp_path, file):
    ran = treadle("log", "export", "-f", file)

    assert ran.code == 2
    assert "--format" in ran.err
    assert ".jsonl or .ndjson (jsonl) or .xes or .xml (xes)" in ran.err
    assert not (tmp_path / file).exists()
    assert treadle("log", "export", "-f", file, "--format", "jsonl").code == 0
