"""Our own format: JSON Lines that lose nothing, both ways, and that two files can be joined in.

A line begins each log; as many event lines as it says follow; lines of records stand between logs:

    {"line":"record","namespace":"xes-header","key":"9f..","text":"{...}"}
    {"line":"log","version":1,"workflow_id":"order-1","first_seq":1,"events":2,"before":"5c..","digest":"e1.."}
    {"line":"event","seq":1,"timestamp":1700000000000000000,"kind":"WORKFLOW_STARTED","text":"{}"}
    {"line":"event","seq":2,"timestamp":1700000000000000001,"kind":"CUSTOM","base64":"/w==","key":"6b31"}

Content is ``text`` where it is UTF-8 and ``base64`` where it is not; keys and digests are hexadecimal.
``before`` is the digest the chain begins with and ``digest`` the one it ends with, so a line that was
changed, lost or moved shows. At seq 1 ``before`` is that of the id, or, of a log with a BRANCHED event, that
of the log that was branched first.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

import msgspec

from treadle.errors import FormatError, InvalidValueError
from treadle.events import EventKind, WorkflowEvent, WorkflowId, check_key, event_kind
from treadle.events import workflow_id as checked_workflow_id
from treadle.formats.contract import ImportedLog, StoreRecord
from treadle.formats.lines import numbered_lines
from treadle.formats.names import SeenNames
from treadle.log.digests import DIGEST_SIZE_BYTES, chain_digest, root_digest

VERSION: Final = 1


class _LogLine(msgspec.Struct, tag_field="line", tag="log", forbid_unknown_fields=True):
    version: int
    workflow_id: str
    first_seq: int
    events: int
    before: str
    digest: str


class _EventLine(
    msgspec.Struct, tag_field="line", tag="event", forbid_unknown_fields=True, omit_defaults=True
):
    seq: int
    timestamp: int
    kind: str
    text: str | None = None
    base64: str | None = None
    key: str | None = None


class _RecordLine(
    msgspec.Struct, tag_field="line", tag="record", forbid_unknown_fields=True, omit_defaults=True
):
    namespace: str
    key: str
    text: str | None = None
    base64: str | None = None


_Line = _LogLine | _EventLine | _RecordLine
_decoder: Final[msgspec.json.Decoder[_Line]] = msgspec.json.Decoder(_Line)
_encoder: Final = msgspec.json.Encoder()


def read(
    chunks: Iterable[bytes], *, source: str, workflow_id: str | int | None = None
) -> Iterator[ImportedLog | StoreRecord]:
    """Read logs and records.

    Args:
        chunks: the file's plain bytes, cut anywhere.
        source: its name, for messages.
        workflow_id: must be None; each log says whose it is.

    Returns:
        An iterator over logs and records in file order.

    Raises:
        FormatError: a line that is too long, no JSON, of unknown shape or version; a gap; a log that
            ends early, comes twice, or whose digest is another. Whole logs before it have been yielded.
        InvalidValueError: a workflow id was given.
    """
    if workflow_id is not None:
        raise InvalidValueError(
            f"the logs of a JSON Lines file name themselves, got the id {workflow_id!a}; leave the id out"
        )
    reader = _Reader(source)
    for number, text in numbered_lines(chunks, source=source):
        if text.strip():
            reader.line = number
            yield from reader.take(text)
    reader.finish()


class Writer:
    """Writes one JSON Lines file: `begin`, then `log` for each log, then `end`."""

    def begin(self, records: Iterable[StoreRecord] = ()) -> bytes:
        """Begin the file with the records its logs cite.

        Args:
            records: what the logs cite.

        Returns:
            One line for each.
        """
        return b"".join(
            _encoded(_RecordLine(record.namespace, record.key.hex(), *_content(record.value)))
            for record in records
        )

    def log(self, log: ImportedLog) -> bytes:
        """Write one log.

        Args:
            log: the log, whole.

        Returns:
            Its lines.

        Raises:
            FormatError: it begins above seq 1 without the digest before it.
        """
        before = _digest_before(log)
        digest = before
        lines = [b""]
        keys = log.keys or (None,) * len(log.events)
        for event, key in zip(log.events, keys, strict=True):
            digest = chain_digest(digest, event)
            lines.append(
                _encoded(
                    _EventLine(
                        event.seq,
                        event.timestamp,
                        event.kind.name,
                        *_content(event.payload),
                        None if key is None else key.hex(),
                    )
                )
            )
        first_seq = log.events[0].seq
        lines[0] = _encoded(
            _LogLine(VERSION, log.workflow_id, first_seq, len(log.events), before.hex(), digest.hex())
        )
        return b"".join(lines)

    def end(self) -> bytes:
        """End the file.

        Returns:
            Nothing: the last log is its end.
        """
        return b""


class _OpenLog:
    """A log whose event lines are still coming."""

    def __init__(self, name: WorkflowId, line: int, head: _LogLine, before: bytes) -> None:
        self.name = name
        self.line = line
        self.head = head
        self.before = before
        self.digest = before
        self.events: list[WorkflowEvent] = []
        self.keys: list[bytes | None] = []
        self.known_keys: set[bytes] = set()

    @property
    def whole(self) -> bool:
        return len(self.events) == self.head.events

    def imported(self) -> ImportedLog:
        keys = tuple(self.keys) if any(self.keys) else None
        before = self.before if self.head.first_seq > 1 or self.before != root_digest(self.name) else None
        return ImportedLog(self.name, tuple(self.events), self.line, keys, before)


class _Reader:
    """Takes line after line; holds at most one log."""

    def __init__(self, source: str) -> None:
        self.line = 0
        self._source = source
        self._seen = SeenNames(source)
        self._log: _OpenLog | None = None

    def take(self, text: bytes) -> Iterator[ImportedLog | StoreRecord]:
        try:
            line = self._decoded(text)
            if isinstance(line, _EventLine):
                yield from self._take_event(line)
                return
            self.finish()
            if isinstance(line, _LogLine):
                self._log = self._begun(line)
            else:
                key = self._from_hex(line.key, "a record's key")
                yield StoreRecord(line.namespace, key, self._from_content(line))
        except InvalidValueError as error:
            raise FormatError(str(error), source=self._source, line=self.line) from error

    def finish(self) -> None:
        if self._log is not None:
            self._refuse(
                f"the log {self._log.name!a} begins at line {self._log.line} with"
                f" {self._log.head.events} events, {len(self._log.events)} came; was the file cut short?"
            )

    def _decoded(self, text: bytes) -> _Line:
        try:
            return _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FormatError(
                f"a line is a JSON object of a log, an event or a record, got something else: {error};"
                " export the file again",
                source=self._source,
                line=self.line,
            ) from error

    def _begun(self, head: _LogLine) -> _OpenLog:
        name = checked_workflow_id(head.workflow_id)
        if head.version != VERSION:
            self._refuse(f"this treadle reads version {VERSION}, got {head.version}; use a newer treadle")
        if head.events < 1 or head.first_seq < 1:
            self._refuse(
                f"a log has events from seq 1 or above, got {head.events} from {head.first_seq};"
                " export the file again"
            )
        before = self._from_hex(head.before, "a digest", DIGEST_SIZE_BYTES)
        self._seen.add(name, self.line)
        return _OpenLog(name, self.line, head, before)

    def _take_event(self, line: _EventLine) -> Iterator[ImportedLog]:
        log = self._log
        if log is None:
            self._refuse("an event follows the line that begins its log, got one without; was a line lost?")
        expected = log.head.first_seq + len(log.events)
        if line.seq != expected:
            self._refuse(
                f"the next event of {log.name!a} is seq {expected}, got {line.seq}; was a line lost or moved?"
            )
        event = WorkflowEvent(line.seq, line.timestamp, event_kind(line.kind), self._from_content(line))
        key = None if line.key is None else self._from_hex(line.key, "an event's key")
        if key is not None:
            check_key(key)
            if key in log.known_keys:
                self._refuse(f"a key comes once in a log, got {line.key} again; export the file again")
            log.known_keys.add(key)
        log.events.append(event)
        log.keys.append(key)
        log.digest = chain_digest(log.digest, event)
        if log.whole:
            self._log = None
            yield self._verified(log)

    def _verified(self, log: _OpenLog) -> ImportedLog:
        if log.digest.hex() != log.head.digest:
            self._refuse(
                f"the log {log.name!a} that begins at line {log.line} ends with the digest {log.head.digest},"
                f" its events give {log.digest.hex()}; a line was changed: export it again"
            )
        self._check_root(log)
        return log.imported()

    def _check_root(self, log: _OpenLog) -> None:
        root = root_digest(log.name)
        # A branch's chain begins with the id of whoever was branched first, which its events need not name.
        is_branch = any(event.kind is EventKind.BRANCHED for event in log.events)
        if log.head.first_seq > 1 or log.before == root or is_branch:
            return
        self.line = log.line
        self._refuse(
            f"the digest before seq 1 of {log.name!a} is {root.hex()}, got {log.head.before};"
            " was the log renamed? Export it again"
        )

    def _from_content(self, line: _EventLine | _RecordLine) -> bytes:
        if line.text is not None and line.base64 is None:
            return line.text.encode()
        if line.base64 is None or line.text is not None:
            self._refuse("content is either text or base64, got both or none; export the file again")
        try:
            return a2b_base64(line.base64, strict_mode=True)
        except (Base64Error, ValueError) as error:
            self._refuse(f"content in base64 is whole and padded, got other text ({error})")

    def _from_hex(self, text: str, what: str, size: int | None = None) -> bytes:
        try:
            value = bytes.fromhex(text)
        except ValueError:
            self._refuse(f"{what} is hexadecimal, got {text[:40]!a}; export the file again")
        if size is not None and len(value) != size:
            self._refuse(f"{what} has {size} bytes, got {len(value)}; export the file again")
        return value

    def _refuse(self, message: str) -> NoReturn:
        raise FormatError(message, source=self._source, line=self.line)


def _digest_before(log: ImportedLog) -> bytes:
    if log.previous_digest is not None:
        return log.previous_digest
    if log.events[0].seq > 1:
        raise FormatError(
            f"the log {log.workflow_id!a} begins at seq {log.events[0].seq}, which takes the digest before"
            " it, got none; hand over previous_digest"
        )
    return root_digest(log.workflow_id)


def _content(value: bytes) -> tuple[str | None, str | None]:
    try:
        return value.decode(), None
    except UnicodeDecodeError:
        return None, b64encode(value).decode()


def _encoded(line: _Line) -> bytes:
    return _encoder.encode(line) + b"\n"
