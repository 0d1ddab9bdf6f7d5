"""XES in: what becomes of traces, events and the header."""

from __future__ import annotations

from itertools import pairwise

import pytest
from format_samples import ORDER, XES_HEAD, outcome, read, trace, xes
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import formats
from treadle.errors import InvalidValueError
from treadle.events import EventKind
from treadle.formats.contract import ImportedLog, StoreRecord
from treadle.formats.xes.content import header_digest
from treadle.payloads import decode

DATE = '<date key="time:timestamp" value="{}"/>'


def kinds(log):
    return [event.kind for event in log.events]


def test_a_trace_becomes_a_workflow_that_cites_the_header():
    header, log = read(xes(ORDER))

    assert isinstance(header, StoreRecord)
    assert isinstance(log, ImportedLog)
    assert ("xes-header", header_digest(header.value)) == (header.namespace, header.key)
    assert (log.workflow_id, log.line) == ("order-1", 7)
    assert [event.seq for event in log.events] == [1, 2, 3]
    assert {"xes:header": header.key.hex(), "xes:trace": [["string", "concept:name", "order-1"]]} == decode(
        log.events[0].payload
    )
    assert decode(log.events[1].payload) == {
        "xes:event": [
            ["string", "concept:name", "pay"],
            ["string", "lifecycle:transition", "schedule"],
            ["date", "time:timestamp", "2012-05-05T14:54:27.000000001+02:00"],
        ]
    }


def test_the_header_keeps_everything_in_order():
    header, *_ = read(xes(ORDER))

    assert decode(header.value) == {
        "attributes": [["xes.version", "1.0"], ["xmlns", "http://www.xes-standard.org/"]],
        "content": [
            [
                "extension",
                None,
                [["name", "Time"], ["prefix", "time"], ["uri", "http://www.xes-standard.org/time.xesext"]],
            ],
            ["global", None, [["scope", "event"]], [["string", "concept:name", "?"]]],
            ["classifier", None, [["name", "Activity"], ["keys", "concept:name"]]],
            ["string", "source", "a test", [["int", "depth", "2"]]],
        ],
    }


def test_every_type_of_attribute_is_kept_with_its_own_text():
    event = (
        '<string key="s" value="a&#10;b &lt;&amp;&gt; &quot;"/><date key="d" value="not looked at"/>'
        '<int key="i" value="007"/><float key="f" value="1.10E0"/><boolean key="b" value="TRUE"/>'
        '<id key="u" value="6f1"/><list key="l"><values>'
        '<int key="v" value="1"/><int key="v" value="1"/></values></list>'
        '<container key="c"><string key="in" value="x"/></container><list key="e"/><int key="i" value="8"/>'
    )

    _, log = read(xes(trace("a", event)))

    assert decode(log.events[1].payload)["xes:event"] == [
        ["string", "s", 'a\nb <&> "'],
        ["date", "d", "not looked at"],
        ["int", "i", "007"],
        ["float", "f", "1.10E0"],
        ["boolean", "b", "TRUE"],
        ["id", "u", "6f1"],
        ["list", "l", None, [["values", None, None, [["int", "v", "1"], ["int", "v", "1"]]]]],
        ["container", "c", None, [["string", "in", "x"]]],
        ["list", "e", None],
        ["int", "i", "8"],
    ]


@pytest.mark.parametrize(
    ("transition", "kind"),
    [
        ("schedule", EventKind.ACTIVITY_SCHEDULED),
        ("SCHEDULE", EventKind.ACTIVITY_SCHEDULED),
        ("complete", EventKind.ACTIVITY_COMPLETED),
        ("Complete", EventKind.ACTIVITY_COMPLETED),
        (None, EventKind.ACTIVITY_COMPLETED),
        ("ate_abort", EventKind.ACTIVITY_FAILED),
        ("pi_abort", EventKind.ACTIVITY_FAILED),
        ("start", EventKind.CUSTOM),
        ("", EventKind.CUSTOM),
        ("In Progress", EventKind.CUSTOM),
    ],
)
def test_the_transition_tells_the_kind(transition, kind):
    given_transition = (
        "" if transition is None else f'<string key="lifecycle:transition" value="{transition}"/>'
    )

    _, log = read(xes(trace("a", given_transition)))

    assert [EventKind.WORKFLOW_STARTED, kind] == kinds(log)


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ([], [0]),
        ([None], [0, 0]),
        (
            ["1970-01-01T00:00:01Z", None, "1970-01-01T00:00:00.5Z", None],
            [10**9, 10**9, 10**9, 5 * 10**8, 5 * 10**8],
        ),
        ([None, None, "1970-01-01T00:00:02Z"], [2 * 10**9] * 4),
    ],
)
def test_an_event_without_time_takes_the_one_before_it(dates, expected):
    _, log = read(xes(trace("a", *("" if date is None else DATE.format(date) for date in dates))))

    assert expected == [event.timestamp for event in log.events]


def test_the_first_of_two_times_counts():
    _, log = read(xes(trace("a", DATE.format("1970-01-01T00:00:01Z") + DATE.format("1970-01-01T00:00:02Z"))))

    assert log.events[1].timestamp == 10**9


@settings(deadline=None)
@given(st.integers(1, 400))
def test_it_does_not_matter_where_the_file_is_cut(step):
    data = xes(ORDER, trace("ø", ""), trace("b"), ORDER)

    items, error = outcome(data)

    assert len(items) == 4
    assert error is not None
    assert (items, error) == outcome(data, step=step)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
def test_the_encoding_of_the_file_does_not_matter(encoding):
    plain = XES_HEAD.replace("UTF-8", encoding.removesuffix("-sig")) + trace("Börje", "") + "</log>"

    assert read(xes(trace("Börje", ""))) == read(plain.encode(encoding))


def test_a_log_without_traces_is_its_header():
    (header,) = read(xes())

    assert isinstance(header, StoreRecord)


def test_reading_twice_gives_the_same_bytes():
    assert read(xes(ORDER)) == read(xes(ORDER))


def test_traces_come_while_the_file_is_still_read():
    """Memory holds a trace, not the file: each is handed on before the next piece is asked for."""
    taken = []
    one = trace("{}", *["<string key='k' value='v'/>" * 50] * 50)

    def chunks():
        yield XES_HEAD.encode()
        for number in range(20):
            taken.append(number)
            yield one.format(number).encode()
        yield b"</log>"

    waiting = [len(taken) for item in formats.read(chunks(), source="x.xes") if isinstance(item, ImportedLog)]

    assert all(later - earlier <= 1 for earlier, later in pairwise(waiting))


def test_a_file_that_names_its_traces_takes_no_id():
    with pytest.raises(InvalidValueError, match="the traces of an XES log name themselves, got the id 'x'"):
        read(xes(ORDER), workflow_id="x")
