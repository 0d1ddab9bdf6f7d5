"""Children whose end no message tells: those of the log that went before a branch or a reset.

A child tells its end to the log that began it, once. A branch shares the beginning and not the mailbox; a
reset may have abandoned the answer. So the runner looks at the child's own log, and gives whoever waits what
it finds there as if a message had come.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from treadle.engine import ChildDone, Execution, Failed, Failure, Status
from treadle.engine.carrying import child_done
from treadle.engine.histories import lives_of
from treadle.engine.marks import view_of
from treadle.engine.origins import decoded_events
from treadle.engine.records import CLOSING_KINDS, RunStarted, is_engine_start
from treadle.errors import CorruptStoreError, TreadleError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.events import workflow_id as make_workflow_id
from treadle.runtime.durable.beginning_branches import read_all
from treadle.runtime.durable.instance import Instance, Offer
from treadle.stores import Head

if TYPE_CHECKING:  # it looks for the runner
    from treadle.runtime.durable.runner import Runner

_Ended: TypeAlias = tuple[Head, Sequence[WorkflowEvent]] | CorruptStoreError | None
_logger: Final = logging.getLogger("treadle.runtime")


class Elsewhere:
    """Waits for children beside the mailbox, one task each.

    Args:
        runner: whose workflows wait.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._waiting: set[tuple[WorkflowId, int]] = set()

    def watch(self, instance: Instance, execution: Execution) -> None:
        """Wait for all children of a workflow whose end it will not be told.

        Args:
            instance: the workflow.
            execution: its code, just replayed.
        """
        for seq, child in execution.children_elsewhere.items():
            key = (instance.workflow_id, seq)
            if key not in self._waiting:
                self._waiting.add(key)
                self._runner.spawn(self._wait, instance.workflow_id, seq, make_workflow_id(child.id))

    async def _wait(self, workflow_id: WorkflowId, seq: int, child_id: WorkflowId) -> None:
        runner = self._runner
        try:
            done = await self._end_of(child_id, seq)
        except TreadleError as error:
            _logger.warning(
                "workflow %r waits for child %r (seq %d), whose log cannot be read: %s",
                workflow_id, child_id, seq, error,
            )  # fmt: skip
            return
        finally:
            self._waiting.discard((workflow_id, seq))
        if not runner.stopping:
            runner.offer(runner.instance(workflow_id), Offer(done))

    async def _end_of(self, child_id: WorkflowId, seq: int) -> ChildDone:
        runner = self._runner
        interest = runner.changes.enter(child_id)
        try:
            while True:
                # Head and log as one question: between the two the log may be cut or deleted.
                found: _Ended = await runner.watching.ask_again(self._ended, child_id)
                if isinstance(found, CorruptStoreError):
                    raise found
                if found is not None:
                    return self._told_by(found[0], found[1], seq)
                await runner.changes.wait(interest)
        finally:
            runner.changes.leave(interest)

    async def _ended(self, child_id: WorkflowId) -> _Ended:
        """Read a child's log if it has ended; what no asking again would mend comes back as a value."""
        store = self._runner.store
        (head,) = await store.heads([child_id])
        if head.next_seq == 1 or (head.facts is not None and not Status(head.facts.status).is_closed):
            return None
        try:
            return head, await read_all(store, head, head.first_kept_seq, head.next_seq - 1)
        except CorruptStoreError as error:
            return error

    def _told_by(self, head: Head, events: Sequence[WorkflowEvent], seq: int) -> ChildDone:
        plain = decoded_events(head.workflow_id, events, self._runner.codecs)
        if not events:
            failure = Failure("WorkflowNotFound", f"the log of {head.workflow_id!r} was deleted")
            return ChildDone(seq, Failed(failure))
        for life in lives_of(plain):
            last = view_of(life).events[-1]
            if _is_child(life[0], seq) and last.kind in CLOSING_KINDS:
                return child_done(last, seq)
        failure = Failure(
            "WorkflowExists", f"the id {head.workflow_id!r} belonged to another workflow already"
        )
        return ChildDone(seq, Failed(failure), "refused")


def _is_child(start: WorkflowEvent, seq: int) -> bool:
    # By the seq alone: the parent that a child knows is the log that began it, under whatever id that was.
    if not is_engine_start(start):
        return False
    parent = msgspec.json.decode(start.payload, type=RunStarted).parent
    return parent is not None and parent.seq == seq
