"""What durable workflows and their callers send each other, as rows of the store's mailbox.

A row's payload is one JSON document of the struct that belongs to its kind. START, UPDATE, QUERY, STACK,
RESUME and RESET come from callers only and are the runner's; those that workflows send each other are written
here.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b
from typing import Final

import msgspec

from treadle.engine.failures import Failure
from treadle.engine.inputs import (
    CancelRequested,
    ChildDone,
    ChildFailure,
    Completed,
    Failed,
    ParentLink,
    Signal,
    SignalFailed,
    Terminate,
)

MESSAGE_ID_SIZE_BYTES_MAX: Final = 255
"""What a store takes as a message id; a longer one becomes its hash."""


class MessageKind(IntEnum):
    """What a mailbox row is. The numbers are on disk and never change."""

    START = 0
    SIGNAL = 1
    CANCEL = 2
    TERMINATE = 3
    UPDATE = 4
    QUERY = 5
    STACK = 6
    CHILD_START = 7
    CHILD_RESULT = 8
    PARENT_CLOSED = 9
    CHILD_CANCEL = 10
    SEND_FAILED = 11
    RESUME = 12
    RESET = 13


class _Message(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    pass


class SignalMessage(_Message, frozen=True):
    """SIGNAL. A sender that is a workflow is told when nobody takes it."""

    name: str
    args: msgspec.Raw
    sender: str = ""
    sender_seq: int = 0


class CancelMessage(_Message, frozen=True):
    """CANCEL and TERMINATE. A sender that is a workflow is told when nobody takes it."""

    reason: str = ""
    sender: str = ""
    sender_seq: int = 0


class ChildStartMessage(_Message, frozen=True):
    """CHILD_START: begin this workflow, as that one's child."""

    name: str
    args: msgspec.Raw
    parent_id: str
    parent_seq: int
    parent_run: int


class ChildResultMessage(_Message, frozen=True):
    """CHILD_RESULT: to the parent; `failure` None means it has returned."""

    seq: int
    result: msgspec.Raw = msgspec.Raw(b"null")
    failure: Failure | None = None
    status: ChildFailure = "failed"


class ParentMessage(_Message, frozen=True):
    """PARENT_CLOSED and CHILD_CANCEL: from the parent; only its own child listens."""

    parent_id: str
    parent_seq: int
    parent_run: int
    terminate: bool = False
    reason: str = ""


class SendFailedMessage(_Message, frozen=True):
    """SEND_FAILED: to the sender of a signal or cancel request that nobody took."""

    seq: int
    failure: Failure


STRUCT_BY_KIND: Final[dict[int, type[_Message]]] = {
    MessageKind.SIGNAL: SignalMessage,
    MessageKind.CANCEL: CancelMessage,
    MessageKind.TERMINATE: CancelMessage,
    MessageKind.CHILD_START: ChildStartMessage,
    MessageKind.CHILD_RESULT: ChildResultMessage,
    MessageKind.PARENT_CLOSED: ParentMessage,
    MessageKind.CHILD_CANCEL: ParentMessage,
    MessageKind.SEND_FAILED: SendFailedMessage,
}
"""The kinds whose payloads are the engine's."""

_encoder = msgspec.json.Encoder(order="deterministic")


def encode_message(message: _Message) -> bytes:
    """Write a message's payload.

    Args:
        message: one of this page's structs.

    Returns:
        One JSON document.
    """
    return _encoder.encode(message)


def message_id(sender: str, run: int, *seqs: int) -> bytes:
    """Make the id under which a workflow's message is known for ever.

    Args:
        sender: the workflow that sends it.
        run: its run.
        seqs: of the event that sends it, and whatever else tells it from the event's other messages.

    Returns:
        1-255 bytes; the same for the same message, however often it is put.
    """
    name = ":".join((sender, str(run), *map(str, seqs))).encode()
    if len(name) <= MESSAGE_ID_SIZE_BYTES_MAX:
        return name
    return blake2b(name, digest_size=32).hexdigest().encode()


def input_of(
    kind: int, payload: bytes
) -> Signal | CancelRequested | Terminate | ChildDone | SignalFailed | ChildStartMessage:
    """Read a mailbox row of a kind that the engine writes.

    Args:
        kind: a `MessageKind` from `STRUCT_BY_KIND`.
        payload: its content.

    Returns:
        The input it is; of a CHILD_START the message itself, because a run begins with a seed as well.

    Raises:
        msgspec.DecodeError: the payload is not what its kind says.
        KeyError: the kind is not the engine's.
    """
    message = msgspec.json.decode(payload, type=STRUCT_BY_KIND[kind])
    if isinstance(message, ChildStartMessage):
        return message
    if isinstance(message, SignalMessage):
        return Signal(message.name, bytes(message.args))
    if isinstance(message, CancelMessage):
        ask = Terminate if kind == MessageKind.TERMINATE else CancelRequested
        return ask(message.reason)
    if isinstance(message, ParentMessage):
        link = ParentLink(message.parent_id, message.parent_seq, message.parent_run)
        return (Terminate if message.terminate else CancelRequested)(message.reason, link)
    if isinstance(message, ChildResultMessage):
        return ChildDone(
            message.seq,
            Completed(bytes(message.result)) if message.failure is None else Failed(message.failure),
            message.status,
        )
    assert isinstance(message, SendFailedMessage)  # noqa: S101  # the last row of the table
    return SignalFailed(message.seq, message.failure)
