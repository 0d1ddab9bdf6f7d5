"""Temporal and Cadence histories: three spellings, any order, every number as it was written."""

from __future__ import annotations

import json
from random import Random

import pytest
from format_samples import history, history_event, outcome, read
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.errors import FormatError, InvalidValueError
from treadle.events import EventKind
from treadle.formats import histories

NAMES = sorted(histories.KIND_BY_TYPE)


def spelt_out(name):
    return "EVENT_TYPE" + "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name)


def kinds(data, **given_arguments):
    (log,) = read(data, "order.json", **given_arguments)
    return [event.kind for event in log.events]


def test_one_history_event_becomes_one_event():
    first = {
        "eventId": "1",
        "eventTime": "1970-01-01T00:00:01.5Z",
        "eventType": "WorkflowExecutionStarted",
        "b": {"z": [1.10, None], "a": ""},
    }
    (log,) = read(history([first]), "data/order-7.json")
    (event,) = log.events

    assert log.workflow_id == "order-7"
    assert (event.seq, event.timestamp, event.kind) == (1, 1_500_000_000, EventKind.WORKFLOW_STARTED)
    assert event.payload == (
        b'{"b":{"a":"","z":[1.1,null]},"eventId":"1",'
        b'"eventTime":"1970-01-01T00:00:01.5Z","eventType":"WorkflowExecutionStarted"}'
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda events: {"events": events},
        lambda events: events,
        lambda events: {"history": {"events": events}, "nextPageToken": ""},
        lambda events: {"history": [{"events": events[:1]}, {"events": events[1:]}]},
        lambda events: {"history": events} if not events else {"history": {"events": events}},
    ],
)
def test_a_history_may_be_wrapped_as_the_tools_do(wrap):
    events = [history_event(1), history_event(2)]

    assert read(history(events)) == read(json.dumps(wrap(events)).encode(), "some.json", workflow_id="some")


@pytest.mark.parametrize("name", NAMES)
def test_all_three_spellings_of_a_type_give_its_kind(name):
    temporal = next(number for number, known in histories.TEMPORAL_TYPES.items() if known == name)
    cadence = next(number for number, known in histories.CADENCE_TYPES.items() if known == name)
    spellings = [
        ("WorkflowExecutionStarted", name),
        ("EVENT_TYPE_WORKFLOW_EXECUTION_STARTED", spelt_out(name)),
        (1, temporal),
        ("1", str(temporal)),
        (0, cadence),
    ]

    for first, second in spellings:
        found = kinds(history([history_event(1, first), history_event(2, second)]))

        assert [EventKind.WORKFLOW_STARTED, histories.KIND_BY_TYPE[name]] == found


def test_a_number_among_names_is_read_in_the_dialect_of_the_times():
    cadence = [{"eventId": i, "timestamp": i, "eventType": name} for i, name in ((1, "X"), (2, 27))]

    assert kinds(history(cadence))[1] is EventKind.SIGNAL_RECEIVED
    assert kinds(history([history_event(1), history_event(2, 26)]))[1] is EventKind.SIGNAL_RECEIVED


@pytest.mark.parametrize(
    "kind", ["UnknownEvent", "", 99, "EVENT_TYPE_", "EVENT_TYPE_SOMETHING_NEW", "MarkerRecorded"]
)
def test_a_type_without_a_kind_of_its_own_is_kept_as_custom(kind):
    assert kinds(history([history_event(1), history_event(2, kind)]))[1] is EventKind.CUSTOM


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("eventTime", "2020-07-30T00:30:02.971655189Z", 1_596_069_002_971_655_189),
        ("timestamp", 1_563_844_217_060_613_000, 1_563_844_217_060_613_000),
        ("timestamp", "1563844217060613001", 1_563_844_217_060_613_001),
        ("eventTime", -5, -5),
    ],
)
def test_times_are_calendar_texts_or_integers(field, value, expected):
    (log,) = read(history([{"eventId": 1, "eventType": "A", field: value}]))

    assert log.events[0].timestamp == expected


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(values)
def test_every_attribute_comes_back_from_the_payload(value):
    (log,) = read(history([history_event(1, attributes=value)]))

    assert json.loads(log.events[0].payload) == history_event(1, attributes=value)


@pytest.mark.parametrize(
    "number",
    [
        "123456789012345678901234567890",
        "-0",
        "1.10",
        "1E400",
        "0.1234567890123456789012345",
        "9007199254740993",
        "-1e-7",
    ],
)
def test_numbers_keep_the_digits_of_the_file(number):
    text = f'[{{"eventId":1,"eventTime":0,"eventType":"A","n":{number}}}]'

    (log,) = read(text.encode())

    assert f'"n":{number}}}' in log.events[0].payload.decode()


@settings(deadline=None)
@given(st.integers(1, 8), st.randoms(use_true_random=False), st.integers(1, 100))
def test_the_order_in_the_file_and_its_cuts_do_not_matter(count, random: Random, step):
    events = [history_event(number, place=number) for number in range(1, count + 1)]
    shuffled = list(events)
    random.shuffle(shuffled)

    assert read(history(events)) == read(history(shuffled), step=step)


def test_the_caller_may_name_the_workflow():
    (log,) = read(history([history_event(1)]), workflow_id=7)

    assert log.workflow_id == "7"


def test_a_stem_that_is_no_name_wants_one():
    with pytest.raises(InvalidValueError, match="no control characters"):
        read(history([history_event(1)]), "a\nb.json")


def ids(*numbers):
    """Make a history with these ids."""
    return history([history_event(number) for number in numbers])


RUN = "bad.json: event ids run 1, 2, 3 ... n"
OBJECT = b'{"eventId":1,"eventType":"A","eventTime":0'
CASES = {
    "a gap": (
        ids(1, 2, 7, 8),
        f"{RUN} without a gap, got 7 after 2: 3 to 6 missing; was the file trimmed? Export the whole history",
    ),
    "one missing": (ids(3, 1), f"{RUN} without a gap, got 3 after 1: 2 missing"),
    "a trimmed beginning": (history([history_event(6)]), f"{RUN} without a gap, got 6 first: 1 to 5 missing"),
    "an id twice": (ids(1, 2, 2), f"{RUN}, got 2 twice; export the history again"),
    "id 0": (ids(0, 1), f"{RUN}, got 0; export"),
    "a negative id": (ids(-1, 1), f"{RUN}, got -1; export"),
    "no id": (history([{"eventType": "A"}]), "eventId, event 1 of the file has no eventId"),
    "a broken id": (history([history_event(1.5)]), "event 1 of the file has 1.5; is it another format?"),
    "a text as event": (history([history_event(1), "x"]), "event 2 of the file is a text"),
    "no events": (history([]), "bad.json: a history has at least one event, got none"),
    "another object": (b'{"a":1,"b":2}', "a bare list of events; got an object with a, b; is it"),
    "another wrapper": (b'{"history":[1]}', "or a bare list of events; got a number"),
    "a number": (b"[[]]", "event 1 of the file is a list"),
    "null as history": (b'{"history":null}', "or a bare list of events; got null"),
    "another page": (b'{"events":[],"nextPageToken":"x"}', "goes on (nextPageToken); fetch all its pages"),
    "no type": (history([{"eventId": 1, "eventTime": 0}]), "event 1 has no eventType"),
    "type null": (history([history_event(1, None)]), "event 1 has None"),
    "a numeric start of neither": (
        history([history_event(1, 5)]),
        "got the type 5; export the whole history",
    ),
    "no time": (history([{"eventId": 1, "eventType": "A"}]), "event 1 has no timestamp; export"),
    "a float time": (
        history([{"eventId": 1, "eventType": "A", "timestamp": 1.5}]),
        "event 1 has 1.5; export",
    ),
    "a bad time": (
        history([{"eventId": 1, "eventType": "A", "eventTime": "today"}]),
        "bad.json: event 1: a time looks like 2012-05-05T14:54:27.123456789+02:00, got 'today'",
    ),
    "a time out of range": (
        history([{"eventId": 1, "eventType": "A", "timestamp": 2**63}]),
        "bad.json: event 1: a timestamp is an int of nanoseconds",
    ),
    "a surrogate": (
        b"[" + OBJECT + b',"s":"\\ud800"}]',
        "bad.json: event 1: a payload value has a JSON form",
    ),
    "an event over the limit": (
        history([history_event(1, data="x" * 2_100_000)]),
        "bad.json: event 1: a payload has at most 2097152 bytes",
    ),
    "a name twice": (b"[" + OBJECT + b',"eventId":2}]', "has each name once, got 'eventId' twice"),
    "NaN": (b"[" + OBJECT + b',"n":NaN}]', "a history is JSON, which has no NaN"),
    "cut short": (
        b'[\n{"eventId":1,\n',
        "bad.json:3: a history is one JSON document, got another text: Expecting property name enclosed",
    ),
    "other bytes": (b'["\xff"]', "a history is JSON in UTF-8, got other bytes at 2"),
    "too deep": (b"[" * 200_000, "bad.json: a history nests a few levels deep"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_history_that_is_none_is_refused_and_nothing_is_read(case):
    data, expected = CASES[case]

    items, error = outcome(data, "bad.json")

    assert error is not None
    assert expected in error
    assert error.startswith("bad.json:")
    assert items == []


def test_a_file_over_the_limit_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(histories, "HISTORY_SIZE_BYTES_MAX", 1000)

    def endless():
        yield b"["
        while True:
            yield b" " * 100

    with pytest.raises(FormatError, match="a history file has at most 1000 bytes, got more"):
        list(histories.read(endless(), source="a.json"))
