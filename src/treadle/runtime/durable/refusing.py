"""Turning messages away: what their senders are told, and what is kept of them."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from treadle.engine import Failure, MessageKind, Rejected, Status, encode_message, message_id
from treadle.engine.failures import update_rejected_error
from treadle.engine.messages import (
    CancelMessage,
    ChildResultMessage,
    ChildStartMessage,
    SendFailedMessage,
    SignalMessage,
)
from treadle.errors import (
    CorruptStoreError,
    DefinitionError,
    NoRunnerError,
    TreadleError,
    UpdateRejectedError,
    UsageError,
    WorkflowClosedError,
    WorkflowExistsError,
    WorkflowHeldError,
    WorkflowNotFoundError,
    WorkflowNotHereError,
)
from treadle.runtime.durable.instance import Instance, Phase, StartOffer
from treadle.runtime.durable.replies import Reply
from treadle.runtime.durable.wire import (
    REPLIES,
    UNDELIVERED,
    Envelopes,
    UndeliveredNote,
    answer_of,
)
from treadle.stores import Message, Record

_ANSWERED: Final = frozenset(
    {
        MessageKind.START,
        MessageKind.UPDATE,
        MessageKind.QUERY,
        MessageKind.STACK,
        MessageKind.RESUME,
        MessageKind.RESET,
    }
)
"""Kinds whose sender, in another process, looks for an answer."""


_SENT_BY_WORKFLOWS: Final[dict[int, type[SignalMessage | CancelMessage]]] = {
    MessageKind.SIGNAL: SignalMessage,
    MessageKind.CANCEL: CancelMessage,
    MessageKind.TERMINATE: CancelMessage,
}
"""Kinds whose sender, when it is a workflow, is told that they did not arrive."""
NO_RUNNER: Final = NoRunnerError
"""What is raised when nobody can answer."""
NOT_ASKABLE: Final = (NoRunnerError, WorkflowHeldError, WorkflowNotHereError, WorkflowClosedError)
"""What a description can do without an answer."""


def raw(value: Any) -> Raw:
    """Make a plain value JSON inside another struct.

    Args:
        value: a dict of plain values.

    Returns:
        Its JSON.
    """
    return Raw(msgspec.json.encode(value))


def raw_json(payload: bytes) -> Raw:
    """Take JSON over into another struct.

    Args:
        payload: one JSON document.

    Returns:
        It.
    """
    return Raw(payload)


def not_found(workflow_id: str) -> WorkflowNotFoundError:
    """Word the error for an id that nothing was ever started under.

    Args:
        workflow_id: the id.

    Returns:
        The error.
    """
    return WorkflowNotFoundError(
        f"there is no durable workflow {workflow_id!r}; start it, or check the id", workflow_id=workflow_id
    )


def plain_log(workflow_id: str) -> UsageError:
    """Word the error for an id that belongs to a plain log.

    Args:
        workflow_id: the id.

    Returns:
        The error.
    """
    return UsageError(
        f"{workflow_id!r} is a plain log, not a durable workflow: nothing runs under this id and nothing can;"
        " append to it, or start a workflow under another id"
    )


def only_played(workflow_id: str) -> UsageError:
    """Word the error for a branch in which nothing really happens.

    Args:
        workflow_id: the branch.

    Returns:
        The error.
    """
    return UsageError(
        f"{workflow_id!r} is a what-if branch: nothing really happens in it, and it takes no messages; play"
        " it with what_if(), or branch once more with mode='real'"
    )


def closed(workflow_id: str, status: int) -> WorkflowClosedError:
    """Word the error for a workflow that has ended.

    Args:
        workflow_id: its id.
        status: how it has ended.

    Returns:
        The error.
    """
    how = Status(status).name.lower()
    return WorkflowClosedError(
        f"workflow {workflow_id!r} is {how} and takes no more messages", workflow_id=workflow_id, status=how
    )


def nobody_there(instance: Instance) -> TreadleError:
    """Word the error for a message to a workflow that does not run.

    Args:
        instance: ABSENT or CLOSED.

    Returns:
        The error.
    """
    if instance.phase is Phase.CLOSED and instance.facts is not None:
        return closed(instance.workflow_id, instance.facts.status)
    if instance.phase is Phase.PLAIN:
        return plain_log(instance.workflow_id)
    if instance.phase is Phase.WHAT_IF:
        return only_played(instance.workflow_id)
    return not_found(instance.workflow_id)


def exists(workflow_id: str, status: Status) -> WorkflowExistsError:
    """Word the error for a start whose id is taken.

    Args:
        workflow_id: the id.
        status: where the one that has it stands.

    Returns:
        The error.
    """
    if status.is_closed:
        state, hint = "has run and ended", "id_policy='allow_when_closed' starts it again"
    elif status is Status.HELD:
        state, hint = "is there already, and held", "id_policy='use_existing' gives the held one"
    else:
        state, hint = "runs already", "id_policy='use_existing' gives the running one"
    return WorkflowExistsError(
        f"workflow {workflow_id!r} {state}; nothing was started: use another id, or {hint}",
        workflow_id=workflow_id,
    )


def unknown_code(workflow_id: str, name: str) -> DefinitionError:
    """Word the error for a start of code that the runner does not know.

    Args:
        workflow_id: the id that was asked for.
        name: the name of the code.

    Returns:
        The error.
    """
    return DefinitionError(
        f"workflow {workflow_id!r} was not started: the runner knows no workflow {name!r}; give it to"
        " open_runtime(workflows=[...]) there"
    )


def rejected(workflow_id: str, update: str, outcome: Rejected) -> UpdateRejectedError:
    """Make the error of an update that was turned away by its validator.

    Args:
        workflow_id: the workflow.
        update: the update's name.
        outcome: why.

    Returns:
        The error.
    """
    return update_rejected_error(outcome.failure, workflow_id=workflow_id, update=update)


def unreadable(reason: str) -> CorruptStoreError:
    """Word the error for a message that nobody can read.

    Args:
        reason: what is wrong with it.

    Returns:
        The error.
    """
    return CorruptStoreError(f"a message in the mailbox cannot be read: {reason}")


def foreign(workflow_id: str, error: Exception, where: str) -> WorkflowHeldError:
    """Word the error for code that waits inside something of Trio's.

    Args:
        workflow_id: the workflow.
        error: what was found.
        where: the lines it waits at.

    Returns:
        The error.
    """
    reason = f"{error} ({where}); use the name treadle.workflow has for it"
    return WorkflowHeldError(
        f"workflow {workflow_id!r} is held: {reason}", workflow_id=workflow_id, reason=reason
    )


def notes_of(message: Message, error: TreadleError, now_ns: int, envelopes: Envelopes) -> tuple[Record, ...]:
    """Keep what is known of a message that was turned away.

    Args:
        message: the mailbox's row.
        error: why.
        now_ns: when.
        envelopes: encode.

    Returns:
        An answer for a sender that looks for one; for others a note that it was not delivered.
    """
    workflow_id, name = message.workflow_id, message.message_id
    if message.kind in _ANSWERED:
        return (envelopes.record(REPLIES, name, workflow_id, answer_of(error, now_ns)),)
    note = UndeliveredNote(now_ns, workflow_id, message.kind, str(error))
    key = message_id(workflow_id, message.kind, now_ns) + b":" + name
    return (envelopes.record(UNDELIVERED, key[:255], workflow_id, note),)


def message_back(message: Message, error: TreadleError, envelopes: Envelopes) -> Message | None:
    """Tell a workflow that what it sent did not arrive.

    Args:
        message: the mailbox's row.
        error: why.
        envelopes: decode and encode.

    Returns:
        The row for its mailbox, or None when no workflow waits to hear.
    """
    is_start = message.kind == MessageKind.CHILD_START
    kind = _SENT_BY_WORKFLOWS.get(message.kind)
    if isinstance(error, CorruptStoreError) or not (is_start or kind):
        return None  # nobody knows who has sent it, or it was no workflow
    failure = Failure(type(error).__name__, str(error))
    payload = envelopes.open(message.workflow_id, message.payload)
    if kind is None:
        start = msgspec.json.decode(payload, type=ChildStartMessage)
        result = ChildResultMessage(start.parent_seq, failure=failure, status="refused")
        back = message_id(message.workflow_id, 0, start.parent_run, start.parent_seq)
        return envelopes.row(start.parent_id, back, MessageKind.CHILD_RESULT, encode_message(result))
    sent: SignalMessage | CancelMessage = msgspec.json.decode(payload, type=kind)
    if not sent.sender:
        return None
    told = SendFailedMessage(sent.sender_seq, failure)
    # The row's own id holds sender, run and seq: its answer is as unique as the row.
    back = message_id(message.workflow_id, 0) + b":" + message.message_id
    return envelopes.row(sent.sender, back[:255], MessageKind.SEND_FAILED, encode_message(told))


def signal_row(workflow_id: str, offer: StartOffer, envelopes: Envelopes) -> Message:
    """Make a row of the signal that came with a start whose workflow is there already.

    Args:
        workflow_id: the workflow.
        offer: with a signal.
        envelopes: encode.

    Returns:
        The row; the same for the same offer, however often it is made.
    """
    assert offer.signal is not None  # noqa: S101  # asked by the caller
    name, args_json = offer.signal
    own = offer.seed.hex().encode() if offer.message is None else offer.message.message_id
    payload = encode_message(SignalMessage(name, Raw(args_json)))
    return envelopes.row(workflow_id, (own + b":signal")[-255:], MessageKind.SIGNAL, payload)


class StartedReply:
    """Answers a start that found the workflow running and only brought a signal.

    Args:
        reply: who waits, or None.
        run: the run it found.
    """

    def __init__(self, reply: Reply | None, run: int) -> None:
        self._reply = reply
        self._run = run

    def give(self, _: object) -> None:
        """Answer with the run; see `Reply.give`."""
        if self._reply is not None:
            self._reply.give(self._run)

    def fail(self, error: TreadleError) -> None:
        """Answer with an error; see `Reply.fail`."""
        if self._reply is not None:
            self._reply.fail(error)
