"""What callers in other processes leave in the mailbox, and the records in which they find their answers.

The engine's own messages are in `treadle.engine.messages`; those here come from callers only. Each is one
JSON document. An answer is a record under the message's id; whoever asked removes it, and the runner sweeps
away what nobody has fetched.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Raw

from treadle import errors
from treadle.errors import CorruptStoreError, InternalError, RecordedError, TreadleError
from treadle.events import WorkflowId
from treadle.payloads import CodecChain, CodecContext
from treadle.stores import Message, Record

IdPolicy: TypeAlias = Literal["reject", "use_existing", "allow_when_closed"]
"""What becomes of a start whose id is taken."""

Reapply: TypeAlias = Literal["signals", "none"]
"""What comes again of what a reset abandons."""

REAPPLY: Final = ("signals", "none")
ID_POLICIES: Final = ("reject", "use_existing", "allow_when_closed")
REPLIES: Final = "treadle:reply"
"""The namespace of answers; key is the message's id."""
HEARTBEATS: Final = "treadle:heartbeat"
"""The namespace of what running activities have told; key is the activity's id to the outer world."""
HELD: Final = "treadle:held"
"""The namespace of held workflows; key is the workflow's id."""
RUNNER: Final = "treadle:runner"
"""The namespace of what one runner leaves to the next."""
RUNS: Final = "treadle:run"
"""The namespace of durable workflows whose beginning was removed; a key is the workflow's id, a value the seq
of the start from which its first kept run goes on: who waits for the result of that start is not lost."""
WHAT_IF: Final = b"what_if"
"""The details in the head facts of a branch in which nothing really happens, for as long as it lives."""
AWAITING_RESUME: Final = b"branch"
"""The details in the head facts of a branch that is to go on in earnest, until it is resumed."""
UNDELIVERED: Final = "treadle:undelivered"
"""The namespace of messages that came too late for their workflow; key is made of its id and theirs."""


class _Wire(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    pass


class StartMessage(_Wire, frozen=True):
    """START: begin this workflow; a signal may come with it."""

    name: str
    args: Raw
    policy: IdPolicy = "reject"
    signal: str | None = None
    signal_args: Raw = Raw(b"[]")


class UpdateMessage(_Wire, frozen=True):
    """UPDATE."""

    id: str
    name: str
    args: Raw = Raw(b"[]")


class QueryMessage(_Wire, frozen=True):
    """QUERY."""

    name: str
    args: Raw = Raw(b"[]")


class AskMessage(_Wire, frozen=True):
    """STACK: tell something of the workflow as it stands in the runner's memory."""

    what: Literal["stack", "describe"] = "stack"


class ResumeMessage(_Wire, frozen=True):
    """RESUME: try a held workflow again."""


class ResetMessage(_Wire, frozen=True):
    """RESET: go on from an earlier event."""

    at: int
    reapply: Reapply = "signals"


class Answer(_Wire, frozen=True):
    """A record under the message's id: a value, or an error by its name with its facts."""

    at_ns: int
    value: Raw = Raw(b"")
    error: str = ""
    message: str = ""
    facts: dict[str, Any] = {}


class HeldNote(_Wire, frozen=True):
    """A record under the workflow's id: why it is held; a branch that waits to be resumed says its mode."""

    at_ns: int
    reason: str
    code: str
    error: str = ""
    branch: str = ""


class BeatNote(_Wire, frozen=True):
    """A record under an activity's id: what it has told last."""

    details: Raw
    attempt: int = 0


class UndeliveredNote(_Wire, frozen=True):
    """A message that came too late."""

    at_ns: int
    workflow_id: str
    kind: int
    message: str


_encode = msgspec.json.Encoder(order="deterministic").encode
W = TypeVar("W", bound=_Wire)


def encode_wire(value: _Wire) -> bytes:
    """Write one of this page's structs.

    Args:
        value: the struct.

    Returns:
        One JSON document.
    """
    return _encode(value)


def decode_wire(payload: bytes, kind: type[W]) -> W:
    """Read one of this page's structs.

    Args:
        payload: one JSON document.
        kind: the struct.

    Returns:
        The struct.

    Raises:
        CorruptStoreError: the payload is not what it should be.
    """
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptStoreError(
            f"a {kind.__name__} was expected, got {payload[:80]!r} ({error}); was the store changed from"
            " outside?"
        ) from error


class Envelopes:
    """Payloads of rows and records, through the runtime's codecs.

    Args:
        codecs: as the runtime was given them.
    """

    def __init__(self, codecs: CodecChain) -> None:
        self._codecs = codecs

    def row(self, workflow_id: str, message_id: bytes, kind: int, payload: bytes) -> Message:
        """Make a row of the mailbox.

        Args:
            workflow_id: to whom.
            message_id: under which it is known.
            kind: a `MessageKind`.
            payload: JSON.

        Returns:
            The row, encoded.
        """
        return Message(WorkflowId(workflow_id), message_id, kind, self.close(workflow_id, payload))

    def record(self, namespace: str, key: bytes, workflow_id: str, value: _Wire) -> Record:
        """Make a record.

        Args:
            namespace: whose.
            key: which.
            workflow_id: the workflow it is about.
            value: what it says.

        Returns:
            The record, encoded.
        """
        return Record(namespace, key, self.close(workflow_id, encode_wire(value)))

    def close(self, workflow_id: str, payload: bytes) -> bytes:
        """Encode a payload that stands in no log.

        Args:
            workflow_id: the workflow it is about.
            payload: JSON.

        Returns:
            What is stored.
        """
        return self._codecs.encode(payload, CodecContext(workflow_id, 0)) if self._codecs else payload

    def open(self, workflow_id: str, payload: bytes) -> bytes:
        """Decode what `close` has made.

        Args:
            workflow_id: the workflow it is about.
            payload: what is stored.

        Returns:
            JSON.

        Raises:
            CodecError: a codec or a key is missing, or it is damaged.
        """
        return self._codecs.decode(payload, CodecContext(workflow_id, 0))


_FACTS: Final = (
    "workflow_id", "status", "name", "reason", "failure_type", "failure_message", "details", "pid", "host",
)  # fmt: skip
"""What errors that cross to another process carry beside their text."""


def answer_of(error: TreadleError, at_ns: int) -> Answer:
    """Write an error down for a caller in another process.

    Args:
        error: what it is told.
        at_ns: when.

    Returns:
        The answer.
    """
    facts = {name: value for name in _FACTS if (value := getattr(error, name, None)) is not None}
    return Answer(at_ns, error=type(error).__name__, message=str(error), facts=facts)


def error_of(answer: Answer) -> TreadleError:
    """Make the error again that `answer_of` has written down.

    Args:
        answer: with an error.

    Returns:
        The error, of the same class with the same text and facts.
    """
    kind = getattr(errors, answer.error, None)
    if not (isinstance(kind, type) and issubclass(kind, TreadleError)):
        return InternalError(f"the runner answered with {answer.error}: {answer.message}")
    error = kind.__new__(kind, answer.message)
    error.args = (answer.message,)
    facts = dict(answer.facts)
    if isinstance(error, RecordedError):
        facts = {"details": (), "cause": None, "members": (), **facts}
        facts["details"] = tuple(facts["details"])
    error.__dict__.update(facts)
    return error


__all__ = [
    "AWAITING_RESUME",
    "HEARTBEATS",
    "HELD",
    "ID_POLICIES",
    "REAPPLY",
    "REPLIES",
    "RUNNER",
    "RUNS",
    "UNDELIVERED",
    "WHAT_IF",
    "Answer",
    "AskMessage",
    "BeatNote",
    "Envelopes",
    "HeldNote",
    "IdPolicy",
    "QueryMessage",
    "Reapply",
    "ResetMessage",
    "ResumeMessage",
    "StartMessage",
    "UndeliveredNote",
    "UpdateMessage",
    "answer_of",
    "decode_wire",
    "encode_wire",
    "error_of",
]
