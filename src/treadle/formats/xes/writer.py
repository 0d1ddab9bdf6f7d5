"""XES out: what came from XES goes back as it was, everything else becomes XES that mining tools open.

An event that did not come from XES is written with ``concept:name`` (its kind), ``time:timestamp``,
``lifecycle:transition``, and ``treadle:seq``, ``treadle:kind``, ``treadle:key``, and ``treadle:payload``
where the payload is text that XML can hold or ``treadle:payload_base64`` where it is not. A trace may
hold both sorts: a log that was imported and then went on.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Final

from treadle.errors import FormatError, InvalidValueError
from treadle.events import EventKind, WorkflowEvent
from treadle.formats.contract import ImportedLog, StoreRecord
from treadle.formats.times import timestamp_text
from treadle.formats.xes.content import (
    NAME_KEY,
    NAMESPACE,
    TIME_KEY,
    TRANSITION_BY_KIND,
    TRANSITION_KEY,
    Node,
    event_facts,
    event_of,
    header_digest,
    header_of,
    is_xml_text,
    trace_name,
    trace_of,
)

_SITE: Final = "http://www.xes-standard.org/"
_LOG_ATTRIBUTES: Final = [
    ["xes.version", "1849-2016"],
    ["xes.features", "nested-attributes"],
    ["xmlns", _SITE],
]
_EXTENSIONS: Final[list[Node]] = [
    ["extension", None, [["name", name], ["prefix", name.lower()], ["uri", f"{_SITE}{name.lower()}.xesext"]]]
    for name in ("Concept", "Lifecycle", "Time")
]
_CLASSIFIERS: Final[list[Node]] = [["classifier", None, [["name", "Kind"], ["keys", NAME_KEY]]]]
_HEADER: Final[Node] = ["log", None, _LOG_ATTRIBUTES, _EXTENSIONS + _CLASSIFIERS]
"""The header of a file whose logs bring none."""

# Line ends and tabs as references: a parser turns bare ones inside an attribute into spaces.
_ESCAPES: Final = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}
_ESCAPED: Final = re.compile('[&<>"\t\n\r]')


class Writer:
    """Writes one XES file: `begin`, then `log` for each log, then `end`.

    A file has one header. Logs that came from XES are written under the header they cite; logs of other
    origin go under any.
    """

    def __init__(self) -> None:
        self._header: bytes | None = None

    def begin(self, records: Iterable[StoreRecord] = ()) -> bytes:
        """Begin the file with its header.

        Args:
            records: the header that the logs cite, or nothing when none of them came from XES.

        Returns:
            The XML declaration, the log's opening tag and its header.

        Raises:
            FormatError: more than one header, or a record that is none.
        """
        headers = {record.key: _checked_header(record) for record in records}
        if len(headers) > 1:
            raise FormatError(
                f"an XES file has one header, got {len(headers)}"
                f" ({', '.join(sorted(key.hex() for key in headers))});"
                " write the logs of each to a file of its own"
            )
        self._header, header = next(iter(headers.items()), (None, _HEADER))
        lines = [f"<log{_xml_attributes(header[2])}>"]
        for node in header[3]:
            lines.extend(_element(node, 1))
        return ('<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join(lines) + "\n").encode()

    def log(self, log: ImportedLog) -> bytes:
        """Write one log as a trace.

        Args:
            log: the log, whole.

        Returns:
            The trace.

        Raises:
            FormatError: the log cites a header that the file was not begun with, or XML cannot hold its
                name.
        """
        cited = _cited_trace(log)
        attributes = self._native_trace(log) if cited is None else self._known_trace(log, cited)
        lines = ["\t<trace>"]
        for node in attributes:
            lines.extend(_element(node, 2))
        for event in _events(log, imported=cited is not None):
            lines.append("\t\t<event>")
            for node in event:
                lines.extend(_element(node, 3))
            lines.append("\t\t</event>")
        lines.append("\t</trace>\n")
        return "\n".join(lines).encode()

    def end(self) -> bytes:
        """End the file.

        Returns:
            The log's closing tag.
        """
        return b"</log>\n"

    def _known_trace(self, log: ImportedLog, cited: tuple[bytes, list[Node]]) -> list[Node]:
        header, attributes = cited
        if header != self._header:
            raise FormatError(
                f"the log {log.workflow_id!a} came under the XES header {header.hex()}, this file was begun"
                f" with {self._header.hex() if self._header else 'none'}; begin the file with that record"
            )
        return attributes

    def _native_trace(self, log: ImportedLog) -> list[Node]:
        if not is_xml_text(log.workflow_id):
            raise FormatError(
                f"XML cannot hold every character of the workflow id {log.workflow_id!a};"
                " export this log as JSON Lines"
            )
        return [["string", NAME_KEY, log.workflow_id]]


def cited(log: ImportedLog) -> bytes | None:
    """Tell which header a log cites.

    Args:
        log: the log; its first event is enough.

    Returns:
        The key of the record in `NAMESPACE`, or None when the log did not come from XES.
    """
    trace = _cited_trace(log)
    return None if trace is None else trace[0]


def _cited_trace(log: ImportedLog) -> tuple[bytes, list[Node]] | None:
    start = log.events[0]
    if start.seq != 1 or start.kind is not EventKind.WORKFLOW_STARTED or _key(log, 0) is not None:
        return None
    trace = trace_of(start.payload)
    return trace if trace is not None and trace_name(trace[1]) == log.workflow_id else None


def _checked_header(record: StoreRecord) -> Node:
    if record.namespace != NAMESPACE:
        raise FormatError(
            f"an XES file carries records of {NAMESPACE!a} alone, got {record.namespace!a};"
            " leave it out, or export JSON Lines"
        )
    header = header_of(record.value) if header_digest(record.value) == record.key else None
    if header is None:
        raise FormatError(
            f"the record {record.key.hex()} of {NAMESPACE!a} is a log's header, got something else;"
            " verify the store"
        )
    return header


def _events(log: ImportedLog, *, imported: bool) -> Iterator[list[Node]]:
    now = log.events[0].timestamp if imported else None
    for place, event in enumerate(log.events):
        if place == 0 and imported:
            continue
        key = _key(log, place)
        attributes = _as_imported(event, now) if imported and key is None else None
        yield _native_event(event, key) if attributes is None else attributes
        now = event.timestamp


def _as_imported(event: WorkflowEvent, previous: int | None) -> list[Node] | None:
    # An event is XES's own only when reading it back would give this very event.
    attributes = event_of(event.payload)
    if attributes is None:
        return None
    try:
        timestamp, kind = event_facts(attributes)
    except InvalidValueError:
        return None
    same_time = event.timestamp == (previous if timestamp is None else timestamp)
    return attributes if same_time and kind is event.kind else None


def _native_event(event: WorkflowEvent, key: bytes | None) -> list[Node]:
    nodes: list[Node] = [
        ["string", NAME_KEY, event.kind.name.lower()],
        ["date", TIME_KEY, timestamp_text(event.timestamp)],
        ["string", TRANSITION_KEY, TRANSITION_BY_KIND.get(event.kind, "unknown")],
        ["int", "treadle:seq", str(event.seq)],
        ["string", "treadle:kind", event.kind.name],
    ]
    if key is not None:
        nodes.append(["string", "treadle:key", key.hex()])
    nodes.append(_payload_node(event.payload))
    return nodes


def _payload_node(payload: bytes) -> Node:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = None
    if text is not None and is_xml_text(text):
        return ["string", "treadle:payload", text]
    return ["string", "treadle:payload_base64", b64encode(payload).decode()]


def _key(log: ImportedLog, place: int) -> bytes | None:
    return None if log.keys is None else log.keys[place]


def _element(node: Node, depth: int) -> list[str]:
    tag, key, value = node[:3]
    if isinstance(value, list):
        given = _xml_attributes(value)
    else:
        given = ("" if key is None else f' key="{_escaped(key)}"') + (
            "" if value is None else f' value="{_escaped(value)}"'
        )
    indent = "\t" * depth
    if len(node) == 3:
        return [f"{indent}<{tag}{given}/>"]
    lines = [f"{indent}<{tag}{given}>"]
    for child in node[3]:
        lines.extend(_element(child, depth + 1))
    lines.append(f"{indent}</{tag}>")
    return lines


def _xml_attributes(pairs: list[list[str]]) -> str:
    return "".join(f' {name}="{_escaped(value)}"' for name, value in pairs)


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], text) if _ESCAPED.search(text) else text
