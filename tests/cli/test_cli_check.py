"""`treadle check` holds a recorded history against the promises, and says which is broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from treadle.checkers import HISTORY_CHECKERS

GOOD = [
    {"history": 1},
    {"op": 1, "client": "c1", "begin": 0, "end": 1, "outcome": "ok",
     "writes": [{"workflow": "a", "marks": ["x"], "seq": 1}]},
    {"note": "somebody else's"},
    {"op": 2, "client": "c2", "begin": 2, "end": 3, "outcome": "ok",
     "reads": [{"workflow": "a", "from": 1, "marks": ["x"]}]},
    {"follower": "f", "workflow": "a", "from": 1, "marks": ["x"]},
    {"log": "a", "marks": ["x"]},
]  # fmt: skip
STALE = {
    "op": 3,
    "client": "c2",
    "begin": 4,
    "end": 5,
    "outcome": "ok",
    "reads": [{"workflow": "a", "next_seq": 1}],
}


def written(*records: object) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.jsonl"
    path.write_bytes(written(*GOOD))
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(written(*GOOD, STALE))
    return path


def test_a_good_history_has_a_row_for_each_promise_and_ends_with_0(treadle, good):
    ran = treadle("check", str(good))

    assert ran.code == 0
    header, *rows = ran.out.splitlines()
    assert header.split()[:3] == ["promise", "checked", "violations"]
    assert [row.split()[0] for row in rows] == list(HISTORY_CHECKERS)
    bare = ("quarantine", "unacknowledged", "branches", "transactions", "retention")
    assert all(" none " in row for row in rows if not row.startswith(bare))
    assert "0 beginnings" in rows[-1]
    assert "nothing of it was recorded" in rows[-1]
    assert ran.err == "lines of other kinds, passed over: 1 note\n"


def test_operations_that_saw_and_wrote_nothing_are_no_proof_of_an_order(treadle, tmp_path):
    """A history of durable workflows has calls, and no log that a client read or wrote."""
    line = b'{"op":1,"client":"c","begin":1,"end":2,"outcome":"ok","call":"signal"}\n'
    (tmp_path / "calls.jsonl").write_bytes(line)
    ran = treadle("check", str(tmp_path / "calls.jsonl"), "-o", "json")

    assert ran.code == 0
    assert [promise["checked"] for promise in ran.json["promises"]] == [0] * len(HISTORY_CHECKERS)


def test_a_broken_promise_is_named_and_ends_with_4(treadle, broken):
    ran = treadle("check", str(broken))

    assert ran.code == 4
    (row,) = [line for line in ran.out.splitlines() if line.startswith("linearizable")]
    assert row.split()[1:4] == ["3", "operations", "1"]
    assert "operation 3 of c2 (4 to 5) saw 0 events, though operation" in row
    assert "violation: serializable: a seq 1: G-single-realtime: operation 3" in ran.err


def test_json_has_the_verdict_and_every_violation(treadle, broken):
    ran = treadle("check", str(broken), "-o", "json")

    assert (ran.code, ran.json["ok"]) == (4, False)
    assert {key: ran.json[key] for key in ("operations", "logs", "events", "followers", "passed_over")} == {
        "operations": 3,
        "logs": 1,
        "events": 1,
        "followers": 1,
        "passed_over": {"note": 1},
    }
    by_name = {promise["promise"]: promise for promise in ran.json["promises"]}
    assert list(by_name) == list(HISTORY_CHECKERS)
    assert by_name["linearizable"]["checked"] == 3
    assert by_name["isolation"] == {
        "promise": "isolation",
        "said": "nothing of one workflow in another",
        "checked": 1,
        "violations": 0,
        "first": None,
    }
    assert [(found["promise"], found["anomaly"]) for found in ran.json["violations"]] == [
        ("linearizable", None),
        ("serializable", "G-single-realtime"),
    ]


def test_only_the_checkers_asked_for_are_run(treadle, broken):
    ran = treadle("check", str(broken), "--checker", "followed-order", "--checker", "isolation", "-o", "json")

    assert ran.code == 0
    assert [promise["promise"] for promise in ran.json["promises"]] == ["isolation", "followed_order"]


def test_an_unknown_checker_gets_the_nearest_before_the_file_is_read(treadle):
    ran = treadle("check", "there-is-none.jsonl", "--checker", "linearisable")

    assert (ran.code, ran.out) == (2, "")
    assert "did you mean 'linearizable'?" in ran.err


@pytest.mark.parametrize("packed", [False, True])
def test_stdin_and_gzip_are_read_as_well(treadle, broken, packed):
    data = gzip.compress(broken.read_bytes()) if packed else broken.read_bytes()
    (broken.parent / "h.jsonl.gz").write_bytes(data)

    by_name = treadle("check", "h.jsonl.gz", "-o", "json")
    by_stdin = treadle("check", "-", "-o", "json", stdin=data)

    assert by_name.json == by_stdin.json
    assert by_name.code == by_stdin.code == 4


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (written(*GOOD)[:-5], "bad.jsonl:6: a line of 'log' has another form"),
        (written(*GOOD, {**STALE, "begin": 6}), "bad.jsonl:7: an end does not lie before its begin"),
        (written(*GOOD, {**STALE, "op": 1}), "bad.jsonl:7: each operation has its own number"),
        (b"", "bad.jsonl: a history has operations, followers or logs, got none"),
        (b'{"line":"log"}\n', "bad.jsonl: a history has operations, followers or logs, got none"),
        (gzip.compress(written(*GOOD), mtime=0)[:-9], "bad.jsonl: a gzip file ends with its checksum"),
    ],
)
def test_a_malformed_history_ends_with_1_and_its_line(treadle, tmp_path, data, says):
    (tmp_path / "bad.jsonl").write_bytes(data)

    ran = treadle("check", "bad.jsonl")

    assert (ran.code, ran.out) == (1, "")
    assert says in ran.err


def test_a_missing_file_ends_with_3(treadle):
    assert treadle("check", "there-is-none.jsonl").code == 3


@pytest.mark.slow
def test_a_line_may_be_longer_than_one_of_an_export(treadle, tmp_path):
    """The log at the end is one line, however many events it has."""
    marks = [f"m{n:0100}" for n in range(180_000)]
    write = {"op": 1, "client": "c", "begin": 0, "end": 1, "outcome": "ok"}
    long = [{**write, "writes": [{"workflow": "a", "marks": marks}]}, {"log": "a", "marks": marks}]
    (tmp_path / "long.jsonl").write_bytes(written(*long))

    ran = treadle("check", "long.jsonl", "-o", "json")

    assert (ran.code, ran.json["events"]) == (0, 180_000)
