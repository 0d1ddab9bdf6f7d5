"""What an XES log holds, as values: its grammar, and how a trace and an event become payloads.

A node is ``[type, key, value]``, with a fourth item, its children, only when it has some. Plain lists,
because a file holds ten of them for each event. The parts of a header that are no attributes have no key,
and their XML attributes as value: ``["classifier", None, [["name", "Activity"], ["keys", "concept:name"]]]``.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from treadle.errors import InvalidValueError
from treadle.events import EventKind
from treadle.formats.times import timestamp_ns
from treadle.log.digests import DIGEST_SIZE_BYTES
from treadle.payloads import decode, encode

Node: TypeAlias = list[Any]

NAMESPACE: Final = "xes-header"
"""Where the records lie that hold the headers of imported logs."""
DEPTH_MAX: Final = 100
"""How deep attributes may nest: JSON is written recursively, and no log measured nests deeper than three."""

ELEMENTARY_TYPES: Final = frozenset({"string", "date", "int", "float", "boolean", "id"})
COLLECTION_TYPES: Final = frozenset({"list", "container"})
ATTRIBUTE_TYPES: Final = ELEMENTARY_TYPES | COLLECTION_TYPES

DOCUMENT: Final = ""
"""The parent of the root element."""
CONTENT: Final[dict[str, frozenset[str]]] = {
    DOCUMENT: frozenset({"log"}),
    "log": ATTRIBUTE_TYPES | {"extension", "global", "classifier", "trace"},
    "extension": frozenset(),
    "classifier": frozenset(),
    "global": ATTRIBUTE_TYPES,
    "trace": ATTRIBUTE_TYPES | {"event"},
    "event": ATTRIBUTE_TYPES,
    "list": ATTRIBUTE_TYPES | {"values"},
    "values": ATTRIBUTE_TYPES,
    **dict.fromkeys(ELEMENTARY_TYPES | {"container"}, ATTRIBUTE_TYPES),
}
"""Which elements may stand in which. What is not here is refused, because it could not be given back."""

NAME_KEY: Final = "concept:name"
TIME_KEY: Final = "time:timestamp"
TRANSITION_KEY: Final = "lifecycle:transition"

KIND_BY_TRANSITION: Final[dict[str, EventKind]] = {
    "schedule": EventKind.ACTIVITY_SCHEDULED,
    "complete": EventKind.ACTIVITY_COMPLETED,
    "ate_abort": EventKind.ACTIVITY_FAILED,
    "pi_abort": EventKind.ACTIVITY_FAILED,
}
"""The transitions of the standard life cycle that a kind stands for; case does not matter. Every other
one is CUSTOM, and an event without any is a thing that was done: ACTIVITY_COMPLETED."""
TRANSITION_BY_KIND: Final[dict[EventKind, str]] = {
    EventKind.ACTIVITY_SCHEDULED: "schedule",
    EventKind.ACTIVITY_COMPLETED: "complete",
    EventKind.ACTIVITY_FAILED: "ate_abort",
}
"""The way back, for logs that did not come from XES; every other kind is ``unknown``."""

_TRACE_FIELDS: Final = {"xes:header", "xes:trace"}
_EVENT_FIELDS: Final = {"xes:event"}
# What XML 1.0 cannot hold even as a reference. The few that it cannot, rather than all but those that it
# can: the same set, compiled in a tenth of the time, which every start of the command would wait for.
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def header_payload(log: Node) -> bytes:
    """Encode a log's header.

    Args:
        log: the log's node: its XML attributes as value, its header as children.

    Returns:
        The value of its record.
    """
    return encode({"attributes": log[2], "content": log[3]})


def header_digest(value: bytes) -> bytes:
    """Name a header by its content.

    Args:
        value: what `header_payload` gave.

    Returns:
        The key of its record.
    """
    return blake2b(value, digest_size=DIGEST_SIZE_BYTES).digest()


def trace_payload(header: bytes, attributes: list[Node]) -> bytes:
    """Encode what a trace says of itself.

    Args:
        header: the digest of the log's header.
        attributes: the trace's own attributes.

    Returns:
        The payload of its WORKFLOW_STARTED.
    """
    return encode({"xes:header": header.hex(), "xes:trace": attributes})


def event_payload(attributes: list[Node]) -> bytes:
    """Encode an XES event.

    Args:
        attributes: its attributes.

    Returns:
        Its payload.
    """
    return encode({"xes:event": attributes})


def trace_name(attributes: list[Node]) -> str | None:
    """Tell what a trace is called.

    Args:
        attributes: the trace's own attributes.

    Returns:
        The value of the first ``concept:name``, or None.
    """
    return next((node[2] for node in attributes if node[1] == NAME_KEY), None)


def event_facts(attributes: list[Node]) -> tuple[int | None, EventKind]:
    """Tell when an XES event happened and what it records.

    Args:
        attributes: its attributes; where a key comes twice the first counts.

    Returns:
        Its time, or None when it has none, and its kind.

    Raises:
        InvalidValueError: its ``time:timestamp`` is no date.
    """
    moment: Node | None = None
    transition: Node | None = None
    for node in attributes:
        if node[1] == TIME_KEY:
            moment = moment or node
        elif node[1] == TRANSITION_KEY:
            transition = transition or node
    kind = EventKind.ACTIVITY_COMPLETED
    if transition is not None:
        kind = KIND_BY_TRANSITION.get((transition[2] or "").lower(), EventKind.CUSTOM)
    if moment is None:
        return None, kind
    if moment[0] != "date":
        raise InvalidValueError(
            f"{TIME_KEY} is a date, got a {moment[0]}; write it as <date key=... value=.../>"
        )
    return timestamp_ns(moment[2]), kind


def header_of(value: bytes) -> Node | None:
    """Decode a header's record, for writing it out again.

    Args:
        value: the record's value.

    Returns:
        The log's node, or None when the value is no header.
    """
    document = _decoded(value)
    if not isinstance(document, dict) or set(document) != {"attributes", "content"}:
        return None
    given, content = document["attributes"], document["content"]
    if not _are_pairs(given) or not isinstance(content, list) or not all(map(_is_header_part, content)):
        return None
    return ["log", None, given, content]


def trace_of(payload: bytes) -> tuple[bytes, list[Node]] | None:
    """Decode the payload of a WORKFLOW_STARTED that came from XES.

    Args:
        payload: any payload.

    Returns:
        The digest of the header and the trace's attributes, or None when it came from elsewhere.
    """
    document = _decoded(payload)
    if not isinstance(document, dict) or document.keys() != _TRACE_FIELDS:
        return None
    cited, attributes = document["xes:header"], document["xes:trace"]
    if (
        not isinstance(cited, str)
        or not re.fullmatch("[0-9a-f]{32}", cited)
        or not _are_attributes(attributes)
    ):
        return None
    return bytes.fromhex(cited), attributes


def event_of(payload: bytes) -> list[Node] | None:
    """Decode the payload of an event that came from XES.

    Args:
        payload: any payload.

    Returns:
        The event's attributes, or None when it came from elsewhere.
    """
    document = _decoded(payload)
    if not isinstance(document, dict) or document.keys() != _EVENT_FIELDS:
        return None
    return document["xes:event"] if _are_attributes(document["xes:event"]) else None


def is_xml_text(text: str) -> bool:
    """Tell whether XML can hold a text.

    Args:
        text: any text.

    Returns:
        False when a control character, a lone surrogate or a noncharacter is in it.
    """
    return _NOT_XML.search(text) is None


def _decoded(payload: bytes) -> Any:
    # Most payloads that are not ours are told by their first byte, without the price of an exception.
    if not payload.startswith(b"{"):
        return None
    try:
        return decode(payload)
    except InvalidValueError:
        return None


def _are_attributes(nodes: Any, depth: int = 1) -> bool:
    if not isinstance(nodes, list) or depth > DEPTH_MAX:
        return False
    return all(_is_attribute(node, depth) for node in nodes)


def _is_attribute(node: Any, depth: int, parent: str = "") -> bool:
    if not isinstance(node, list) or len(node) not in (3, 4):
        return False
    kind, key, value = node[:3]
    if kind == "values":
        right = parent == "list" and key is None and value is None
    elif kind in COLLECTION_TYPES:
        right = _is_text(key) and (value is None or _is_text(value))
    else:
        right = kind in ELEMENTARY_TYPES and _is_text(key) and _is_text(value)
    if not right or len(node) == 3:
        return right
    children = node[3]
    return (
        isinstance(children, list)
        and depth < DEPTH_MAX
        and all(_is_attribute(child, depth + 1, kind) for child in children)
    )


def _is_header_part(node: Any) -> bool:
    if not isinstance(node, list) or len(node) not in (3, 4):
        return False
    if node[0] not in ("extension", "classifier", "global"):
        return _is_attribute(node, 1)
    if node[1] is not None or not _are_pairs(node[2]):
        return False
    return len(node) == 3 or (node[0] == "global" and _are_attributes(node[3], 2))


def _are_pairs(given: Any) -> bool:
    return isinstance(given, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_text, pair)) for pair in given
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_xml_text(value)
