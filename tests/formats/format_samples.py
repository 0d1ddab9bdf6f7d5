"""Small files and values that the tests of this room share."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

from treadle import formats
from treadle.errors import FormatError
from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.formats.contract import ImportedLog

REAL_FILES = Path(__file__).resolve().parents[2].parent / "shared" / "data"
NO_REAL_FILES = f"the real event logs are not there: {REAL_FILES.name} beside the checkout's folder"

XES_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1.0" xmlns="http://www.xes-standard.org/">
<extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
<global scope="event"><string key="concept:name" value="?"/></global>
<classifier name="Activity" keys="concept:name"/>
<string key="source" value="a test"><int key="depth" value="2"/></string>
"""
ORDER = """<trace>
<string key="concept:name" value="order-1"/>
<event>
<string key="concept:name" value="pay"/>
<string key="lifecycle:transition" value="schedule"/>
<date key="time:timestamp" value="2012-05-05T14:54:27.000000001+02:00"/>
</event>
<event><string key="concept:name" value="ship"/></event>
</trace>
"""


def xes(*traces: str, head: str = XES_HEAD) -> bytes:
    """Put traces into a file."""
    return (head + "".join(traces) + "</log>\n").encode()


def trace(name: str, *events: str) -> str:
    """Make a trace of events that are given as attributes."""
    inside = "".join(f"<event>{event}</event>" for event in events)
    return f'<trace><string key="concept:name" value="{name}"/>{inside}</trace>\n'


def read(data, source="some.file", *, step=None, **given):
    """Read all of some bytes, in steps of some size."""
    step = step or max(len(data), 1)
    chunks = (data[i : i + step] for i in range(0, len(data), step))
    return list(formats.read(chunks, source=source, **given))


def outcome(data, source="some.file", *, step=None):
    """Read until the end or the first error: what was yielded and how it ended."""
    step = step or max(len(data), 1)
    chunks = (data[i : i + step] for i in range(0, len(data), step))
    reading = formats.read(chunks, source=source)
    items = []
    try:
        while (item := next(reading, None)) is not None:
            items.append(item)
    except FormatError as error:
        return items, str(error)
    return items, None


def written(format_name, items):
    """Write records and logs as a file."""
    logs = [item for item in items if isinstance(item, ImportedLog)]
    writer = formats.writer(format_name)
    begin = writer.begin([item for item in items if not isinstance(item, ImportedLog)])
    return begin + b"".join(writer.log(log) for log in logs) + writer.end()


def history(events):
    """Make a history file."""
    return json.dumps({"events": events}).encode()


def history_event(number, kind="WorkflowTaskScheduled", **more):
    """Make a history event."""
    return {"eventId": number, "eventType": kind, "eventTime": "2020-07-30T00:30:02.971655189Z", **more}


# At most 60 characters are at most 240 bytes.
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=60)
timestamps = st.integers(-(2**63), 2**63 - 1)
payloads = st.binary(max_size=50) | st.text(max_size=50).map(lambda text: text.encode("utf-8", "replace"))


@st.composite
def logs(draw, *, last_first_seq=1):
    """Any log an application may have written."""
    begin = draw(st.integers(1, last_first_seq))
    content = draw(
        st.lists(st.tuples(timestamps, st.sampled_from(EventKind), payloads), min_size=1, max_size=5)
    )
    events = tuple(WorkflowEvent(begin + i, *values) for i, values in enumerate(content))
    keys = draw(
        st.none()
        | st.lists(
            st.binary(min_size=1, max_size=64), min_size=len(events), max_size=len(events), unique=True
        ).map(tuple)
    )
    before = draw(st.binary(min_size=16, max_size=16)) if begin > 1 else None
    return ImportedLog(workflow_id(draw(names)), events, None, keys, before)
