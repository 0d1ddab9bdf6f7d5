"""The other workflows of a rehearsal: children that run or are scripted, and the mail between all of them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from itertools import count
from typing import Any

import msgspec

from treadle.engine import (
    SEED_SIZE_BYTES,
    CancelRequested,
    ChildDone,
    Completed,
    Failed,
    Failure,
    MessageKind,
    ParentLink,
    PutMessage,
    SignalFailed,
    Start,
    Terminate,
    WorkflowDefinition,
)
from treadle.engine.arguments import encode_result
from treadle.engine.failures import failure_of
from treadle.engine.messages import CancelMessage, ChildStartMessage, SignalMessage
from treadle.errors import TreadleError, UsageError
from treadle.payloads import Converter
from treadle.testing.workflows.agenda import Agenda, Item
from treadle.testing.workflows.cast import Cast
from treadle.testing.workflows.items import (
    CHILD_RANK,
    MAIL_RANK,
    Begin,
    ChildEnds,
    Given,
    Instance,
    Mail,
    Sent,
)
from treadle.testing.workflows.plans import NANOSECONDS
from treadle.testing.workflows.scenario import Scenario
from treadle.testing.workflows.scripts import Played


class Neighbours:
    """Carries mail, and stands for children that are scripted. Durable, like the mailbox it plays.

    Args:
        scenario: which children are scripted, and who is absent.
        cast: what scripted children come to.
        agenda: where it is put down.
        converter: values to JSON and back.

    Attributes:
        sent: what was sent to workflows that do not live here.
    """

    def __init__(self, scenario: Scenario, cast: Cast, agenda: Agenda, converter: Converter) -> None:
        self.sent: list[Sent] = []
        self._scenario = scenario
        self._cast = cast
        self._agenda = agenda
        self._converter = converter
        self._definitions = dict(scenario.workflows)
        self._seen: set[bytes] = set()
        self._numbers = count(1)
        self._children = count(1)
        self._scripted: dict[str, Item] = {}

    def put(self, effect: PutMessage, instances: Iterable[Instance], now_ns: int) -> None:
        """Take a message, unless it came before.

        Args:
            effect: the message.
            instances: the workflows that live here; a parent knows the code of its children.
            now_ns: the time.
        """
        if effect.message_id in self._seen:
            return
        self._seen.add(effect.message_id)
        if effect.kind == MessageKind.CHILD_START:
            self._meet(instances)
        order = (MAIL_RANK, "", next(self._numbers), 0)
        self._agenda.put(now_ns, order, Mail(effect))

    def is_scripted(self, workflow_id: str) -> bool:
        """Tell whether a child is played by a script.

        Args:
            workflow_id: its id.

        Returns:
            True when it is.
        """
        return workflow_id in self._scripted

    def start(
        self, child_id: str, message: ChildStartMessage, *, is_taken: bool, now_ns: int
    ) -> Begin | None:
        """Let a child begin, or put down how it ends.

        Args:
            child_id: its id.
            message: of its parent.
            is_taken: whether another workflow has the id.
            now_ns: the time.

        Returns:
            The beginning of one that runs its own code; None for all others.

        Raises:
            UsageError: nobody knows its code.
        """
        parent = ParentLink(message.parent_id, message.parent_seq, message.parent_run)
        definition = self._definitions.get(message.name)
        if definition is None:
            raise UsageError(
                f"the workflow starts child {message.name!r}, whose definition is not known here; give it in"
                " workflows=[...] or children={...}"
            )
        args_json = bytes(message.args)
        if is_taken or child_id in self._scripted:
            failure = Failure("WorkflowExists", f"the id {child_id!r} belongs to a workflow already")
            refused = ChildEnds(parent, ChildDone(parent.seq, Failed(failure), "refused"))
            self._agenda.put(now_ns, (CHILD_RANK, child_id, parent.seq, 1), refused)
        elif definition.name in self._cast.children:
            self._scripted[child_id] = self._play(parent, child_id, definition, args_json, now_ns)
        else:
            start = Start(args_json, _child_seed(self._scenario.start.seed, next(self._children)), parent)
            return Begin(definition, child_id, start)
        return None

    def tell_scripted(self, child_id: str, given: Any, now_ns: int) -> None:
        """Give a scripted child its mail; it listens to nothing but requests to end.

        Args:
            child_id: its id.
            given: the input.
            now_ns: the time.
        """
        item = self._scripted[child_id]
        ends: ChildEnds = item.what
        is_terminated = isinstance(given, Terminate)
        if item.is_done or not (
            is_terminated or (isinstance(given, CancelRequested) and not ends.ignores_cancel)
        ):
            return
        item.is_done = True
        kind = "WorkflowTerminated" if is_terminated else "WorkflowCancelled"
        outcome = Failed(Failure(kind, given.reason))
        done = ChildDone(ends.parent.seq, outcome, "terminated" if is_terminated else "cancelled")
        order = (CHILD_RANK, child_id, ends.parent.seq, 0)
        self._scripted[child_id] = self._agenda.put(now_ns, order, ChildEnds(ends.parent, done))

    def send_away(self, put: PutMessage, *, is_closed: bool, now_ns: int) -> None:
        """Nobody of this id runs here: the message has left the rehearsal, or comes back to its sender.

        Args:
            put: the message.
            is_closed: whether somebody of this id has lived here.
            now_ns: the time.
        """
        message = _message_of(put)
        if message is None:
            return
        if is_closed or put.workflow_id in self._scenario.absent:
            failure = Failure("WorkflowNotFound", f"there is no running workflow {put.workflow_id!r}")
            given = Given(message.sender, SignalFailed(message.sender_seq, failure))
            self._agenda.put(now_ns, (MAIL_RANK, "", next(self._numbers), 0), given)
        elif isinstance(message, SignalMessage):
            values = self._converter.decode(bytes(message.args))
            self.sent.append(Sent(put.workflow_id, message.name, tuple(values)))
        else:
            self.sent.append(Sent(put.workflow_id, None, (), message.reason))

    def _meet(self, instances: Iterable[Instance]) -> None:
        for instance in instances:
            if instance.execution is not None:
                for child in instance.execution.children.values():
                    self._definitions.setdefault(child.definition.name, child.definition)

    def _play(
        self,
        parent: ParentLink,
        child_id: str,
        definition: WorkflowDefinition[..., Any],
        args_json: bytes,
        now_ns: int,
    ) -> Item:
        played = self._cast.play_child(definition, child_id, args_json)
        ignores_cancel = self._cast.children[definition.name].ignores_cancel
        ends = ChildEnds(parent, self._done(parent.seq, definition, played), ignores_cancel)
        order = (CHILD_RANK, child_id, parent.seq, 0)
        if played.seconds is None:
            return Item(now_ns, order, ends)  # never, unless it is asked to
        return self._agenda.put(now_ns + round(played.seconds * NANOSECONDS), order, ends)

    def _done(self, seq: int, definition: WorkflowDefinition[..., Any], played: Played) -> ChildDone:
        if played.error is not None:
            return ChildDone(seq, Failed(failure_of(played.error, self._converter)))
        try:
            return ChildDone(seq, Completed(encode_result(definition, played.value, self._converter)))
        except TreadleError as error:
            return ChildDone(seq, Failed(failure_of(error, self._converter)))


def _child_seed(seed: bytes, number: int) -> bytes:
    # By the order in which children begin; their ids are made from seqs, which a lost attempt moves.
    return blake2b(b"child:%d" % number, key=seed, digest_size=SEED_SIZE_BYTES).digest()


def _message_of(put: PutMessage) -> SignalMessage | CancelMessage | None:
    """What a workflow has sent another on purpose; the rest of the mail is nobody's loss."""
    if put.kind == MessageKind.SIGNAL:
        return msgspec.json.decode(put.payload, type=SignalMessage)
    if put.kind == MessageKind.CANCEL:
        return msgspec.json.decode(put.payload, type=CancelMessage)
    return None
