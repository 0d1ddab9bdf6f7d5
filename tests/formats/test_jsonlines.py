"""Our own format loses nothing, and shows every line that was changed, lost or moved."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from format_samples import logs, outcome, read, written
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.errors import FormatError, InvalidValueError
from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.formats import jsonlines
from treadle.formats.contract import ImportedLog, StoreRecord
from treadle.formats.lines import LINE_SIZE_BYTES_MAX, numbered_lines
from treadle.log.digests import root_digest

LOG = ImportedLog(
    workflow_id("order-1"),
    (
        WorkflowEvent(1, 17, EventKind.WORKFLOW_STARTED, b'{"total": 12}'),
        WorkflowEvent(2, 18, EventKind.CUSTOM, b"\xff"),
        WorkflowEvent(3, 16, EventKind.WORKFLOW_COMPLETED),
    ),
    None,
    (None, b"k1", None),
)
RECORD = StoreRecord("xes-header", b"\x01\x02", b"{}")
records = st.builds(StoreRecord, st.text(st.characters(codec="utf-8")), st.binary(), st.binary())


def changed(line, **values):
    """Write the sample with one line's values changed; None takes a field away."""
    lines = written("jsonl", [LOG]).splitlines()
    fields = json.loads(lines[line]) | values
    lines[line] = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    return b"\n".join(lines) + b"\n"


def test_the_file_is_what_the_documentation_shows():
    lines = written("jsonl", [RECORD, LOG]).decode().splitlines()

    log_line = (
        '{"line":"log","version":1,"workflow_id":"order-1","first_seq":1,"events":3,'
        f'"before":"{root_digest(LOG.workflow_id).hex()}","digest":"{json.loads(lines[1])["digest"]}"}}'
    )

    assert lines == [
        '{"line":"record","namespace":"xes-header","key":"0102","text":"{}"}',
        log_line,
        '{"line":"event","seq":1,"timestamp":17,"kind":"WORKFLOW_STARTED","text":"{\\"total\\": 12}"}',
        '{"line":"event","seq":2,"timestamp":18,"kind":"CUSTOM","base64":"/w==","key":"6b31"}',
        '{"line":"event","seq":3,"timestamp":16,"kind":"WORKFLOW_COMPLETED","text":""}',
    ]


@settings(deadline=None)
@given(
    st.lists(records, max_size=3),
    st.lists(logs(last_first_seq=2**62), max_size=3, unique_by=lambda log: log.workflow_id),
    st.integers(1, 300),
)
def test_what_is_written_is_read_back_wherever_the_file_is_cut(some_records, some_logs, step):
    data = written("jsonl", [*some_records, *some_logs])

    if data:
        assert [*some_records, *some_logs] == read(data, "out.jsonl", step=step)


def test_two_files_joined_are_one():
    other = ImportedLog(workflow_id("order-2"), LOG.events)
    joined = written("jsonl", [RECORD, LOG]) + b"\r\n" + written("jsonl", [RECORD, other]).rstrip()

    assert [RECORD, LOG, RECORD, other] == read(joined)


def test_a_log_tells_its_line():
    assert [item.line for item in read(written("jsonl", [RECORD, LOG])) if item != RECORD] == [2]


CASES = {
    "no JSON": (b'{"line":"log"\n', "bad.jsonl:1: a line is a JSON object of a log, an event or a record"),
    "another object": (b'{"a":1}\n', "bad.jsonl:1: a line is a JSON object of a log, an event or a record"),
    "bytes that are no UTF-8": (b'{"line":"\xff"}', "bad.jsonl:1: a line is a JSON object"),
    "an unknown field": (changed(1, more=1), "bad.jsonl:2: a line is a JSON object"),
    "a wrong type": (changed(1, seq="1"), "got something else: Expected `int`, got `str` - at `$.seq`"),
    "a float": (changed(1, timestamp=17.0), "got something else: Expected `int`, got `float`"),
    "a missing field": (changed(1, kind=None), "missing required field `kind`"),
    "a lone surrogate": (changed(1, text="\ud800"), "bad.jsonl:2: a line is a JSON object"),
    "a newer version": (changed(0, version=2), "bad.jsonl:1: this treadle reads version 1, got 2"),
    "no events": (changed(0, events=0), "bad.jsonl:1: a log has events from seq 1 or above, got 0 from 1"),
    "seq 0": (changed(0, first_seq=0), "got 3 from 0; export the file again"),
    "an empty id": (changed(0, workflow_id=""), "bad.jsonl:1: a workflow id has at least one character"),
    "a renamed log": (changed(0, workflow_id="other"), "was the log renamed? Export it again"),
    "a digest that is none": (changed(0, before="xy"), "bad.jsonl:1: a digest is hexadecimal, got 'xy'"),
    "a short digest": (changed(0, before="00"), "bad.jsonl:1: a digest has 16 bytes, got 1"),
    "a gap": (changed(2, seq=4), "bad.jsonl:3: the next event of 'order-1' is seq 2, got 4; was a line lost"),
    "a lost line": (
        b"\n".join(line for i, line in enumerate(written("jsonl", [LOG]).splitlines()) if i != 2),
        "bad.jsonl:3: the next event of 'order-1' is seq 2, got 3",
    ),
    "a lost end": (
        b"\n".join(written("jsonl", [LOG]).splitlines()[:-1]),
        "bad.jsonl:3: the log 'order-1' begins at line 1 with 3 events, 2 came; was the file cut short?",
    ),
    "a log within a log": (
        b"\n".join(written("jsonl", [LOG]).splitlines()[:-1]) + b"\n" + written("jsonl", [LOG]),
        "bad.jsonl:4: the log 'order-1' begins at line 1 with 3 events, 2 came",
    ),
    "an event too many": (
        written("jsonl", [LOG]) + written("jsonl", [LOG]).splitlines()[-1],
        "bad.jsonl:5: an event follows the line that begins its log, got one without",
    ),
    "a changed payload": (
        changed(1, text="{}"),
        "bad.jsonl:4: the log 'order-1' that begins at line 1 ends with the digest",
    ),
    "a changed time": (changed(2, timestamp=19), "a line was changed: export it again"),
    "an unknown kind": (changed(1, kind="PARTY"), "bad.jsonl:2: an event kind is one of"),
    "a time out of range": (changed(1, timestamp=2**63), "bad.jsonl:2: a timestamp is an int"),
    "two contents": (changed(1, base64=""), "content is either text or base64, got both or none"),
    "no content": (changed(1, text=None), "content is either text or base64, got both or none"),
    "broken base64": (changed(2, base64="/w="), "bad.jsonl:3: content in base64 is whole and padded"),
    "foreign base64": (changed(2, base64="ä"), "bad.jsonl:3: content in base64 is whole and padded"),
    "a key that is none": (changed(2, key="k1"), "bad.jsonl:3: an event's key is hexadecimal, got 'k1'"),
    "an empty key": (changed(2, key=""), "bad.jsonl:3: a key is 1 to 64 bytes"),
    "a key twice": (changed(3, key="6b31"), "bad.jsonl:4: a key comes once in a log, got 6b31 again"),
    "a log twice": (
        written("jsonl", [LOG, LOG]),
        "bad.jsonl:5: each workflow comes once in a file, 'order-1' comes at line 1 and again at line 5",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_line_that_is_wrong_is_refused_by_its_number(case):
    data, expected = CASES[case]

    items, error = outcome(data, "bad.jsonl")

    assert error is not None
    assert expected in error
    assert len(items) == (1 if case in ("a log twice", "an event too many") else 0)


def test_a_line_of_200_mb_is_refused_without_being_held():
    """The line stops being read at its limit: neither the time nor the memory of the rest is spent."""
    asked = 0

    def chunks():
        nonlocal asked
        yield b'{"line":"log","x":"'
        for _ in range(200):
            asked += 1
            yield b"x" * 1_000_000

    tracemalloc.start()
    try:
        with pytest.raises(
            FormatError, match=r"^big\.jsonl:1: a line has at most 16777216 bytes, got a longer"
        ):
            list(jsonlines.read(chunks(), source="big.jsonl"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert asked == 17
    assert peak < 2 * LINE_SIZE_BYTES_MAX


def test_the_longest_payload_fits_a_line():
    log = ImportedLog(LOG.workflow_id, (WorkflowEvent(1, 0, EventKind.CUSTOM, b"\1" * 2 * 1024 * 1024),))

    assert [log] == read(written("jsonl", [log]))


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=10).map(lambda part: part.replace(b"\n", b"")), max_size=5), st.integers(1, 9)
)
def test_lines_keep_every_byte_and_count_from_one(parts, step):
    data = b"\n".join(parts)
    chunks = (data[i : i + step] for i in range(0, len(data), step))

    found = dict(numbered_lines(chunks, source="a"))

    assert {number: part for number, part in enumerate(parts, 1) if part} == {
        number: part for number, part in found.items() if part
    }


def test_a_log_that_begins_later_needs_the_digest_before_it():
    log = ImportedLog(workflow_id("a"), (WorkflowEvent(5, 0, EventKind.CUSTOM),))

    with pytest.raises(FormatError, match=r"the log 'a' begins at seq 5.*hand over previous_digest"):
        written("jsonl", [log])


def test_a_file_that_names_its_logs_takes_no_id():
    with pytest.raises(InvalidValueError, match="logs of a JSON Lines file name themselves, got the id 'x'"):
        read(written("jsonl", [LOG]), workflow_id="x")
