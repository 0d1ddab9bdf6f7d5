"""XES out: nothing that was imported is lost, and every log becomes XES."""

from __future__ import annotations

import re
from base64 import b64decode
from xml.sax.saxutils import escape, quoteattr

import pytest
from format_samples import ORDER, logs, read, trace, written, xes
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import formats
from treadle.errors import FormatError
from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.formats.contract import ImportedLog, StoreRecord
from treadle.formats.xes.content import is_xml_text
from treadle.payloads import decode

# What XML can hold, drawn at once: hypothesis would read a filter's source again for every example.
printable = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")
texts = st.text(printable | st.sampled_from("\t\n\r\x7f\x85\x9f"), max_size=20)
elementary = st.sampled_from(["string", "date", "int", "float", "boolean", "id"])


def element(tag, key, value, children):
    given_value = "" if value is None else f" value={quoteattr(value, {chr(13): '&#13;'})}"
    return f"<{tag} key={quoteattr(key, {chr(13): '&#13;'})}{given_value}>{''.join(children)}</{tag}>"


def listed(key, value, children, values):
    return element("list", key, value, [*children, f"<values>{''.join(values)}</values>"])


OURS = ("time:timestamp", "lifecycle:transition", "concept:name")
# Keys of ours may not come up by chance: they mean something.
keys = texts.map(lambda key: "k" if key in OURS else key)
attributes = st.recursive(
    st.builds(element, elementary, keys, texts, st.just([])),
    lambda inner: (
        st.builds(element, elementary, keys, texts, st.lists(inner, max_size=3))
        | st.builds(element, st.just("container"), keys, st.none() | texts, st.lists(inner, max_size=3))
        | st.builds(listed, keys, st.none(), st.lists(inner, max_size=2), st.lists(inner, max_size=2))
    ),
    max_leaves=4,
)
dates = st.sampled_from(["", "2012-05-05T14:54:27+02:00", "2012-05-05T14:54:27.100"]).map(
    lambda text: f'<date key="time:timestamp" value="{text}"/>' if text else ""
)
events = st.builds(lambda date, found: date + "".join(found), dates, st.lists(attributes, max_size=3))


@settings(deadline=None)
@given(
    st.lists(attributes, max_size=2),
    st.lists(
        st.tuples(st.text(printable, min_size=1, max_size=60), st.lists(events, max_size=3)),
        max_size=3,
        unique_by=lambda t: t[0],
    ),
)
def test_what_was_imported_is_imported_again_after_export(header, found):
    first = read(xes(*header, *(trace(escape(name, {'"': "&quot;"}), *content) for name, content in found)))

    assert first == read(written("xes", first))


def test_the_imported_text_itself_comes_back():
    exported = written("xes", read(xes(ORDER)))

    assert b'<date key="time:timestamp" value="2012-05-05T14:54:27.000000001+02:00"/>' in exported
    assert re.sub(rb">\s+<", b"><", xes(ORDER)) == re.sub(rb">\s+<", b"><", exported)


@settings(deadline=None)
@given(logs())
def test_any_log_becomes_xes_with_all_it_holds(log):
    if not is_xml_text(log.workflow_id):
        with pytest.raises(FormatError, match="XML cannot hold every character"):
            written("xes", [log])
        return

    _, again = read(written("xes", [log]), "out.xes")

    assert log.workflow_id == again.workflow_id
    assert [event.timestamp for event in log.events] == [event.timestamp for event in again.events[1:]]
    found = [
        {key: value for _, key, value in decode(event.payload)["xes:event"]} for event in again.events[1:]
    ]
    assert [event.kind.name for event in log.events] == [event["treadle:kind"] for event in found]
    assert [str(event.seq) for event in log.events] == [event["treadle:seq"] for event in found]
    assert [event.payload for event in log.events] == [
        event["treadle:payload"].encode()
        if "treadle:payload" in event
        else b64decode(event["treadle:payload_base64"])
        for event in found
    ]
    given_keys = log.keys or [None] * len(log.events)
    assert [key and key.hex() for key in given_keys] == [event.get("treadle:key") for event in found]


def test_activities_keep_their_kind_and_all_others_are_custom():
    log = ImportedLog(
        workflow_id("a"), tuple(WorkflowEvent(i, 0, kind) for i, kind in enumerate(EventKind, 1))
    )

    _, again = read(written("xes", [log]))

    activities = (EventKind.ACTIVITY_SCHEDULED, EventKind.ACTIVITY_COMPLETED, EventKind.ACTIVITY_FAILED)
    assert [event.kind if event.kind in activities else EventKind.CUSTOM for event in log.events] == [
        event.kind for event in again.events[1:]
    ]


def test_an_imported_log_that_went_on_keeps_both_parts():
    header, log = read(xes(ORDER))
    more = WorkflowEvent(4, 5, EventKind.SIGNAL_RECEIVED, b"\xff")
    longer = ImportedLog(log.workflow_id, (*log.events, more))

    _, again = read(written("xes", [header, longer]))

    assert log.events == again.events[:3]
    assert ["string", "treadle:payload_base64", "/w=="] in decode(again.events[3].payload)["xes:event"]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"xes:event":[["string","a","b"]],"more":1}',
        b'{"xes:event":[["string","a",1]]}',
        b'{"xes:event":[["strin","a","b"]]}',
        b'{"xes:event":[["string","a","\\u0001"]]}',
        b'{"xes:event":[["string","a","b",3]]}',
        b'{"xes:event":[["values",null,null]]}',
        b'{"xes:event":[["date","time:timestamp","never"]]}',
        b'{"xes:event":[["date","time:timestamp","2012-05-05T14:54:27Z"]]}',
        b'{"xes:event":3}',
        b"{",
    ],
)
def test_a_payload_that_only_looks_imported_is_exported_as_it_is(payload):
    header, log = read(xes(ORDER))
    odd = WorkflowEvent(4, 5, EventKind.ACTIVITY_COMPLETED, payload)

    _, again = read(written("xes", [header, ImportedLog(log.workflow_id, (*log.events, odd))]))

    assert ["string", "treadle:payload", payload.decode()] in decode(again.events[4 - 1].payload)["xes:event"]


def test_a_log_tells_which_header_it_cites():
    header, log = read(xes(ORDER))
    native = ImportedLog(workflow_id("a"), (WorkflowEvent(1, 0, EventKind.WORKFLOW_STARTED, b"{}"),))

    assert (("xes-header", header.key),) == formats.cited(log)
    assert formats.cited(native) == ()


def test_a_log_without_its_header_is_refused():
    _, log = read(xes(ORDER))

    with pytest.raises(FormatError, match="begun with none; begin the file with that record"):
        written("xes", [log])


def test_two_headers_do_not_fit_one_file():
    first, second = read(xes(ORDER))[0], read(xes(head="<log>"))[0]

    with pytest.raises(FormatError, match="an XES file has one header, got 2"):
        written("xes", [first, second])


@pytest.mark.parametrize(
    ("namespace", "value", "expected"),
    [
        ("mine", None, "an XES file carries records of 'xes-header' alone, got 'mine'"),
        ("xes-header", b"{}", "is a log's header, got something else; verify the store"),
    ],
)
def test_a_record_that_is_no_header_is_refused(namespace, value, expected):
    header = read(xes(ORDER))[0]
    record = StoreRecord(namespace, header.key, header.value if value is None else value)

    with pytest.raises(FormatError, match=expected):
        written("xes", [record])
