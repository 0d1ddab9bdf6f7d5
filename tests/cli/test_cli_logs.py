"""Writing and reading single logs, and what is said of workflows."""

from __future__ import annotations

import json
import shlex

import pytest

from treadle.cli.output import payload_cell, printable
from treadle.cli.times import moment
from treadle.errors import InvalidValueError
from treadle.events import EventKind


def test_an_appended_event_can_be_read_back(treadle):
    appended = treadle("log", "append", "o", "custom", "héllo", "--timestamp", "5", "-o", "json")

    assert appended.code == 0
    assert appended.json == {
        "workflow_id": "o",
        "seq": 1,
        "timestamp": 5,
        "kind": "CUSTOM",
        "repeated": False,
    }
    assert treadle("log", "read", "o", "-o", "json").json == [
        {"workflow_id": "o", "seq": 1, "timestamp": 5, "kind": "CUSTOM", "text": "héllo"}
    ]


@pytest.mark.parametrize("again", [("--seq", "1"), ("--key", "k")])
def test_an_event_sent_again_is_answered_and_not_written(treadle, again):
    treadle("log", "append", "o", "custom", "x", "--key", "k")

    assert treadle("log", "append", "o", "custom", "x", *again, "-o", "json").json["repeated"] is True
    assert treadle("workflow", "show", "o", "-o", "json").json["events"] == 1


@pytest.mark.parametrize(("seq", "payload"), [("1", "other"), ("5", "x")])
def test_an_event_that_does_not_fit_is_a_conflict_and_changes_nothing(treadle, seq, payload):
    treadle("log", "append", "o", "custom", "x")
    ran = treadle("log", "append", "o", "custom", payload, "--seq", seq)

    assert (ran.code, ran.out) == (5, "")
    assert "append at seq 2" in ran.err or "seq 2" in ran.err
    assert treadle("workflow", "show", "o", "-o", "json").json["events"] == 1


def test_a_payload_may_come_from_a_file_or_stdin_as_any_bytes(treadle, tmp_path):
    (tmp_path / "p").write_bytes(b"\xff\x00")
    treadle("log", "append", "o", "custom", "--payload-file", "p")
    treadle("log", "append", "o", "custom", "--payload-file", "-", stdin=b"\xfe")
    treadle("log", "append", "o", "custom", "--", "-1")

    events = treadle("log", "read", "o", "-o", "jsonl").lines
    assert [event.get("base64") or event["text"] for event in events] == ["/wA=", "/g==", "-1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("o", "nonsense"), "an event kind is one of"),
        (("o", "8"), "signal_received, workflow_completed, workflow_failed, custom; got '8'"),
        *((("o", kind.name), "which only the engine writes") for kind in EventKind if kind > 8),
        (("", "custom"), "at least one character"),
        (("a\nb", "custom"), "control characters"),
        (("x" * 256, "custom"), "255 UTF-8 bytes"),
        (("o", "custom", "--seq", "0"), "a seq is an int from 1"),
        (("o", "custom", "--seq", "-3"), "a seq is an int from 1"),
        (("o", "custom", "--seq", str(2**63)), "a seq is an int from 1"),
        (("o", "custom", "--timestamp", str(2**63)), "64 signed bits"),
        (("o", "custom", "--timestamp", "9" * 5000), "64 signed bits"),
        (("o", "custom", "--timestamp", "yesterday"), "a time looks like"),
        (("o", "custom", "--key", ""), "key"),
        (("o", "custom", "--key", "k" * 65), "key"),
        (("o", "custom", "x", "--payload-file", "-"), "got both"),
    ],
)
def test_a_value_outside_its_word_is_refused_with_2_and_makes_no_store(treadle, tmp_path, arguments, says):
    ran = treadle("log", "append", *arguments)

    assert ran.code == 2
    assert says in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind <= 8])
def test_every_kind_of_a_plain_log_is_appended_in_any_case(treadle, kind):
    for name in (kind.name, kind.name.lower(), kind.name.title()):
        assert treadle("log", "append", "o", name, "-o", "json").json["kind"] == kind.name
    assert kind.name.lower() in " ".join(treadle("log", "append", "--help").out.split())


def test_what_is_written_to_memory_is_not_called_kept(treadle):
    assert treadle("log", "append", "o", "custom").err == ""
    assert "nothing of this is kept" in treadle("log", "append", "o", "custom", "--store", "memory:").err


def test_a_payload_over_its_limit_is_refused(treadle, tmp_path):
    (tmp_path / "big").write_bytes(b"x" * (2 * 1024 * 1024 + 1))
    ran = treadle("log", "append", "o", "custom", "--payload-file", "big")

    assert ran.code == 2
    assert "2097152 bytes" in ran.err


@pytest.mark.usefixtures("orders")
def test_read_keeps_to_seqs_and_times(treadle):
    def seqs(*arguments: str) -> list[int]:
        return [event["seq"] for event in treadle("log", "read", "order-1", *arguments, "-o", "json").json]

    assert seqs() == [1, 2, 3]
    assert seqs("--from", "2") == [2, 3]
    assert seqs("--to", "1") == [1]
    assert seqs("--until", "3000") == [1]
    assert seqs("--since", "2026-01-31T13:00:00+01:00") == [2]
    assert seqs("--since", "0", "--until", "9999", "--from", "2") == [3]
    treadle("log", "append", "order-1", "custom", "--timestamp", str(2**63 - 1))
    assert seqs("--since", str(2**63 - 1)) == [4]
    assert seqs("--since", "0") == [1, 2, 3, 4]


@pytest.mark.usefixtures("orders")
def test_a_table_shows_times_as_utc_with_all_their_digits(treadle):
    out = treadle("log", "read", "order-2").out

    assert "1970-01-01T00:00:00.000001Z" in out
    assert "2026-01-31T12:00:00.5Z" in out
    assert "\x1b" not in out


def test_a_table_never_lets_a_payload_act_on_the_terminal(treadle):
    treadle("log", "append", "o", "custom", "a\x1b[2Jb\nc\u202ed")

    assert "a\\x1b[2Jb\\nc\\u202ed" in treadle("log", "read", "o").out
    assert printable("plain") == "plain"


def test_a_long_payload_is_shortened_and_a_binary_one_is_hexadecimal():
    assert payload_cell(b"x" * 10_000) == "x" * 119 + "…"
    assert payload_cell("ü".encode() * 5_000).endswith("ü…")
    assert payload_cell(b"\xff\x01") == "0xff01"


@pytest.mark.usefixtures("orders")
def test_tail_shows_the_end(treadle):
    assert [event["seq"] for event in treadle("log", "tail", "order-1", "-n", "2", "-o", "json").json] == [
        2,
        3,
    ]


@pytest.mark.usefixtures("orders")
def test_tail_follows_what_other_processes_write(started, treadle):
    with started("log", "tail", "order-2", "-f", "-n", "1", "-o", "jsonl") as process:
        assert json.loads(process.stdout.readline())["seq"] == 2
        treadle("log", "append", "order-2", "custom", "third")
        told = json.loads(process.stdout.readline())
        process.kill()
        process.communicate()

    assert (told["seq"], told["text"]) == (3, "third")


@pytest.mark.parametrize("command", [("log", "read"), ("log", "tail"), ("workflow", "show"), ("replay",)])
@pytest.mark.usefixtures("orders")
def test_an_unknown_workflow_ends_with_3_and_a_guess(treadle, command):
    ran = treadle(*command, "order-11")

    assert (ran.code, ran.out) == (3, "")
    assert "did you mean 'order-1'" in ran.err
    assert "workflow list" in ran.err


@pytest.mark.parametrize(
    "command",
    [
        ("log", "read", "x"),
        ("log", "tail", "x"),
        ("log", "export"),
        ("log", "verify"),
        ("workflow", "list"),
        ("workflow", "show", "x"),
        ("workflow", "count"),
        ("replay",),
    ],
    ids=" ".join,
)
def test_a_reading_command_makes_no_store_and_tells_how_to_get_one(treadle, tmp_path, command):
    ran = treadle(*command, "--store", "nowhere.db")

    assert (ran.code, ran.out) == (69, "")
    assert "nowhere.db" in ran.err
    assert "--store or TREADLE_STORE" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("content", "code"), [(None, 69), (b"hello, world", 69), (b"", 69)])
def test_what_is_no_store_is_refused_in_one_sentence(treadle, tmp_path, content, code):
    place = tmp_path / "thing"
    if content is None:
        place.mkdir()
    else:
        place.write_bytes(content)
    ran = treadle("workflow", "count", "--store", "thing")

    assert (ran.code, ran.out) == (code, "")
    assert "thing" in ran.err


def test_an_unknown_kind_of_store_is_a_usage_error(treadle):
    ran = treadle("workflow", "count", "--store", "postgres:orders")

    assert ran.code == 2
    assert "no store answers to 'postgres'" in ran.err


@pytest.mark.usefixtures("orders")
def test_workflows_are_listed_in_order_and_by_pages(treadle):
    def names(*arguments: str) -> list[str]:
        return [row["workflow_id"] for row in treadle("workflow", "list", *arguments, "-o", "json").json]

    assert names() == ["order-1", "order-2", "parcel-9"]
    assert names("--prefix", "order-") == ["order-1", "order-2"]
    assert names("--after", "order-1", "--limit", "1") == ["order-2"]
    assert "--after=order-1 goes on" in treadle("workflow", "list", "--limit", "1").err


def test_the_way_to_the_next_page_may_be_pasted_into_a_shell(treadle):
    odd = sorted(["--store", "-x", "a b", "$HOME", "it's", '"', "\\", "*", "ünï", "a;b"], key=str.encode)
    for name in odd:
        treadle("log", "append", "--", name, "custom")
    seen, more = [], []
    while True:
        ran = treadle("workflow", "list", "--limit", "1", "-o", "jsonl", *more)
        seen += [row["workflow_id"] for row in ran.lines]
        if not ran.err:
            break
        more = shlex.split(ran.err.removeprefix("there are more: ").removesuffix(" goes on\n"))

    assert seen == odd


@pytest.mark.parametrize("name", ["9b2f6c1e-3f0e-4f6e-9a51-2f0c5d8e7b11", "x" * 255, "日" * 85])
def test_an_id_is_shown_whole_on_any_screen(treadle, monkeypatch, name):
    monkeypatch.setattr("treadle.cli.output.screen_width", lambda: 80)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    treadle("log", "append", name, "custom", "x" * 500, "-o", "json")

    assert treadle("workflow", "list").out.splitlines()[1].endswith(f"  {name}")
    assert all(len(line) <= 80 for line in treadle("log", "read", name).out.splitlines())
    assert "9b2f6c1e" not in name or len(treadle("workflow", "list").out.splitlines()[1]) <= 80


@pytest.mark.usefixtures("orders")
def test_an_empty_listing_is_still_a_document(treadle):
    assert treadle("workflow", "list", "--prefix", "zzz", "-o", "json").json == []
    assert treadle("workflow", "list", "--prefix", "zzz", "-o", "jsonl").out == ""


@pytest.mark.usefixtures("orders")
def test_count_prints_a_number_alone(treadle):
    assert treadle("workflow", "count").out == "3\n"
    assert treadle("workflow", "count", "--prefix", "order-", "-o", "json").json == {"workflows": 2}


@pytest.mark.usefixtures("orders")
def test_show_tells_what_a_workflow_has_come_to(treadle):
    shown = treadle("workflow", "show", "order-1", "-o", "json").json

    assert len(shown.pop("digest")) == 32
    assert shown == {
        "workflow_id": "order-1",
        "status": "completed",
        "events": 3,
        "next_seq": 4,
        "first_kept_seq": 1,
        "first_timestamp": 1000,
        "last_timestamp": 3000,
        "kinds": {"WORKFLOW_STARTED": 1, "WORKFLOW_COMPLETED": 1, "CUSTOM": 1},
    }
    assert "open" in treadle("workflow", "show", "order-2").out


@pytest.mark.usefixtures("orders")
def test_replay_gives_the_same_object_twice_and_the_digest_that_verify_gives(treadle):
    first = treadle("replay", "-o", "json")
    second = treadle("replay", "-o", "json", "--concurrency", "1")

    assert first.out == second.out
    assert first.json["digest"] == treadle("log", "verify", "-o", "json").json["digest"]
    assert first.json["final_kinds"] == {"WORKFLOW_COMPLETED": 1, "CUSTOM": 2}
    assert first.json["kinds"] == {"WORKFLOW_STARTED": 3, "WORKFLOW_COMPLETED": 1, "CUSTOM": 3}


@pytest.mark.usefixtures("orders")
def test_replay_of_other_workflows_gives_another_digest(treadle):
    digests = {
        treadle("replay", *chosen, "-o", "json").json["digest"]
        for chosen in [(), ("order-1",), ("order-1", "order-2"), ("--prefix", "parcel")]
    }
    named = treadle("replay", "order-2", "order-1", "-o", "json").json["digest"]

    assert len(digests) == 4
    assert named == treadle("replay", "--prefix", "order-", "-o", "json").json["digest"]
    assert treadle("replay", "order-1", "--prefix", "o").code == 2


@pytest.mark.parametrize("text", ["-5", "+7", "1969-12-31T23:59:59.999999999Z"])
def test_a_time_may_lie_before_1970(text):
    assert moment(text) in {-5, 7, -1}


def test_a_time_that_is_none_says_what_one_looks_like():
    with pytest.raises(InvalidValueError, match="a time looks like"):
        moment("soon")
