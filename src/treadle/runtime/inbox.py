"""What travels to an actor: a proposal, and the inbox in which it waits when it must."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import attrs
import msgspec
import trio

from treadle.errors import RuntimeClosedError, TreadleError, WorkflowUnavailableError
from treadle.events import EventKind, WorkflowEvent
from treadle.kernel import ABORTED, AbortResult, Kernel, ReceiveChannel, SendChannel
from treadle.runtime.actor import Actor

Content: TypeAlias = tuple[EventKind, bytes, int | None]
"""Kind, payload, timestamp or None: an event as its caller gave it."""


class Proposal(msgspec.Struct, eq=False):
    """One call's wish to append, and what became of it.

    It is made for every append and changes hands without being copied: caller, perhaps inbox, group,
    committer, caller. A msgspec struct, because with this many defaults one of attrs takes three times as
    long to make; tracked by the garbage collector, because a crash's traceback may lead back to it.

    Attributes:
        actor: whose log; None for a unit that belongs to no single log.
        kind: the event's kind, when the wish is a single event; None for a batch or a unit.
        payload: the single event's payload.
        timestamp: the single event's time, when the caller gave one.
        seq: the seq of the first event, when the caller said so.
        keys: the events' idempotency keys, or None.
        batch: the events as the caller gave them, when they are a batch.
        events: the events as admitted or found; None until then.
        repeated: whether they were there before.
        error: why it was refused, when it was.
        task: the caller, while it waits.
        cancelled: the caller has gone; if nothing is admitted yet, nothing will be.
        waiting_for_room: the sender has not got past the full inbox.
        decided: the outcome is known.
        returns: how often it came back from a group and was admitted again.
        joiners: repeats of it that came while it was in flight and share its outcome.
    """

    actor: Actor | None
    kind: EventKind | None = None
    payload: bytes = b""
    timestamp: int | None = None
    seq: int | None = None
    keys: tuple[bytes | None, ...] | None = None
    batch: tuple[Content, ...] = ()
    events: tuple[WorkflowEvent, ...] | None = None
    repeated: bool = False
    error: TreadleError | None = None
    task: trio.lowlevel.Task | None = None
    cancelled: bool = False
    waiting_for_room: bool = False
    decided: bool = False
    returns: int = 0
    joiners: list[Proposal] | None = None

    @property
    def contents(self) -> tuple[Content, ...]:
        """All events as the caller gave them."""
        # One container less for each single append, while a thousand of them wait for their commit:
        # what waits is what the garbage collector walks over, and that is a fifth of the whole path.
        return self.batch if self.kind is None else ((self.kind, self.payload, self.timestamp),)

    def abandon(self, _raise_cancel: object = None) -> AbortResult:
        """Note that the caller was cancelled while it waited; the abort function of its wait.

        Returns:
            That it waits no longer.
        """
        self.task = None
        self.cancelled = True
        return ABORTED

    def learn(self, tokens: tuple[object, ...]) -> None:
        """Take the store's tokens for what follows a unit; only the engine's proposals keep them.

        Args:
            tokens: one for each batch.
        """

    def decide(self, kernel: Kernel) -> None:
        """Make the outcome known: wake the caller, and those who asked the same meanwhile.

        Args:
            kernel: wakes them.
        """
        self.decided = True
        if self.task is not None:
            task, self.task = self.task, None
            kernel.wake(task)
        if self.joiners:
            for joiner in self.joiners:
                self._share_with(joiner, kernel)
            self.joiners = None

    def fail(self, error: TreadleError, kernel: Kernel) -> None:
        """Refuse it.

        Args:
            error: why.
            kernel: wakes the caller.
        """
        self.error = error
        self.decide(kernel)

    def _share_with(self, joiner: Proposal, kernel: Kernel) -> None:
        if self.error is None and self.events is not None:
            first = (joiner.seq or 0) - self.events[0].seq
            joiner.events = self.events[first : first + len(joiner.contents)]
            joiner.repeated = True
        else:
            joiner.error = self.error
        joiner.decide(kernel)


def raise_own(error: TreadleError) -> None:
    """Raise a caller's own copy of an error that many callers share.

    A shared instance would collect every caller's traceback and context.

    Args:
        error: what happened to all of them.

    Raises:
        TreadleError: the copy, caused by what caused the original.
    """
    copy = type(error).__new__(type(error), *error.args)
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    raise copy from error.__cause__


@attrs.define(slots=True, eq=False)
class Inbox:
    """What an actor has while its task lives: the bounded channel, and what came back to be admitted again.

    Attributes:
        send: the callers' end.
        receive: the task's end.
        returned: refused proposals in their first order; admitted before anything in the channel.
        waiting: the task, while it waits until no group holds rows of its log.
        backoff_seconds: how long the task waits before its first step, after a crash.
    """

    send: SendChannel
    receive: ReceiveChannel
    returned: deque[Proposal] = attrs.Factory(deque)
    waiting: trio.lowlevel.Task | None = None
    backoff_seconds: float = 0.0

    def stop_waiting(self) -> None:
        """Take back the wish to be woken."""
        self.waiting = None

    def drain(self) -> list[Proposal]:
        """Take everything that is there now.

        Returns:
            What came back first, then the messages in the order in which they came.
        """
        taken = list(self.returned)
        self.returned.clear()
        try:
            while True:
                taken.append(self.receive.receive_nowait())
        except trio.WouldBlock:
            return taken


def closed_error() -> RuntimeClosedError:
    """Word the error for whoever comes too late.

    Returns:
        The error; what it answers was surely not written.
    """
    return RuntimeClosedError("the runtime is closing, nothing was written; open a runtime and send it again")


def unavailable_error(
    workflow_id: str, cause: BaseException, *, quarantined: bool
) -> WorkflowUnavailableError:
    """Word the error for the callers of a crashed actor.

    Args:
        workflow_id: the workflow.
        cause: the crash.
        quarantined: whether it stays down.

    Returns:
        The error, caused by the crash.
    """
    state = (
        "is quarantined after repeated crashes; mend the cause, then call runtime.release()"
        if quarantined
        else "has crashed on this message and restarts; other messages go on"
    )
    error = WorkflowUnavailableError(
        f"workflow {workflow_id!r} {state}: {type(cause).__name__}: {cause}", workflow_id=workflow_id
    )
    error.__cause__ = cause
    return error
