"""XES in: trace by trace, in memory that does not grow with the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple
from xml.parsers import expat

from treadle.errors import FormatError, InvalidValueError
from treadle.events import PAYLOAD_SIZE_BYTES_MAX, EventKind, WorkflowEvent, check_payload, workflow_id
from treadle.formats.compression import pieces
from treadle.formats.contract import ImportedLog, StoreRecord
from treadle.formats.names import SeenNames
from treadle.formats.xes.content import (
    ATTRIBUTE_TYPES,
    COLLECTION_TYPES,
    CONTENT,
    DEPTH_MAX,
    DOCUMENT,
    NAMESPACE,
    Node,
    event_facts,
    event_payload,
    header_digest,
    header_payload,
    trace_name,
    trace_payload,
)

TRACE_SIZE_BYTES_MAX: Final = 256 * 1024 * 1024
"""A trace is taken whole or not at all, so it has to fit in memory; this is its XML."""
PART_SIZE_BYTES_MAX: Final = 16 * 1024 * 1024
"""A header, an event, or what a trace says of itself, as XML: held as a tree until it ends, and refused
as a payload anyway long before."""
TOKEN_SIZE_BYTES_MAX: Final = 8 * 1024 * 1024
"""The parser holds one tag or comment whole; four times a payload leaves room for escapes."""
_TAKEN_APART: Final = frozenset({"trace", "event"})
"""Not kept in their parents: a trace is yielded, an event encoded, as soon as it ends."""
_ATTRIBUTE_FORM: Final = "an attribute has a key and a value and nothing else"


class _Found(NamedTuple):
    """An XES event before its trace is complete."""

    timestamp: int | None
    kind: EventKind
    payload: bytes


def read(
    chunks: Iterable[bytes], *, source: str, workflow_id: str | int | None = None
) -> Iterator[ImportedLog | StoreRecord]:
    """Read an XES log.

    Args:
        chunks: the file's plain bytes, cut anywhere.
        source: its name, for messages.
        workflow_id: must be None; the traces of an XES log name themselves.

    Returns:
        An iterator: first the header's record, then one log per trace. An event without
        ``time:timestamp`` takes the time of the event before it, or at the trace's beginning that of the
        first event that has one, or 0; WORKFLOW_STARTED takes the first event's.

    Raises:
        FormatError: malformed XML, a DOCTYPE, an element or attribute that could not be given back, a
            trace without a usable ``concept:name`` or with one that came before, a bad date, or
            something over its limit. Whole traces before it have been yielded.
        InvalidValueError: a workflow id was given.
    """
    if workflow_id is not None:
        raise InvalidValueError(
            f"the traces of an XES log name themselves, got the id {workflow_id!a}; leave the id out"
        )
    document = _Document(source)
    for piece in pieces(chunks):
        yield from _parsed(document, piece)
    yield from _parsed(document, None)


def _parsed(document: _Document, piece: bytes | None) -> Iterator[ImportedLog | StoreRecord]:
    failure: FormatError | None = None
    try:
        document.feed(piece)
    except FormatError as error:
        failure = error
    # What was whole before the failure stands, however the file was cut into pieces.
    yield from document.taken()
    if failure is not None:
        raise failure


class _Document:
    """The parser's handlers and the little they remember: the open elements and the open trace."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._seen = SeenNames(source)
        self._done: list[ImportedLog | StoreRecord] = []
        self._open: list[Node] = [[DOCUMENT, None, None, []]]
        self._header: bytes | None = None
        self._found: list[_Found] = []
        self._traces = 0
        self._trace_line = self._event_line = 0
        self._bytes_fed = self._trace_start = self._part_start = 0
        self._finish: dict[str, Callable[[Node], None]] = {
            "event": self._finish_event,
            "trace": self._finish_trace,
            "log": self._finish_log,
        }
        self._parser = self._new_parser()

    def _new_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate()
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        return parser

    def feed(self, piece: bytes | None) -> None:
        try:
            self._parser.Parse(piece or b"", piece is None)
        except expat.ExpatError as error:
            raise self._refusal(
                f"an XES file is well-formed XML, got: {expat.errors.messages[error.code]}"
                f" at column {error.offset}{self._where()}; fetch or export it again",
                error.lineno,
            ) from error
        except (LookupError, ValueError) as error:
            raise self._refusal(
                f"an XES file is in an encoding that is known here, got: {error}; save it as UTF-8"
            ) from error
        self._bytes_fed += len(piece or b"")
        self._check_sizes()

    def taken(self) -> list[ImportedLog | StoreRecord]:
        done, self._done = self._done, []
        return done

    # -- handlers: run once per element, so they are short and look little up ---------------------------

    def _start(self, tag: str, given: list[str]) -> None:
        parents = self._open
        parent = parents[-1]
        # Of a hundred elements 99 are plain attributes of a trace or an event, where no place needs a
        # closer look: what stands deeper than the header's own parts takes attributes.
        if (
            3 < len(parents) <= DEPTH_MAX
            and tag in ATTRIBUTE_TYPES
            and len(given) == 4
            and given[0] == "key"
            and given[2] == "value"
        ):
            node = [tag, given[1], given[3]]
        else:
            node = self._looked_at(tag, given, parent[0])
        if len(parent) == 3:
            parent.append([node])
        elif tag not in _TAKEN_APART:
            parent[3].append(node)
        parents.append(node)

    def _end(self, tag: str) -> None:
        node = self._open.pop()
        if tag in self._finish:
            self._finish[tag](node)

    def _text(self, text: str) -> None:
        if not (text.isspace() and text.isascii()):
            raise self._refusal(
                f"XES keeps its values in XML attributes, got the text {text.strip()[:40]!a}"
                f"{self._where()}; remove it"
            )

    def _doctype(self, name: str, *_: object) -> None:
        # Entities are how a kilobyte becomes a gigabyte; XES has no use for them, nor for a DTD.
        raise self._refusal(f"an XES file has no DOCTYPE, got one ({name!a}); remove it and its entities")

    # -- elements ---------------------------------------------------------------------------------------

    def _looked_at(self, tag: str, given: list[str], parent: str) -> Node:
        if tag not in CONTENT[parent]:
            raise self._misplaced(tag, parent)
        if len(self._open) > DEPTH_MAX:
            raise self._refusal(f"attributes nest at most {DEPTH_MAX} deep, got more; flatten them")
        if parent == "log" and tag != "trace" and self._header is not None:
            raise self._refusal(
                "a log's header stands before its first trace, because every trace cites it;"
                f" got <{tag}> after trace {self._traces}; move it to the top of the file"
            )
        return self._attribute(tag, given) if tag in ATTRIBUTE_TYPES else self._structure(tag, given)

    def _structure(self, tag: str, given: list[str]) -> Node:
        pairs = [[given[i], given[i + 1]] for i in range(0, len(given), 2)]
        if tag == "trace":
            self._begin_trace()
        elif tag == "event":
            self._event_line = self._parser.CurrentLineNumber
            self._part_start = self._parser.CurrentByteIndex
        elif tag == "log":
            return [tag, None, pairs, []]
        elif tag != "values":
            return [tag, None, pairs]
        if given:
            raise self._refusal(
                f"<{tag}> has no XML attribute, got {given[0]!a}{self._where()}; write an attribute element"
            )
        return [tag, None, None] if tag == "values" else [tag, None, None, []]

    def _attribute(self, tag: str, given: list[str]) -> Node:
        names = given[::2]
        named = dict(zip(names, given[1::2], strict=True))
        if tag in COLLECTION_TYPES and sorted(names) in (["key"], ["key", "value"]):
            return [tag, named["key"], named.get("value")]
        if sorted(names) != ["key", "value"]:
            raise self._refusal(
                f"{_ATTRIBUTE_FORM}, got <{tag}> with {', '.join(names) or 'none'}{self._where()};"
                " correct the element"
            )
        return [tag, named["key"], named["value"]]

    def _begin_trace(self) -> None:
        if self._header is None:
            self._finish_header(self._open[1])
        self._traces += 1
        self._found = []
        self._trace_line = self._event_line = self._parser.CurrentLineNumber
        self._trace_start = self._part_start = self._parser.CurrentByteIndex

    def _finish_header(self, log: Node) -> None:
        value = header_payload(log)
        if len(value) > PAYLOAD_SIZE_BYTES_MAX:
            raise self._refusal(
                f"a log's header has at most {PAYLOAD_SIZE_BYTES_MAX} bytes as JSON, got {len(value)};"
                " remove log attributes"
            )
        self._header = header_digest(value)
        self._done.append(StoreRecord(NAMESPACE, self._header, value))

    def _finish_event(self, event: Node) -> None:
        try:
            timestamp, kind = event_facts(event[3])
            payload = event_payload(event[3])
            check_payload(payload)
        except InvalidValueError as error:
            raise self._refusal(
                f"event {len(self._found) + 1}{self._where()}: {error}", self._event_line
            ) from error
        self._found.append(_Found(timestamp, kind, payload))
        self._part_start = self._parser.CurrentByteIndex

    def _finish_trace(self, trace: Node) -> None:
        name = trace_name(trace[3])
        if name is None:
            raise self._refusal(
                f"a trace has a concept:name, trace {self._traces} has none; name it", self._trace_line
            )
        try:
            log = ImportedLog(workflow_id(name), self._events(trace[3]), self._trace_line)
        except InvalidValueError as error:
            raise self._refusal(f"trace {self._traces}: {error}", self._trace_line) from error
        self._seen.add(log.workflow_id, self._trace_line)
        self._done.append(log)
        self._found = []

    def _finish_log(self, log: Node) -> None:
        if self._header is None:
            self._finish_header(log)

    def _events(self, attributes: list[Node]) -> tuple[WorkflowEvent, ...]:
        found = self._found
        now = next((event.timestamp for event in found if event.timestamp is not None), 0)
        payload = trace_payload(self._header or b"", attributes)
        events = [WorkflowEvent(1, now, EventKind.WORKFLOW_STARTED, payload)]
        for seq, (timestamp, kind, payload) in enumerate(found, 2):
            now = now if timestamp is None else timestamp
            events.append(WorkflowEvent(seq, now, kind, payload))
        return tuple(events)

    # -- refusals ---------------------------------------------------------------------------------------

    def _check_sizes(self) -> None:
        if self._bytes_fed - self._parser.CurrentByteIndex > TOKEN_SIZE_BYTES_MAX:
            raise self._refusal(
                f"a tag or comment has at most {TOKEN_SIZE_BYTES_MAX} bytes, got more{self._where()};"
                " split or shorten it"
            )
        in_trace = len(self._open) > 2 and self._header is not None
        if (in_trace or self._header is None) and self._bytes_fed - self._part_start > PART_SIZE_BYTES_MAX:
            raise self._refusal(
                f"a header, an event or a trace's own attributes have at most {PART_SIZE_BYTES_MAX} bytes,"
                f" got more{self._where()}; shorten them"
            )
        if in_trace and self._bytes_fed - self._trace_start > TRACE_SIZE_BYTES_MAX:
            raise self._refusal(
                f"a trace has at most {TRACE_SIZE_BYTES_MAX} bytes, got more{self._where()}; split it"
            )

    def _misplaced(self, tag: str, parent: str) -> FormatError:
        if parent == DOCUMENT:
            return self._refusal(f"an XES file's root element is <log>, got <{tag}>; is it another format?")
        allowed = ", ".join(sorted(CONTENT[parent])) or "nothing"
        return self._refusal(
            f"<{parent}> holds {allowed}; got <{tag}>{self._where()}, which cannot be carried; remove it"
        )

    def _where(self) -> str:
        if len(self._open) < 3 or self._open[2][0] != "trace":
            return ""
        name = trace_name(self._open[2][3])
        return f" in trace {self._traces}" + (f" ({name[:80]!a})" if name is not None else "")

    def _refusal(self, message: str, line: int | None = None) -> FormatError:
        return FormatError(message, source=self._source, line=line or self._parser.CurrentLineNumber)
