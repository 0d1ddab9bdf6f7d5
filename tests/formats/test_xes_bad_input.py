"""XES that is refused: every sentence names the file, the line, and what to do."""

from __future__ import annotations

import pytest
from format_samples import ORDER, XES_HEAD, outcome, trace, xes

from treadle.formats.xes import reader

DATE = '<date key="time:timestamp" value="{}"/>'
HEAD_LINES = XES_HEAD.count("\n")
BOMB = '<?xml version="1.0"?>\n<!DOCTYPE log [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>\n<log>&b;</log>'

CASES = {
    "no XML": (b"<log", "bad.xes:1: an XES file is well-formed XML, got: unclosed token"),
    "cut short": (
        xes(ORDER)[: -len("</trace></log>..")],
        (
            "bad.xes:15: an XES file is well-formed XML, got: no element found at column 0"
            " in trace 1 ('order-1'); fetch or export it again"
        ),
    ),
    "tags crossed": (
        xes("<trace>\n<event></trace></event>"),
        "bad.xes:8: an XES file is well-formed XML, got: mismatched tag at column 9 in trace 1",
    ),
    "an entity bomb": (
        BOMB.encode(),
        "bad.xes:2: an XES file has no DOCTYPE, got one ('log'); remove it and its entities",
    ),
    "another encoding": (
        b'<?xml version="1.0" encoding="klingon"?><log/>',
        "bad.xes:1: an XES file is in an encoding that is known here, got: unknown encoding",
    ),
    "another root": (b"<html></html>", "bad.xes:1: an XES file's root element is <log>, got <html>"),
    "an unknown element": (
        xes("<trace>\n<bool key='a' value='b'/></trace>"),
        (
            "bad.xes:8: <trace> holds boolean, container, date, event, float, id, int, list,"
            " string; got <bool> in trace 1, which cannot be carried; remove it"
        ),
    ),
    "an event outside a trace": (xes("<event/>"), "got <event>, which cannot be carried"),
    "a trace in a trace": (xes("<trace><trace/></trace>"), "got <trace> in trace 1, which cannot be carried"),
    "text": (
        xes(trace("a", "<string key='a' value='b'>hello</string>")),
        "bad.xes:7: XES keeps its values in XML attributes, got the text 'hello' in trace 1 ('a'); remove it",
    ),
    "an attribute without value": (
        xes(trace("a", "<int key='a'/>")),
        "bad.xes:7: an attribute has a key and a value and nothing else, got <int> with key in trace 1 ('a')",
    ),
    "a foreign XML attribute": (
        xes(trace("a", "<int key='a' value='1' unit='s'/>")),
        "got <int> with key, value, unit in trace 1 ('a')",
    ),
    "a trace with XML attributes": (xes("<trace id='1'/>"), "<trace> has no XML attribute, got 'id'"),
    "a header after a trace": (
        xes(ORDER, '<string key="late" value="x"/>'),
        (
            "bad.xes:16: a log's header stands before its first trace, because every trace cites it;"
            " got <string> after trace 1; move it to the top of the file"
        ),
    ),
    "no name": (
        xes("\n<trace>\n<event/></trace>"),
        "bad.xes:8: a trace has a concept:name, trace 1 has none; name it",
    ),
    "an empty name": (xes(trace("")), "bad.xes:7: trace 1: a workflow id has at least one character"),
    "a control character": (
        xes(trace("a&#10;b")),
        "bad.xes:7: trace 1: a workflow id has no control characters",
    ),
    "one name twice": (
        xes(ORDER, trace("b"), ORDER),
        (
            "bad.xes:17: each workflow comes once in a file, 'order-1' comes at line 7 and again at line 17;"
            " rename or merge one of them"
        ),
    ),
    "one name twice in one line": (xes(trace("b").strip() * 2), "comes at line 7 and again at line 7"),
    "a bad date": (
        xes(ORDER, trace("b", "").replace("</trace>", f"\n<event>{DATE.format('soon')}</event></trace>")),
        (
            "bad.xes:17: event 2 in trace 2 ('b'): a time looks like 2012-05-05T14:54:27.123456789+02:00,"
            " got 'soon': it has another form; correct the date"
        ),
    ),
    "a time that is no date": (
        xes(trace("b", "<string key='time:timestamp' value='2012-05-05T14:54:27Z'/>")),
        "event 1 in trace 1 ('b'): time:timestamp is a date, got a string",
    ),
    "an event over the limit": (
        xes(trace("b", f"<string key='a' value='{'x' * 2_100_000}'/>")),
        "event 1 in trace 1 ('b'): a payload has at most 2097152 bytes",
    ),
    "attributes without end": (
        xes(trace("b", "<string key='a' value='b'>" * 200)),
        "nest at most 100 deep",
    ),
    "a header over the limit": (
        xes(head=XES_HEAD + f"<string key='a' value='{'x' * 2_000}'/>" * 1_100),
        "a log's header has at most 2097152 bytes as JSON",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_carried_is_refused_with_file_line_and_trace(case):
    data, expected = CASES[case]

    _, error = outcome(data, "bad.xes")

    assert error is not None
    assert expected in error
    assert error.startswith("bad.xes:")


def test_whole_traces_before_a_bad_one_stand():
    items, error = outcome(xes(trace("a"), trace("b"), "<trace/>", trace("c")))

    assert [log.workflow_id for log in items[1:]] == ["a", "b"]
    assert error is not None


def test_a_tag_without_end_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(reader, "TOKEN_SIZE_BYTES_MAX", 100_000)

    _, error = outcome(xes(trace("a", f"<string key='a' value='{'x' * 400_000}'/>")))

    assert error is not None
    assert "a tag or comment has at most 100000 bytes, got more in trace 1 ('a')" in error


def test_a_trace_without_end_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(reader, "TRACE_SIZE_BYTES_MAX", 100_000)
    data = xes(*(trace(str(number), "<int key='a' value='1'/>") for number in range(1_500)))

    assert outcome(data)[1] is None

    _, error = outcome(xes(trace("a", *["<int key='a' value='1'/>"] * 4_000)))

    assert error is not None
    assert "a trace has at most 100000 bytes, got more in trace 1 ('a'); split it" in error


ENDLESS = "<int key='a' value='1'/>" * 10_000


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (xes(head=XES_HEAD + ENDLESS), "got more; shorten them"),
        (
            xes(trace("a").replace("</trace>", ENDLESS + "</trace>")),
            "got more in trace 1 ('a'); shorten them",
        ),
        (xes(trace("a", "", ENDLESS)), "got more in trace 1 ('a'); shorten them"),
    ],
)
def test_a_part_without_end_is_refused_before_it_fills_the_memory(monkeypatch, data, where):
    monkeypatch.setattr(reader, "PART_SIZE_BYTES_MAX", 100_000)

    _, error = outcome(data)

    assert error is not None
    assert "a header, an event or a trace's own attributes have at most 100000 bytes" in error
    assert where in error
